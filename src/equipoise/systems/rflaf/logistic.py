"""Log-loss head: penalised cross-entropy in activation, readout and intercept together.

`(1/S) sum w CE(b + Phi v, y) + sum theta^T P theta`. One column of targets means two classes and a
logistic function, K columns a softmax. Given the activation the problem is convex and Newton's
method solves it; all three together are moved by L-BFGS. The squared-loss fit is the start; alpha,
which suits that loss, is tried at 1, .1, .01, .001 times on a held-out fifth.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from equipoise.systems.rflaf.adam import cross_entropy
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.problem import readout_penalty
from equipoise.systems.rflaf.ridge import add_penalty, penalty_matrix, relative_floor
from equipoise.systems.rflaf.row_problem import RowProblem

FACTORS = (1.0, 0.1, 0.01, 0.001)
_HELD_OUT = 0.2
_TIE = 1e-9
_NEWTON_UNKNOWNS = 2500
_NEWTON_STEPS = 50


@dataclass(frozen=True)
class LogHead:
    """A (R, N), V (M, R, K), b (K,), the objective, its value by iteration, the penalties.

    `path` holds A after every iteration that moved it.
    """

    coef: Array
    readout: Array
    intercept: Array
    value: float
    history: tuple[float, ...]
    alpha: float
    smooth: float
    path: tuple[Array, ...] = ()

    @property
    def flat(self) -> Array:
        """The readout as a matrix, (M*R, K)."""
        return self.readout.reshape(-1, self.readout.shape[2])


class LogProblem:
    """Weighted cross-entropy of rows whose squared-loss problem is known.

    Args:
        problem: the rows; its targets are not used.
        onehot: (n, K), or one column of 0 and 1.
    """

    def __init__(self, problem: RowProblem, onehot: Array) -> None:
        self.problem, self.onehot, self.share = problem, onehot, problem.share

    def loss(self, head: LogHead) -> float:
        """Return the weighted mean cross-entropy of a head, without penalty."""
        raw = self.problem.features(head.coef) @ head.flat + head.intercept
        return float(self.share @ cross_entropy(raw, self.onehot)[0])

    def floor(self, coef: Array) -> float:
        """Return the least alpha that this many rows support."""
        phi = self.problem.scaled(coef).rows
        size = float((phi**2).sum()) / self.problem.n_components
        return relative_floor(phi.shape[1], self.problem.weight_sum) * size

    def solve_readout(self, head: LogHead, *, max_iter: int) -> LogHead:
        """Minimise over readout and intercept: Newton, or L-BFGS where they are very many."""
        phi = self.problem.features(head.coef)
        if head.readout.size > _NEWTON_UNKNOWNS:
            return self._descend(head, phi, max_iter=max_iter)
        unknowns = np.vstack([head.flat, head.intercept])
        design = np.column_stack([phi, np.ones(len(phi))])
        if not self.problem.fit_intercept:
            design[:, -1] = 0.0
        penalty = self._penalty_of(head, phi.shape[1])
        value, gradient, slope = self._value(design, unknowns, penalty)
        for _ in range(_NEWTON_STEPS):
            step = self._newton_step(design, slope, penalty, gradient)
            length, decrease = 1.0, float((gradient * step).sum())
            while True:
                tried = unknowns - length * step
                new = self._value(design, tried, penalty)
                if new[0] <= value - 1e-4 * length * decrease or length < 1e-6:
                    break
                length /= 2
            if not new[0] < value:
                break
            gain = value - new[0]
            unknowns, (value, gradient, slope) = tried, new
            if gain <= 1e-15 * abs(value):
                break
        return replace(
            head,
            readout=unknowns[:-1].reshape(head.readout.shape),
            intercept=unknowns[-1],
            value=value,
        )

    def _penalty_of(self, head: LogHead, p: int) -> Array:
        """Return the quadratic penalty of (V, b), (p+1, p+1); b's is only there for rounding."""
        inner = penalty_matrix(head.coef.shape[1], head.alpha, head.smooth)
        out = np.zeros((p + 1, p + 1))
        out[:p, :p] = add_penalty(np.zeros((p, p)), head.coef @ inner @ head.coef.T)
        out[p, p] = 1e-12
        return out

    def _value(self, design: Array, unknowns: Array, penalty: Array) -> tuple[float, Array, Array]:
        """Return the objective, its gradient (p+1, K) and the residuals p - y (n, K)."""
        losses, slope = cross_entropy(design @ unknowns, self.onehot)
        pull = penalty @ unknowns
        gradient = design.T @ (slope * self.share[:, None]) + 2 * pull
        return float(self.share @ losses + (unknowns * pull).sum()), gradient, slope

    def _newton_step(self, design: Array, slope: Array, penalty: Array, gradient: Array) -> Array:
        """Solve the Newton system; softmax's blocks are diag(p) - p p^T."""
        size, outputs = gradient.shape
        chance = slope + self.onehot
        system = np.empty((outputs, size, outputs, size))
        for k in range(outputs):
            for q in range(k, outputs):
                # one column is a logistic function, whose curvature has the same form
                curve = chance[:, k] * ((k == q) - chance[:, q]) * self.share
                block = (design * curve[:, None]).T @ design
                if k == q:
                    block += 2 * penalty
                system[k, :, q] = block
                system[q, :, k] = block.T
        whole = system.reshape(outputs * size, outputs * size)
        whole.ravel()[:: len(whole) + 1] += 1e-12 * np.trace(whole) / len(whole)
        right = gradient.T.ravel()
        try:
            step = cho_solve(cho_factor(whole, lower=True), right)
        except LinAlgError:
            step = np.linalg.lstsq(whole, right, rcond=None)[0]
        return step.reshape(outputs, size).T

    def move_all(self, head: LogHead, *, max_iter: int, tol: float) -> LogHead:
        """Minimise over activation, readout and intercept by L-BFGS."""
        return self._descend(head, None, max_iter=max_iter, tol=tol)

    def _descend(
        self, head: LogHead, phi: Array | None, *, max_iter: int, tol: float = 1e-9
    ) -> LogHead:
        """L-BFGS in coordinates that make the readout round; `phi` given: activation fixed."""
        shape, count = head.readout.shape, head.readout.size
        penalty = penalty_matrix(head.coef.shape[1], head.alpha, head.smooth)
        first = self.problem.features(head.coef) if phi is None else phi
        lower = _preconditioner(first, self.share, head.coef @ penalty @ head.coef.T)

        def split(x: Array) -> tuple[Array, Array, Array]:
            a = head.coef if phi is not None else x[count + shape[2] :].reshape(head.coef.shape)
            white = x[:count].reshape(-1, shape[2])
            flat = solve_triangular(lower, white, lower=True, trans=1)
            return a, flat.reshape(shape), x[count : count + shape[2]]

        def value(x: Array) -> tuple[float, Array]:
            a, v, b = split(x)
            features = self.problem.features(a) if phi is None else phi
            losses, slope = cross_entropy(features @ v.reshape(-1, shape[2]) + b, self.onehot)
            slope = slope * self.share[:, None]
            pull = np.einsum("rq,mqk->mrk", a @ penalty @ a.T, v).reshape(-1, shape[2])
            down = solve_triangular(lower, features.T @ slope + 2 * pull, lower=True)
            parts = [down.ravel(), slope.sum(axis=0) * self.problem.fit_intercept]
            if phi is None:
                size = np.einsum("mrk,mqk->rq", v, v)
                parts.append((self.problem.adjoint(slope, v) + 2 * size @ a @ penalty).ravel())
            total = self.share @ losses + readout_penalty(a, v, head.alpha, head.smooth)
            return float(total), np.concatenate(parts)

        begin = [(lower.T @ head.flat).ravel(), head.intercept]
        x0 = np.concatenate([*begin, head.coef.ravel()] if phi is None else begin)
        history, path = [value(x0)[0]], []

        def follow(intermediate_result: Any) -> None:
            history.append(float(intermediate_result.fun))
            if phi is None:
                path.append(split(intermediate_result.x)[0].copy())
            if history[-2] - history[-1] <= tol * abs(history[-2]):
                raise StopIteration

        out = minimize(
            value,
            x0,
            jac=True,
            method="L-BFGS-B",
            callback=follow,
            options={"maxiter": max_iter, "ftol": 0.0, "gtol": 0.0, "maxcor": 20},
        )
        a, v, b = split(out.x)
        moved = replace(head, coef=a, readout=v, intercept=b, value=float(out.fun))
        return replace(moved, history=tuple(history), path=(*head.path, *path))


def _preconditioner(phi: Array, share: Array, inner: Array) -> Array:
    """Return the Cholesky factor of a quarter of the Gram matrix plus the penalty."""
    d = phi - share @ phi
    gram = add_penalty((d * share[:, None]).T @ d / 4, inner)
    trace = float(np.trace(gram)) / len(gram)
    for lift in (1e-9, 1e-6, 1e-3):
        try:
            return cholesky(gram + (lift * trace + 1e-300) * np.eye(len(gram)), lower=True)
        except LinAlgError:
            continue
    return np.eye(len(gram))


def held_out(X: Array, seed: int) -> NDArray[np.bool_]:
    """Return a seeded fifth of the rows, decided by each row's content.

    Equal rows fall on the same side, so that a row of weight two counts as the row given twice.
    """
    key = seed.to_bytes(8, "big")
    limit = int(_HELD_OUT * 2**64)
    rows = np.ascontiguousarray(X)
    marks = (blake2b(row.tobytes(), digest_size=8, key=key).digest() for row in rows)
    return np.array([int.from_bytes(mark, "big") < limit for mark in marks], dtype=bool)


def fit_log_head(
    make: Callable[[NDArray[np.bool_] | None], LogProblem],
    X: Array,
    start: LogHead,
    *,
    select: bool,
    seed: int,
    max_iter: int,
    tol: float,
    move_activation: bool = True,
) -> LogHead:
    """Fit activation, readout and intercept by cross-entropy.

    Args:
        make: returns the log problem of the marked rows (None: all).
        X: the rows, for the split.
        start: the squared-loss fit.
        select: choose the factor of alpha on the held-out rows.
        seed: of the split.
        max_iter: L-BFGS iterations.
        tol: relative decrease at which they stop.
        move_activation: learn the activation too.
    """
    whole = make(None)
    if select:
        out = held_out(X, seed)
        if 0 < out.sum() < len(out):
            floor = whole.floor(start.coef)
            start = _best_penalty(make(~out), make(out), start, floor, max_iter)
    head = whole.solve_readout(start, max_iter=max_iter)
    if not move_activation:
        return replace(_centred(head), history=(head.value,))
    head = whole.move_all(head, max_iter=max_iter, tol=tol)
    end = whole.solve_readout(head, max_iter=max_iter)
    if end.value < head.value:
        head = replace(end, history=(*head.history, end.value))
    return _centred(head)


def _centred(head: LogHead) -> LogHead:
    """Return the head whose intercepts sum to zero: softmax does not see their mean."""
    if head.intercept.size == 1:
        return head
    return replace(head, intercept=head.intercept - head.intercept.mean())


def _best_penalty(
    train: LogProblem, test: LogProblem, start: LogHead, floor: float, max_iter: int
) -> LogHead:
    """Return the start with the penalties of least held-out loss; ties go to the larger."""
    head, best, kept = start, np.inf, start
    for factor in FACTORS:
        if factor < 1 and start.alpha * factor < floor:
            break
        head = replace(head, alpha=start.alpha * factor, smooth=start.smooth * factor)
        head = train.solve_readout(head, max_iter=max_iter)
        loss = test.loss(head)
        if loss < best * (1 - _TIE):
            best = loss
            kept = replace(start, alpha=head.alpha, smooth=head.smooth)
    return kept
