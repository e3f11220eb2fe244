"""Joint bootstrap of task scores: one draw of items for all models, so that they stay paired.

Resampling each model's items apart would throw away the pairing and widen every difference;
treating ten rewrites of one seed question as ten questions would narrow every interval. Both are
avoided here: clusters are drawn whole, once per task and replicate, for all models at once. Where
the score is a mean over target classes, they are drawn class by class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
        a single cluster (of each class).
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
    column, classes = _clusters(ordered), _classes(ordered)
    parts = _parts(ordered, column, classes)
    strata = _strata(column, classes)
    balanced = np.asarray([bool(result.classes) for result in ordered])
    count = len(set(column.values()))
    block = max(1, BLOCK_CELLS // count)
    streams = [stream(seed, "items", ordered[0].task, *key) for key in strata]
    drawn = []
    for start in range(0, replicates, block):
        weights = np.empty((min(block, replicates - start), count))
        for rng, members in zip(streams, strata.values()):
            even = np.full(len(members), 1.0 / len(members))
            weights[:, members] = rng.multinomial(len(members), even, size=len(weights))
        drawn.append(_means(parts, weights, balanced))
    point = _means(parts, np.ones((1, count)), balanced)[0]
    means = np.concatenate(drawn) if drawn else np.empty((0, len(ordered)))
    totals, counts = _by_cluster(parts, count)
    lonely = _most_clusters(counts, strata) < 2
    made = {}
    for row, result in enumerate(ordered):
        score = float(result.score or 0.0)
        draws = means[:, row]
        if abs(score - point[row]) > 1e-12:  # a row of another aggregate than its items tell
            spread = _plain_error(totals[row], counts[row])
            known = result.standard_error is not None and spread > 0 and not balanced[row]
            scale = float(result.standard_error or 0.0) / spread if known else 1.0
            draws = score + (draws - point[row]) * scale
        made[result.model] = None if lonely[row] else np.clip(draws, 0.0, 1.0)
    return made


@dataclass(frozen=True)
class _Part:
    """The items of one class: columns (k,) of their clusters, sums and counts (models, k)."""

    columns: NDArray[np.intp]
    sums: NDArray[np.float64]
    counts: NDArray[np.float64]


def _parts(
    results: Sequence[TaskResult], column: Mapping[str, int], classes: Mapping[str, str]
) -> list[_Part]:
    members: dict[str, set[int]] = {}
    for item, place in column.items():
        members.setdefault(classes.get(item, ""), set()).add(place)
    parts, position = {}, {}
    for name, places in members.items():
        columns = np.asarray(sorted(places))
        sums = np.zeros((len(results), len(columns)))
        parts[name] = _Part(columns, sums, np.zeros_like(sums))
        position[name] = {int(place): index for index, place in enumerate(columns)}
    for row, result in enumerate(results):
        for item, score in zip(_item_ids(result), result.scores):
            if score is not None:
                name = classes.get(item, "")
                index = position[name][column[item]]
                parts[name].sums[row, index] += score
                parts[name].counts[row, index] += 1
    return list(parts.values())


def _means(
    parts: Sequence[_Part], weights: NDArray[np.float64], balanced: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return (B, models) means under cluster weights (B, clusters), over items or over classes."""
    shape = len(weights), len(balanced)
    top, bottom, total, present = (np.zeros(shape) for _ in range(4))
    with np.errstate(invalid="ignore"):
        for part in parts:
            share = weights[:, part.columns]
            sums, counts = share @ part.sums.T, share @ part.counts.T
            top, bottom = top + sums, bottom + counts
            known = part.counts.any(axis=1)
            total, present = total + np.where(known, sums / counts, 0.0), present + known
        return np.where(balanced, total / present, top / bottom)


def _strata(
    column: Mapping[str, int], classes: Mapping[str, str]
) -> dict[tuple[str, ...], list[int]]:
    """Return class names -> the clusters that hold just these: what is drawn from one urn."""
    held: dict[int, set[str]] = {place: set() for place in column.values()}
    for item, name in classes.items():
        held[column[item]].add(name)
    strata: dict[tuple[str, ...], list[int]] = {}
    for place, names in held.items():
        strata.setdefault(tuple(sorted(names)), []).append(place)
    return strata


def _by_cluster(
    parts: Sequence[_Part], clusters: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums and counts (models, clusters) over all classes."""
    totals = np.zeros((len(parts[0].sums), clusters))
    counts = np.zeros_like(totals)
    for part in parts:
        totals[:, part.columns] += part.sums
        counts[:, part.columns] += part.counts
    return totals, counts


def _most_clusters(
    counts: NDArray[np.float64], strata: Mapping[tuple[str, ...], list[int]]
) -> NDArray[np.intp]:
    """Return per model the number of its clusters in the urn that holds most of them."""
    return np.max([(counts[:, members] > 0).sum(axis=1) for members in strata.values()], axis=0)


def _plain_error(totals: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """Return the standard error of a plain mean from its clusters' sums and counts."""
    mean = totals.sum() / counts.sum()
    return float(np.sqrt(((totals - mean * counts) ** 2).sum()) / counts.sum())


def _item_ids(result: TaskResult) -> Sequence[str]:
    """Return the ids of a row's items; without ids they are taken to stand in one order."""
    return result.item_ids or [f"#{position}" for position in range(len(result.scores))]


def _clusters(results: Sequence[TaskResult]) -> dict[str, int]:
    """Number the clusters of all items that any model saw; an item without a cluster is its own.

    An item may give its cluster its name: then its rewrites move with it.
    """
    named: dict[str, str] = {}
    for result in results:
        ids = _item_ids(result)
        for item, cluster in zip(ids, result.clusters or ids):
            if cluster and cluster != item:
                named.setdefault(item, cluster)
    items = sorted({item for result in results for item in _item_ids(result)})
    number: dict[str, int] = {}
    return {item: number.setdefault(named.get(item, item), len(number)) for item in items}


def _classes(results: Sequence[TaskResult]) -> dict[str, str]:
    """Return item -> target class, from whichever row tells it."""
    return {
        item: name for result in results for item, name in zip(_item_ids(result), result.classes)
    }
