"""How good a corrector is on the arithmetic world: final accuracy by method, and its rates."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.core.stats import Interval, bootstrap_interval, wilson_interval
from equipoise.systems.stream_aligner.arithmetic import final_result, stated_sums
from equipoise.systems.stream_aligner.evaluation.methods import (
    Reviewers,
    answer_by,
    check_methods,
    shown_text,
)
from equipoise.systems.stream_aligner.loop import Step
from equipoise.systems.stream_aligner.objective import arithmetic_accuracy
from equipoise.systems.stream_aligner.worlds.arithmetic import ArithmeticWorld, is_right, oracle

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
        fix=share_of(sum(fixed), len(fixed)),
        spoil=share_of(sum(not right for right, _ in kept), len(kept)),
        copy=share_of(sum(copied for _, copied in kept), len(kept)),
        wrong=len(fixed),
        right=len(kept),
    )


def evaluate_arithmetic(
    world: ArithmeticWorld,
    questions: Sequence[str],
    reviewers: Reviewers,
    *,
    methods: Sequence[str] = ("raw", "aligner", "post-hoc", "stream", "oracle"),
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Answer every question by every method and check the final sums.

    The rates are measured on the very sentences that the method `stream` reviewed (nan where it is
    left out), so the closed form beside says what independent sentences with these rates give.

    Args:
        world: whose upstream answers.
        questions: of the world.
        reviewers: by method.
        methods: of `METHODS`.
        advance: called after every answer.

    Returns:
        `rows` (a method's `accuracy` with its bootstrap interval, and `closed_form` where there is
        one), `fix_rate`, `break_rate`, `copy_rate`, each with `low` and `high`, and their counts.

    Raises:
        InvalidInput: an unknown method, no question, or method `prompted` without its corrector.
    """
    check_methods(methods, METHODS, questions, reviewers)
    hits: dict[str, list[bool]] = {method: [] for method in methods}
    reviewed: list[Step] = []
    for question in questions:
        for method in methods:
            answer = answer_by(method, question, world.upstream, reviewers, oracle)
            hits[method].append(is_right(question, shown_text(method, answer)))
            reviewed += answer.steps if method == "stream" else ()
            advance()
    rates = measure_rates(reviewed)
    return {
        "questions": len(questions),
        "steps": world.steps,
        "error_rate": world.error_rate,
        "rows": [_row(method, hits[method], world, rates) for method in methods],
        **flat("fix_rate", rates.fix),
        **flat("break_rate", rates.spoil),
        **flat("copy_rate", rates.copy),
        "wrong_proposals": rates.wrong,
        "right_proposals": rates.right,
    }


def accuracy_of(found: dict[str, Any], method: str) -> float:
    """Return a method's accuracy out of what `evaluate_arithmetic` returned."""
    return next(row["accuracy"] for row in found["rows"] if row["method"] == method)


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


def share_of(count: int, of: int) -> Interval:
    """Return a share with its Wilson interval; nan between 0 and 1 where there is nothing."""
    return wilson_interval(count, of) if of else Interval(float("nan"), 0.0, 1.0)


def flat(name: str, share: Interval) -> dict[str, float]:
    """Return an interval as fields `name`, `name_low`, `name_high`."""
    return {name: share.estimate, f"{name}_low": share.low, f"{name}_high": share.high}
