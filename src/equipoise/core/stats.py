"""Intervals and paired tests: what every reported number is shown with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput


@dataclass(frozen=True)
class Interval:
    """An estimate with the two ends of its interval: numbers, or arrays of one shape."""

    estimate: Any
    low: Any
    high: Any


@dataclass(frozen=True)
class PairedTest:
    """Mean difference `second - first` with its bootstrap interval, and a two-sided p-value."""

    difference: Interval
    p_value: float


def check_level(level: float) -> float:
    """Return `level` if it lies strictly between 0 and 1, else raise `InvalidInput`."""
    if not 0.0 < level < 1.0:
        raise InvalidInput(f"level is {level!r}; it must lie strictly between 0 and 1, e.g. 0.95")
    return float(level)


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., Any] = np.mean,
    *,
    level: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of `statistic` over the first axis of `values` (n, ...).

    Rows are resampled whole with replacement. `statistic` takes an array of the same kind and
    gives a number, or an array (`lambda rows: rows.mean(axis=0)`: an interval per column).

    Raises:
        InvalidInput: no values, a NaN among them, `replicates` < 1 or `level` outside (0, 1).

    >>> interval = bootstrap_interval([1.0, 2.0, 3.0, 4.0])
    >>> interval.estimate, interval.low < 2.5 < interval.high
    (2.5, True)
    """
    sample = as_floats("values", values)
    if sample.ndim == 0 or sample.shape[0] == 0:
        raise InvalidInput("bootstrap_interval needs at least one value, got none")
    if np.isnan(sample).any():
        raise InvalidInput(
            "bootstrap_interval got NaN among its values; leave missing values out and count them"
        )
    if replicates < 1:
        raise InvalidInput(f"replicates is {replicates}; it must be at least 1")
    tail = (1.0 - check_level(level)) / 2.0
    rng = np.random.default_rng(seed)
    n = sample.shape[0]
    draws: list[Any] = []
    block = max(1, min(replicates, 4_000_000 // max(1, sample.size)))
    for start in range(0, replicates, block):
        index = rng.integers(0, n, size=(min(block, replicates - start), n))
        if statistic is np.mean:
            draws.extend(sample[index].mean(axis=tuple(range(1, sample.ndim + 1))))
        else:
            draws.extend(statistic(sample[row]) for row in index)
    stacked = np.asarray(draws, dtype=np.float64)
    low, high = np.quantile(stacked, [tail, 1.0 - tail], axis=0)
    estimate = np.asarray(statistic(sample), dtype=np.float64)
    if estimate.ndim == 0:
        return Interval(float(estimate), float(low), float(high))
    return Interval(estimate, low, high)


def wilson_interval(successes: float, n: float, *, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927), without continuity correction.

    Raises:
        InvalidInput: n <= 0 or successes outside [0, n].

    >>> interval = wilson_interval(19, 20)
    >>> round(interval.low, 4), round(interval.high, 4)
    (0.7639, 0.9911)
    """
    if not n > 0 or not 0 <= successes <= n:
        raise InvalidInput(
            f"wilson_interval got {successes!r} of {n!r}; needs n > 0 and 0 <= successes <= n"
        )
    z = NormalDist().inv_cdf(0.5 + check_level(level) / 2.0)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, float(centre - half))
    high = 1.0 if successes == n else min(1.0, float(centre + half))
    return Interval(float(p), low, high)


def paired_test(
    first: ArrayLike,
    second: ArrayLike,
    *,
    level: float = 0.95,
    replicates: int = 10_000,
    seed: int = 0,
) -> PairedTest:
    """Compare two measurements of the same items by a sign-flip test of the mean difference.

    Up to 16 non-zero differences all sign patterns are enumerated and the p-value is exact; above,
    `replicates` random patterns are drawn and (hits + 1) / (replicates + 1) is reported.

    Raises:
        InvalidInput: different lengths or no pairs.
    """
    a, b = (as_floats(name, x).ravel() for name, x in (("first", first), ("second", second)))
    if a.shape != b.shape or a.size == 0:
        raise InvalidInput(
            f"paired_test needs two equally long samples, got {a.size} and {b.size} values"
        )
    difference = b - a
    interval = bootstrap_interval(
        difference, level=level, replicates=min(replicates, 2000), seed=seed
    )
    moving = difference[difference != 0]
    if moving.size == 0:
        return PairedTest(interval, 1.0)
    observed = abs(float(moving.sum())) * (1 - 1e-12)
    if moving.size <= 16:
        signs = 1 - 2 * ((np.arange(2**moving.size)[:, None] >> np.arange(moving.size)) & 1)
        return PairedTest(interval, float(np.mean(np.abs(signs @ moving) >= observed)))
    rng = np.random.default_rng(seed)
    hits = 0
    for start in range(0, replicates, 1000):
        size = min(1000, replicates - start)
        signs = rng.integers(0, 2, size=(size, moving.size)) * 2 - 1
        hits += int(np.sum(np.abs(signs @ moving) >= observed))
    return PairedTest(interval, (hits + 1) / (replicates + 1))


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact sign test (McNemar's exact test on discordant pairs): the p-value.

    >>> sign_test(5, 0)
    0.0625
    """
    if wins < 0 or losses < 0:
        raise InvalidInput(f"sign_test needs counts >= 0, got {wins} and {losses}")
    from scipy.stats import binomtest

    total = wins + losses
    return 1.0 if total == 0 else float(binomtest(wins, total, 0.5).pvalue)


def percentile_interval(samples: ArrayLike, estimate: Any, *, level: float = 0.95) -> Interval:
    """Percentile interval of replicate `samples` (B, ...) around a given `estimate` (...)."""
    tail = (1.0 - check_level(level)) / 2.0
    low, high = np.quantile(as_floats("samples", samples), [tail, 1.0 - tail], axis=0)
    return Interval(estimate, low, high)


def cluster_groups(clusters: Sequence[object]) -> list[NDArray[np.int64]]:
    """Return, per distinct cluster in order of first appearance, the positions of its members."""
    places: dict[object, list[int]] = {}
    for position, cluster in enumerate(clusters):
        places.setdefault(cluster, []).append(position)
    return [np.asarray(group, dtype=np.int64) for group in places.values()]


def clustered_mean(values: ArrayLike, clusters: Sequence[object], **options: Any) -> Interval:
    """Return the mean of values (n,) with a bootstrap interval in which clusters are resampled.

    Args:
        values: one a member.
        clusters: (n,) of each member; what belongs together (answers to one question) is drawn
            together.
        **options: of `bootstrap_interval`: `level`, `replicates`, `seed`.

    >>> clustered_mean([0.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"])
    Interval(estimate=0.5, low=0.0, high=1.0)
    """
    sample = as_floats("values", values)
    if len(clusters) != len(sample):
        raise InvalidInput(f"there are {len(sample)} values and {len(clusters)} clusters")
    sums = [(sample[group].sum(), len(group)) for group in cluster_groups(clusters)]
    return bootstrap_interval(
        np.array(sums).reshape(-1, 2), lambda rows: rows[:, 0].sum() / rows[:, 1].sum(), **options
    )
