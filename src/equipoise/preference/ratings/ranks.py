"""Rank sets: the places a model may hold, given what its differences to the others allow."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings.bootstrap import RatingSamples, percentile_ends
from equipoise.preference.ratings.bradley_terry import RatingFit, normal_quantile

ROUNDING = 1e-9  # of a difference of strengths: nearer to 0 it says nothing


@dataclass(frozen=True, eq=False)
class RankSets:
    """Places from best to worst that each model may hold within its league.

    Attributes:
        models: Names.
        best: (K,) 1 + number of models that are surely better.
        worst: (K,) size of the league - number of models that are surely worse.
    """

    models: tuple[str, ...]
    best: NDArray[np.intp]
    worst: NDArray[np.intp]


def rank_sets(fit_or_samples: RatingFit | RatingSamples, *, level: float = 0.95) -> RankSets:
    """Return the rank set of every model, within its league.

    A model is surely better than another where the `level` interval of the difference of their
    strengths lies above 0: a normal interval from the full covariance of a fit, or percentiles of
    the replicates. Neither depends on the anchor. In a fit, a model
    without a rating is separated from none; replicates that do not rate a model are left out.

    >>> from equipoise.preference.ratings import counts_from_matrix, fit_bradley_terry
    >>> sets = rank_sets(fit_bradley_terry(counts_from_matrix([[0, 90], [10, 0]])))
    >>> sets.best.tolist(), sets.worst.tolist()
    ([1, 2], [1, 2])
    """
    fit = fit_or_samples
    k = len(fit.models)
    best, worst = np.ones(k, dtype=np.intp), np.bincount(fit.league, minlength=1)[fit.league]
    for i in range(k):
        if isinstance(fit, RatingFit):
            gap = fit.log_strength - fit.log_strength[i]
            half = normal_quantile(level) * fit.difference_errors(i)
            low, high = gap - half, gap + half
        else:
            with np.errstate(invalid="ignore"):
                gaps = fit.log_strength - fit.log_strength[:, [i]]
            low, high = percentile_ends(gaps, level)
        rivals = (fit.league == fit.league[i]) & (np.arange(k) != i)
        best[i] += np.count_nonzero(rivals & (low > ROUNDING))
        worst[i] -= np.count_nonzero(rivals & (high < -ROUNDING))
    return RankSets(fit.models, best, worst.astype(np.intp))


def overlap_ranks(low: ArrayLike, high: ArrayLike) -> NDArray[np.intp]:
    """Return (K,): 1 + number of models whose interval lies wholly above (older convention).

    Kept for comparison with boards that rank so; intervals that share an anchor are correlated,
    which this ignores. Prefer `rank_sets`.

    >>> overlap_ranks([3.0, 1.0, 0.0], [4.0, 3.5, 0.5]).tolist()
    [1, 1, 3]
    """
    lows, highs = (as_floats(name, x) for name, x in (("low", low), ("high", high)))
    if lows.ndim != 1 or lows.shape != highs.shape:
        raise InvalidInput(f"low and high must be (K,) alike, got {lows.shape} and {highs.shape}")
    if (lows > highs).any():
        row = int(np.argmax(lows > highs))
        raise InvalidInput(f"row {row}: low {lows[row]} is above high {highs[row]}")
    ordered = np.sort(lows[~np.isnan(lows)])
    above = len(ordered) - np.searchsorted(ordered, highs, side="right")
    return (1 + np.where(np.isnan(highs), 0, above)).astype(np.intp)
