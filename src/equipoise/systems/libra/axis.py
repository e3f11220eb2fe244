"""One dimension of the board from task rows: macro-averages of every model, with replicates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.evaluation import TaskResult, macro_average
from equipoise.systems.libra.resampling import task_replicates

Replicates = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """Capability or safety of every listed model.

    Attributes:
        values: model -> point value in [0, 1], None where it has none.
        samples: model -> replicates (B,), absent where its spread is not known.
        categories: model -> category -> mean.
    """

    values: Mapping[str, float | None]
    samples: Mapping[str, Replicates]
    categories: Mapping[str, dict[str, float]]


def task_axis(
    results: Sequence[TaskResult],
    models: Sequence[str],
    dimension: str,
    *,
    replicates: int,
    seed: int,
) -> Axis:
    """Average the rows of one dimension: over tasks in a category, then over categories.

    A model has replicates only if each of its rows says something about its own spread; one row
    taken as certain would make the whole look surer than it is.

    Args:
        results: checked rows of all dimensions.
        models: listed models.
        dimension: `capability` or `safety`.
        replicates: bootstrap draws, 0 for none.
        seed: of the draws.
    """
    own = [result for result in results if result.dimension == dimension]
    draws = _draws(own, replicates=replicates, seed=seed)
    values: dict[str, float | None] = {}
    samples: dict[str, Replicates] = {}
    categories: dict[str, dict[str, float]] = {}
    for model in models:
        rows = [result for result in own if result.model == model]
        average = macro_average(
            {row.task: row.score for row in rows}, {row.task: row.category for row in rows}
        )
        values[model], categories[model] = average.overall, average.by_category
        drawn: dict[str, list[Replicates]] = {}
        for row in rows:
            sample = draws.get((model, row.task))
            if sample is not None:
                drawn.setdefault(row.category, []).append(sample)
        if rows and sum(map(len, drawn.values())) == len(rows):
            samples[model] = _mean([_mean(group) for group in drawn.values()])
    return Axis(values, samples, categories)


def _draws(
    results: Sequence[TaskResult], *, replicates: int, seed: int
) -> dict[tuple[str, str], Replicates | None]:
    by_task: dict[str, list[TaskResult]] = {}
    for result in results if replicates else ():
        by_task.setdefault(result.task, []).append(result)
    return {
        (model, task): drawn
        for task, rows in by_task.items()
        for model, drawn in task_replicates(rows, replicates=replicates, seed=seed).items()
    }


def _mean(samples: Sequence[Replicates]) -> Replicates:
    """Mean of replicate vectors, skipping NaN; NaN where all are."""
    stacked = np.stack(samples)
    present = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        return np.where(present, stacked, 0.0).sum(axis=0) / present.sum(axis=0)
