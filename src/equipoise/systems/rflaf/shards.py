"""One model from shards that are never in one place: statistics apart, merged, then solved."""

import logging
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from joblib import Parallel, delayed

from equipoise.core.errors import InvalidInput, RunFailed, unknown_name
from equipoise.core.extras import require
from equipoise.systems.rflaf.calibrated import unchanged_on_error
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
    kept and added to. Whatever goes wrong, the estimator is afterwards as it was.

    Args:
        estimator: a regressor, or a classifier with `loss="squared"`; a classifier that has seen
            no labels takes the first shard's as all there are.
        shards: `(X, y)` pairs, or callables without arguments that return one (called where the
            work is done; only the first may be called here).
        backend: `joblib` (processes) or `ray` (extra `scale`): the cluster that `ray.init` has
            joined, its nodes with this package installed; without one the cluster that
            `RAY_ADDRESS` names, or one on this machine for the time of the call. Two shards for
            each CPU are under way at a time.
        n_jobs: joblib's workers.

    Raises:
        InvalidInput: an unknown backend, no shard, or what `partial_fit` refuses.
        MissingExtra: Ray is not installed.
        RunFailed: a worker died (of too little memory, say), or raised what cannot be pickled.
        Exception: what a shard's callable raises, as it raised it.
    """
    if backend not in BACKENDS:
        raise unknown_name("backend", backend, BACKENDS)
    ray = require("ray", "scale") if backend == "ray" else None
    rest: Iterator[Any] = iter(shards)
    try:
        first = next(rest)
    except StopIteration:
        raise InvalidInput("fit_shards got no shard; give at least one (X, y)") from None
    with unchanged_on_error(estimator):
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
        with closing(parts):
            for part, share in parts:
                weights = [total.weight_sum, part.weight_sum]
                if any(weights):
                    inside = float(np.average([inside, share], weights=weights))
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
) -> Generator[tuple[LiftedStatistics, float], None, None]:
    """Yield statistics computed on a Ray cluster as they come in; a cluster started is stopped."""
    starts = not ray.is_initialized()
    if starts:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
    waiting: list[Any] = []
    try:
        work = ray.remote(shard_statistics)
        model = ray.put(calibration_only(estimator))
        for shard in shards:
            waiting.append(work.remote(model, shard))
            # asked each time: a cluster may grow
            if len(waiting) >= 2 * max(1, int(ray.cluster_resources().get("CPU", 1))):
                done, waiting = ray.wait(waiting)
                yield _fetched(ray, done[0])
        while waiting:
            done, waiting = ray.wait(waiting)
            yield _fetched(ray, done[0])
    finally:
        for task in waiting:
            ray.cancel(task)
        if starts:
            ray.shutdown()


def _fetched(ray: Any, task: Any) -> tuple[LiftedStatistics, float]:
    """Return a finished task's result, or raise what it raised."""
    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", error)
        if isinstance(cause, Exception) and not isinstance(cause, ray.exceptions.RayError):
            raise cause from error
        reason = str(cause).strip().splitlines()[0]
        raise RunFailed(f"Ray brought no result of a shard: {reason}") from error
