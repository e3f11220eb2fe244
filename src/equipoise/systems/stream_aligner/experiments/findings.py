"""What an experiment showed, in a paragraph: its figures, and where the claim did not hold."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from equipoise.core.files import from_json

Found = Mapping[str, Any]

PUBLISHED = {
    "helpfulness of Stream Aligner-2B on Llama2-70B-chat, %": 76.1,
    "harmlessness of Stream Aligner-2B on Llama2-70B-chat, %": 36.0,
    "mathematics of Stream Aligner-8B on Llama3-70B-Instruct, %": 3.5,
}
"""Gains of the abstract; conditions (2B/8B correctors, 70B upstreams, GPT-4 judge) not met here."""


def shows(name: str, found: Found) -> str:
    """Return the figures of an experiment in sentences; for a result without rows, why none.

    Args:
        name: of the experiment.
        found: its result.
    """
    if not found["rows"]:
        return f"Not run: {found.get('missing', 'no rows')}."
    return _TOLD[name](from_json(found)) if name in _TOLD else ""


def verdict(found: Found) -> str:
    """Return an experiment's target and whether it was reached; empty where it has none."""
    if not found["rows"] or not found.get("target"):
        return ""
    said = {True: "reached", False: "not reached", None: "not judged"}[found.get("reached")]
    return f"Target: {found['target']}; {said}."


def paragraph(name: str, found: Found) -> str:
    """Return both as one paragraph."""
    return f"{shows(name, found)} {verdict(found)}".strip()


def _induction(found: Found) -> str:
    return (
        f"The loop that answers users was run on {found['worlds']} random worlds of sentences. "
        f"No share of any kind of sentence lies more than {found['largest_error']:.1f} standard "
        f"errors from its closed form, and in {found['covered']} worlds the interval of the gain "
        "over correcting afterwards holds the exact one."
    )


def _arithmetic(found: Found) -> str:
    rows = _by_method(found["trained"]["rows"], "accuracy")
    trained = found["trained"]
    rewriting = rows.get("aligner that rewrites")
    built_on = max(rows["post-hoc"], rows["aligner"]) < rows["stream"]
    told = (
        f"A trained corrector brings the share of right final answers from {rows['raw']:.0%} to "
        f"{rows['stream']:.0%}; at its own rates (repairs {_percent(trained['fix_rate'])}, spoils "
        f"{_percent(trained['break_rate'], 1)}) the closed form says "
        f"{rows['stream'] - trained['stream_minus_closed_form']:.0%}. The same sums corrected "
        f"afterwards come to {rows['post-hoc']:.0%}, a corrector of whole answers with the same "
        f"teacher to {rows['aligner']:.0%}"
        f"{': what was built on a wrong sum stays wrong' if built_on else ''}."
    )
    if rewriting is None:
        return told
    same = "The lead over aligner holds for the same teacher only: one" if built_on else "One"
    who = same if rewriting >= rows["stream"] else "One"
    return (
        f"{told} {who} that was taught whole answers rewritten from the question, so that it "
        f"solves the task itself, comes to {rewriting:.0%}."
    )


def _identity(found: Found) -> str:
    best = max(found["rows"], key=lambda row: row["copy_rate"] + row["edit_recall"])
    return (
        "Copying of clean sentences and repair of bad ones are together best at a share of "
        f"{found['best_share']:.0%} ({found['best_schedule']}): {best['copy_rate']:.1%} copied, "
        f"{best['edit_recall']:.1%} repaired. Aligner's ablation peaks at 20 %."
    )


def _latency(found: Found) -> str:
    best = max(found["rows"], key=lambda row: row["speedup"])
    return (
        "The exact timeline of a long answer agrees with the formula of its period to "
        f"{found['largest_error']:.2%}. Reading on while a sentence is reviewed makes answers up "
        f"to {best['speedup']:.2f} times faster (at a copy rate of {best['copy_rate']:g})."
    )


def _methods(found: Found) -> str:
    rows = {row["method"]: row for row in found["rows"]}
    gap = found["stream_minus_aligner"]
    apart = [
        f"{gap[score]:.0f} [{gap[f'{score}_low']:.0f}, {gap[f'{score}_high']:.0f}]"
        for score in ("harmless", "helpful")
    ]
    held = "holds" if found["ordered"] else "does not hold"
    return (
        f"Corrector: {found['corrector']}. Harmless omega: {_listed(rows, 'harmless_omega')}; "
        f"helpful omega: {_listed(rows, 'helpful_omega')}. Stream above aligner, points: "
        f"harmless {apart[0]}, helpful {apart[1]}. "
        f"The order raw < post-hoc <= aligner < stream {held} in both."
    )


def _rounds(found: Found) -> str:
    first, last = found["rows"][0], found["rows"][-1]
    return (
        f"Quality goes from {first['quality']:.2f} without review to {last['quality']:.2f} with "
        f"{last['rounds']} sentences reviewed; rank correlation with the number of rounds "
        f"{_number(found['spearman'])}. An answer takes {first['seconds']:.1f} s and "
        f"{last['seconds']:.1f} s by the timeline. Corrector: {found['corrector']}."
    )


def _prefix(found: Found) -> str:
    said = [
        f"{row['what']} {100 * row['difference']:+.0f} points "
        f"[{100 * row['difference_low']:.0f}, {100 * row['difference_high']:.0f}]"
        for row in found["rows"]
        if row["count"]
    ]
    return f"Without the prefix field: {'; '.join(said)}. Corrector: {found['corrector']}."


def _size(found: Found) -> str:
    slopes = found["slopes"]
    stream, aligner, apart = (slopes[name] for name in ("stream", "aligner", "difference"))
    said = "No difference can be told"
    if apart["high"] < 0:
        said = "Stream depends less on size, as the paper claims"
    elif apart["low"] > 0:
        said = "The opposite of the paper's claim: stream depends more on size"
    return (
        f"Ten times the parameters change the accuracy by {stream['estimate']:+.2f} for stream and "
        f"{aligner['estimate']:+.2f} for aligner, a difference of {apart['estimate']:+.2f} "
        f"[{apart['low']:.2f}, {apart['high']:.2f}]. {said}. Both saw as many tokens; the "
        "aligner's targets are whole answers rewritten from the question, stream's are single "
        "sentences, whose slips add up over an answer."
    )


def _interpret(found: Found) -> str:
    said = [
        f"{teacher}: AUC {line['auc']:.3f} at layer {line['layer']}, rank correlation of "
        f"coefficient and edit ratio {_number(line['spearman'])}, R² {_number(line['r_squared'])}"
        for teacher, line in found["lines"].items()
    ]
    return f"{'; '.join(said)}. Aligner published R² of about {found['published_r_squared']}."


def _cost(found: Found) -> str:
    return (
        "Tokens: "
        + "; ".join(
            f"{row['what']} {row['measured']:g} (target {row['target']})" for row in found["rows"]
        )
        + "."
    )


def _gate(found: Found) -> str:
    said = [
        f"{row['world']}, {row['features']}: {row['skipped_share']:.0%} of clean sentences skip, "
        f"{row['miss_rate']:.2%} of bad ones with them"
        for row in found["rows"]
        if row["skipped_share"] is not None and row["miss_rate"] is not None
    ]
    return (
        f"{'; '.join(said) or 'No gate could be calibrated'}. The budget holds in the mean over "
        "calibrations, not for each single one."
    )


def _smollm2(found: Found) -> str:
    rows = {row["method"]: row for row in found["rows"]}
    names = {True: "met", False: "missed"}
    checks = "; ".join(f"{what}: {names[bool(met)]}" for what, met in found["checks"].items())
    shares = {
        "single sums right under review": rows["stream"]["stated_share"],
        "wrong ones repaired": found["fix_rate"],
        "edits that are right": found["edit_precision"],
        "benign sentences copied": found["copy_rate"],
    }
    told = ", ".join(f"{what} {_percent(share)}" for what, share in shares.items())
    return (
        f"Upstream {found['model']}, corrector: {found['corrector']}. Final answers right, percent:"
        f" {_listed(rows, 'accuracy', 100)}. Shares: {told}. {checks}."
    )


_TOLD: Mapping[str, Callable[[Found], str]] = {
    "induction": _induction,
    "arithmetic": _arithmetic,
    "identity": _identity,
    "latency": _latency,
    "methods": _methods,
    "rounds": _rounds,
    "prefix": _prefix,
    "size": _size,
    "interpret": _interpret,
    "cost": _cost,
    "gate": _gate,
    "smollm2": _smollm2,
}


def _by_method(rows: Sequence[Found], value: str) -> dict[str, float]:
    return {row["method"]: row[value] for row in rows}


def _listed(rows: Mapping[str, Found], value: str, scale: float = 1) -> str:
    return ", ".join(f"{method} {scale * row[value]:.0f}" for method, row in rows.items())


def _percent(share: float, digits: int = 0) -> str:
    return "not seen" if math.isnan(share) else f"{share:.{digits}%}"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.2f}"
