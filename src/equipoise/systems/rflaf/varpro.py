"""Variable projection: the readout is eliminated, the activation alone is optimised.

J*(A) = min over V, b of J (Golub and Pereyra). By the envelope theorem its gradient is the partial
gradient at the best readout; it depends on the row space of A only, so A is kept orthonormal.
L-BFGS goes most of the way, Newton's method with |eigenvalues| the rest.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf.objective import Array, Basis, need_finite
from equipoise.systems.rflaf.problem import Evaluation, Problem
from equipoise.systems.rflaf.ridge import (
    add_penalty,
    penalty_matrix,
    row_weights,
    solve_definite,
)
from equipoise.systems.rflaf.row_problem import RowProblem

_ROUNDING = 1e-14  # of J: near its end the gradient still knows the way
NEWTON_SIZE = 160  # R*N above which Newton's moments cost more than they save


@dataclass(frozen=True)
class ReducedObjective:
    """J*(A): least objective over readout and intercept, and its gradient shaped like `coef`."""

    value: float
    gradient: Array
    readout: Array
    intercept: Array | float


def reduced_objective(
    coef: ArrayLike,
    Z: ArrayLike,
    y: ArrayLike,
    basis: Basis,
    *,
    alpha: float,
    smooth: float = 0.0,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
) -> ReducedObjective:
    """Return J* of one activation (N,) or several (R, N), with its envelope gradient.

    Args:
        coef: activation coefficients; J* does not depend on their scale.
        Z: pre-activations, (n, M).
        y: targets, (n,) or (n, K).
        basis: the N functions, evaluated exactly.
        alpha: ridge penalty.
        smooth: penalty on second differences of the coefficients.
        sample_weight: (n,).
        fit_intercept: whether b is fitted.

    Returns:
        `readout` is (M,) or (M, K), with (R, N) coefficients (M, R) or (M, R, K).
    """
    a = np.asarray(coef, dtype=np.float64)
    z, target = np.asarray(Z, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim not in (1, 2) or a.shape[-1] != basis.size:
        raise InvalidInput(f"coef has shape {a.shape}; the basis has {basis.size} functions")
    if z.ndim != 2 or target.ndim not in (1, 2) or len(target) != len(z):
        raise InvalidInput(f"Z {z.shape} and y {target.shape} need one row each per sample")
    if not (alpha >= 0 and smooth >= 0):
        raise InvalidInput(f"alpha is {alpha!r}, smooth {smooth!r}; both must be >= 0")
    w = row_weights(sample_weight, len(z))
    need_finite(coef=a, Z=z, y=target)
    problem = RowProblem(
        z, None, target.reshape(len(z), -1), w, basis, fit_intercept=fit_intercept, exact=True
    )
    rows = np.atleast_2d(a)
    out = problem.evaluate(rows, alpha, smooth)
    intercept = problem.intercept(rows, out.readout)
    readout = out.readout
    if a.ndim == 1:
        readout = readout[:, 0]
    if target.ndim == 1:
        return ReducedObjective(
            out.value, out.gradient.reshape(a.shape), readout[..., 0], float(intercept[0])
        )
    return ReducedObjective(out.value, out.gradient.reshape(a.shape), readout, intercept)


def orthonormal(a: Array) -> tuple[Array, Array]:
    """Return (Q, T) with A = T Q, rows of Q (R, N) orthonormal, T (R, R); Q may be A."""
    if np.abs(a @ a.T - np.eye(len(a))).max() < 1e-14:
        return a, np.eye(len(a))
    q, r = np.linalg.qr(a.T)
    sign = np.where(np.diag(r) < 0, -1.0, 1.0)
    return (q * sign).T, (r * sign[:, None]).T


def hessian(problem: Problem, a: Array, readout: Array, alpha: float, smooth: float) -> Array:
    """Return the Hessian of J* at A (R*N, R*N), with `readout` the best one there."""
    m, rank, outputs = readout.shape
    n_basis = a.shape[1]
    penalty = penalty_matrix(n_basis, alpha, smooth)
    moments = problem.curvature(a, readout)
    size = np.einsum("mrk,mqk->rq", readout, readout)
    own = 2 * moments.design_gram + 2 * np.kron(size, penalty)
    # d/dA of the readout's normal equations, (M, R, K, R', N)
    mixed = 2 * moments.feature_design
    pa = a @ penalty
    mixed = mixed + 2 * np.einsum("ri,mqk->mrkqi", pa, readout)
    pull = 2 * np.einsum("qi,mqk->mki", pa, readout) - 2 * moments.error.transpose(0, 2, 1)
    for r in range(rank):
        mixed[:, r, :, r, :] += pull
    system = 2 * add_penalty(problem.moments(a).gram, a @ pa.T)
    flat = mixed.reshape(m * rank, outputs * rank * n_basis)
    solved = solve_definite(system, flat)
    if solved is None:
        solved = np.linalg.lstsq(system, flat, rcond=None)[0]
    solved = solved.reshape(flat.shape[0], outputs, rank * n_basis)
    flat = flat.reshape(m * rank, outputs, rank * n_basis)
    own -= np.tensordot(flat, solved, axes=((0, 1), (0, 1)))
    return (own + own.T) / 2


class Step(NamedTuple):
    """J and A (R, N) after an iteration."""

    value: float
    coef: Array


@dataclass(frozen=True)
class Descent:
    """Where a descent ended: orthonormal A, its evaluation, and the start and every iteration."""

    coef: Array
    evaluation: Evaluation
    steps: tuple[Step, ...]

    @property
    def history(self) -> tuple[float, ...]:
        """J at the start and after every iteration."""
        return tuple(step.value for step in self.steps)

    @property
    def value(self) -> float:
        """J* at the end."""
        return self.evaluation.value


def descend(
    problem: Problem,
    a: Array,
    alpha: float,
    smooth: float,
    *,
    max_iter: int,
    tol: float,
    newton: bool = True,
    near: bool = False,
) -> Descent:
    """Minimise J* from A: L-BFGS, then Newton, until the relative decrease is below `tol`.

    `near` says that A is close to a minimum: Newton's few steps then come at once.
    """
    coef, _ = orthonormal(a)
    newton = newton and coef.size <= NEWTON_SIZE
    if near and newton:
        out = problem.evaluate(coef, alpha, smooth)
        at, steps = (coef, out), [Step(out.value, coef)]
    else:
        quick = max_iter // 2 + 5 if newton else max_iter
        at, steps = _lbfgs(problem, coef, alpha, smooth, max(1, min(quick, max_iter)), tol)
    if newton:
        at, tail = _newton(problem, at, alpha, smooth, max_iter - len(steps) + 1, tol)
        steps = steps + tail
    # a line search that gives up may have passed a better point than the last iteration's
    steps[-1] = Step(at[1].value, at[0])
    return Descent(at[0], at[1], tuple(steps))


def _lbfgs(
    problem: Problem, coef: Array, alpha: float, smooth: float, max_iter: int, tol: float
) -> tuple[tuple[Array, Evaluation], list[Step]]:
    first = problem.evaluate(coef, alpha, smooth)
    best = (coef, first)
    steps = [Step(first.value, coef)]
    scale = first.value if first.value > 0 else 1.0
    shape = coef.shape

    def value(x: Array) -> tuple[float, Array]:
        nonlocal best
        q, t = orthonormal(x.reshape(shape))
        out = problem.evaluate(q, alpha, smooth)
        if out.value < best[1].value:
            best = (q, out)
        gradient = np.linalg.solve(t.T, out.gradient)
        return out.value / scale, gradient.ravel() / scale

    def follow(x: Array) -> None:
        before = steps[-1].value
        steps.append(Step(best[1].value, best[0]))
        if before - best[1].value <= tol * abs(before):
            raise StopIteration

    if max_iter >= 1 and np.abs(first.gradient).max() > 1e-14 * scale:
        minimize(
            value,
            coef.ravel(),
            jac=True,
            method="L-BFGS-B",
            callback=follow,
            options={"maxiter": max_iter, "ftol": 0.0, "gtol": 0.0, "maxcor": 20},
        )
    return best, steps


def _newton(
    problem: Problem,
    at: tuple[Array, Evaluation],
    alpha: float,
    smooth: float,
    max_iter: int,
    tol: float,
) -> tuple[tuple[Array, Evaluation], list[Step]]:
    """Take Newton steps in the directions that change the row space, while they decrease J."""
    steps: list[Step] = []
    for _ in range(max_iter):
        a, out = at
        step = _newton_step(problem, a, out, alpha, smooth)
        length = 1.0
        while length > 1e-3:
            candidate, _ = orthonormal(a + length * step)
            tried = problem.evaluate(candidate, alpha, smooth)
            if tried.value < out.value + _ROUNDING * abs(out.value):
                break
            length /= 4
        else:
            break
        at = (candidate, tried)
        steps.append(Step(min(tried.value, out.value), candidate))
        # a last step below tol squares the error once more: rounding, not tol, then decides
        if out.value - tried.value <= 1e-5 * tol * abs(out.value):
            break
    return at, steps


def _newton_step(problem: Problem, a: Array, out: Evaluation, alpha: float, smooth: float) -> Array:
    rank, n_basis = a.shape
    second = hessian(problem, a, out.readout, alpha, smooth)
    # moves inside the row space change nothing: keep to its complement
    complement = np.linalg.svd(a)[2][rank:]
    if complement.size == 0:
        return np.zeros_like(a)
    basis = np.kron(np.eye(rank), complement)
    inner = basis @ second @ basis.T
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    size = np.abs(values)
    size = np.maximum(size, 1e-10 * size.max(initial=0.0) + 1e-300)
    gradient = basis @ out.gradient.ravel()
    step = -vectors @ ((vectors.T @ gradient) / size)
    length = np.linalg.norm(step)
    if length > 1.0:
        step = step / length
    return (step @ basis).reshape(rank, n_basis)
