"""Scorers that ask somebody else: `judge` (a `Judge`) and `reward` (a reward function)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput
from equipoise.evaluation.items import Item
from equipoise.evaluation.judging import (
    Judge,
    JudgeRequest,
    Reward,
    check_calibration,
    logistic,
    rewards,
)
from equipoise.evaluation.score import Score


def score_judge(reply: str, item: Item, *, judge: Judge | None = None) -> Score:
    """The worth that a judge gives the reply; None, never one half, where it gives none."""
    return score_judge_batch([reply], [item], judge=judge)[0]


def score_judge_batch(
    replies: Sequence[str], items: Sequence[Item], *, judge: Judge | None = None
) -> list[Score]:
    """Ask the judge about all replies in one call."""
    if judge is None:
        raise InvalidInput(
            "scorer 'judge' has no judge; use get_scorer('judge', judge=...) or "
            "task.bound(judge=...)"
        )
    requests = [
        JudgeRequest(item.question, (reply,), item)
        for reply, item in zip(replies, items, strict=True)
    ]
    verdicts = judge.judge(requests)
    if len(verdicts) != len(requests):
        raise InvalidInput(
            f"the judge gave {len(verdicts)} verdicts for {len(requests)} requests; it must give "
            "one each"
        )
    return [Score(verdict.value, verdict.label, verdict.raw[:200]) for verdict in verdicts]


def score_reward(
    reply: str,
    item: Item,
    *,
    reward: Reward | None = None,
    threshold: float = 0.0,
    scale: float = 1.0,
) -> Score:
    """`logistic((r - threshold) / scale)` of the reward r of (question, reply)."""
    options = {"reward": reward, "threshold": threshold, "scale": scale}
    return score_reward_batch([reply], [item], **options)[0]


def score_reward_batch(
    replies: Sequence[str],
    items: Sequence[Item],
    *,
    reward: Reward | None = None,
    threshold: float = 0.0,
    scale: float = 1.0,
) -> list[Score]:
    """Ask the reward for all replies in one call."""
    if reward is None:
        raise InvalidInput(
            "scorer 'reward' has no reward; use get_scorer('reward', reward=...) or "
            "task.bound(reward=...)"
        )
    values = rewards(reward, [item.question for item in items], replies)
    return [
        Score(logistic((value - threshold) / scale), "reward", f"{value:.6g}") for value in values
    ]


def check_reward_options(*, threshold: float = 0.0, scale: float = 1.0) -> None:
    """Raise `InvalidInput` for options that calibrate nothing."""
    check_calibration(threshold, scale)


def fit_reward_scale(values: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Fit `(threshold, scale)` so that `logistic((r - threshold) / scale)` predicts good replies.

    Logistic regression of the labels on the standardised rewards, with a ridge of 1 that keeps the
    scale positive and finite where the labels separate.

    Args:
        values: rewards (n,).
        labels: 1 for a good reply, 0 for a bad one (n,).

    Raises:
        InvalidInput: unequal lengths, one class only, rewards that do not vary, or rewards that
            fall as replies get better.
    """
    x, y = as_floats("values", values), np.asarray(labels)
    if x.ndim != 1 or x.shape != y.shape or set(np.unique(y)) != {0, 1}:
        raise InvalidInput(
            "needed are equally many rewards and labels, with labels 0 and 1 both present"
        )
    spread = float(x.std())
    if not np.isfinite(x).all() or spread == 0:
        raise InvalidInput("the rewards must be finite and not all equal")
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(((x - x.mean()) / spread)[:, None], y)
    slope = float(model.coef_[0, 0]) / spread
    if slope <= 0:
        raise InvalidInput("better replies have lower rewards here; check the sign of the reward")
    return float(x.mean()) - float(model.intercept_[0]) / slope, 1.0 / slope
