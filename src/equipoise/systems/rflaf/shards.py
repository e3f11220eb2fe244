"""One model from shards that are never in one place: statistics apart, merged, then solved."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from joblib import Parallel, delayed

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.extras import require
from equipoise.systems.rflaf.estimator import ActivationEstimator, carry, inside_of
from equipoise.systems.rflaf.statistics import LiftedStatistics

E = TypeVar("E", bound=ActivationEstimator)
BACKENDS = ("joblib", "ray")


def fit_shards(
    estimator: E,
    shards: Iterable[Any],
    *,
    backend: str = "joblib",
    n_jobs: int | None = None,
) -> E:
    """Fit an estimator to shards of rows in parallel; returns it, solved.

    An estimator not yet calibrated is calibrated on the first shard; its statistics so far are
    kept and added to.

    Args:
        estimator: a regressor, or a classifier with `loss="squared"`; a classifier that has seen
            no labels takes the first shard's as all there are.
        shards: `(X, y)` pairs, or callables without arguments that return one (called where the
            work is done).
        backend: `joblib` (processes) or `ray` (a cluster; extra `scale`).
        n_jobs: joblib's workers.

    Raises:
        InvalidInput: an unknown backend, no shard, or what `partial_fit` refuses.
        MissingExtra: Ray is not installed.
    """
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    ray = require("ray", "scale") if backend == "ray" else None
    rest: Iterator[Any] = iter(shards)
    try:
        first = next(rest)
    except StopIteration:
        raise InvalidInput("fit_shards got no shard; give at least one (X, y)") from None
    if not hasattr(estimator, "statistics_"):
        X, y = _pair(first)
        estimator.partial_fit(X, y, solve=False)  # type: ignore[attr-defined]
    else:
        rest = chain([first], rest)
    parts: Any = (
        _on_ray(ray, estimator, rest)
        if ray is not None
        else Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
            delayed(shard_statistics)(calibration_only(estimator), shard) for shard in rest
        )
    )
    total, inside = estimator.statistics_, inside_of(estimator)
    for part, share in parts:
        weights = [total.weight_sum, part.weight_sum]
        inside = float(np.average([inside, share], weights=weights)) if any(weights) else inside
        total = total.merge(part)
    estimator.statistics_, estimator._inside_stream = total, inside
    estimator.solve()
    return estimator


def shard_statistics(estimator: Any, shard: Any) -> tuple[LiftedStatistics, float]:
    """Return one shard's statistics under the estimator's calibration, and its inside share."""
    X, y = _pair(shard)
    labels = {"classes": estimator.classes_} if hasattr(estimator, "classes_") else {}
    estimator.partial_fit(X, y, solve=False, **labels)
    return estimator.statistics_, inside_of(estimator)


def _pair(shard: Any) -> Any:
    return shard() if callable(shard) else shard


def calibration_only(estimator: E) -> E:
    """Return a copy with the calibration alone: no statistics, no fit."""
    new = type(estimator)(**estimator.get_params(deep=False))
    new._set_calibration(estimator.calibration_)
    carry(estimator, new)
    return new


def _on_ray(
    ray: Any, estimator: Any, shards: Iterable[Any]
) -> Iterator[tuple[LiftedStatistics, float]]:
    """Yield statistics computed on a Ray cluster, as they come in."""
    work: Callable[..., Any] = ray.remote(shard_statistics)
    model = ray.put(calibration_only(estimator))
    waiting = [work.remote(model, shard) for shard in shards]  # type: ignore[attr-defined]
    while waiting:
        done, waiting = ray.wait(waiting, num_returns=1)
        yield from ray.get(done)
