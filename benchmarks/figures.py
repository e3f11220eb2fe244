"""The README's lines: what each measured part says, in words."""

from collections.abc import Callable
from typing import Any

from benchmarks.parts import Line, line


def startup(part: dict[str, Any]) -> list[Line]:
    """Start-up against an empty program."""
    times = part["seconds"]
    empty = f"`python -c pass`: {times['pass']:.3f} s"
    note = f"median of {part['runs']}, alternating"
    return [
        line("`import equipoise`", f"{part['import_ratio']:.2f} x", empty, note),
        line("`equipoise --help`", f"{part['help_ratio']:.1f} x", empty, note),
    ]


def structure(part: dict[str, Any]) -> list[Line]:
    """The source tree."""
    return [
        line(
            "copied lines, import cycles",
            f"{part['copied_share']:.1%}, {part['import_cycles']}",
            "limits: 3 %, 0",
            f"8-line windows; {part['source_lines']:,} lines in {part['source_files']} files",
        ),
        line("lines of test to lines of source", f"{part['test_to_source']:.2f}", "aim: 0.8"),
    ]


def ratings(part: dict[str, Any]) -> list[Line]:
    """Bradley-Terry on a million votes, with the ratios to the two other packages."""
    notes = [
        f"{part[key]['evalica']:.0f} x evalica, {part[key]['logistic']:.0f} x scikit-learn"
        for key in ("ratio_coded", "ratio_strings")
    ]
    return [one | {"note": note} for one, note in zip(part["lines"], [*notes, "", ""], strict=True)]


def generation(part: dict[str, Any]) -> list[Line]:
    """Tokens per second of the local back ends, and how far 4-bit weights part them."""
    speed = part["generation"]
    note = f"{speed['threads']} threads, median of {speed['repeats']}"
    lines = [
        line(
            f"{words}, alone and in a batch of {speed['batch']}",
            f"{speed[f'{name}_alone']:.0f} and {speed[f'{name}_batched']:.0f} tokens/s",
            "",
            note,
        )
        for name, words in (("llamacpp", "llama.cpp"), ("transformers", "transformers"))
    ]
    for row in part["noise"]:
        lines.append(
            line(
                f"llama.cpp on {row['weights']} weights against transformers",
                f"{row['greedy_equal']} of {row['answers']} greedy texts equal",
                "",
                f"log-probability of a token apart by {row['mean']:.2g} on average",
            )
        )
    return lines


def tour(part: dict[str, Any]) -> list[Line]:
    """A whole tour."""
    peak = max(stage["peak_bytes"] for stage in part["stages"])
    return [
        line(
            "`equipoise tour`",
            f"{part['seconds']:.0f} s, peak {peak / 2**30:.1f} GiB",
            "limit: 300 s",
            f"all processes; again from its cache, no demos: {part['seconds_again']:.0f} s",
        )
    ]


LINES: dict[str, Callable[[dict[str, Any]], list[Line]]] = {
    "startup": startup,
    "generation": generation,
    "ratings": ratings,
    "tour": tour,
    "structure": structure,
}
