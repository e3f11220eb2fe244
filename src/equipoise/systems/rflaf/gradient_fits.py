"""Fits by gradients: the published Adam recipe, and cross-entropy after a squared-loss fit."""

from dataclasses import replace
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.rflaf.adam import train_adam
from equipoise.systems.rflaf.choosing import ActivationFit
from equipoise.systems.rflaf.finishing import activation_band, report_of
from equipoise.systems.rflaf.fitted import (
    FittedModel,
    Trail,
    canonical,
    moments_of_rows,
    posterior_of,
    residual_square,
)
from equipoise.systems.rflaf.logistic import LogHead, LogProblem, fit_log_head
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.planning import Plan, activation_part, row_problem
from equipoise.systems.rflaf.scaling import Calibration
from equipoise.systems.rflaf.threads import one_blas_thread
from equipoise.systems.rflaf.varpro import Step


def fit_adam(
    calibration: Calibration,
    X: Array,
    y: Array,
    sample_weight: Array,
    plan: Plan,
    inside: float,
) -> FittedModel:
    """Fit by the published recipe; what it found is kept as it is, without any ridge step."""
    rank = plan.search.rank
    if rank == "auto":
        raise InvalidInput("rank='auto' needs GCV, which solver='adam' has not; give a number")
    targets = (y > 0).astype(np.float64) if plan.log_loss else y
    fit = train_adam(
        calibration.rows(X),
        calibration.weights,
        targets,
        sample_weight,
        calibration.basis,
        plan.adam,
        stream(plan.search.seed, "adam"),
        rank=int(rank),
        fit_intercept=plan.fit_intercept,
        log_loss=plan.log_loss,
    )
    coef, readout, singular = canonical(fit.coef, fit.readout)
    moments = moments_of_rows(
        calibration, coef, X, y, sample_weight, fit_intercept=plan.fit_intercept
    )
    posterior = posterior_of(moments, coef, readout, 0.0, 0.0, fit_intercept=plan.fit_intercept)
    flat = readout.reshape(-1, y.shape[1])
    gap = moments.target_mean - moments.mean @ flat - fit.intercept
    square = float(residual_square(moments, flat).sum() + (gap**2).sum() * plan.fit_intercept)
    steps = tuple(map(Step, fit.history, fit.path))
    found = ActivationFit(
        coef=coef,
        readout=readout,
        alpha=0.0,
        smooth=0.0,
        objective=square,
        gcv=float("nan"),
        history=fit.history,
        starts=(fit.history[-1],),
        steps=steps,
        trials=(steps,),
    )
    part = activation_part(len(X), plan)
    problem = row_problem(calibration, X[part], y[part], sample_weight[part], plan)
    report = report_of(found, inside) | {"n_iter": len(fit.history)}
    return FittedModel(
        calibration=calibration,
        coef=coef,
        readout=readout,
        intercept=fit.intercept,
        singular_values=singular,
        report=report,
        posterior=posterior,
        band=activation_band(problem, coef, readout, found, float(posterior.noise.mean())),
    )


def fit_log_loss(
    model: FittedModel,
    X: Array,
    y: Array,
    sample_weight: Array,
    plan: Plan,
    *,
    move_activation: bool = True,
) -> FittedModel:
    """Continue a squared-loss fit on +-1 targets by cross-entropy (stage 2 of 2.4).

    The activation moves on at most `activation_rows` rows; readout and intercept then see all.
    """
    at, report = model.calibration, model.report
    onehot = (y > 0).astype(np.float64)
    part = activation_part(len(X), plan)
    rows, marks, weight = X[part], onehot[part], sample_weight[part]

    def make(chosen: Any) -> LogProblem:
        use = slice(None) if chosen is None else chosen
        problem = row_problem(at, rows[use], marks[use], weight[use], plan)
        return LogProblem(problem, marks[use])

    start = LogHead(
        model.coef, model.readout, model.intercept, 0.0, (), report["alpha"], report["smooth"]
    )
    with one_blas_thread(model.readout.size // y.shape[1]):
        head = fit_log_head(
            make,
            rows,
            start,
            select=plan.search.selects,
            seed=plan.search.seed,
            max_iter=plan.search.max_iter,
            tol=plan.search.tol,
            move_activation=move_activation,
        )
        if not isinstance(part, slice):
            problem = row_problem(at, X, onehot, sample_weight, plan)
            last = LogProblem(problem, onehot).solve_readout(head, max_iter=plan.search.max_iter)
            head = replace(last, history=(*head.history, last.value))
    coef, readout, singular = canonical(head.coef, head.readout)
    changed = {
        "alpha": head.alpha,
        "smooth": head.smooth,
        "objective": head.value,
        "history": np.asarray(head.history),
        "n_iter": max(1, len(head.history) - 1),
    }
    if head.path:
        trail: Trail = report["trail"]
        path = np.stack([*trail.course.activations, *head.path])
        changed["trail"] = replace(trail, course=replace(trail.course, activations=path))
    return replace(
        model,
        coef=coef,
        readout=readout,
        intercept=head.intercept,
        singular_values=singular,
        report={**report, **changed},
        posterior=None,
    )
