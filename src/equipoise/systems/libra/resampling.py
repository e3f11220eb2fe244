"""Joint bootstrap of task scores: one draw of items for all models, so that they stay paired.

Resampling each model's items apart would throw away the pairing and widen every difference;
treating ten rewrites of one seed question as ten questions would narrow every interval. Both are
avoided here: clusters are drawn whole, once per task and replicate, for all models at once.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from equipoise.core.seeding import stream
from equipoise.evaluation import TaskResult

BLOCK_CELLS = 4_000_000
"""Largest number of (replicate, cluster) counts that are held at once."""


def task_replicates(
    results: Sequence[TaskResult], *, replicates: int, seed: int
) -> dict[str, NDArray[np.float64] | None]:
    """Draw `replicates` bootstrap scores of one task for each of its models.

    Args:
        results: rows of one task, one per model.
        replicates: number of draws B.
        seed: the board's seed; streams are named by task and model, so the order of rows is
            irrelevant.

    Returns:
        model -> (B,) scores in [0, 1] (NaN where a draw holds none of the model's items), or None
        where the row says nothing about its spread: no item scores, no standard error and no n, or
        a single cluster.
    """
    with_items = [result for result in results if has_items(result)]
    draws: dict[str, NDArray[np.float64] | None] = dict(
        _paired_draws(with_items, replicates=replicates, seed=seed)
    )
    for result in results:
        if result.model not in draws:
            draws[result.model] = _summary_draws(result, replicates=replicates, seed=seed)
    return draws


def has_items(result: TaskResult) -> bool:
    """Say whether a row carries at least one scored item."""
    return any(score is not None for score in result.scores or ())


def _summary_draws(result: TaskResult, *, replicates: int, seed: int) -> NDArray[np.float64] | None:
    rng = stream(seed, "summary", result.task, result.model)
    score = float(result.score or 0.0)
    if result.standard_error is not None:
        draws = rng.normal(score, result.standard_error, size=replicates)
        return np.clip(draws, 0.0, 1.0)
    if result.n:
        return rng.binomial(result.n, score, size=replicates) / result.n
    return None


def _paired_draws(
    results: Sequence[TaskResult], *, replicates: int, seed: int
) -> Mapping[str, NDArray[np.float64] | None]:
    if not results:
        return {}
    ordered = sorted(results, key=lambda result: result.model)
    column = _cluster_columns(ordered)
    sums = np.zeros((len(ordered), len(set(column.values()))))
    counts = np.zeros_like(sums)
    for row, result in enumerate(ordered):
        for item, score in zip(_item_ids(result), result.scores):
            if score is not None:
                sums[row, column[item]] += score
                counts[row, column[item]] += 1
    means = _weighted_means(sums, counts, replicates, stream(seed, "items", ordered[0].task))
    # A score that is not the plain mean of its items (`aggregate = "balanced"`) keeps its place.
    plain = sums.sum(axis=1) / counts.sum(axis=1)
    shift = np.asarray([float(result.score or 0.0) for result in ordered]) - plain
    draws = np.clip(means + np.where(np.abs(shift) > 1e-12, shift, 0.0), 0.0, 1.0)
    lonely = (counts > 0).sum(axis=1) < 2
    return {
        result.model: None if lonely[row] else draws[:, row] for row, result in enumerate(ordered)
    }


def _weighted_means(
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
    replicates: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return (B, models) means under multinomial cluster weights that all models share."""
    clusters = sums.shape[1]
    block = max(1, BLOCK_CELLS // clusters)
    parts = []
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        weights = rng.multinomial(clusters, np.full(clusters, 1.0 / clusters), size=size)
        with np.errstate(invalid="ignore"):
            parts.append((weights @ sums.T) / (weights @ counts.T))
    return np.concatenate(parts)


def _item_ids(result: TaskResult) -> Sequence[str]:
    """Return the ids of a row's items; without ids they are taken to stand in one order."""
    return result.item_ids or [f"#{position}" for position in range(len(result.scores))]


def _cluster_columns(results: Sequence[TaskResult]) -> dict[str, int]:
    """Number the clusters of all items that any model saw; an item without a cluster is its own."""
    cluster_of: dict[str, str] = {}
    for result in results:
        ids = _item_ids(result)
        for item, cluster in zip(ids, result.clusters or ids):
            if cluster != item:
                cluster_of.setdefault(item, f"cluster:{cluster}")
    items = sorted({item for result in results for item in _item_ids(result)})
    number: dict[str, int] = {}
    return {
        item: number.setdefault(cluster_of.get(item, f"item:{item}"), len(number)) for item in items
    }
