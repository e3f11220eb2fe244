"""The fitting problem from lifted moments alone: no rows are needed any more."""

import numpy as np

from equipoise.systems.rflaf.objective import Array, Basis
from equipoise.systems.rflaf.problem import (
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
    penalty_matrix,
    solve_gram,
)


class LiftedProblem:
    """The problem from lifted statistics: no row is looked at.

    Args:
        gram: sum w b b^T, (M*N, M*N), index m*N + i.
        cross: sum w b y^T, (M*N, K).
        feature_sum: sum w b, (M*N,).
        target_sum: sum w y, (K,).
        target_square_sum: sum w y^2, (K,).
        weight_sum: sum w.
        basis: the N functions.
        fit_intercept: whether features and targets are centred.
    """

    def __init__(
        self,
        gram: Array,
        cross: Array,
        feature_sum: Array,
        target_sum: Array,
        target_square_sum: Array,
        weight_sum: float,
        basis: Basis,
        *,
        fit_intercept: bool = True,
    ) -> None:
        n_basis, s = basis.size, weight_sum
        m = gram.shape[0] // n_basis
        self.basis, self.n_components, self.n_outputs = basis, m, cross.shape[1]
        self.weight_sum, self.fit_intercept = s, fit_intercept
        self._mean = feature_sum.reshape(m, n_basis).T / s
        self._target_mean = target_sum / s if fit_intercept else np.zeros(self.n_outputs)
        # functions before units: contractions over either end are then plain matrix products
        self._gram = np.ascontiguousarray(
            gram.reshape(m, n_basis, m, n_basis).transpose(1, 0, 3, 2)
        )
        self._gram /= s
        self._cross = cross.reshape(m, n_basis, -1).transpose(1, 0, 2) / s
        square = target_square_sum / s
        if fit_intercept:
            flat = self._mean.ravel()
            view = self._gram.reshape(flat.size, flat.size)
            for start in range(0, flat.size, 256):
                view[start : start + 256] -= flat[start : start + 256, None] * flat
            self._cross = self._cross - self._mean[:, :, None] * self._target_mean
            square = square - self._target_mean**2
        self._square = np.maximum(square, 0.0)
        self.square = float(self._square.sum())
        self._half: tuple[bytes, Array] | None = None

    def _half_product(self, a: Array) -> Array:
        """Return sum_i A[r,i] G[i,m,j,m'], (R, M, N, M), remembering the last one."""
        key = a.tobytes()
        if self._half is None or self._half[0] != key:
            m, n_basis = self.n_components, self.basis.size
            product = a @ self._gram.reshape(n_basis, -1)
            self._half = (key, product.reshape(a.shape[0], m, n_basis, m))
        return self._half[1]

    def moments(self, a: Array) -> FeatureMoments:
        """Return the moments of the features at A."""
        rank, m = a.shape[0], self.n_components
        half = self._half_product(a).reshape(rank * m, self.basis.size, m)
        gram = np.matmul(a, half).reshape(rank, m, rank, m)
        gram = gram.transpose(1, 0, 3, 2).reshape(m * rank, m * rank)
        cross = np.tensordot(self._cross, a, axes=(0, 1)).transpose(0, 2, 1)
        mean = (self._mean.T @ a.T).ravel() * self.fit_intercept
        return FeatureMoments(
            (gram + gram.T) / 2,
            cross.reshape(m * rank, -1),
            mean,
            self._target_mean,
            self._square,
            self.weight_sum,
        )

    def objective(self, a: Array, readout: Array, alpha: float, smooth: float) -> float:
        """Return J at (A, V), the intercept at its best."""
        flat = readout.reshape(-1, self.n_outputs)
        at = self.moments(a)
        fit = float((flat * (at.gram @ flat - 2 * at.cross)).sum())
        return self.square + fit + readout_penalty(a, readout, alpha, smooth)

    def _error(self, a: Array, readout: Array) -> Array:
        """Return the residuals against every lifted feature, (N, M, K)."""
        m, rank, outputs = readout.shape
        half = self._half_product(a).reshape(rank * m, -1)
        flat = readout.transpose(1, 0, 2).reshape(rank * m, outputs)
        return self._cross - (flat.T @ half).T.reshape(self.basis.size, m, outputs)

    def evaluate(self, a: Array, alpha: float, smooth: float) -> Evaluation:
        """Return J*(A), its gradient and the readout."""
        penalty = penalty_matrix(self.basis.size, alpha, smooth)
        at = self.moments(a)
        flat = solve_gram(at.gram, at.cross, a @ penalty @ a.T, alpha)
        readout = flat.reshape(self.n_components, a.shape[0], -1)
        moment = np.tensordot(readout, self._error(a, readout), axes=((0, 2), (1, 2)))
        gradient = objective_gradient(a, moment, readout, penalty)
        return Evaluation(self.square - float((at.cross * flat).sum()), gradient, readout)

    def curvature(self, a: Array, readout: Array) -> Curvature:
        """Return the second moments at (A, V)."""
        m, rank, outputs = readout.shape
        n_basis = self.basis.size
        half = self._half_product(a)
        flat = readout.reshape(m, rank * outputs)
        feature = (half.reshape(-1, m) @ flat).reshape(rank, m, n_basis, rank, outputs)
        whole = (self._gram.reshape(-1, m) @ flat).reshape(n_basis, m, n_basis, rank, outputs)
        gram = np.einsum("mrk,imjqk->riqj", readout, whole, optimize=True)
        target = np.einsum("mrk,imk->ri", readout, self._cross, optimize=True)
        return Curvature(
            design_gram=gram.reshape(rank * n_basis, rank * n_basis),
            design_target=target.ravel(),
            error=self._error(a, readout).transpose(1, 0, 2),
            feature_design=feature.transpose(1, 0, 4, 3, 2),
        )

    def path(self, a: Array, ratio: float, *, keep_rows: bool = False) -> RidgePath:
        """Return the ridge path at A, with smooth = ratio * alpha; rows cannot be kept."""
        del keep_rows
        inner = a @ penalty_matrix(self.basis.size, 1.0, ratio) @ a.T
        return path_of_moments(self.moments(a), inner, intercept=self.fit_intercept)

    def lifted_ridge(self, alpha: float | None) -> Array | None:
        """Return Theta (M*K, N) of the lifted ridge."""
        size = self.n_components * self.basis.size
        if size > LIFTED_LIMIT:
            return None
        gram = self._gram.reshape(size, size)
        ridge = lifted_alpha(alpha, float(np.trace(gram)), size)
        theta = solve_gram(gram, self._cross.reshape(size, -1), np.array([[ridge]]), ridge)
        shape = (self.basis.size, self.n_components, -1)
        return theta.reshape(shape).transpose(1, 2, 0).reshape(-1, self.basis.size)

    def intercept(self, a: Array, readout: Array) -> Array:
        """Return b (K,)."""
        if not self.fit_intercept:
            return np.zeros(self.n_outputs)
        mean = (self._mean.T @ a.T).ravel()
        return self._target_mean - mean @ readout.reshape(-1, self.n_outputs)
