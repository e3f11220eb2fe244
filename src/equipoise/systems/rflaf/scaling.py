"""From raw columns to pre-activations: offset, scale, frozen projection, basis.

Z = ((X - offset) / scale) W. Nothing is tuned by hand: columns are standardised and one number
brings the 0.999 quantile of |Z| to the end of the span.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.rflaf.objective import Array, Basis, checked_span

PROJECTIONS = ("gaussian", "orthogonal")
_QUANTILE = 0.999
_QUANTILE_POINTS = 5_000_000
_ROWS = 8192
_OUTSIDE = 1e-3


@dataclass(frozen=True)
class Calibration:
    """What is fixed before the activation is learnt.

    Attributes:
        weights: W, (d, M).
        offset: (d,).
        scale: (d,).
        basis: the N functions.
    """

    weights: Array
    offset: Array
    scale: Array
    basis: Basis

    def rows(self, X: Array) -> Array:
        """Return the scaled rows (X - offset) / scale."""
        return (X - self.offset) / self.scale

    def z(self, X: Array) -> Array:
        """Return the pre-activations, (n, M)."""
        return self.rows(X) @ self.weights


def draw_projection(
    n_features: int, n_components: int, projection: str, rng: np.random.Generator
) -> Array:
    """Return W (d, M): iid N(0, 1), or orthogonal in blocks of d with the same column lengths.

    Raises:
        InvalidInput: an unknown projection.
    """
    if projection not in PROJECTIONS:
        raise unknown_name("projection", projection, PROJECTIONS)
    gaussian = rng.standard_normal((n_features, n_components))
    if projection == "gaussian":
        return gaussian
    blocks = []
    for start in range(0, n_components, n_features):
        width = min(n_features, n_components - start)
        q, r = np.linalg.qr(rng.standard_normal((n_features, n_features)))
        blocks.append((q * np.sign(np.diag(r)))[:, :width])
    return np.hstack(blocks) * np.linalg.norm(gaussian, axis=0)


def weighted_quantile(values: Array, weights: Array, q: float) -> float:
    """Return the least value whose cumulative weight reaches q; equal for weights and repeats."""
    total = float(weights.sum())
    count = max(1, min(values.size, int(2 * (1 - q) * values.size) + 100))
    while True:  # only the highest values are put in order
        top = np.argpartition(values, values.size - count)[values.size - count :]
        below = total - float(weights[top].sum())
        if count == values.size or below < q * total * (1 - 1e-9):
            break
        count = min(values.size, 8 * count)
    order = top[np.argsort(values[top])]
    reached = (below if count < values.size else 0.0) + np.cumsum(weights[order])
    place = np.searchsorted(reached, q * total * (1 - 1e-12))
    return float(values[order[min(place, order.size - 1)]])


def column_moments(X: Array, sample_weight: Array) -> tuple[Array, Array]:
    """Return weighted mean and standard deviation of each column; a constant column gets 1."""
    share = sample_weight / sample_weight.sum()
    mean = share @ X
    variance = np.zeros(X.shape[1])
    for start in range(0, len(X), _ROWS):
        part = slice(start, start + _ROWS)
        variance += share[part] @ (X[part] - mean) ** 2
    deviation = np.sqrt(variance)
    deviation[deviation <= 1e-12 * np.abs(mean)] = 0.0
    return mean, np.where(deviation > 0, deviation, 1.0)


def calibration(
    X: Array,
    sample_weight: Array,
    rng: np.random.Generator,
    *,
    n_components: int,
    n_basis: int,
    basis: str,
    span: Any,
    width: float,
    standardize: bool,
    scale: str | float,
    projection: str,
) -> Calibration:
    """Fix projection, offset, scale and basis from the rows X (n, d) alone."""
    functions = Basis.uniform(n_basis, span, width, basis)
    weights = draw_projection(X.shape[1], n_components, projection, rng)
    offset, deviation = np.zeros(X.shape[1]), np.ones(X.shape[1])
    if standardize:
        offset, deviation = column_moments(X, sample_weight)
    if scale == "auto":
        reach = max(abs(end) for end in checked_span(span))
        rows = slice(None, None, max(1, -(-len(X) * n_components // _QUANTILE_POINTS)))
        z = np.abs(((X[rows] - offset) / deviation) @ weights)
        repeated = np.repeat(sample_weight[rows], n_components)
        divisor = weighted_quantile(z.ravel(), repeated, _QUANTILE) / reach
        divisor = divisor if divisor > 0 else 1.0
    else:
        divisor = checked_divisor(scale)
    return Calibration(weights, offset, deviation * divisor, functions)


def checked_divisor(scale: Any) -> float:
    """Return a scale that is a number, or raise."""
    number = isinstance(scale, (int, float, np.number)) and not isinstance(scale, bool)
    if not number or not np.isfinite(scale) or scale <= 0:
        raise InvalidInput(f"scale is {scale!r}; it must be 'auto' or a finite number > 0")
    return float(scale)


def inside_rows(z: Array, basis: Basis) -> Array:
    """Return for each row the share of its pre-activations within the outer centres, (n,)."""
    if basis.size == 1:
        within: NDArray[np.bool_] = np.abs(z - basis.centers[0]) <= basis.bandwidth
    else:
        within = (z >= basis.centers[0]) & (z <= basis.centers[-1])
    return within.mean(axis=1)


def inside_share(z: Array, basis: Basis, sample_weight: Array | None = None) -> float:
    """Return the weighted share of pre-activations within the outer centres."""
    return float(np.average(inside_rows(z, basis), weights=sample_weight))


def too_far_outside(inside: Array, training_inside: float) -> bool:
    """Return whether new rows leave the span more often than 0.1 %, or than training rows did.

    New rows of the same kind lie outside a little more or less often, so it counts from three
    standard errors on; and where a row lies mostly outside although training rows hardly did.

    Args:
        inside: share within the span of each new row, (n,).
        training_inside: share on the training rows; NaN where unknown.
    """
    allowed = _OUTSIDE if np.isnan(training_inside) else max(_OUTSIDE, 1 - training_inside)
    outside = 1 - inside
    error = max(float(outside.std()), 0.01) / np.sqrt(outside.size)
    lone_row = allowed < 10 * _OUTSIDE and bool((outside > 0.5).any())
    return lone_row or bool(outside.mean() > allowed + 3 * error)
