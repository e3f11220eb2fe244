"""Choosing alpha, smooth, rank and the start: several starts, alpha and activation by turns."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from equipoise.core.console import note
from equipoise.core.errors import RunFailed
from equipoise.core.seeding import stream
from equipoise.systems.rflaf.alternating import alternate
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.problem import Problem
from equipoise.systems.rflaf.ridge import SMOOTH_RATIOS, RidgePath
from equipoise.systems.rflaf.varpro import NEWTON_SIZE, Descent, Step, descend

_SCREENING = 15
_TRIAL = 6
_REFINE_TOL = 1e-3
_TIE = 1e-9
MAX_AUTO_RANK = 4


@dataclass(frozen=True)
class Search:
    """How the activation is looked for: the estimators' parameters of the same names."""

    solver: str = "varpro"
    rank: int | str = 1
    alpha: float | str = "gcv"
    smooth: float | str = "gcv"
    n_starts: int = 5
    max_iter: int = 100
    tol: float = 1e-7
    seed: int = 0
    n_jobs: int | None = None
    verbose: int = 0

    @property
    def selects(self) -> bool:
        """Whether alpha is chosen by a criterion."""
        return isinstance(self.alpha, str)

    @property
    def most_activations(self) -> int:
        """The greatest rank that may be tried."""
        return MAX_AUTO_RANK if self.rank == "auto" else int(self.rank)


@dataclass(frozen=True)
class ActivationFit:
    """A learnt activation and how it was found.

    Attributes:
        coef: orthonormal A, (R, N).
        readout: (M, R, K).
        alpha: penalty; `smooth` likewise.
        objective: J at the end; `gcv` likewise.
        history: J by iteration, on all rows, each at the penalties of its time.
        starts: J each start reached in its trial.
        steps: all that the kept start went through, also at penalties tried before.
        trials: each start's first iterations.
        kept: number of the kept start.
    """

    coef: Array
    readout: Array
    alpha: float
    smooth: float
    objective: float
    gcv: float
    history: tuple[float, ...]
    starts: tuple[float, ...]
    steps: tuple[Step, ...]
    trials: tuple[tuple[Step, ...], ...]
    kept: int = 0

    @property
    def n_iter(self) -> int:
        """Iterations of the kept start."""
        return max(1, len(self.history) - 1)


@dataclass(frozen=True)
class _State:
    """A start under way: where it is, its penalties, its criterion, what it went through before."""

    descent: Descent
    alpha: float
    smooth: float
    score: float
    before: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All that the start went through."""
        return self.before + self.descent.steps[1 if self.before else 0 :]

    def after(self, steps: tuple[Step, ...]) -> "_State":
        """Return the state as what followed those steps."""
        return replace(self, before=steps)


def fit_activation(problem: Problem, search: Search) -> ActivationFit:
    """Learn the activation of a problem.

    Args:
        problem: rows or lifted moments.
        search: how to look.

    Raises:
        RunFailed: no start gave a finite objective.
    """
    if search.rank != "auto":
        return _fit_rank(problem, search, int(search.rank))
    best: ActivationFit | None = None
    for rank in range(1, min(MAX_AUTO_RANK, problem.basis.size) + 1):
        found = _fit_rank(problem, search, rank)
        if best is None or found.gcv < best.gcv * (1 - _TIE):
            best = found
    assert best is not None
    return best


def starting_points(problem: Problem, search: Search, rank: int) -> list[Array]:
    """Return the starts: the lifted ridge's leading directions, then N(0, I) draws."""
    alpha = None if search.selects else float(search.alpha)
    theta = problem.lifted_ridge(alpha)
    points = []
    if theta is not None and np.isfinite(theta).all():
        size = max(0, problem.basis.size - len(theta))
        points.append(np.linalg.svd(np.pad(theta, ((0, size), (0, 0))))[2][:rank])
    rng = stream(search.seed, "starts", rank)
    count = max(search.n_starts, 1)
    return points + [
        rng.standard_normal((rank, problem.basis.size)) for _ in range(count - len(points))
    ]


def _fit_rank(problem: Problem, search: Search, rank: int) -> ActivationFit:
    points = starting_points(problem, search, rank)
    move = _mover(problem, search)
    screening = min(_SCREENING, search.max_iter)
    work = Parallel(n_jobs=search.n_jobs, prefer="threads")
    tried = work(delayed(_start)(problem, search, move, a, screening) for a in points)
    states = [s for s in tried if s is not None and np.isfinite(s.descent.value)]
    if not states:
        raise RunFailed(
            f"none of {len(points)} starts gave a finite objective at alpha = {search.alpha}; "
            "scale the targets or use a larger alpha"
        )
    kept = 0
    for number, state in enumerate(states):
        if state.score < states[kept].score - _TIE * abs(states[kept].score):
            kept = number
    if search.verbose:
        values = ", ".join(f"{state.descent.value:.6g}" for state in states)
        note(f"rflaf: rank {rank}, objective of the starts {values}")
    state, history = _polish(problem, search, move, states[kept])
    end = state.descent
    return ActivationFit(
        coef=end.coef,
        readout=end.evaluation.readout,
        alpha=state.alpha,
        smooth=state.smooth,
        objective=end.value,
        gcv=state.score if search.alpha == "gcv" else _gcv(problem, state),
        history=history,
        starts=tuple(s.descent.value for s in states),
        steps=state.steps,
        trials=tuple(s.descent.steps for s in states),
        kept=kept,
    )


def _mover(problem: Problem, search: Search, *, near: bool = False) -> Callable[..., Descent]:
    """Return the solver; `near` says that it starts close to a minimum."""
    if search.solver == "als":
        return partial(alternate, problem, tol=search.tol)
    return partial(descend, problem, tol=search.tol, near=near)


def refine_activation(problem: Problem, search: Search, found: ActivationFit) -> ActivationFit:
    """Go on, on more rows, from an activation found on a part: alpha and activation by turns."""
    ratio = found.smooth / found.alpha if found.alpha > 0 else 0.0
    move = _mover(problem, replace(search, tol=max(search.tol, _REFINE_TOL)), near=True)
    if search.selects:
        state, history = _refine_by_turns(problem, search, move, found, ratio)
    else:
        descent = move(found.coef, found.alpha, found.smooth, max_iter=search.max_iter)
        state, history = _State(descent, found.alpha, found.smooth, descent.value), descent.history
    return replace(
        found,
        coef=state.descent.coef,
        readout=state.descent.evaluation.readout,
        alpha=state.alpha,
        smooth=state.smooth,
        objective=state.descent.value,
        gcv=state.score if search.alpha == "gcv" else _gcv(problem, state),
        history=history,
        steps=state.after(found.steps + state.before[1:]).steps,
    )


def _refine_by_turns(
    problem: Problem,
    search: Search,
    move: Callable[..., Descent],
    found: ActivationFit,
    ratio: float,
) -> tuple[_State, tuple[float, ...]]:
    """Choose alpha, take one step, and so on: a step near the end leaves little to the next.

    One step is Newton's; the other solvers' need more of them. On more rows alpha falls from turn
    to turn; while it halves, it is led on by as much again.
    """
    quick = search.solver == "varpro" and found.coef.size <= NEWTON_SIZE
    steps, turns = (1, search.max_iter) if quick else (search.max_iter, 3)
    alpha = _path(problem, search, found.coef, ratio).choose(str(search.alpha))
    state = _round(problem, search, move, found.coef, ratio, steps, alpha)
    history = state.descent.history
    for _ in range(turns - 1):
        coef = state.descent.coef
        if not isinstance(search.smooth, str):
            ratio = _ratio(search, state.alpha)
        path = _path(problem, search, coef, ratio)
        alpha = path.choose(str(search.alpha))
        ahead = max(alpha * alpha / state.alpha, path.grid()[0])
        if ahead < alpha / 2 and path.allows(ahead):
            alpha = float(ahead)
        again = _round(problem, search, move, coef, ratio, steps, alpha)
        if again.score > state.score:
            break
        settled = state.score - again.score <= _REFINE_TOL * state.score
        state, history = again.after(state.steps), history + again.descent.history[1:]
        if settled:
            break
    return state, history


def _ratio(search: Search, alpha: float) -> float:
    """Return smooth / alpha while smooth is not being chosen."""
    if isinstance(search.smooth, str) or not search.smooth:
        return 0.0
    return float(search.smooth) / alpha if alpha > 0 else 0.0


def _penalties(search: Search, alpha: float, ratio: float) -> tuple[float, float]:
    if isinstance(search.smooth, str):
        return alpha, ratio * alpha
    return alpha, float(search.smooth)


def _start(
    problem: Problem, search: Search, move: Callable[..., Descent], a: Array, max_iter: int
) -> "_State | None":
    """Run one start a short way."""
    try:
        if not search.selects:
            alpha, smooth = _penalties(search, float(search.alpha), 0.0)
            descent = move(a, alpha, smooth, max_iter=max_iter)
            return _State(descent, alpha, smooth, descent.value)
        return _round(problem, search, move, a, 0.0, max_iter)
    except (RunFailed, np.linalg.LinAlgError, FloatingPointError):
        return None


def _round(
    problem: Problem,
    search: Search,
    move: Callable[..., Descent],
    a: Array,
    ratio: float,
    max_iter: int,
    alpha: float | None = None,
) -> _State:
    """Choose alpha at `a` (unless given), descend, and judge the end by the criterion."""
    if alpha is None:
        alpha = _path(problem, search, a, ratio).choose(str(search.alpha))
        ratio = ratio if isinstance(search.smooth, str) else _ratio(search, alpha)
    alpha, smooth = _penalties(search, alpha, ratio)
    descent = move(a, alpha, smooth, max_iter=max_iter)
    return _State(descent, alpha, smooth, _score(problem, search, descent.coef, alpha, smooth))


def _path(problem: Problem, search: Search, a: Array, ratio: float) -> RidgePath:
    return problem.path(a, ratio, keep_rows=search.alpha == "loo")


def _score(problem: Problem, search: Search, a: Array, alpha: float, smooth: float) -> float:
    path = _path(problem, search, a, smooth / alpha if alpha > 0 else 0.0)
    return float(path.leave_one_out(alpha)[0] if search.alpha == "loo" else path.gcv(alpha))


def _gcv(problem: Problem, state: _State) -> float:
    path = problem.path(state.descent.coef, state.smooth / state.alpha if state.alpha else 0.0)
    return float(path.gcv(state.alpha))


def _polish(
    problem: Problem, search: Search, move: Callable[..., Descent], state: _State
) -> tuple[_State, tuple[float, ...]]:
    """Take the kept start to its end: alpha and activation by turns, then smooth."""
    left = search.max_iter - (len(state.descent.history) - 1)
    first = state.descent.history
    if search.selects:
        for _ in range(2):
            ratio = _ratio(search, state.alpha)
            moved = _round(problem, search, move, state.descent.coef, ratio, max(left // 2, 1))
            if moved.score > state.score * (1 + _TIE):
                break
            settled = moved.alpha == state.alpha
            left -= len(moved.descent.history) - 1
            first = moved.descent.history
            state = moved.after(state.steps)
            if settled or left <= 0:
                break
    if search.smooth == "gcv":
        state, first = _choose_smooth(problem, search, state, first)
    # to the end at last: where it lands must not depend on how the search got here
    end = _mover(problem, search, near=True)
    descent = end(state.descent.coef, state.alpha, state.smooth, max_iter=search.max_iter)
    if descent.value <= state.descent.value:
        first = first + descent.history[1:]
        state = replace(state, descent=descent, before=state.steps)
        if search.selects:
            score = _score(problem, search, descent.coef, state.alpha, state.smooth)
            state = replace(state, score=score)
    return state, first


def _choose_smooth(
    problem: Problem,
    search: Search,
    state: _State,
    history: tuple[float, ...],
) -> tuple[_State, tuple[float, ...]]:
    """Try the other ratios smooth / alpha from where the activation stands; keep the least GCV.

    Each ratio gets an alpha of its own, where alpha is chosen: the one of a rough activation is too
    small for a smooth one, and the ratio would look worse than it is.
    """
    judged = replace(search, alpha="gcv") if not search.selects else search
    score = _score(problem, judged, state.descent.coef, state.alpha, state.smooth)
    best = replace(state, score=score)
    steps, move = min(_TRIAL, search.max_iter), _mover(problem, judged, near=True)
    fixed = None if search.selects else state.alpha
    for ratio in SMOOTH_RATIOS[1:]:
        moved = _round(problem, judged, move, state.descent.coef, ratio, steps, fixed)
        if fixed is None:
            before = moved.after(state.steps).steps
            moved = _round(problem, judged, move, moved.descent.coef, ratio, steps).after(before)
        else:
            moved = moved.after(state.steps)
        if moved.score < best.score * (1 - _TIE):
            best, history = moved, moved.descent.history
    return best, history
