"""Weighted ridge regression: the readout given the activation, GCV, leave-one-out errors.

Everywhere the objective is `(1/S) sum_i w_i |y_i - b - phi_i v|^2 + penalty`, S = sum w, with an
unpenalised intercept: features and targets are centred by their weighted means first. A scaled row
is a centred row times sqrt(w / S), so that Gram matrices of scaled rows are weighted means.

NumPy alone factors and multiplies here: SciPy brings threads of its own, and where calls alternate
the two pools wait for each other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.rflaf.objective import Array, need_finite

SMOOTH_RATIOS = (0.0, 0.01, 0.1, 1.0, 10.0, 100.0)
_MAX_DOF_SHARE = 0.9
_TIE = 1e-9
_LEAST = 1e-10


def penalty_matrix(n_basis: int, alpha: float, smooth: float) -> Array:
    """Return P = alpha I + smooth D^T D, D the second differences; D is empty for N < 3."""
    out = alpha * np.eye(n_basis)
    if n_basis >= 3 and smooth:
        d = np.diff(np.eye(n_basis), n=2, axis=0)
        out += smooth * (d.T @ d)
    return out


def solve_spd(matrix: Array, right: Array, alpha: float) -> Array:
    """Solve a symmetric positive (semi)definite system: Cholesky, else eigenvalues with a floor.

    Raises:
        RunFailed: the result is not finite; says alpha and the condition number.
    """
    if not np.isfinite(matrix).all():
        raise RunFailed(f"the readout's system is not finite at alpha = {alpha:g}; scale the data")
    out = solve_definite(matrix, right)
    if out is not None and np.isfinite(out).all():
        return out
    values, vectors = np.linalg.eigh(matrix)
    keep = values > values[-1] * matrix.shape[0] * np.finfo(float).eps
    inverse = np.where(keep, 1 / np.where(keep, values, 1.0), 0.0)
    out = vectors @ (inverse[:, None] * (vectors.T @ right))
    if not np.isfinite(out).all():
        condition = values[-1] / max(abs(values[0]), np.finfo(float).tiny)
        raise RunFailed(
            f"the readout cannot be solved at alpha = {alpha:g} (condition number "
            f"{condition:.1e}); use a larger alpha"
        )
    return out


def solve_definite(matrix: Array, right: Array) -> Array | None:
    """Solve a symmetric system, or return None where it is not positive definite."""
    try:
        np.linalg.cholesky(matrix)
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        return None


def add_penalty(gram: Array, penalty: Array) -> Array:
    """Return `gram` (M*R, M*R) with the (R, R) penalty added to each unit's diagonal block."""
    rank = penalty.shape[0]
    out = gram.copy()
    blocks = out.reshape(gram.shape[0] // rank, rank, gram.shape[0] // rank, rank)
    for r in range(rank):
        for q in range(rank):
            np.einsum("mm->m", blocks[:, r, :, q])[...] += penalty[r, q]
    return out


def solve_gram(gram: Array, cross: Array, penalty: Array, alpha: float) -> Array:
    """Return V (M*R, K) minimising the objective, from moments of centred features."""
    return solve_spd(add_penalty(gram, penalty), cross, alpha)


def solve_rows(rows: Array, targets: Array, penalty: Array, alpha: float) -> Array:
    """Return V (p, K) from scaled rows (n, p): through p x p, or through n x n where n < p."""
    n, p = rows.shape
    if n < p:
        try:
            lower = np.linalg.cholesky(penalty)
        except np.linalg.LinAlgError:
            lower = None
        if lower is not None:
            white = whiten(rows, lower)
            kernel = white @ white.T
            kernel.ravel()[:: n + 1] += 1.0
            return unwhiten(white.T @ solve_spd(kernel, targets, alpha), lower)
    return solve_gram(rows.T @ rows, rows.T @ targets, penalty, alpha)


def whiten(rows: Array, lower: Array) -> Array:
    """Return features in which the penalty L L^T of each unit's block is the identity."""
    rank = lower.shape[0]
    if rank == 1:
        return rows / lower[0, 0]
    inverse = np.linalg.inv(lower)
    return (rows.reshape(-1, rank) @ inverse.T).reshape(rows.shape)


def unwhiten(readout: Array, lower: Array) -> Array:
    """Return the readout for the features before `whiten`."""
    rank = lower.shape[0]
    inverse = np.linalg.inv(lower)
    blocks = readout.reshape(-1, rank, readout.shape[1])
    return np.einsum("sr,msk->mrk", inverse, blocks).reshape(readout.shape)


@dataclass(frozen=True)
class RidgePath:
    """A ridge problem in its eigenbasis: every alpha then costs a sum.

    Attributes:
        values: eigenvalues of the whitened, centred Gram matrix, (q,).
        loads: squared projections of the targets, summed over outputs, (q,).
        rest: mean square of the targets outside the features' span.
        weight_sum: S.
        intercept: 1 where an intercept is fitted, else 0.
        scale: mean eigenvalue tr / M of the Gram before whitening; the alpha grid is relative.
        level: mean second moment of a feature, not centred: features that hardly vary beside
            their size count as constant.
        p: number of features.
        left: left singular vectors (n, q) and targets (n, K), where rows are at hand.
    """

    values: Array
    loads: Array
    rest: float
    weight_sum: float
    intercept: int
    scale: float
    p: int
    level: float = 0.0
    left: tuple[Array, Array, Array] | None = None

    def dof(self, alpha: ArrayLike) -> Array:
        """Trace of the smoother, plus one for the intercept."""
        a = np.asarray(alpha, dtype=np.float64)[..., None]
        return (self.values / np.maximum(self.values + a, 1e-300)).sum(axis=-1) + self.intercept

    def gcv(self, alpha: ArrayLike) -> Array:
        """`(RSS/S) / (1 - dof/S)^2`, infinite where dof reaches S."""
        a = np.asarray(alpha, dtype=np.float64)[..., None]
        shrink = a / np.maximum(self.values + a, 1e-300)
        rss = (shrink**2 * self.loads).sum(axis=-1) + self.rest
        left = 1 - self.dof(alpha) / self.weight_sum
        return np.where(left > 0, rss / np.where(left > 0, left, 1.0) ** 2, np.inf)

    def leave_one_out(self, alpha: ArrayLike) -> Array:
        """Weighted mean square of the leave-one-out residuals; needs rows."""
        if self.left is None:
            raise InvalidInput("alpha='loo' needs the rows; use engine='data' or alpha='gcv'")
        u, targets, share = self.left
        found = []
        for a in np.atleast_1d(alpha):
            keep = self.values / np.maximum(self.values + a, 1e-300)
            residual = targets - u @ (keep[:, None] * (u.T @ targets))
            hat = (u * u) @ keep + self.intercept * share
            found.append(float(((residual / (1 - hat)[:, None]) ** 2).sum()))
        return np.asarray(found)

    def grid(self) -> Array:
        """The 40 values of alpha that are tried, largest last: the floor .. 1e2, relative."""
        # three digits: rounding in the features then moves no alpha
        scale = float(f"{self.scale:.3g}") if self.scale > 0 else 1.0
        low = relative_floor(self.p, self.weight_sum) * scale
        low = max(low, float(f"{_LEAST * self.level:.3g}"))
        return np.logspace(np.log10(low), np.log10(100 * max(scale, low)), 40)

    def allows(self, alpha: ArrayLike) -> Array:
        """Whether alpha leaves enough degrees of freedom: dof <= 0.9 S."""
        return self.dof(alpha) <= _MAX_DOF_SHARE * self.weight_sum

    def choose(self, criterion: str = "gcv") -> float:
        """Return the alpha of least GCV (or LOO) with dof <= 0.9 S; ties go to the larger."""
        grid = self.grid()
        score = self.gcv(grid) if criterion == "gcv" else self.leave_one_out(grid)
        score = np.where(self.allows(grid) & np.isfinite(score), score, np.inf)
        if not np.isfinite(score).any():
            return float(grid[-1])
        best = score.min()
        return float(grid[np.flatnonzero(score <= best * (1 + _TIE) + 1e-300)[-1]])


def relative_floor(p: int, weight_sum: float) -> float:
    """Least relative alpha: 1e-6 with ten rows a feature, rising to 1e-3 with one.

    Where features are many GCV runs to any floor, and rounding would decide what is learnt. Where
    they are few it hardly rises towards small alphas, but readouts do, along directions that the
    rows hardly show: a new row may then be predicted far away.
    """
    crowding = np.clip(np.log10(10 * p / weight_sum), 0, 1)
    return float(10 ** (-6 + 3 * crowding))


def path_of_rows(
    rows: Array,
    targets: Array,
    unit_penalty: Array,
    weight_sum: float,
    share: Array | None,
    *,
    keep_rows: bool = False,
    level: float = 0.0,
) -> RidgePath:
    """Build a path from scaled rows (n, p); `share` = w/S where there is an intercept."""
    lower = np.linalg.cholesky(unit_penalty)
    white = whiten(rows, lower)
    n, p = rows.shape
    square = float((targets**2).sum())
    if n < p:
        values, u = np.linalg.eigh(white @ white.T)
    else:
        values, vectors = np.linalg.eigh(white.T @ white)
        u = white @ vectors
        u /= np.sqrt(np.maximum(values, np.finfo(float).tiny))
    good = values > values[-1] * max(n, p) * np.finfo(float).eps
    values, u = values[good], u[:, good]
    loads = ((u.T @ targets) ** 2).sum(axis=1)
    return RidgePath(
        values=values,
        loads=loads,
        rest=max(square - float(loads.sum()), 0.0),
        weight_sum=weight_sum,
        intercept=int(share is not None),
        scale=float((rows**2).sum()) / (p // unit_penalty.shape[0]),
        p=p,
        level=level,
        left=(u, targets, np.zeros(n) if share is None else share) if keep_rows else None,
    )


def path_of_gram(
    gram: Array,
    cross: Array,
    square: float,
    unit_penalty: Array,
    weight_sum: float,
    *,
    intercept: bool,
    level: float = 0.0,
) -> RidgePath:
    """Build a path from moments of centred features: gram (p, p), cross (p, K), mean square."""
    lower = np.linalg.cholesky(unit_penalty)
    white = whiten(whiten(gram, lower).T, lower)
    values, vectors = np.linalg.eigh(white)
    projected = vectors.T @ whiten(cross.T, lower).T
    good = values > values[-1] * gram.shape[0] * np.finfo(float).eps
    loads = (projected[good] ** 2).sum(axis=1) / values[good]
    return RidgePath(
        values=values[good],
        loads=loads,
        rest=max(square - float(loads.sum()), 0.0),
        weight_sum=weight_sum,
        intercept=int(intercept),
        scale=float(np.trace(gram)) / (gram.shape[0] // unit_penalty.shape[0]),
        p=gram.shape[0],
        level=level,
    )


@dataclass(frozen=True)
class LeaveOneOut:
    """Leave-one-out errors of a weighted ridge regression, in closed form.

    Attributes:
        residuals: y_i minus the prediction of the refit without row i at the same absolute
            penalty S * alpha; shaped like y.
        leverage: diag H, intercept included, (n,).
        mse: weighted mean of the squared residuals, summed over outputs.
        gcv: `(RSS/S) / (1 - dof/S)^2`.
        dof: trace of the smoother, plus one for the intercept.
    """

    residuals: Array
    leverage: Array
    mse: float
    gcv: float
    dof: float


def row_weights(sample_weight: ArrayLike | None, n: int) -> Array:
    """Return checked weights (n,), ones where none are given."""
    w = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if w.shape != (n,) or not (np.isfinite(w) & (w >= 0)).all() or not w.sum() > 0:
        raise InvalidInput("sample_weight must hold one number >= 0 a row, not all zero")
    return w


def leave_one_out(
    features: ArrayLike,
    y: ArrayLike,
    alpha: float,
    *,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
) -> LeaveOneOut:
    """Return the leave-one-out errors of `min (1/S) sum w (y-b-phi v)^2 + alpha |v|^2`.

    Args:
        features: (n, p).
        y: (n,) or (n, K).
        alpha: penalty, >= 0.
        sample_weight: (n,), default ones.
        fit_intercept: whether b is fitted.
    """
    phi, target = np.asarray(features, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if phi.ndim != 2 or target.ndim not in (1, 2) or target.shape[0] != phi.shape[0]:
        raise InvalidInput(
            f"features {phi.shape}, y {target.shape}: one row each per sample needed"
        )
    w = row_weights(sample_weight, len(phi))
    if not alpha >= 0:
        raise InvalidInput(f"alpha is {alpha!r}; it must be >= 0")
    need_finite(features=phi, y=target)
    total = float(w.sum())
    share = w / total
    outputs = target.reshape(len(phi), -1)
    d, t = phi, outputs
    if fit_intercept:
        d, t = phi - share @ phi, outputs - share @ outputs
    gram = (d * share[:, None]).T @ d
    inverse = solve_spd(gram + alpha * np.eye(gram.shape[0]), np.eye(gram.shape[0]), alpha)
    residual = t - d @ (inverse @ (d.T @ (t * share[:, None])))
    hat = share * (((d @ inverse) * d).sum(axis=1) + (1.0 if fit_intercept else 0.0))
    dof = float(hat.sum())
    out = residual / (1 - hat)[:, None]
    rss = float((share[:, None] * residual**2).sum())
    return LeaveOneOut(
        residuals=out.reshape(target.shape),
        leverage=hat,
        mse=float((share[:, None] * out**2).sum()),
        gcv=rss / (1 - dof / total) ** 2 if dof < total else float("inf"),
        dof=dof,
    )
