"""The fitting problem from rows, in bounded memory."""

import operator
from collections.abc import Iterable, Iterator
from functools import reduce

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
    readout_penalty,
)
from equipoise.systems.rflaf.ridge import (
    RidgePath,
    path_of_rows,
    penalty_matrix,
    solve_rows,
)
from equipoise.systems.rflaf.table import Interpolation

_SPECTRAL_ROWS = 1000


class PointBlock:
    """Some rows' points: the cell and the weights of each in an interpolation."""

    def __init__(self, z: Array, way: Interpolation) -> None:
        self.shape = z.shape
        self.cell, self.weights = way.entries(z.ravel())
        self.nodes = way.nodes

    def _matrices(
        self, data: list[Array], number: Array, per_row: int, columns: int
    ) -> list[csr_matrix]:
        """Return one sparse matrix for each weight; they share their places."""
        start = np.arange(0, number.size + 1, per_row, dtype=np.int32)
        shape = (start.size - 1, columns)
        return [csr_matrix((one, number, start), shape=shape, copy=False) for one in data]

    def points(self) -> list[csr_matrix]:
        """Return the matrices from cells to points, each (n*M, C)."""
        return self._matrices(self.weights, self.cell, 1, self.nodes.shape[1])

    def values(self, a: Array) -> Array:
        """Return the features sigma_r(z_m), (n, M*R)."""
        terms = zip(self.points(), self.nodes @ a.T, strict=True)
        return _sum(_times(matrix, node) for matrix, node in terms).reshape(self.shape[0], -1)

    def adjoint(self, u: Array) -> Array:
        """Return sum over points of u (n*M, R) times B_i, (R, N)."""
        terms = zip(self.points(), self.nodes, strict=True)
        return _sum(_times(matrix.T, u).T @ node for matrix, node in terms)

    def design(self, readout: Array) -> Array:
        """Return Psi, (n, K, R, N)."""
        n, m = self.shape
        out = np.empty((n, readout.shape[2], readout.shape[1], self.nodes.shape[2]))
        for k in range(out.shape[1]):
            for r in range(out.shape[2]):
                data = [(w.reshape(n, m) * readout[:, r, k]).ravel() for w in self.weights]
                matrices = self._matrices(data, self.cell, m, self.nodes.shape[1])
                terms = zip(matrices, self.nodes, strict=True)
                out[:, k, r] = _sum(matrix @ node for matrix, node in terms)
        return out

    def lifted(self, u: Array) -> Array:
        """Return sum over rows of B_i(z_m) u_k, (M, N, K)."""
        n, m = self.shape
        cells = self.nodes.shape[1]
        place = np.arange(m, dtype=np.int32) * np.int32(cells)
        number = (self.cell.reshape(n, m) + place).ravel()
        matrices = self._matrices(self.weights, number, m, m * cells)
        outputs = u.shape[1]
        sums = (
            _times(matrix.T, u).reshape(m, cells, outputs).transpose(0, 2, 1) @ node
            for matrix, node in zip(matrices, self.nodes, strict=True)
        )
        return _sum(sums).transpose(0, 2, 1)


def _sum(terms: Iterable[Array]) -> Array:
    """Return the sum of arrays, made in the first one's place."""
    return reduce(operator.iadd, terms)


def _times(matrix: csr_matrix, dense: Array) -> Array:
    if dense.shape[1] == 1:  # the product with a vector is the faster one
        return (matrix @ np.ascontiguousarray(dense[:, 0]))[:, None]
    return matrix @ dense


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
        each = self.n_components * (8 * self._way.per_point + 4)
        self._step = max(1, min(len(rows), chunk_bytes // each))
        self._kept: PointBlock | None = None

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

    def features(self, a: Array) -> Array:
        """Return Phi, (n, M*R), feature m*R + r."""
        out = np.empty((len(self.rows), self.n_components * a.shape[0]))
        for part, block in self.blocks():
            out[part] = block.values(a)
        return out

    def scaled(self, a: Array) -> Array:
        """Return centred features times sqrt(w/S)."""
        return self._centred(self.features(a))

    def _centred(self, phi: Array) -> Array:
        if self.fit_intercept:
            phi -= self.share @ phi
        phi *= self.root[:, None]
        return phi

    def adjoint(self, slope: Array, readout: Array) -> Array:
        """Return sum_n sum_k slope[n,k] sum_m V[m,r,k] B_i(z_nm), (R, N)."""
        m, rank, outputs = readout.shape
        flat = readout.reshape(m * rank, outputs).T
        out = np.zeros((rank, self.basis.size))
        for part, block in self.blocks():
            out += block.adjoint((slope[part] @ flat).reshape(-1, rank))
        return out

    def evaluate(self, a: Array, alpha: float, smooth: float) -> Evaluation:
        """Return J*(A), its gradient and the readout."""
        penalty = penalty_matrix(self.basis.size, alpha, smooth)
        phi = self.scaled(a)
        flat = solve_rows(phi, self.targets, a @ penalty @ a.T, alpha)
        residual = self.targets - phi @ flat
        readout = flat.reshape(self.n_components, a.shape[0], -1)
        size = readout_penalty(a, readout, alpha, smooth)
        moment = self.adjoint(residual * self.root[:, None], readout)
        gradient = objective_gradient(a, moment, readout, penalty)
        return Evaluation(float((residual**2).sum() + size), gradient, readout)

    def curvature(self, a: Array, readout: Array) -> Curvature:
        """Return the second moments at (A, V)."""
        m, rank, outputs = readout.shape
        phi = self.scaled(a)
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
        share = self.share if self.fit_intercept else None
        phi = self.features(a)
        level = float(self.share @ (phi**2).mean(axis=1))
        return path_of_rows(
            self._centred(phi),
            self.targets,
            inner,
            self.weight_sum,
            share,
            keep_rows=keep_rows,
            level=level,
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
        mean = self.share @ self.features(a)
        return self.target_mean - mean @ readout.reshape(-1, self.n_outputs)

    def moments(self, a: Array) -> FeatureMoments:
        """Return the moments of the features at A."""
        phi = self.features(a)
        mean = self.share @ phi if self.fit_intercept else np.zeros(phi.shape[1])
        phi -= mean
        phi *= self.root[:, None]
        square = (self.targets**2).sum(axis=0)
        cross = phi.T @ self.targets
        return FeatureMoments(phi.T @ phi, cross, mean, self.target_mean, square, self.weight_sum)

    def objective(self, a: Array, readout: Array, alpha: float, smooth: float) -> float:
        """Return J at (A, V), the intercept at its best."""
        residual = self.targets - self.scaled(a) @ readout.reshape(-1, self.n_outputs)
        return float((residual**2).sum()) + readout_penalty(a, readout, alpha, smooth)
