"""How good a corrector is on the arithmetic world: final accuracy by method, and its rates."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.core.errors import EquipoiseError, InvalidInput, unknown_name
from equipoise.core.stats import Interval, bootstrap_interval, wilson_interval
from equipoise.systems.stream_aligner.aligning import align
from equipoise.systems.stream_aligner.arithmetic import stated_sums
from equipoise.systems.stream_aligner.arithmetic_world import ArithmeticWorld, is_right, oracle
from equipoise.systems.stream_aligner.correction import Correction, Corrector
from equipoise.systems.stream_aligner.loop import Step
from equipoise.systems.stream_aligner.objective import arithmetic_accuracy
from equipoise.systems.stream_aligner.segments import segment
from equipoise.systems.stream_aligner.worlds import final_result

METHODS = ("raw", "aligner", "post-hoc", "stream", "prompted", "oracle")
_CLOSED_FORMS = {"raw": "raw", "post-hoc": "post_hoc", "stream": "stream"}


@dataclass(frozen=True)
class Rates:
    """What a corrector does to single sentences, with 95 % intervals; nan where none was seen.

    Attributes:
        fix: share of wrong proposals that it repairs.
        spoil: share of right ones whose result it leaves wrong.
        copy: share of right ones that it copies exactly.
        wrong, right: how many of each there were.
    """

    fix: Interval
    spoil: Interval
    copy: Interval
    wrong: int
    right: int


def measure_rates(steps: Iterable[Step]) -> Rates:
    """Return a corrector's fix and break rates on reviewed sentences, judged by exact arithmetic.

    A sentence comes out right where its last stated result is the exact value of the proposal's
    sum; a dropped one does not. Steps that propose no sum are passed over.
    """
    fixed: list[bool] = []
    kept: list[tuple[bool, bool]] = []
    for step in steps:
        proposed = list(stated_sums(step.segment.text))
        if not proposed:
            continue
        right = final_result(step.text) == proposed[-1].exact
        if proposed[-1].correct:
            kept.append((right, step.verdict == "copy"))
        else:
            fixed.append(right)
    return Rates(
        fix=_share(sum(fixed), len(fixed)),
        spoil=_share(sum(not right for right, _ in kept), len(kept)),
        copy=_share(sum(copied for _, copied in kept), len(kept)),
        wrong=len(fixed),
        right=len(kept),
    )


def evaluate_arithmetic(
    world: ArithmeticWorld,
    questions: Sequence[str],
    corrector: Corrector,
    *,
    methods: Sequence[str] = ("raw", "aligner", "post-hoc", "stream", "oracle"),
    aligner: Corrector | None = None,
    prompted: Corrector | None = None,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Answer every question by every method and check the final sums.

    The rates are measured on the very sentences that the method `stream` reviewed (nan where it is
    left out), so the closed form beside says what independent sentences with these rates give.

    Args:
        world: whose upstream answers.
        questions: of the world.
        corrector: reviews single sentences.
        methods: of `METHODS`.
        aligner: reviews whole answers; `corrector` where None.
        prompted: reviews in method `prompted`.
        advance: called after every answer.

    Returns:
        `rows` (a method's `accuracy` with its bootstrap interval, and `closed_form` where there is
        one), `fix_rate`, `break_rate`, `copy_rate`, each with `low` and `high`, and their counts.

    Raises:
        InvalidInput: an unknown method, no question, or method `prompted` without its corrector.
    """
    _check(methods, questions, corrector, prompted)
    hits: dict[str, list[bool]] = {method: [] for method in methods}
    reviewed: list[Step] = []
    correctors = {
        "stream": corrector,
        "prompted": prompted or corrector,
        "oracle": oracle,
        "aligner": aligner or corrector,
    }
    for question in questions:
        raw = align(question, world.upstream, corrector, mode="off").text
        for method in methods:
            if method == "raw":
                text = raw
            elif method == "post-hoc":
                text = _post_hoc(question, raw, corrector)
            else:
                mode = "aligner" if method == "aligner" else "stream"
                answer = align(
                    question, world.upstream, correctors[method], mode=mode, speculate=True
                )
                text = answer.text
                reviewed += answer.steps if method == "stream" else ()
            hits[method].append(is_right(question, text))
            advance()
    rates = measure_rates(reviewed)
    return {
        "questions": len(questions),
        "steps": world.steps,
        "error_rate": world.error_rate,
        "rows": [_row(method, hits[method], world, rates) for method in methods],
        **_flat("fix_rate", rates.fix),
        **_flat("break_rate", rates.spoil),
        **_flat("copy_rate", rates.copy),
        "wrong_proposals": rates.wrong,
        "right_proposals": rates.right,
    }


def accuracy_of(found: dict[str, Any], method: str) -> float:
    """Return a method's accuracy out of what `evaluate_arithmetic` returned."""
    return next(row["accuracy"] for row in found["rows"] if row["method"] == method)


def _check(
    methods: Sequence[str], questions: Sequence[str], corrector: Corrector, prompted: object
) -> None:
    for method in methods:
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
    if not questions:
        raise InvalidInput("there are no questions to evaluate on")
    if "prompted" in methods and prompted is None:
        raise InvalidInput("method 'prompted' needs a prompted corrector: name it by --prompted")
    single = [method for method in methods if method in ("post-hoc", "stream")]
    if single and getattr(corrector, "style", "stream") == "aligner":
        raise InvalidInput(
            f"the corrector has style 'aligner' and reviews whole answers, method {single[0]!r} "
            "single sentences; leave it out or give a corrector of style 'stream'"
        )


def _post_hoc(question: str, raw: str, corrector: Corrector) -> str:
    """Correct each sentence of a finished answer where it stands; nothing is fed back."""
    said, place = "", 0
    for part in segment(raw):
        try:
            text = _text(corrector(question, raw[:place], part.text)) if part.text else ""
        except EquipoiseError:
            text = part.text
        said += part.leading + text
        place += len(part.raw)
    return said


def _text(correction: Correction | str) -> str:
    return correction if isinstance(correction, str) else correction.text


def _row(method: str, hits: Sequence[bool], world: ArithmeticWorld, rates: Rates) -> dict[str, Any]:
    share = bootstrap_interval(np.array(hits, dtype=float))
    row = {
        "method": method,
        "accuracy": share.estimate,
        "accuracy_low": share.low,
        "accuracy_high": share.high,
        "right": int(sum(hits)),
    }
    fix, spoil = rates.fix.estimate, rates.spoil.estimate
    if method == "raw":
        fix = spoil = 0.0
    if method in _CLOSED_FORMS and not np.isnan(spoil):
        exact = arithmetic_accuracy(
            world.steps, world.error_rate, 0.0 if np.isnan(fix) else fix, spoil
        )
        row["closed_form"] = getattr(exact, _CLOSED_FORMS[method])
    return row


def _share(count: int, of: int) -> Interval:
    return wilson_interval(count, of) if of else Interval(float("nan"), 0.0, 1.0)


def _flat(name: str, share: Interval) -> dict[str, float]:
    return {name: share.estimate, f"{name}_low": share.low, f"{name}_high": share.high}
