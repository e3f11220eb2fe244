"""Leverage-weighted compression: draw the units that matter, weigh them, refit the readout (2.9).

Published follow-up: arXiv 2510.15327. Merging repeated draws and alpha by GCV are ours.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.ridge import solve_spd


@dataclass(frozen=True)
class LeverageScores:
    """How much each feature matters.

    Attributes:
        scores: diag(Sigma (Sigma / M0 + ridge I)^-1), (M0,).
        effective_dimension: their sum.
        probabilities: scores over their sum, (M0,).
    """

    scores: Array
    effective_dimension: float
    probabilities: Array


def leverage_scores(features: ArrayLike, ridge: float | None = None) -> LeverageScores:
    """Return the ridge leverage scores of features (n, M0), Sigma = Phi^T Phi / n.

    Args:
        features: Phi.
        ridge: lambda0 > 0; None: 1/sqrt(n).
    """
    phi = np.asarray(features, dtype=np.float64)
    if phi.ndim != 2 or phi.size == 0 or not np.isfinite(phi).all():
        raise InvalidInput(f"features must be a finite (n, M) array, got shape {phi.shape}")
    n, m0 = phi.shape
    used = float(1 / np.sqrt(n)) if ridge is None else ridge
    if not used > 0:
        raise InvalidInput(f"ridge is {ridge!r}; it must be > 0, or None for 1/sqrt(n)")
    sigma = phi.T @ phi / n
    inverse = solve_spd(sigma / m0 + used * np.eye(m0), np.eye(m0), used)
    scores = np.maximum((sigma * inverse.T).sum(axis=1), 0.0)
    total = float(scores.sum())
    even = np.full(m0, 1 / m0)
    return LeverageScores(scores, total, scores / total if total > 0 else even)


def draw_units(
    probabilities: Array, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.intp], Array]:
    """Draw units with replacement; return the distinct ones and the factor of each one's feature.

    A unit drawn c times stands once, its feature times sqrt(c / q).
    """
    drawn = rng.choice(probabilities.size, size=count, replace=True, p=probabilities)
    units, times = np.unique(drawn, return_counts=True)
    return units, np.sqrt(times / probabilities[units])
