"""From scores of items to a task's row: mean or class-balanced mean, and its standard error."""

from collections.abc import Mapping, Sequence
from math import fsum

import numpy as np

from equipoise.evaluation import Item, Task, TaskResult
from equipoise.evaluation.task_file import MAX_MISSING

LEAK = "canary text appeared in replies to"
"""Start of a row's note on a leak, which a board shows beside the model."""
SOURCE = "equipoise libra evaluate"
"""Source of a row until it is read from a file."""


def task_result(
    task: Task,
    model: str,
    scores: Mapping[str, float | None],
    *,
    judge: str = "",
    notes: tuple[str, ...] = (),
) -> TaskResult:
    """Return the result row of one model on one task.

    Args:
        task: gives dimension, category, clusters and the way to aggregate.
        model: name of the contender.
        scores: item id -> score, None where missing; items of the task that were not asked are
            absent.
        judge: identity of the judge, if one scored.
        notes: shown on the board.

    Returns:
        A row with items sorted by id. `score` is the plain mean, or under `aggregate = "balanced"`
        the mean over target classes; None where nothing could be scored. `standard_error` treats
        items of one cluster as one draw, and is None with fewer than two clusters.
    """
    items = sorted((item for item in task.items if item.id in scores), key=lambda item: item.id)
    values = tuple(scores[item.id] for item in items)
    known = [(item, value) for item, value in zip(items, values) if value is not None]
    score, error = _aggregate(known, balanced=task.aggregate == "balanced")
    return TaskResult(
        model=model,
        task=task.name,
        score=score,
        dimension=task.dimension,
        category=task.category,
        n=len(known),
        standard_error=error,
        item_ids=tuple(item.id for item in items),
        scores=values,
        clusters=tuple(item.cluster or item.id for item in items),
        missing=len(items) - len(known),
        task_version=task.version,
        task_hash=task.task_hash,
        judge=judge,
        split=task.split,
        source=SOURCE,
        notes=notes,
        classes=_classes(task, items) if task.aggregate == "balanced" else (),
        max_missing=None if task.max_missing == MAX_MISSING else task.max_missing,
    )


def _classes(task: Task, items: Sequence[Item]) -> tuple[str, ...]:
    """Return each item's class by number: the targets of a private task stay out of its row."""
    number = {name: k for k, name in enumerate(sorted({target_class(i) for i in task.items}))}
    return tuple(str(number[target_class(item)]) for item in items)


def _aggregate(
    known: list[tuple[Item, float]], *, balanced: bool
) -> tuple[float | None, float | None]:
    """Return the (weighted) mean and its cluster-robust standard error."""
    if not known:
        return None, None
    values = np.asarray([value for _, value in known])
    classes = np.asarray([target_class(item) if balanced else "" for item, _ in known])
    names, place, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    weights = 1.0 / (len(names) * sizes[place])
    # fsum is exact: a perfect score is 1, not 0.9999999999999999.
    means = np.asarray([fsum(values[place == k]) / size for k, size in enumerate(sizes)])
    clusters = np.unique([item.cluster or item.id for item, _ in known], return_inverse=True)[1]
    count = int(clusters.max()) + 1
    score = fsum(means) / len(names)
    if count < 2:
        return score, None
    totals = np.bincount(clusters, weights * (values - means[place]))
    return score, float(np.sqrt(count / (count - 1) * (totals**2).sum()))


def target_class(item: Item) -> str:
    """Return the class of an item for balanced means: its target, else what it expects."""
    return str(item.target if item.target is not None else item.expect).casefold()
