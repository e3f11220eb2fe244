"""One fit from start to end: engine, activation, readout on all rows, posterior, canonical form."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.rflaf.adam import AdamOptions, train_adam
from equipoise.systems.rflaf.choosing import (
    ActivationFit,
    Search,
    fit_activation,
    refine_activation,
)
from equipoise.systems.rflaf.fitted import (
    Course,
    FittedModel,
    Trail,
    band_covariance,
    canonical,
    chunks,
    moments_of_rows,
    posterior_of,
    residual_square,
)
from equipoise.systems.rflaf.logistic import LogHead, LogProblem, fit_log_head
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.problem import (
    CHUNK_BYTES,
    LIFTED_LIMIT,
    FeatureMoments,
    Problem,
    path_of_moments,
    readout_penalty,
)
from equipoise.systems.rflaf.ridge import penalty_matrix, solve_gram
from equipoise.systems.rflaf.row_problem import RowProblem
from equipoise.systems.rflaf.scaling import Calibration, inside_share
from equipoise.systems.rflaf.statistics import LiftedStatistics, need_lifted_size
from equipoise.systems.rflaf.threads import one_blas_thread
from equipoise.systems.rflaf.varpro import Step, hessian

_COARSE_ROWS = 2000
_FINE_ITERATIONS = 20
_BAND_COST = 2e8
_BAND_SIZE = 512


@dataclass(frozen=True)
class Plan:
    """How to fit: the search, the engine and what else the estimators' parameters say."""

    search: Search
    engine: str = "auto"
    activation_rows: int = 20_000
    fit_intercept: bool = True
    adam: AdamOptions = field(default_factory=AdamOptions)
    chunk_bytes: int = CHUNK_BYTES
    log_loss: bool = False


def choose_engine(plan: Plan, n: int, n_components: int, n_basis: int) -> str:
    """Return `lifted` or `data`: as asked for, else the one that should take less time."""
    size = n_components * n_basis
    if plan.engine == "lifted":
        need_lifted_size(n_components, n_basis)
        if plan.search.alpha == "loo":
            raise InvalidInput("alpha='loo' needs rows; use engine='data' or alpha='gcv'")
        if plan.search.solver == "adam":
            raise InvalidInput("solver='adam' needs rows; use engine='data' or solver='varpro'")
        return "lifted"
    needs_rows = plan.search.alpha == "loo" or plan.search.solver == "adam"
    if plan.engine == "data" or needs_rows or size > LIFTED_LIMIT:
        return "data"
    # seconds on one core: a symmetric product of all rows and passes over the Gram matrix, against
    # passes over the rows; some hundred evaluations either way
    evaluations = 20 * plan.search.n_starts + 40
    rows = min(n, plan.activation_rows)
    coarse = min(rows, _coarse_rows(n_components))
    lifted = n * size**2 / 5e10 + n * size * 1e-8 + evaluations * size**2 * 2e-9
    data = (evaluations * coarse + 25 * (rows - coarse)) * n_components * 6e-8
    return "lifted" if lifted < data else "data"


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
        work = _fit_adam if plan.search.solver == "adam" else _fit_by_rows
        return work(calibration, X, y, sample_weight, plan, inside), None


def _fit_by_rows(
    calibration: Calibration,
    X: Array,
    y: Array,
    sample_weight: Array,
    plan: Plan,
    inside: float,
) -> FittedModel:
    part = _activation_part(len(X), plan)
    problem = row_problem(calibration, X[part], y[part], sample_weight[part], plan)
    found = _coarse_to_fine(problem, calibration, plan)
    if isinstance(part, slice):
        return _finish(problem, calibration, found, plan, inside)
    moments = moments_of_rows(
        calibration, found.coef, X, y, sample_weight, fit_intercept=plan.fit_intercept
    )
    found = _readout_on_all_rows(found, moments, plan)
    return _finish(problem, calibration, found, plan, inside, (X, y, sample_weight))


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
        return _finish(problem, statistics.calibration, found, plan, float("nan"))


def row_problem(
    calibration: Calibration, X: Array, y: Array, sample_weight: Array, plan: Plan
) -> RowProblem:
    """Return the fitting problem of some rows."""
    return RowProblem(
        calibration.rows(X),
        calibration.weights,
        y,
        sample_weight,
        calibration.basis,
        fit_intercept=plan.fit_intercept,
        chunk_bytes=plan.chunk_bytes,
    )


def _activation_part(n: int, plan: Plan) -> Any:
    """Return the rows on which the activation is learnt: all, or a seeded uniform subset."""
    if n <= plan.activation_rows:
        return slice(None)
    chosen = stream(plan.search.seed, "activation rows").permutation(n)[: plan.activation_rows]
    return np.sort(chosen)


def _inside(calibration: Calibration, X: Array, sample_weight: Array) -> float:
    share = sample_weight / sample_weight.sum()
    total = 0.0
    for part in chunks(len(X), calibration.weights.shape[1]):
        weight = float(share[part].sum())
        if weight > 0:
            z = calibration.z(X[part])
            total += weight * inside_share(z, calibration.basis, share[part])
    return total


def _coarse_rows(n_components: int) -> int:
    """Return the rows on which starts are tried: enough to tell the units apart."""
    return max(_COARSE_ROWS, 4 * n_components)


def _coarse_to_fine(problem: RowProblem, calibration: Calibration, plan: Plan) -> ActivationFit:
    """Search the starts on a few thousand rows, then go on from the best one on all of them."""
    n, few = len(problem.rows), _coarse_rows(problem.n_components)
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


def _finish(
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
        report=_report(found, inside, halves=plan.search.solver == "als"),
        posterior=posterior,
        band=_band(problem, coef, readout, found, float(posterior.noise.mean())),
    )


def _report(found: ActivationFit, inside: float, *, halves: bool = False) -> dict[str, Any]:
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


def _band(
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


def _fit_adam(
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
    part = _activation_part(len(X), plan)
    problem = row_problem(calibration, X[part], y[part], sample_weight[part], plan)
    report = _report(found, inside) | {"n_iter": len(fit.history)}
    return FittedModel(
        calibration=calibration,
        coef=coef,
        readout=readout,
        intercept=fit.intercept,
        singular_values=singular,
        report=report,
        posterior=posterior,
        band=_band(problem, coef, readout, found, float(posterior.noise.mean())),
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
    part = _activation_part(len(X), plan)
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
