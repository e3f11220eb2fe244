"""The balanced score (closeness to the ideal point), normalisation and the macro-average."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput, unknown_name

Floats = NDArray[np.float64]


def balanced_score(
    scores: ArrayLike, *, weights: Sequence[float] | None = None, p: float = 2.0
) -> Floats:
    """Return `1 - (sum_k w_k (1 - s_k)^p)^(1/p)`, the closeness to the ideal point (1, ..., 1).

    Distance to optimum (Han et al. 2023) in the form of Libra-Leaderboard (arXiv 2412.18551), where
    k = 2 (capability, safety), w = (1/2, 1/2), p = 2. `p = 1` is the weighted average; `p = inf` is
    `1 - max (1 - s_k)` over the components of positive weight.

    Args:
        scores: (..., k), each in [0, 1], higher better.
        weights: (k,), not negative, normalised to sum 1; equal when None.
        p: the norm, at least 1.

    Returns:
        (...,) scores in [0, 1]; a NumPy scalar for one row.

    Raises:
        InvalidInput: a score outside [0, 1] or NaN, negative or too many weights, p < 1.

    >>> round(float(balanced_score([1.0, 0.8])), 7)
    0.8585786
    """
    gaps, shares, power = _checked(scores, weights, p)
    return 1.0 - _distance(gaps, shares, power)


def balanced_gradient(
    scores: ArrayLike, *, weights: Sequence[float] | None = None, p: float = 2.0
) -> Floats:
    """Return the gradient of `balanced_score`: `w_k (1 - s_k)^(p-1) (1 - U)^(1-p)`, (..., k).

    NaN at the ideal point, where no gradient exists (for `p = 1` it exists and is `w`). For
    `p = inf` the gradient is that of the one worst component, and NaN where several are worst.

    Raises:
        InvalidInput: as for `balanced_score`.

    >>> balanced_gradient([1.0, 0.8]).round(7).tolist()
    [0.0, 0.7071068]
    """
    gaps, shares, power = _checked(scores, weights, p)
    if power == 1.0:
        return np.broadcast_to(shares, gaps.shape).copy()
    distance = _distance(gaps, shares, power)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        if np.isinf(power):
            worst = (gaps == distance) & (shares > 0)
            gradient = np.where(worst.sum(axis=-1, keepdims=True) == 1, worst, np.nan)
        else:
            gradient = np.where(shares > 0, shares * (gaps / distance) ** (power - 1.0), 0.0)
    return np.where(distance == 0.0, np.nan, gradient)


def _checked(
    scores: ArrayLike, weights: Sequence[float] | None, p: float
) -> tuple[Floats, Floats, float]:
    """Return (gaps to 1, normalised weights, p), all of them valid."""
    values = as_floats("scores", scores)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise InvalidInput(
            f"scores need a last axis of at least one score, got shape {values.shape}"
        )
    outside = ~((values >= 0.0) & (values <= 1.0))
    if outside.any():
        place = tuple(int(axis) for axis in np.argwhere(outside)[0])
        raise InvalidInput(
            f"score {float(values[place])} at position {place} lies outside [0, 1]; scores are "
            "fractions, higher is better"
        )
    if not isinstance(p, (int, float, np.integer, np.floating)) or not p >= 1.0:
        raise InvalidInput(f"p is {p!r}; it must be at least 1 (inf takes the worst component)")
    return 1.0 - values, normalised_weights(weights, values.shape[-1]), float(p)


def normalised_weights(weights: Sequence[float] | None, count: int) -> Floats:
    """Return `count` weights that sum to 1: those given, or equal ones.

    Raises:
        InvalidInput: another number of weights, a negative or non-finite one, or all zero.
    """
    shares = np.ones(count) if weights is None else as_floats("weights", weights)
    if shares.shape != (count,):
        raise InvalidInput(f"weights have shape {shares.shape}; needed are {count}, one per score")
    if not np.isfinite(shares).all() or (shares < 0).any() or not (shares > 0).any():
        raise InvalidInput(
            f"weights are {shares.tolist()}; each must be a number >= 0 and one of them positive"
        )
    shares = shares / shares.max()  # the sum of huge weights would overflow
    return shares / shares.sum()


def _distance(gaps: Floats, shares: Floats, p: float) -> Floats:
    counted = np.where(shares > 0, gaps, 0.0)
    largest = counted.max(axis=-1)
    if np.isinf(p):
        return largest
    # Scaling by the largest gap keeps x^p from underflowing at high p.
    scale = np.where(largest > 0, largest, 1.0)
    return scale * (shares * (counted / scale[..., None]) ** p).sum(axis=-1) ** (1.0 / p)


def normalise_scores(
    values: ArrayLike, *, low: float | None = None, high: float | None = None
) -> Floats:
    """Map ratings (K,) to [0, 1]: `clip((x - low) / (high - low))` with fixed anchors.

    Without anchors the listed minimum and maximum are used, as published; then adding one weak
    model can swap two others, so fixed anchors are the better choice.

    Raises:
        InvalidInput: a value that is not finite, one anchor alone, low >= high, or values that are
            all equal without anchors.

    >>> normalise_scores([900.0, 1000.0, 1300.0], low=800, high=1200).tolist()
    [0.25, 0.5, 1.0]
    """
    ratings = as_floats("values", values)
    if ratings.ndim != 1 or ratings.size == 0 or not np.isfinite(ratings).all():
        raise InvalidInput(
            f"values must be a list of finite numbers, got {np.array2string(ratings, threshold=8)}"
        )
    if low is None and high is None:
        low, high = float(ratings.min()), float(ratings.max())
        if low == high:
            raise InvalidInput(
                f"all values equal {low}: min-max cannot place them; give anchors low and high"
            )
    elif low is None or high is None:
        raise InvalidInput(f"anchors are low={low}, high={high}; give both of them or neither")
    if not (isfinite(low) and isfinite(high) and low < high):
        raise InvalidInput(f"anchors are low={low}, high={high}; low must be below high")
    with np.errstate(over="ignore"):
        placed = (ratings / 2 - low / 2) / (high / 2 - low / 2)  # halves, lest they overflow
    return np.clip(placed, 0.0, 1.0)


@dataclass(frozen=True)
class MacroAverage:
    """A mean of category means.

    Attributes:
        overall: plain mean over the categories that have a value; None where none has.
        by_category: category -> plain mean over its tasks that have a value.
        tasks: category -> how many tasks that mean is taken over.
        missing: names of the tasks without a value.
    """

    overall: float | None
    by_category: dict[str, float]
    tasks: dict[str, int]
    missing: tuple[str, ...]


def macro_average(
    task_scores: Mapping[str, float | str | None],
    categories: Mapping[str, str],
    *,
    missing: Literal["skip", "raise"] = "skip",
) -> MacroAverage:
    """Average tasks within categories, then the categories (Libra-Leaderboard's safety score).

    Args:
        task_scores: task -> score in [0, 1]; None or `"N/A"` where there is none.
        categories: task -> category; entries for tasks that are not scored here are ignored.
        missing: `skip` leaves gaps out of the means and lists them, `raise` refuses them.

    Raises:
        InvalidInput: a task without a category, a score outside [0, 1], or a gap under `raise`.

    >>> macro_average({"a": 1.0, "b": 0.5, "c": None}, {"a": "x", "b": "y", "c": "y"}).overall
    0.75
    """
    if missing not in ("skip", "raise"):
        raise unknown_name("treatment of missing values", missing, ("skip", "raise"))
    members: dict[str, list[float]] = {}
    gaps: list[str] = []
    for task, score in task_scores.items():
        if task not in categories:
            raise unknown_name("task in the category map", task, categories)
        if score is None or score == "N/A":
            gaps.append(task)
        else:
            members.setdefault(categories[task], []).append(_unit_score(task, score))
    if gaps and missing == "raise":
        raise InvalidInput(f"no score for {', '.join(gaps)}; run them, or use missing='skip'")
    by_category = {name: float(np.mean(values)) for name, values in members.items()}
    overall = float(np.mean(list(by_category.values()))) if by_category else None
    counts = {name: len(values) for name, values in members.items()}
    return MacroAverage(overall, by_category, counts, tuple(gaps))


def _unit_score(task: str, score: object) -> float:
    number = isinstance(score, (int, float, np.integer, np.floating))
    if isinstance(score, bool) or not number or not 0.0 <= score <= 1.0:
        raise InvalidInput(f"score of {task} is {score!r}; allowed: [0, 1], None or 'N/A'")
    return float(score)
