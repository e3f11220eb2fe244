"""Compression by leverage: draw the units that matter, weigh them, refit the readout (2.9).

Published follow-up: arXiv 2510.15327. Merging repeated draws and alpha by GCV are ours.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.rflaf.fitted import (
    FittedModel,
    Posterior,
    canonical,
    moments_of_rows,
    posterior_of,
    residual_square,
)
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.planning import Plan
from equipoise.systems.rflaf.problem import FeatureMoments, path_of_moments, readout_penalty
from equipoise.systems.rflaf.ridge import penalty_matrix, solve_gram, solve_spd
from equipoise.systems.rflaf.scaling import Calibration, inside_share


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
    if isinstance(used, str) or not 0 < used < np.inf:
        raise InvalidInput(
            f"ridge is {ridge!r}; it must be a finite number > 0, or None for 1/sqrt(n)"
        )
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


def drawn_by_leverage(
    at: Calibration, coef: Array, rows: tuple[Array, Array, Array], plan: Plan, draws: int
) -> FittedModel:
    """Return the readout refitted on units drawn by their leverage scores.

    Args:
        at: calibration with all units.
        coef: their activations, (R, N).
        rows: X (n, d), targets (n, K) and weights.
        plan: its seed draws.
        draws: at most that many units remain.
    """
    fit = {"fit_intercept": plan.fit_intercept}
    m, rank = at.weights.shape[1], len(coef)
    moments = moments_of_rows(at, coef, *rows, fit_intercept=False)
    scores = unit_scores(moments.gram, len(rows[0]), m)
    units, factor = draw_units(scores, draws, stream(plan.search.seed, "units"))
    small = replace(at, weights=at.weights[:, units])
    some = moments_of_rows(small, coef, *rows, **fit)
    model = refit_readout(small, coef, some, np.repeat(factor, rank), **fit)
    model.report.update(inside=inside_share(small.z(rows[0]), small.basis))
    return model


def unit_scores(gram: Array, n_rows: int, n_components: int) -> Array:
    """Return the drawing probabilities of the units from the features' second moments (p, p)."""
    # any rows with these second moments have the same scores
    values, vectors = np.linalg.eigh(gram)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * np.sqrt(len(gram))
    scores = leverage_scores(root, 1 / np.sqrt(n_rows)).scores
    units = scores.reshape(n_components, -1).sum(axis=1)
    total = units.sum()
    return units / total if total > 0 else np.full(n_components, 1 / n_components)


def refit_readout(
    at: Calibration,
    coef: Array,
    moments: FeatureMoments,
    factors: Array,
    *,
    fit_intercept: bool,
) -> FittedModel:
    """Fit the readout of weighted features (feature j times factors[j]), alpha by GCV."""
    weighted = FeatureMoments(
        gram=moments.gram * np.outer(factors, factors),
        cross=moments.cross * factors[:, None],
        mean=moments.mean * factors,
        target_mean=moments.target_mean,
        square=moments.square,
        weight_sum=moments.weight_sum,
    )
    n_basis = coef.shape[1]
    path = path_of_moments(weighted, coef @ coef.T, intercept=fit_intercept)
    alpha = path.choose()
    inner = coef @ penalty_matrix(n_basis, alpha, 0.0) @ coef.T
    flat = solve_gram(weighted.gram, weighted.cross, inner, alpha)
    shape = (at.weights.shape[1], coef.shape[0], -1)
    value = float(residual_square(weighted, flat).sum())
    value += readout_penalty(coef, flat.reshape(shape), alpha, 0.0)
    found = posterior_of(
        weighted, coef, flat.reshape(shape), alpha, 0.0, fit_intercept=fit_intercept
    )
    plain = (factors[:, None] * flat).reshape(shape)
    new_coef, readout, singular = canonical(coef, plain)
    # the posterior speaks of the canonical features: undo the factors, turn within each unit
    turn = np.kron(np.eye(shape[0]), new_coef @ np.linalg.pinv(coef))
    inverse = turn @ (found.inverse * np.outer(factors, factors)) @ turn.T
    intercept = moments.target_mean - moments.mean @ plain.reshape(flat.shape)
    report = {
        "alpha": alpha,
        "smooth": 0.0,
        "objective": value,
        "gcv": float(path.gcv(alpha)),
        "history": np.array([value]),
        "starts": np.array([value]),
        "n_iter": 1,
    }
    return FittedModel(
        calibration=at,
        coef=new_coef,
        readout=readout,
        intercept=intercept if fit_intercept else np.zeros_like(intercept),
        singular_values=singular,
        report=report,
        posterior=Posterior(
            turn @ moments.mean, inverse, found.noise, found.weight_sum, found.intercept
        ),
    )
