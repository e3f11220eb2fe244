"""Judges: the protocol that every room wraps, its records, and the judges that need no model."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput
from equipoise.core.files import canonical_json
from equipoise.evaluation.items import Item
from equipoise.evaluation.scoring import Scorer, identity_of

Reward = Callable[[Sequence[str], Sequence[str]], ArrayLike]


@dataclass(frozen=True)
class JudgeRequest:
    """One question to a judge: how good is a reply, or which of two is better.

    Attributes:
        prompt: what was asked of the model.
        replies: one reply, or two that are compared.
        item: the task's item, for judges that know the right answer.

    Raises:
        InvalidInput: no reply, or more than two.
    """

    prompt: str
    replies: tuple[str, ...]
    item: Item | None = None

    def __post_init__(self) -> None:
        if isinstance(self.replies, str) or len(self.replies) not in (1, 2):
            raise InvalidInput(f"replies must be a tuple of 1 or 2 texts, got {self.replies!r:.80}")
        object.__setattr__(self, "replies", tuple(self.replies))


@dataclass(frozen=True)
class Verdict:
    """A judge's answer.

    Attributes:
        value: with one reply its worth in [0, 1]; with two the probability that the first is
            better; None where the judge gave no usable answer.
        label: with two replies `a`, `b` or `tie`; else the judge's own class.
        raw: what the judge said, word for word.
        judge: identity of the judge.
    """

    value: float | None
    label: str
    raw: str = ""
    judge: str = ""


class Judge(Protocol):
    """Anything that answers judge requests, in their order."""

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        """Return one verdict for each request."""
        ...


def pair_label(value: float) -> str:
    """Return `a`, `b` or `tie` for the probability that the first reply is better."""
    return "tie" if value == 0.5 else "a" if value > 0.5 else "b"


@dataclass(frozen=True)
class RuleJudge:
    """Judges by a scorer, without any model; of two replies the one that scores higher is better.

    Attributes:
        scorer: the rule, e.g. `get_scorer("refusal", expect="comply")`.
    """

    scorer: Scorer

    @property
    def identity(self) -> str:
        """Name, version and options of the rule; empty where it asks somebody without identity."""
        described = self.scorer.describe()
        told = {key: described[key] for key in ("options", "resources") if described.get(key)}
        name = f"rule:{self.scorer.name}@{self.scorer.version}"
        if not self.scorer.repeatable:
            return ""
        return name + (canonical_json(told) if told else "")

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        """Score each reply; a request without an item is scored by the scorer's options alone."""
        return [self._verdict(request) for request in requests]

    def _verdict(self, request: JudgeRequest) -> Verdict:
        item = request.item or Item("item")
        scores = [self.scorer.score(reply, item) for reply in request.replies]
        raw = " / ".join(score.label for score in scores)
        if len(scores) == 1:
            return Verdict(scores[0].value, scores[0].label, raw, identity_of(self))
        first, second = scores[0].value, scores[1].value
        if first is None or second is None:
            return Verdict(None, "unscored", raw, identity_of(self))
        value = 0.5 if first == second else float(first > second)
        return Verdict(value, pair_label(value), raw, identity_of(self))


def check_calibration(threshold: float, scale: float) -> None:
    """Raise `InvalidInput` for a threshold or scale that is no number, or a scale <= 0."""
    for name, value in (("threshold", threshold), ("scale", scale)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise InvalidInput(f"{name} is {value!r}; it must be a finite number")
    if scale <= 0:
        raise InvalidInput(f"scale is {scale!r}; it must be > 0")


@dataclass(frozen=True)
class RewardJudge:
    """Judges by a reward r: `logistic((r - threshold) / scale)`; of two by r1 - r2 over scale.

    Attributes:
        reward: callable `(prompts, responses) -> (n,)`.
        threshold: reward of a reply worth one half.
        scale: reward difference that moves log-odds by one, > 0.
        name: identity of the reward, else its own `identity`; without either, verdicts are not
            kept from one run to the next.
    """

    reward: Reward
    threshold: float = 0.0
    scale: float = 1.0
    name: str = ""

    def __post_init__(self) -> None:
        check_calibration(self.threshold, self.scale)

    @property
    def identity(self) -> str:
        """Name of the reward with its calibration; empty where the reward has no name."""
        name = self.name or getattr(self.reward, "identity", "")
        return f"reward:{name}@{self.threshold!r},{self.scale!r}" if name else ""

    def judge(self, requests: Sequence[JudgeRequest]) -> list[Verdict]:
        """Ask the reward for all replies in one call."""
        prompts = [request.prompt for request in requests for _ in request.replies]
        values = iter(rewards(self.reward, prompts, [r for q in requests for r in q.replies]))
        verdicts = []
        for request in requests:
            given = [next(values) for _ in request.replies]
            raw = " / ".join(f"{value:.6g}" for value in given)
            other = given[1] if len(given) == 2 else self.threshold
            worth = logistic((given[0] - other) / self.scale)
            label = pair_label(worth) if len(given) == 2 else "reward"
            verdicts.append(Verdict(worth, label, raw, identity_of(self)))
        return verdicts


def rewards(reward: Reward, prompts: Sequence[str], responses: Sequence[str]) -> list[float]:
    """Return the rewards of `responses`, checked: one finite number each.

    Raises:
        InvalidInput: another number of values, or a value that is not finite.
    """
    if not prompts:
        return []
    values = as_floats("the reward's answer", reward(prompts, responses))
    if values.shape != (len(prompts),) or not np.isfinite(values).all():
        raise InvalidInput(
            f"the reward gave shape {values.shape} for {len(prompts)} replies, or a value that is "
            "not finite; it must return one finite number each"
        )
    return [float(value) for value in values]


def logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x)) without overflow.

    >>> logistic(0.0), logistic(-1000.0)
    (0.5, 0.0)
    """
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else 1.0 - 1.0 / (1.0 + math.exp(max(x, -700.0)))
