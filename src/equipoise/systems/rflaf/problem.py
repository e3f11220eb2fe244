"""What a fitting problem answers, from rows (`row_problem`) or lifted moments (`lifted_problem`).

Both answer the same questions about the objective J of a set of activations A (R, N): its least
value over the readout and the gradient of that (`evaluate`), the moments that Newton's method and
the alternating solver need (`curvature`), and the ridge path over alpha (`path`).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from equipoise.systems.rflaf.objective import Array, Basis
from equipoise.systems.rflaf.ridge import (
    RidgePath,
    path_of_gram,
    penalty_matrix,
)

CHUNK_BYTES = 300 * 2**20
LIFTED_LIMIT = 6000


@dataclass(frozen=True)
class Evaluation:
    """J*(A) with its gradient (R, N) and the readout (M, R, K) that attains it."""

    value: float
    gradient: Array
    readout: Array


@dataclass(frozen=True)
class Curvature:
    """Moments at (A, V), all weighted means of centred quantities.

    Psi[n, k, (r, i)] = sum_m V[m, r, k] B_i(z_nm) is the design of the activation.

    Attributes:
        design_gram: Psi^T Psi, (R*N, R*N).
        design_target: Psi^T y, (R*N,).
        error: residuals against every lifted feature, (M, N, K).
        feature_design: features against Psi, (M, R, K, R, N).
    """

    design_gram: Array
    design_target: Array
    error: Array
    feature_design: Array


@dataclass(frozen=True)
class FeatureMoments:
    """Weighted moments of the features at A: all that the readout and its posterior need.

    Attributes:
        gram: of the centred features, (p, p) with p = M*R.
        cross: centred features against centred targets, (p, K).
        mean: of the features, (p,); zeros without an intercept.
        target_mean: (K,).
        square: mean square of the centred targets, (K,).
        weight_sum: S.
    """

    gram: Array
    cross: Array
    mean: Array
    target_mean: Array
    square: Array
    weight_sum: float


class Problem(Protocol):
    """What a solver needs to know of the data."""

    basis: Basis
    n_components: int
    n_outputs: int
    weight_sum: float

    def evaluate(self, a: Array, alpha: float, smooth: float) -> Evaluation:
        """Return J*(A), its gradient and the readout."""
        ...

    def curvature(self, a: Array, readout: Array) -> Curvature:
        """Return the second moments at (A, V)."""
        ...

    def path(self, a: Array, ratio: float, *, keep_rows: bool = False) -> RidgePath:
        """Return the ridge path at A, with smooth = ratio * alpha."""
        ...

    def lifted_ridge(self, alpha: float | None) -> Array | None:
        """Return the lifted ridge solution Theta (M*K, N), or None where it is too large."""
        ...

    def intercept(self, a: Array, readout: Array) -> Array:
        """Return b (K,)."""
        ...

    def moments(self, a: Array) -> FeatureMoments:
        """Return the moments of the features at A."""
        ...

    def objective(self, a: Array, readout: Array, alpha: float, smooth: float) -> float:
        """Return J at (A, V), the intercept at its best."""
        ...


def path_of_moments(moments: FeatureMoments, unit_penalty: Array, *, intercept: bool) -> RidgePath:
    """Return the ridge path of features known by their moments."""
    return path_of_gram(
        moments.gram,
        moments.cross,
        float(moments.square.sum()),
        unit_penalty,
        moments.weight_sum,
        intercept=intercept,
        level=float(np.trace(moments.gram) + moments.mean @ moments.mean) / len(moments.mean),
    )


def objective_gradient(a: Array, moment: Array, readout: Array, penalty: Array) -> Array:
    """Return dJ*/dA by the envelope theorem, (R, N).

    `moment[r, i]` is the weighted mean of sum_k residual_k sum_m V[m,r,k] B_i(z_m).
    """
    size = np.einsum("mrk,mqk->rq", readout, readout)
    return -2 * moment + 2 * size @ a @ penalty


def readout_penalty(a: Array, readout: Array, alpha: float, smooth: float) -> float:
    """Return sum over units and outputs of theta^T P theta, theta = V[m, :, k] A."""
    size = np.einsum("mrk,mqk->rq", readout, readout)
    inner = a @ penalty_matrix(a.shape[1], alpha, smooth) @ a.T
    return float((size * inner).sum())


def lifted_alpha(alpha: float | None, trace: float, size: int) -> float:
    """Return the lifted ridge's penalty: the one asked for, or a small share of the trace."""
    relative = trace / size
    return max(1e-4 * relative if alpha is None else alpha, 1e-12 * relative, 1e-300)
