"""Ranks and what is known about them: pairwise differences of replicates, not overlapping bars."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise.evaluation import balanced_score


def rank_of(value: float, values: Mapping[str, float | None]) -> int:
    """Return 1 + the number of larger values; None counts for nothing."""
    return 1 + sum(other is not None and other > value for other in values.values())


def rank_ranges(
    values: Mapping[str, float | None],
    samples: Mapping[str, NDArray[np.float64]],
    *,
    level: float,
) -> dict[str, tuple[int, int]]:
    """Return the ranks that are compatible with the pairwise differences of replicates.

    Best = 1 + number of models whose lead over this one has a `level` interval above 0; worst =
    number of ranked models - number of those whose lead lies below 0. A model without replicates
    gets no range, and counts as undecided against every other.

    Args:
        values: point value per model, None where it is not ranked.
        samples: replicates (B,) per model, drawn jointly.
        level: of each pairwise interval.
    """
    ranked = {model: value for model, value in values.items() if value is not None}
    drawn = [model for model in ranked if model in samples]
    if not drawn:
        return {}
    matrix = np.stack([samples[model] for model in drawn], axis=1)
    tail = (1.0 - level) / 2.0
    ranges: dict[str, tuple[int, int]] = {}
    for place, model in enumerate(drawn):
        lead = matrix - matrix[:, [place]]
        low, high = _quantiles(lead, (tail, 1.0 - tail))
        best = 1 + int((low > 0).sum())
        worst = len(ranked) - int((high < 0).sum())
        rank = rank_of(ranked[model], values)
        ranges[model] = (min(best, rank), max(worst, rank))
    return ranges


def interval_ends(
    samples: NDArray[np.float64] | None, level: float
) -> tuple[float, float] | tuple[None, None]:
    """Return the percentile interval of replicates without their NaN, or a pair of None."""
    known = samples[~np.isnan(samples)] if samples is not None else np.empty(0)
    if known.size == 0:
        return None, None
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return float(low), float(high)


def scored_replicates(
    both: NDArray[np.float64], weights: Sequence[float], p: float
) -> NDArray[np.float64]:
    """Return balanced scores (B,) of replicates (B, k), NaN where any component is."""
    known = ~np.isnan(both).any(axis=-1)
    scores = np.full(known.shape, np.nan)
    if known.any():
        scores[known] = balanced_score(both[known], weights=weights, p=p)
    return scores


def _quantiles(values: NDArray[np.float64], levels: Sequence[float]) -> NDArray[np.float64]:
    """Quantiles over the first axis without NaN; a column of NaN alone is undecided: 0."""
    if not np.isnan(values).any():
        return np.quantile(values, levels, axis=0)
    empty = np.isnan(values).all(axis=0)
    return np.nanquantile(np.where(empty, 0.0, values), levels, axis=0)
