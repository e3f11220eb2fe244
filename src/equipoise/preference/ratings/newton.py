"""Damped Newton on a graph: a weighted Laplacian with a few bordering rows, dense or sparse.

The parameters are K strengths, of which only differences inside a league count (the gauge), then
F >= 0 others (a tie parameter, coefficients of features). Up to `DENSE_LIMIT` strengths systems are
solved by Cholesky, above by conjugate gradients with the diagonal as preconditioner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs
from scipy.sparse import coo_array, csr_array

from equipoise.preference.ratings.tally import tally_both

Floats = NDArray[np.float64]
Gauge = NDArray[np.intp] | None  # league of each strength, or None where strengths are pinned

# LAPACK by itself: at a hundred models the checks of scipy.linalg.cho_factor cost more than it.
_potrf, _potri, _potrs = get_lapack_funcs(("potrf", "potri", "potrs"), dtype=np.float64)

DENSE_LIMIT = 2000
STEP = 1e-6  # once the equations hold, steps go on until they are this small; then one more
PROBES = 64  # random vectors for the diagonal of a covariance too large to form


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Gradient (P,) at one point and, on demand, the objective and minus the Hessian (P, P)."""

    gradient: Floats
    value: Callable[[], float]
    hessian: Callable[[], Any]

    @property
    def residual(self) -> float:
        """Largest absolute entry of the gradient."""
        return float(np.abs(self.gradient).max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where the search ended: the point, minus the Hessian there, and how well it holds."""

    point: Floats
    system: "DenseSystem | SparseSystem"
    residual: float
    iterations: int
    converged: bool


def assemble(
    k: int,
    pairs: NDArray[np.intp],
    weight: Floats,
    *,
    diagonal: Floats | None = None,
    border: Floats | None = None,
    corner: Floats | None = None,
) -> Any:
    """Return the symmetric (K+F, K+F) matrix [[L + diagonal, border], [border', corner]].

    L is the Laplacian of pairs (M, 2) with `weight` (M,); border is (K, F), corner (F, F). A NumPy
    array up to `DENSE_LIMIT` strengths, above a sparse one.
    """
    i, j = pairs.T
    degree = tally_both(pairs, weight, k)
    if diagonal is not None:
        degree = degree + diagonal
    f = 0 if border is None else border.shape[1]
    if k <= DENSE_LIMIT:
        matrix = np.zeros((k + f, k + f))
        matrix[i, j] = -weight
        matrix[j, i] = -weight
        matrix[np.arange(k), np.arange(k)] = degree
        if border is not None:
            matrix[:k, k:], matrix[k:, :k], matrix[k:, k:] = border, border.T, corner
        return matrix
    spots = np.arange(k)
    rows, columns, values = [i, j, spots], [j, i, spots], [-weight, -weight, degree]
    if border is not None and corner is not None:
        r, c = (x.ravel() for x in np.indices(border.shape))
        rows, columns = [*rows, r, k + c], [*columns, k + c, r]
        values = [*values, border.ravel(), border.ravel()]
        r, c = (x.ravel() for x in np.indices(corner.shape))
        rows, columns, values = [*rows, k + r], [*columns, k + c], [*values, corner.ravel()]
    shape = (k + f, k + f)
    place = (np.concatenate(rows), np.concatenate(columns))
    return csr_array(coo_array((np.concatenate(values), place), shape=shape))


def factorise(matrix: Any, k: int, gauge: Gauge) -> "DenseSystem | SparseSystem":
    """Return a solver of `matrix` x = b on the vectors whose strengths sum to 0 in each league."""
    if isinstance(matrix, np.ndarray):
        return DenseSystem(matrix, k, gauge)
    return SparseSystem(matrix, k, gauge)


class DenseSystem:
    """Cholesky factor of a symmetric matrix made regular along the gauge."""

    def __init__(self, matrix: Floats, k: int, gauge: Gauge) -> None:
        self.matrix, self.gauge = matrix, gauge
        regular, self._shift = matrix, None
        if gauge is not None and k:
            scale = float(matrix.diagonal()[:k].mean()) or 1.0
            constant = league_means(gauge)
            regular = matrix.copy()
            regular[:k, :k] += scale * constant
            self._shift = constant / scale
        self._factor = _cholesky(regular)

    def solve(self, rhs: Floats) -> Floats:
        """Return the solution for a right-hand side (P,) or (P, n)."""
        return _potrs(self._factor, rhs, lower=1)[0] if rhs.size else rhs

    def inverse(self) -> Floats:
        """Return the pseudo-inverse (P, P)."""
        if not len(self.matrix):
            return self.matrix
        lower = np.tril(_potri(self._factor, lower=1)[0])
        whole = lower + np.tril(lower, -1).T
        if self._shift is not None:
            k = len(self._shift)
            whole[:k, :k] -= self._shift
        return whole


def league_means(gauge: NDArray[np.intp]) -> Floats:
    """Return the (K, K) projection on vectors that are constant within each league."""
    if not gauge.any():
        return np.full((len(gauge), len(gauge)), 1.0 / max(1, len(gauge)))
    same = gauge[:, None] == gauge[None, :]
    return same / np.bincount(gauge)[gauge]


def _cholesky(matrix: Floats) -> Floats:
    """Factor a matrix; one that rounding made singular gets the smallest ridge that helps."""
    if not len(matrix):
        return matrix
    factor, failed = _potrf(matrix, lower=1, clean=0)
    size = max(float(matrix.diagonal().max()), 1e-300)
    ridge = 1e-14
    while failed and ridge < 1e-6:
        factor, failed = _potrf(matrix + ridge * size * np.eye(len(matrix)), lower=1, clean=0)
        ridge *= 100
    if failed:
        raise np.linalg.LinAlgError("the information matrix is not positive")
    return factor


class SparseSystem:
    """Conjugate gradients with the diagonal as preconditioner, many right-hand sides at once."""

    def __init__(self, matrix: Any, k: int, gauge: Gauge) -> None:
        self.matrix, self.gauge = matrix, gauge
        self._k = k
        diagonal = np.asarray(matrix.diagonal())
        self._inverse_diagonal = 1.0 / np.where(diagonal > 0, diagonal, 1.0)

    def project(self, x: Floats) -> Floats:
        """Return x (P, n) with the strengths of each league centred."""
        if self.gauge is None:
            return x
        centred = x.copy()
        if not self.gauge.any():
            centred[: self._k] -= x[: self._k].mean(axis=0)
            return centred
        size = np.bincount(self.gauge)[:, None]
        total = np.zeros((len(size), x.shape[1]))
        np.add.at(total, self.gauge, x[: self._k])
        centred[: self._k] -= (total / size)[self.gauge]
        return centred

    def solve(self, rhs: Floats) -> Floats:
        """Return the solution for a right-hand side (P,) or (P, n), to 1e-11 of its norm."""
        b = self.project(rhs.reshape(len(rhs), -1))
        scale = self._inverse_diagonal[:, None]
        x, r = np.zeros_like(b), b.copy()
        z = self.project(scale * r)
        p = z
        rz = (r * z).sum(0)
        goal = 1e-11 * np.sqrt((b * b).sum(0))
        for _ in range(10 * len(rhs)):
            if (np.sqrt((r * r).sum(0)) <= goal).all():
                break
            q = self.matrix @ p
            alpha = rz / np.maximum((p * q).sum(0), 1e-300)
            x += alpha * p
            r -= alpha * q
            z = self.project(scale * r)
            rz, old = (r * z).sum(0), rz
            p = z + rz / np.maximum(old, 1e-300) * p
        return x.reshape(rhs.shape)


def sandwich_product(
    system: SparseSystem, middle: Any | None, x: Floats, centred: int = 0
) -> Floats:
    """Return A+ V A+ x (A+ x where `middle` is None) for x (P, n).

    `centred` > 0 centres the first so many entries before and after: strengths that a prior pins
    and that are reported with mean 0.
    """

    def centre(y: Floats) -> Floats:
        if not centred:
            return y
        return np.concatenate([y[:centred] - y[:centred].mean(axis=0), y[centred:]])

    image = system.solve(centre(x))
    if middle is not None:
        image = system.solve(middle @ image)
    return centre(image)


def covariance_diagonal(system: SparseSystem, middle: Any | None, centred: int = 0) -> Floats:
    """Return the diagonal (P,) of what `sandwich_product` multiplies by, from random probes.

    Bekas, Kokiopoulou and Saad 2007: mean of v * (C v) over random signs v. Off the diagonal C is
    small, so `PROBES` vectors give standard errors to about 1 % on graphs of degree 50 and more.
    """
    rng = np.random.default_rng(0)
    probes = np.where(rng.random((system.matrix.shape[0], PROBES)) < 0.5, -1.0, 1.0)
    image = sandwich_product(system, middle, probes, centred)
    return np.maximum((probes * image).mean(axis=1), 0.0)


def maximise(
    evaluate: Callable[[Floats], Evaluation],
    start: Floats,
    k: int,
    gauge: Gauge,
    *,
    tolerance: float,
    max_iterations: int,
    warm: "DenseSystem | SparseSystem | None" = None,
) -> Maximum:
    """Climb a concave function from `start` by Newton steps, halved where they overshoot.

    Stops when no entry of the gradient exceeds `tolerance` (absolute) and steps have become
    negligible, or after `max_iterations` steps. `warm` is the factored Hessian of a point nearby:
    steps by it come first, for as long as they shrink the gradient tenfold.
    """
    point, here = start, evaluate(start)
    iterations = 0
    while warm is not None and iterations < min(3, max_iterations):
        candidate = point + warm.solve(here.gradient)
        there = evaluate(candidate)
        if not there.residual <= here.residual / 10:
            break
        point, here = candidate, there
        iterations += 1
    while True:
        system = factorise(here.hessian(), k, gauge)
        step = system.solve(here.gradient)
        holds = here.residual <= tolerance
        if holds and np.abs(step).max(initial=0.0) <= STEP:
            last = evaluate(point + step)  # quadratic convergence: exact to rounding from here
            if last.residual <= here.residual:
                point, here = point + step, last
            break
        if iterations >= max_iterations:
            break
        moved = _line_search(evaluate, point, here, step)
        if moved is None or (holds and moved[1].residual >= here.residual):
            break  # rounding: nothing is left to gain
        point, here = moved
        iterations += 1
    return Maximum(point, system, here.residual, iterations, here.residual <= tolerance)


def _line_search(
    evaluate: Callable[[Floats], Evaluation], point: Floats, here: Evaluation, step: Floats
) -> tuple[Floats, Evaluation] | None:
    """Return the first of step, step/2, ... that halves the gradient or does not lose height."""
    floor = None
    for halvings in range(50):
        candidate = point + step / 2.0**halvings
        there = evaluate(candidate)
        if there.residual <= here.residual / 2:
            return candidate, there
        if floor is None:
            height = here.value()
            floor = height - 1e-13 * (1.0 + abs(height))
        if there.value() >= floor and np.isfinite(there.gradient).all():
            return candidate, there
    return None
