"""What each measured part of `stream_aligner` says, as lines of its table."""

from collections.abc import Callable
from typing import Any

Figure = dict[str, str]

NAMES = {
    "direct": "direct connection",
    "ours": "equipoise, identity with speculation",
    "litellm_whole": "LiteLLM, whole answer held back",
    "litellm_diff": "LiteLLM, guardrail every 5 chunks",
    "nemo": "NeMo Guardrails, chunks of 200 tokens",
    "nemo_10": "NeMo Guardrails, chunks of 10 tokens",
}


def figure(
    what: str,
    ours: str,
    target: str = "",
    reached: bool | None = None,
    peer: str = "",
    conditions: str = "",
) -> Figure:
    """Return one line; `reached` is None where nothing is asked for, or nothing was measured."""
    said = "" if reached is None else "yes" if reached else "no"
    return {
        "what": f"stream_aligner: {what}",
        "ours": ours,
        "target": target,
        "reached": said,
        "peer": peer,
        "conditions": conditions,
    }


def ms(seconds: float) -> str:
    """Return seconds as milliseconds."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{1e3 * seconds:,.0f} ms"


def segmenter(part: dict[str, Any]) -> list[Figure]:
    """How the cost grows, and the ratio to splitting the growing text again."""
    lines = [
        figure(
            "segmenter, ten times the text",
            f"{part['growth']:.1f} x the time",
            "<= 12 x",
            part["growth"] <= 12,
            conditions=f"{part['characters']:,} characters, one at a time: {part['seconds']:.3f} s",
        )
    ]
    what = f"segmenter, {part['characters'] // 1000} kB in pieces of {part['piece']}"
    peer = part["pysbd"]
    if "absent" in peer:
        absent = f"pysbd absent: {peer['absent']}"
        return [*lines, figure(what, f"{part['piece_seconds']:.3f} s", ">= 50 x faster",
                               peer=absent)]  # fmt: skip
    lines.append(
        figure(
            what,
            f"{part['piece_seconds']:.3f} s, {peer['ratio']:,.0f} x faster",
            ">= 50 x faster",
            peer["ratio"] >= 50,
            f"pysbd on the growing text: {peer['extrapolated_seconds']:,.0f} s",
            f"pysbd extrapolated by its fitted power {peer['power']:.1f}; measured at "
            f"{peer['sizes'][-1]:,} characters: {peer['measured_ratio']:,.0f} x",
        )
    )
    return lines


def proxied(part: dict[str, Any]) -> list[Figure]:
    """The proxy against the direct connection and the peers."""
    first, chunk, beside = part["first_segment"], part["at_once"], part["beside"]
    added, tokens = first["added_s"], f"{1e3 * part['token_s']:g} ms a token"
    direct, ours = beside["direct"], beside["ours"]
    total = ours["total_s"]["p50"] / direct["total_s"]["p50"]
    return [
        figure(
            "first sentence behind U + A",
            f"{ms(added['p50'])} p50, {ms(added['p99'])} p99",
            "<= 3 ms, <= 10 ms",
            added["p50"] <= 3e-3 and added["p99"] <= 10e-3,
            f"direct connection about its own median: {ms(first['direct_jitter_s']['p99'])} p99",
            f"identity, {tokens}, {added['n']} answers, alternating; "
            f"{ms(first['asked_later_s'])} of it before the upstream is asked",
        ),
        figure(
            "`detect` adds to a chunk",
            ms(chunk["detect_added_s"]),
            "<= 0.2 ms",
            chunk["detect_added_s"] <= 2e-4,
            f"mode `off`, the hop alone: {ms(chunk['off_added_s'])}",
            f"median age on arrival of {chunk['detect_age_s']['n']} chunks, less the direct one's",
        ),
        figure(
            "total time at identity with speculation",
            f"{total:.3f} x direct",
            "<= 1.05 x",
            total <= 1.05,
            f"direct: {direct['total_s']['p50']:.3f} s",
            tokens,
        ),
        figure(
            "upstream tokens at identity with speculation",
            f"{ours['upstream_tokens'] / direct['upstream_tokens']:.3f} x direct",
            "<= 1.05 x",
            ours["upstream_tokens"] <= 1.05 * direct["upstream_tokens"],
        ),
        *(_beside(name, found, ours) for name, found in beside.items() if name != "direct"),
    ]


def _beside(name: str, found: dict[str, Any], ours: dict[str, Any]) -> Figure:
    what = f"first reviewed text, {NAMES[name]}"
    if "absent" in found:
        return figure(what, "", peer=f"absent: {found['absent']}")
    first, gap = found["first_s"]["p50"], found["gaps_s"]
    said = f"{ms(first)}; gaps {ms(gap['p50'])} p50, {ms(gap['p99'])} p99; total "
    said += f"{ms(found['total_s']['p50'])}; {found['upstream_tokens']:.0f} upstream tokens"
    if name == "ours":
        return figure(what, said, conditions="8 sentences of 10 tokens")
    ratio = first / ours["first_s"]["p50"]
    return figure(
        what,
        f"ours {ratio:.2g} x as early",
        "earlier",
        ratio > 1,
        said,
        "it looks at the text so far, not at sentences" if name.endswith(("diff", "10")) else "",
    )


def streams(part: dict[str, Any]) -> list[Figure]:
    """Concurrent streams."""
    return [
        figure(
            f"{level['streams']} streams at once",
            f"{level['dropped']} dropped, {level['growth_bytes_per_stream'] / 1e3:.0f} kB a stream",
            "0 dropped, <= 50 kB a stream" if level["streams"] == 200 else "",
            level["dropped"] == 0 and level["growth_bytes_per_stream"] <= 50e3
            if level["streams"] == 200
            else None,
            conditions=f"peak memory of the process over that at rest; first text "
            f"{ms(level['first_s']['p50'])} p50, {ms(level['first_s']['p99'])} p99; a second wave "
            f"adds {level['second_wave_bytes_per_stream'] / 1e3:.0f} kB a stream",
        )
        for level in part["levels"]
    ]


def speculation(part: dict[str, Any]) -> list[Figure]:
    """The speed-up of speculation at each point."""
    return [
        figure(
            f"speculation, U {p['generate_s']:g} A {p['correct_s']:g} R {p['restart_s']:g} s, "
            f"q {p['copy_rate']:g}",
            f"{p['speedup']:.2f} x as fast as sequential",
            f"{p['expected_speedup']:.2f} x within 10 %",
            p["off_by"] <= 0.1,
            conditions=f"period {p['sequential_s']:.3f} -> {p['speculative_s']:.3f} s; formula "
            f"{p['expected_sequential_s']:.3f} -> {p['expected_speculative_s']:.3f} s",
        )
        for p in part["points"]
    ]


def first_text(part: dict[str, Any]) -> list[Figure]:
    """Time to first text by the number of sentences."""
    rows = part["rows"]
    counts, ours, whole = (
        ", ".join(f"{row[key]:{form}}" for row in rows)
        for key, form in (("sentences", "d"), ("stream", ".2f"), ("aligner", ".2f"))
    )
    pairs = [(row[mode], row[f"expected_{mode}"]) for row in rows for mode in ("stream", "aligner")]
    off = max(abs(measured / expected - 1) for measured, expected in pairs)
    return [
        figure(
            f"first text of {counts} sentences",
            f"{ours} s",
            "U + A",
            peer=f"mode aligner (N U + A): {whole} s",
            conditions=f"U {part['generate_s']:g} s, A {part['correct_s']:g} s; at most {off:.0%} "
            "off the formulas; the end is told one token after the last",
        )
    ]


def copying(part: dict[str, Any]) -> list[Figure]:
    """Copy-speculative decoding by copy rate, and what reading kept between rounds saves."""
    lines = []
    for row in part["rates"]:
        asked = row["copy_rate"] >= 0.8 and row["edits"] == "other words"
        lines.append(
            figure(
                f"corrector at copy rate {row['copy_rate']:g}, edits by {row['edits']}",
                f"{row['passes']:.2f} passes, {row['seconds']:.2f} s; {row['speedup']:.1f} x",
                ">= 5 x faster, same output" if asked else "",
                row["speedup"] >= 5 and row["same_output"] if asked else None,
                f"plain greedy: {row['plain_passes']:.0f} passes, {row['plain_seconds']:.2f} s",
                f"SmolLM2-135M, sentence of {part['draft_tokens']} tokens, prompt read before",
            )
        )
    read = part["reading"]
    kept, afresh = read["kept"], read["afresh"]
    lines.append(
        figure(
            f"a review's cost over {read['rounds']} rounds, reading kept",
            f"{kept['growth']:.2f} x late over early; {sum(kept['tokens']):,.0f} tokens read",
            "flat",
            kept["growth"] <= 1.25,
            f"read afresh: {afresh['growth']:.2f} x, {sum(afresh['tokens']):,.0f} tokens",
            "seconds of the last four rounds over rounds two to five; flat: <= 1.25 x",
        )
    )
    return lines


def training(part: dict[str, Any]) -> list[Figure]:
    """Seconds of a training step."""
    return [
        figure(
            "a training step, SmolLM2-135M with LoRA",
            f"{part['seconds']:.2f} s, {part['ratio']:.2f} x",
            "<= 1.1 x",
            part["ratio"] <= 1.1,
            f"bare loop over transformers: {part['bare_seconds']:.2f} s",
            f"the same {part['rows']} rows, median of {part['steps']} steps, alternating",
        )
    ]


def faults(part: dict[str, Any]) -> list[Figure]:
    """Aborts at random moments."""
    return [
        figure(
            f"{part['aborts']:,} aborts at random moments",
            f"{part['open']} upstream requests left open",
            "0",
            part["open"] == 0 and part["answers_afterwards"],
            conditions=f"{part['open_at_once']} open when the last one had left, none "
            f"{ms(part['closed_s'])} later; {part['upstream_requests']:,} had reached the upstream",
        )
    ]


def or_absent(
    name: str, say: Callable[[dict[str, Any]], list[Figure]]
) -> Callable[[dict[str, Any]], list[Figure]]:
    """Return `say` that also says why a part was not measured."""

    def lines(part: dict[str, Any]) -> list[Figure]:
        if "absent" in part:
            return [figure(name, "not measured", peer=f"absent: {part['absent']}")]
        return say(part)

    return lines


_SAID: dict[str, Callable[[dict[str, Any]], list[Figure]]] = {
    "segmenter": segmenter,
    "proxy": proxied,
    "streams": streams,
    "speculation": speculation,
    "first_text": first_text,
    "copying": copying,
    "training": training,
    "faults": faults,
}
LINES = {name: or_absent(name, say) for name, say in _SAID.items()}
