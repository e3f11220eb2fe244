"""Intervals given the activation: posterior, jackknife+ in closed form, split conformal (2.10)."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.core.stats import Interval
from equipoise.systems.rflaf.fitted import Posterior
from equipoise.systems.rflaf.objective import Array

METHODS = ("bayes", "jackknife", "conformal")
JACKKNIFE_POINTS = 20_000_000
_BLOCK_VALUES = 4_000_000


def check_confidence(level: float) -> float:
    """Return a confidence level strictly between 0 and 1, or raise `InvalidInput`."""
    number = isinstance(level, (int, float, np.integer, np.floating))
    if isinstance(level, bool) or not number or not 0 < level < 1:
        raise InvalidInput(
            f"confidence_level is {level!r}; it must lie strictly between 0 and 1, e.g. 0.9"
        )
    return float(level)


def bayes_interval(estimate: Array, deviation: Array, level: float) -> Interval:
    """Return normal quantiles around the estimate, (n, K)."""
    half = NormalDist().inv_cdf(0.5 + level / 2) * deviation
    return Interval(estimate, estimate - half, estimate + half)


def conformal_quantile(scores: Array, level: float) -> Array:
    """Return the ceil((n+1) level)-th smallest score of each column; infinite beyond n.

    Args:
        scores: (n, K), sorted along the first axis.
        level: wanted coverage.
    """
    # a level like 0.9 is not exact in binary: 0.9 * 10 must count as 9
    place = math.ceil((len(scores) + 1) * level - 1e-9)
    if place > len(scores):
        return np.full(scores.shape[1], np.inf)
    return scores[place - 1]


@dataclass(frozen=True)
class TrainingRows:
    """What jackknife+ needs of the training rows: raw rows, targets (n, K), weights (n,)."""

    X: Array
    y: Array
    sample_weight: Array


def jackknife_interval(
    posterior: Posterior,
    train_features: Array,
    train_residuals: Array,
    train_weight: Array,
    features: Array,
    estimate: Array,
    level: float,
) -> Interval:
    """Return jackknife+ intervals given the activation, without refitting (Barber et al.).

    mu_-i(x) = f(x) - (w_i/S)(1 + d(x)^T G^-1 d(x_i)) r_i / (1 - H_ii); the ends are order
    statistics of mu_-i -+ |r_i / (1 - H_ii)|.

    Args:
        posterior: of the readout.
        train_features: (n, p).
        train_residuals: y - f, (n, K).
        train_weight: w, (n,).
        features: of the new rows, (m, p).
        estimate: f(x), (m, K).
        level: wanted coverage.
    """
    share = train_weight / posterior.weight_sum
    d = train_features - posterior.mean
    loaded = d @ posterior.inverse
    hat = share * (posterior.intercept + (loaded * d).sum(axis=1))
    left_out = train_residuals / (1 - hat)[:, None]
    n = len(d)
    below = math.floor((1 - level) * (n + 1) + 1e-9)
    above = math.ceil(level * (n + 1) - 1e-9)
    low, high = np.full(estimate.shape, -np.inf), np.full(estimate.shape, np.inf)
    new = features - posterior.mean
    step = max(1, _BLOCK_VALUES // n)
    for start in range(0, len(new), step):
        part = slice(start, start + step)
        lever = share * (posterior.intercept + new[part] @ loaded.T)
        for k in range(estimate.shape[1]):
            mu = estimate[part, k][:, None] - lever * left_out[:, k]
            radius = np.abs(left_out[:, k])
            if below >= 1:
                low[part, k] = np.partition(mu - radius, below - 1, axis=1)[:, below - 1]
            if above <= n:
                high[part, k] = np.partition(mu + radius, above - 1, axis=1)[:, above - 1]
    return Interval(estimate, low, high)
