"""What follows every search: canonical form, posterior, the activation's band, the report."""

from typing import Any

import numpy as np

from equipoise.systems.rflaf.choosing import ActivationFit
from equipoise.systems.rflaf.fitted import (
    Course,
    FittedModel,
    Trail,
    band_covariance,
    canonical,
    moments_of_rows,
    posterior_of,
)
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.planning import Plan
from equipoise.systems.rflaf.problem import Problem
from equipoise.systems.rflaf.row_problem import RowProblem
from equipoise.systems.rflaf.scaling import Calibration
from equipoise.systems.rflaf.varpro import Step, hessian

_BAND_COST = 2e8
_BAND_SIZE = 512


def finish(
    problem: Problem,
    calibration: Calibration,
    found: ActivationFit,
    plan: Plan,
    inside: float,
    all_rows: tuple[Array, Array, Array] | None = None,
) -> FittedModel:
    """Bring a fit into canonical form and add what uncertainty needs."""
    coef, readout, singular = canonical(found.coef, found.readout)
    if all_rows is None:
        moments = problem.moments(coef)
    else:
        moments = moments_of_rows(calibration, coef, *all_rows, fit_intercept=plan.fit_intercept)
    flat = readout.reshape(-1, readout.shape[2])
    intercept = moments.target_mean - moments.mean @ flat
    posterior = posterior_of(
        moments, coef, readout, found.alpha, found.smooth, fit_intercept=plan.fit_intercept
    )
    return FittedModel(
        calibration=calibration,
        coef=coef,
        readout=readout,
        intercept=intercept if plan.fit_intercept else np.zeros_like(intercept),
        singular_values=singular,
        report=report_of(found, inside, halves=plan.search.solver == "als"),
        posterior=posterior,
        band=activation_band(problem, coef, readout, found, float(posterior.noise.mean())),
    )


def report_of(found: ActivationFit, inside: float, *, halves: bool = False) -> dict[str, Any]:
    """Return what a fitted model reports of its search; `halves`: two steps an iteration."""
    return {
        "alpha": found.alpha,
        "smooth": found.smooth,
        "objective": found.objective,
        "gcv": found.gcv,
        "history": np.asarray(found.history),
        "starts": np.asarray(found.starts),
        "n_iter": -(-found.n_iter // 2) if halves else found.n_iter,
        "inside": inside,
        "trail": Trail(_course(found.steps), tuple(map(_course, found.trials)), found.kept),
    }


def _course(steps: tuple[Step, ...]) -> Course:
    return Course(np.stack([s.coef for s in steps]), np.array([s.value for s in steps]))


def activation_band(
    problem: Problem, coef: Array, readout: Array, found: ActivationFit, noise: float
) -> Array | None:
    """Return the covariance of the activation, from evenly spaced rows where all cost too much."""
    rank, n_basis = coef.shape
    if rank * n_basis > _BAND_SIZE:
        return None
    weight_sum = problem.weight_sum
    if isinstance(problem, RowProblem):
        n = len(problem.rows)
        cost = n * readout.size * 4 * n_basis * rank
        if cost > _BAND_COST:
            some = slice(None, None, int(np.ceil(cost / _BAND_COST)))
            problem.release()
            problem = RowProblem(
                problem.rows[some],
                problem.weights,
                problem.y[some],
                problem.share[some],
                problem.basis,
                fit_intercept=problem.fit_intercept,
            )
    second = hessian(problem, coef, readout, found.alpha, found.smooth)
    if not np.isfinite(second).all():
        return None
    return band_covariance(second, coef, noise, weight_sum)
