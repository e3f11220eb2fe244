"""A fitted model as plain data: canonical activation and readout, prediction, posterior.

Canonical form: Theta = V A^T, stacked over units and outputs, has the singular value decomposition
U S A'; the rows of A' are the activations (orthonormal, entry of greatest magnitude positive), U S
is the readout. So what is reported does not depend on how it was found.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.problem import FeatureMoments
from equipoise.systems.rflaf.ridge import add_penalty, penalty_matrix, solve_spd
from equipoise.systems.rflaf.scaling import Calibration
from equipoise.systems.rflaf.table import ActivationTable

_CHUNK_POINTS = 1 << 20


@dataclass(frozen=True)
class Posterior:
    """The readout's Gaussian posterior given the activation (2.10).

    Attributes:
        mean: weighted mean of the features, (p,).
        inverse: G^-1 with G the centred Gram matrix plus the penalty, (p, p).
        noise: variance of the noise, one an output, (K,).
        weight_sum: S.
        intercept: 1 with an intercept, else 0.
    """

    mean: Array
    inverse: Array
    noise: Array
    weight_sum: float
    intercept: int

    def variance(self, features: Array) -> Array:
        """Return the predictive variance, (n, K), of features (n, p)."""
        d = features - self.mean
        spread = ((d @ self.inverse) * d).sum(axis=1)
        return (1 + (self.intercept + spread) / self.weight_sum)[:, None] * self.noise


@dataclass(frozen=True)
class Course:
    """What a start went through.

    Attributes:
        activations: A at the start and after every iteration, (T, R, N); only their row spaces
            mean something.
        objective: J beside the first of them, at the penalties of that time; a log loss's own
            iterations follow without it.
    """

    activations: Array
    objective: Array


@dataclass(frozen=True)
class Trail:
    """How a fit went, for drawing; saved models do without it.

    Attributes:
        course: of the kept start, to its end.
        trials: of every start, as far as it was tried.
        kept: number of the kept start.
    """

    course: Course
    trials: tuple[Course, ...]
    kept: int


@dataclass(frozen=True)
class FittedModel:
    """All that a fit found.

    Attributes:
        calibration: projection, offset, scale, basis.
        coef: A, (R, N), canonical.
        readout: V, (M, R, K).
        intercept: b, (K,).
        singular_values: of Theta, (R,).
        report: alpha, smooth, objective, gcv, history, starts, n_iter, inside, trail by name.
        posterior: of the readout; None where not asked for.
        band: covariance of the activation's coefficients, (R*N, R*N); None where unknown.
    """

    calibration: Calibration
    coef: Array
    readout: Array
    intercept: Array
    singular_values: Array
    report: dict[str, Any]
    posterior: Posterior | None = None
    band: Array | None = None


def canonical(coef: Array, readout: Array) -> tuple[Array, Array, Array]:
    """Return (A, V, singular values) in canonical form; the function they give is the same.

    Args:
        coef: (R, N), of full row rank.
        readout: (M, R, K).
    """
    m, rank, outputs = readout.shape
    q, r = np.linalg.qr(coef.T)
    flat = readout.transpose(0, 2, 1).reshape(m * outputs, rank) @ r.T
    padded = np.pad(flat, ((0, max(0, rank - len(flat))), (0, 0)))
    u, s, wt = np.linalg.svd(padded, full_matrices=False)
    a = wt @ q.T
    sign = np.sign(a[np.arange(rank), np.abs(a).argmax(axis=1)])
    sign[sign == 0] = 1.0
    v = (u * s * sign)[: m * outputs].reshape(m, outputs, rank).transpose(0, 2, 1)
    return a * sign[:, None], np.ascontiguousarray(v), s


def table_of(model_coef: Array, calibration: Calibration) -> ActivationTable:
    """Return the table that predictions use: 32 knots for each spacing or bandwidth."""
    basis = calibration.basis
    ratio = max(1.0, basis.spacing / basis.bandwidth)
    return ActivationTable(model_coef, basis, int(np.ceil(32 * ratio)))


def chunks(n: int, n_components: int) -> list[slice]:
    """Return slices of rows whose pre-activations stay small."""
    step = max(1, _CHUNK_POINTS // max(1, n_components))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def feature_rows(table: ActivationTable, z: Array) -> Array:
    """Return Phi (n, M*R), feature m*R + r."""
    return table(z).reshape(len(z), -1)


def moments_of_rows(
    calibration: Calibration,
    coef: Array,
    X: Array,
    y: Array,
    sample_weight: Array,
    *,
    fit_intercept: bool,
) -> FeatureMoments:
    """Accumulate the features' moments over all rows in one pass and bounded memory."""
    table = table_of(coef, calibration)
    p = calibration.weights.shape[1] * coef.shape[0]
    total = float(sample_weight.sum())
    share = sample_weight / total
    # shifted targets: what is subtracted below stays small beside what remains
    shift = share @ y if fit_intercept else np.zeros(y.shape[1])
    gram, cross, mean = np.zeros((p, p)), np.zeros((p, y.shape[1])), np.zeros(p)
    square = np.zeros(y.shape[1])
    for part in chunks(len(X), calibration.weights.shape[1]):
        phi = feature_rows(table, calibration.z(X[part]))
        t, w = y[part] - shift, share[part]
        cross += phi.T @ (t * w[:, None])
        mean += w @ phi
        square += w @ t**2
        phi *= np.sqrt(w)[:, None]
        gram += phi.T @ phi
    if fit_intercept:
        gram -= np.outer(mean, mean)
    else:
        mean = np.zeros(p)
    return FeatureMoments(gram, cross, mean, shift, square, total)


def residual_square(moments: FeatureMoments, flat: Array) -> Array:
    """Return the weighted mean squared residual of each output, (K,)."""
    fit = (flat * (moments.gram @ flat - 2 * moments.cross)).sum(axis=0)
    return np.maximum(moments.square + fit, 0.0)


def posterior_of(
    moments: FeatureMoments,
    coef: Array,
    readout: Array,
    alpha: float,
    smooth: float,
    *,
    fit_intercept: bool,
) -> Posterior:
    """Return the posterior of the readout given the activation."""
    p = moments.gram.shape[0]
    inner = coef @ penalty_matrix(coef.shape[1], alpha, smooth) @ coef.T
    floor = 1e-12 * max(float(np.trace(moments.gram)) / p, 1e-300)
    system = add_penalty(moments.gram, inner + floor * np.eye(len(inner)))
    inverse = solve_spd(system, np.eye(p), alpha)
    dof = float((inverse * moments.gram).sum()) + fit_intercept
    s = moments.weight_sum
    rss = s * residual_square(moments, readout.reshape(p, -1))
    noise = rss / max(s - dof, 1e-3 * s)
    return Posterior(moments.mean, inverse, noise, s, int(fit_intercept))


def band_covariance(second: Array, coef: Array, noise: float, weight_sum: float) -> Array:
    """Return the activation's covariance from the Hessian of J* (Laplace), (R*N, R*N).

    The log-posterior is -S J* / (2 noise). Directions inside the row space of A change nothing
    and have no width.
    """
    rank, n_basis = coef.shape
    outside = np.eye(n_basis) - coef.T @ coef
    project = np.kron(np.eye(rank), outside)
    values, vectors = np.linalg.eigh(project @ second @ project)
    keep = values > 1e-10 * max(float(values[-1]), 0.0)
    kept = vectors[:, keep]
    return (kept / np.where(keep, values, 1.0)[keep]) @ kept.T * (2 * noise / weight_sum)
