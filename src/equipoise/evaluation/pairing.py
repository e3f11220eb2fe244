"""Two replies, asked in both orders: the verdict without the judge's taste for a position."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput
from equipoise.evaluation.judging import Judge, JudgeRequest, Verdict, pair_label


@dataclass(frozen=True)
class PairJudgement:
    """What a judge made of one pair in both orders.

    Attributes:
        value: P(first is better), mean of the two orders; None where an order gave no verdict.
        label: `a`, `b`, or `tie`, which a disagreement of the orders counts as; `unparsed`.
        flipped: the two orders named different winners.
        orders: the verdicts as given: first shown first, then second shown first.
    """

    value: float | None
    label: str
    flipped: bool
    orders: tuple[Verdict, Verdict]


def judge_pairs(
    judge: Judge, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]
) -> list[PairJudgement]:
    """Ask `judge` about each pair twice, with the replies swapped.

    Raises:
        InvalidInput: unequal lengths, or a judge that gives another number of verdicts.
    """
    if not len(prompts) == len(first) == len(second):
        raise InvalidInput(
            f"prompts, first and second have lengths {len(prompts)}, {len(first)}, {len(second)}; "
            "they must be equal"
        )
    requests = [JudgeRequest(p, (a, b)) for p, a, b in zip(prompts, first, second)]
    swapped = [JudgeRequest(p, (b, a)) for p, a, b in zip(prompts, first, second)]
    verdicts = judge.judge([*requests, *swapped]) if requests else []
    if len(verdicts) != 2 * len(requests):
        raise InvalidInput(
            f"the judge gave {len(verdicts)} verdicts for {2 * len(requests)} requests"
        )
    return [_combine(*both) for both in zip(verdicts[: len(requests)], verdicts[len(requests) :])]


def _combine(straight: Verdict, swapped: Verdict) -> PairJudgement:
    if straight.value is None or swapped.value is None:
        return PairJudgement(None, "unparsed", False, (straight, swapped))
    winner, other = pair_label(straight.value), pair_label(1.0 - swapped.value)
    label = winner if winner == other else "tie"
    value = (straight.value + 1.0 - swapped.value) / 2.0
    return PairJudgement(value, label, {winner, other} == {"a", "b"}, (straight, swapped))


def position_flip_rate(judgements: Sequence[PairJudgement]) -> float | None:
    """Return the share of fully judged pairs whose winner changes with the order; None of none."""
    judged = [judgement for judgement in judgements if judgement.value is not None]
    return sum(j.flipped for j in judged) / len(judged) if judged else None


@dataclass(frozen=True)
class PairwisePreference:
    """A judge as a preference source: `probability(prompts, first, second) -> (n,)`.

    Attributes:
        judge: asked in both orders; a pair without a verdict counts as one half.
    """

    judge: Judge

    def probability(
        self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]
    ) -> NDArray[np.float64]:
        """Return P(first preferred) for each pair, in [0, 1], averaged over the two orders."""
        judged = judge_pairs(self.judge, prompts, first, second)
        return np.asarray([0.5 if j.value is None else j.value for j in judged], dtype=np.float64)

    __call__ = probability


def pairwise(judge: Judge) -> PairwisePreference:
    """Make a preference source of any judge; swapping the replies gives 1 - p, to rounding.

    Returns:
        An object with `probability(prompts, first, second)`, equal-length sequences of texts, that
        gives P(first preferred) as an array; it can also be called.
    """
    return PairwisePreference(judge)
