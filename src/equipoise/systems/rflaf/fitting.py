"""One fit from start to end: engine, activation, readout on all rows, posterior, canonical form."""

from dataclasses import replace

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf.choosing import ActivationFit, fit_activation, refine_activation
from equipoise.systems.rflaf.finishing import finish
from equipoise.systems.rflaf.fitted import FittedModel, chunks, moments_of_rows, residual_square
from equipoise.systems.rflaf.gradient_fits import fit_adam
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.planning import (
    Plan,
    activation_part,
    choose_engine,
    coarse_rows,
    row_problem,
)
from equipoise.systems.rflaf.problem import FeatureMoments, path_of_moments, readout_penalty
from equipoise.systems.rflaf.ridge import penalty_matrix, solve_gram
from equipoise.systems.rflaf.row_problem import RowProblem
from equipoise.systems.rflaf.scaling import Calibration, inside_share
from equipoise.systems.rflaf.statistics import LiftedStatistics
from equipoise.systems.rflaf.threads import one_blas_thread

_FINE_ITERATIONS = 20


def fit_rows(
    calibration: Calibration, X: Array, y: Array, sample_weight: Array, plan: Plan
) -> tuple[FittedModel, LiftedStatistics | None]:
    """Fit from rows X (n, d), targets y (n, K) and weights > 0; statistics where lifted."""
    m, n_basis = calibration.weights.shape[1], calibration.basis.size
    inside = _inside(calibration, X, sample_weight)
    if choose_engine(plan, len(X), m, n_basis) == "lifted":
        statistics = LiftedStatistics(
            calibration.weights,
            calibration.basis,
            offset=calibration.offset,
            scale=calibration.scale,
            n_outputs=y.shape[1],
        ).update(X, y, sample_weight)
        model = fit_statistics(statistics, plan)
        return replace(model, report={**model.report, "inside": inside}), statistics
    with one_blas_thread(m * plan.search.most_activations):
        work = fit_adam if plan.search.solver == "adam" else _fit_by_rows
        return work(calibration, X, y, sample_weight, plan, inside), None


def _fit_by_rows(
    calibration: Calibration,
    X: Array,
    y: Array,
    sample_weight: Array,
    plan: Plan,
    inside: float,
) -> FittedModel:
    part = activation_part(len(X), plan)
    problem = row_problem(calibration, X[part], y[part], sample_weight[part], plan)
    found = _coarse_to_fine(problem, calibration, plan)
    if isinstance(part, slice):
        return finish(problem, calibration, found, plan, inside)
    moments = moments_of_rows(
        calibration, found.coef, X, y, sample_weight, fit_intercept=plan.fit_intercept
    )
    found = _readout_on_all_rows(found, moments, plan)
    return finish(problem, calibration, found, plan, inside, (X, y, sample_weight))


def fit_statistics(statistics: LiftedStatistics, plan: Plan) -> FittedModel:
    """Fit from lifted statistics alone."""
    problem = statistics.problem(fit_intercept=plan.fit_intercept)
    if plan.search.alpha == "loo" or plan.search.solver == "adam":
        raise InvalidInput(
            f"statistics hold no rows, which alpha='loo' and solver='adam' need; got "
            f"alpha={plan.search.alpha!r}, solver={plan.search.solver!r}"
        )
    with one_blas_thread(problem.n_components * plan.search.most_activations):
        found = fit_activation(problem, plan.search)
        return finish(problem, statistics.calibration, found, plan, float("nan"))


def _inside(calibration: Calibration, X: Array, sample_weight: Array) -> float:
    share = sample_weight / sample_weight.sum()
    total = 0.0
    for part in chunks(len(X), calibration.weights.shape[1]):
        weight = float(share[part].sum())
        if weight > 0:
            z = calibration.z(X[part])
            total += weight * inside_share(z, calibration.basis, share[part])
    return total


def _coarse_to_fine(problem: RowProblem, calibration: Calibration, plan: Plan) -> ActivationFit:
    """Search the starts on a few thousand rows, then go on from the best one on all of them."""
    n, few = len(problem.rows), coarse_rows(problem.n_components)
    if n <= 2 * few:
        return fit_activation(problem, plan.search)
    some = slice(None, None, -(-n // few))
    coarse = RowProblem(
        problem.rows[some],
        problem.weights,
        problem.y[some],
        problem.share[some] * problem.weight_sum,
        calibration.basis,
        fit_intercept=plan.fit_intercept,
        chunk_bytes=plan.chunk_bytes,
    )
    first = fit_activation(coarse, plan.search)
    steps = min(plan.search.max_iter, _FINE_ITERATIONS)
    return refine_activation(problem, replace(plan.search, max_iter=steps), first)


def _readout_on_all_rows(
    found: ActivationFit, moments: FeatureMoments, plan: Plan
) -> ActivationFit:
    """Choose alpha again on all rows, where it is chosen, and solve the readout."""
    n_basis = found.coef.shape[1]
    ratio = found.smooth / found.alpha if found.alpha > 0 else 0.0
    unit = found.coef @ penalty_matrix(n_basis, 1.0, ratio) @ found.coef.T
    path = path_of_moments(moments, unit, intercept=plan.fit_intercept)
    alpha = path.choose() if plan.search.selects else found.alpha
    smooth = ratio * alpha if isinstance(plan.search.smooth, str) else found.smooth
    inner = found.coef @ penalty_matrix(n_basis, alpha, smooth) @ found.coef.T
    flat = solve_gram(moments.gram, moments.cross, inner, alpha)
    readout = flat.reshape(found.readout.shape)
    value = float(residual_square(moments, flat).sum())
    return replace(
        found,
        readout=readout,
        alpha=alpha,
        smooth=smooth,
        objective=value + readout_penalty(found.coef, readout, alpha, smooth),
        gcv=float(path.gcv(alpha)) if alpha > 0 else found.gcv,
    )
