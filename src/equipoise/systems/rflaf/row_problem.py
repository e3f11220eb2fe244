"""The fitting problem from rows, in bounded memory."""

import operator
from collections.abc import Iterable, Iterator
from functools import cached_property, reduce

import numpy as np
from scipy.sparse import csr_matrix

from equipoise.systems.rflaf.objective import Array, Basis
from equipoise.systems.rflaf.problem import (
    CHUNK_BYTES,
    LIFTED_LIMIT,
    Curvature,
    Evaluation,
    FeatureMoments,
    lifted_alpha,
    objective_gradient,
    path_of_moments,
    readout_penalty,
)
from equipoise.systems.rflaf.ridge import (
    RidgePath,
    path_of_rows,
    penalty_matrix,
    solve_gram,
    solve_rows,
)
from equipoise.systems.rflaf.table import Interpolation

_SPECTRAL_ROWS = 1000
_PART_POINTS = 1 << 20
_DENSE_VALUES = 1 << 22


class PointBlock:
    """Some rows' points: J rows of an interpolation's table for each, and their weights."""

    def __init__(self, z: Array, way: Interpolation) -> None:
        self.shape = n, m = z.shape
        self.table, self.per_point = way.table, way.per_point
        # parts with memory of their own: SciPy copies views of larger arrays
        step = max(1, _PART_POINTS // m)
        parts = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        self._kept = [(part, *way.entries(z[part].ravel())) for part in parts]

    @cached_property
    def dense(self) -> Array | None:
        """All B_i(z_m), (n, M, N), where they are few: sums over a table cost more then."""
        n, m = self.shape
        if n * m * self.table.shape[1] > _DENSE_VALUES:
            return None
        out = np.empty((n, m, self.table.shape[1]))
        for part, matrix in self._parts(1):
            out[part] = (matrix @ self.table).reshape(-1, m, out.shape[2])
        return out

    def _parts(self, per_row: int) -> Iterator[tuple[slice, csr_matrix]]:
        """Yield slices of rows, and a sparse matrix whose rows are `per_row` points each."""
        for part, number, weights in self._kept:
            first = np.arange(0, number.size + 1, per_row * self.per_point, dtype=np.int32)
            shape = (first.size - 1, len(self.table))
            yield part, csr_matrix((weights, number, first), shape=shape, copy=False)

    def values(self, a: Array, out: Array | None = None) -> Array:
        """Return the features sigma_r(z_m), (n, M*R), written to `out` where it is given."""
        n, m = self.shape
        node = self.table @ a.T
        if out is None:
            out = np.empty((n, m * a.shape[0]))
        for part, matrix in self._parts(1):
            out[part] = _times(matrix, node).reshape(-1, out.shape[1])
        return out

    def adjoint(self, u: Array) -> Array:
        """Return sum over points of u (n, M*R) times B_i, (R, N)."""
        rank = u.shape[1] // self.shape[1]
        sums = (_times(matrix.T, u[part].reshape(-1, rank)) for part, matrix in self._parts(1))
        return _sum(sums).T @ self.table

    def design(self, readout: Array) -> Array:
        """Return Psi, (n, K, R, N)."""
        n, m = self.shape
        out = np.empty((n, readout.shape[2], readout.shape[1], self.table.shape[1]))
        if self.dense is not None:
            flat = readout.transpose(2, 1, 0).reshape(-1, m)
            return np.matmul(flat, self.dense).reshape(out.shape)
        for part, matrix in self._parts(m):
            weights = matrix.data.reshape(-1, m, self.per_point)
            for k in range(out.shape[1]):
                for r in range(out.shape[2]):
                    matrix.data = (weights * readout[:, r, k, None]).ravel()
                    out[part, k, r] = matrix @ self.table
        return out

    def lifted(self, u: Array) -> Array:
        """Return sum over rows of B_i(z_m) u_k, (M, N, K)."""
        m, outputs, size = self.shape[1], u.shape[1], len(self.table)
        if self.dense is not None:
            summed = u.T @ self.dense.reshape(len(u), -1)
            return summed.reshape(outputs, m, -1).transpose(1, 2, 0)
        sums = np.zeros((m * size, outputs))
        place = np.repeat(np.arange(m, dtype=np.int32) * np.int32(size), self.per_point)
        for part, matrix in self._parts(m):
            number = (matrix.indices.reshape(-1, place.size) + place).ravel()
            shape = (number.size // place.size, m * size)
            apart = csr_matrix((matrix.data, number, matrix.indptr), shape=shape, copy=False)
            sums += _times(apart.T, u[part])
        by_output = sums.reshape(m, size, outputs).transpose(0, 2, 1)
        return (by_output @ self.table).transpose(0, 2, 1)


def _sum(terms: Iterable[Array]) -> Array:
    """Return the sum of arrays, made in the first one's place."""
    return reduce(operator.iadd, terms)


def _times(matrix: csr_matrix, dense: Array) -> Array:
    if dense.shape[1] == 1:  # the product with a vector is the faster one
        return (matrix @ np.ascontiguousarray(dense[:, 0]))[:, None]
    return matrix @ dense


class FeatureRows:
    """The features at one A: centred and scaled rows (n, M*R), their mean, and products of them."""

    def __init__(self, rows: Array, mean: Array, targets: Array) -> None:
        self.rows, self.mean, self.targets = rows, mean, targets

    @cached_property
    def gram(self) -> Array:
        """Second moments of the features, (M*R, M*R)."""
        return self.rows.T @ self.rows

    @cached_property
    def cross(self) -> Array:
        """Features against targets, (M*R, K)."""
        return self.rows.T @ self.targets

    @property
    def wide(self) -> bool:
        """Whether there are fewer rows than features."""
        return self.rows.shape[0] < self.rows.shape[1]

    def solve(self, penalty: Array, alpha: float) -> Array:
        """Return the readout (M*R, K) under a penalty (R, R) of each unit."""
        if self.wide:
            return solve_rows(self.rows, self.targets, penalty, alpha)
        return solve_gram(self.gram, self.cross, penalty, alpha)


class RowProblem:
    """The problem from rows; the basis is applied block by block and kept where it fits.

    Args:
        rows: (n, d) scaled rows, or the pre-activations (n, M) where `weights` is None.
        weights: W (d, M) or None.
        y: (n, K).
        sample_weight: (n,), all > 0.
        basis: the N functions.
        fit_intercept: whether features and targets are centred.
        exact: evaluate the basis itself instead of interpolating it.
        chunk_bytes: bound on the basis values held at one time.
    """

    def __init__(
        self,
        rows: Array,
        weights: Array | None,
        y: Array,
        sample_weight: Array,
        basis: Basis,
        *,
        fit_intercept: bool = True,
        exact: bool = False,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.rows, self.weights, self.y, self.basis = rows, weights, y, basis
        self.n_components = rows.shape[1] if weights is None else weights.shape[1]
        self.n_outputs = y.shape[1]
        self.weight_sum = float(sample_weight.sum())
        self.share = sample_weight / self.weight_sum
        self.fit_intercept = fit_intercept
        self.target_mean = self.share @ y if fit_intercept else np.zeros(y.shape[1])
        self.root = np.sqrt(self.share)
        self.targets = (y - self.target_mean) * self.root[:, None]
        self._way = Interpolation(basis, exact=exact)
        self._chunk_bytes = chunk_bytes
        each = self.n_components * 12 * self._way.per_point
        self._step = max(1, min(len(rows), chunk_bytes // each))
        self._kept: PointBlock | None = None
        self._last: tuple[bytes, FeatureRows] | None = None

    def z(self, part: slice) -> Array:
        """Return the pre-activations of some rows."""
        return self.rows[part] if self.weights is None else self.rows[part] @ self.weights

    def blocks(self) -> Iterator[tuple[slice, PointBlock]]:
        """Yield slices of rows with their basis values."""
        n = len(self.rows)
        if self._kept is not None:
            yield slice(0, n), self._kept
            return
        # a block that has to be made again in each pass is kept small enough for the caches
        step = n if self._step >= n else max(1, self._step // 16)
        for start in range(0, n, step):
            part = slice(start, min(start + step, n))
            block = PointBlock(self.z(part), self._way)
            if step >= n:
                self._kept = block
            yield part, block

    def release(self) -> None:
        """Give back what is kept between passes."""
        self._kept = self._last = None

    def features(self, a: Array) -> Array:
        """Return Phi, (n, M*R), feature m*R + r."""
        out = np.empty((len(self.rows), self.n_components * a.shape[0]))
        for part, block in self.blocks():
            block.values(a, out[part])
        return out

    def scaled(self, a: Array) -> FeatureRows:
        """Return centred features times sqrt(w/S); those of the last A are remembered."""
        key, last = a.tobytes(), self._last
        if last is not None and last[0] == key:
            return last[1]
        self._last = None
        phi = self.features(a)
        mean = self.share @ phi if self.fit_intercept else np.zeros(phi.shape[1])
        phi -= mean
        phi *= self.root[:, None]
        made = FeatureRows(phi, mean, self.targets)
        self._last = (key, made)
        return made

    def adjoint(self, slope: Array, readout: Array) -> Array:
        """Return sum_n sum_k slope[n,k] sum_m V[m,r,k] B_i(z_nm), (R, N)."""
        m, rank, outputs = readout.shape
        flat = readout.reshape(m * rank, outputs).T
        out = np.zeros((rank, self.basis.size))
        for part, block in self.blocks():
            out += block.adjoint(slope[part] @ flat)
        return out

    def evaluate(self, a: Array, alpha: float, smooth: float) -> Evaluation:
        """Return J*(A), its gradient and the readout."""
        penalty = penalty_matrix(self.basis.size, alpha, smooth)
        at = self.scaled(a)
        flat = at.solve(a @ penalty @ a.T, alpha)
        residual = self.targets - at.rows @ flat
        readout = flat.reshape(self.n_components, a.shape[0], -1)
        size = readout_penalty(a, readout, alpha, smooth)
        moment = self.adjoint(residual * self.root[:, None], readout)
        gradient = objective_gradient(a, moment, readout, penalty)
        return Evaluation(float((residual**2).sum() + size), gradient, readout)

    def curvature(self, a: Array, readout: Array) -> Curvature:
        """Return the second moments at (A, V)."""
        m, rank, outputs = readout.shape
        phi = self.scaled(a).rows
        residual = self.targets - phi @ readout.reshape(m * rank, outputs)
        slope = residual * self.root[:, None]
        design = np.empty((len(phi), outputs, rank, self.basis.size))
        error = np.zeros((m, self.basis.size, outputs))
        for part, block in self.blocks():
            design[part] = block.design(readout)
            error += block.lifted(slope[part])
        if self.fit_intercept:
            design -= np.tensordot(self.share, design, axes=1)
        design *= self.root[:, None, None, None]
        flat = design.reshape(len(phi) * outputs, -1)
        return Curvature(
            design_gram=flat.T @ flat,
            design_target=flat.T @ self.targets.ravel(),
            error=error,
            feature_design=(phi.T @ design.reshape(len(phi), -1)).reshape(
                m, rank, outputs, rank, self.basis.size
            ),
        )

    def path(self, a: Array, ratio: float, *, keep_rows: bool = False) -> RidgePath:
        """Return the ridge path at A, with smooth = ratio * alpha."""
        inner = a @ penalty_matrix(self.basis.size, 1.0, ratio) @ a.T
        at = self.scaled(a)
        if not (keep_rows or at.wide):
            return path_of_moments(self.moments(a), inner, intercept=self.fit_intercept)
        return path_of_rows(
            at.rows,
            self.targets,
            inner,
            self.weight_sum,
            self.share if self.fit_intercept else None,
            keep_rows=keep_rows,
            level=float((at.rows**2).sum() + at.mean @ at.mean) / at.mean.size,
        )

    def lifted_ridge(self, alpha: float | None) -> Array | None:
        """Return Theta (M*K, N) of the lifted ridge on at most 1000 evenly spaced rows."""
        m, n_basis = self.n_components, self.basis.size
        if m * n_basis > LIFTED_LIMIT:
            return None
        part = slice(None, None, -(-len(self.rows) // _SPECTRAL_ROWS))
        lifted = self.basis.values(self.z(part)).reshape(-1, m * n_basis)
        share = self.share[part] / self.share[part].sum()
        targets = self.y[part]
        if self.fit_intercept:
            lifted -= share @ lifted
            targets = targets - share @ targets
        root = np.sqrt(share)[:, None]
        lifted *= root
        ridge = lifted_alpha(alpha, float((lifted**2).sum()), m * n_basis)
        theta = solve_rows(lifted, targets * root, np.array([[ridge]]), ridge)
        return theta.reshape(m, n_basis, -1).transpose(0, 2, 1).reshape(-1, n_basis)

    def intercept(self, a: Array, readout: Array) -> Array:
        """Return b (K,)."""
        if not self.fit_intercept:
            return np.zeros(self.n_outputs)
        return self.target_mean - self.scaled(a).mean @ readout.reshape(-1, self.n_outputs)

    def moments(self, a: Array) -> FeatureMoments:
        """Return the moments of the features at A."""
        at = self.scaled(a)
        square = (self.targets**2).sum(axis=0)
        return FeatureMoments(at.gram, at.cross, at.mean, self.target_mean, square, self.weight_sum)

    def objective(self, a: Array, readout: Array, alpha: float, smooth: float) -> float:
        """Return J at (A, V), the intercept at its best."""
        residual = self.targets - self.scaled(a).rows @ readout.reshape(-1, self.n_outputs)
        return float((residual**2).sum()) + readout_penalty(a, readout, alpha, smooth)
