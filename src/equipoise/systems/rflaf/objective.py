"""The model's equations: bases on the line, shared activation, features, gradients, kernel.

    Z = X W,   sigma_r(z) = sum_i A[r,i] B_i(z),   f(x) = sum_m sum_r V[m,r] sigma_r(z_m)

Model, published loss gradient and penalty: Ma, Yang and Yang, "Random Feature Models with
Learnable Activation Functions", arXiv 2411.19468. The B-spline is the correct quadratic one.
Symbols: X (n, d) rows, W (d, M) frozen projection, A (R, N) activation coefficients, V (M, R, K)
readout, h bandwidth, c_i centres.
"""

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.errors import InvalidInput, unknown_name

Array = NDArray[Any]  # float64 throughout
BASES = ("rbf", "bspline", "poly")


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Basis:
    """N functions on the line that span the activation.

    Attributes:
        kind: `rbf` (Gaussians `exp(-(z-c)^2 / (2 h^2))`), `bspline` (quadratic, support
            [c-h, c+2h], peak 1 at c+h/2) or `poly` (z^0 .. z^(N-1), centres unused).
        centers: c_i, shape (N,), increasing.
        bandwidth: h.

    >>> Basis.uniform(5).values(0.0).round(4).tolist()
    [0.1353, 0.6065, 1.0, 0.6065, 0.1353]
    """

    kind: Literal["rbf", "bspline", "poly"]
    centers: Array
    bandwidth: float

    def __init__(self, kind: str = "rbf", centers: ArrayLike = (), bandwidth: float = 1.0) -> None:
        if kind not in BASES:
            raise unknown_name("basis", kind, BASES)
        points = np.array(centers, dtype=np.float64).ravel()
        if points.size < 1 or not np.isfinite(points).all() or (np.diff(points) <= 0).any():
            raise InvalidInput(
                f"centers must be one or more finite increasing numbers, got {centers!r}"
            )
        if not (np.isfinite(bandwidth) and bandwidth > 0):
            raise InvalidInput(f"bandwidth is {bandwidth!r}; it must be a finite number > 0")
        points.flags.writeable = False
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "centers", points)
        object.__setattr__(self, "bandwidth", float(bandwidth))

    @classmethod
    def uniform(
        cls,
        n: int = 17,
        span: tuple[float, float] = (-2.0, 2.0),
        width: float = 1.0,
        kind: str = "rbf",
    ) -> Self:
        """Return N uniform centres on `span` with bandwidth `width` times their spacing.

        One function stands in the middle of the span, and its spacing is the span's length.

        Raises:
            InvalidInput: n < 1, width <= 0, a span that does not increase, an unknown kind.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise InvalidInput(f"n_basis is {n!r}; it must be an integer >= 1")
        left, right = checked_span(span)
        if not (np.isfinite(width) and width > 0):
            raise InvalidInput(f"width is {width!r}; it must be a finite number > 0")
        if n == 1:
            return cls(kind, [(left + right) / 2], width * (right - left))
        return cls(kind, np.linspace(left, right, n), width * (right - left) / (n - 1))

    @property
    def size(self) -> int:
        """N, the number of functions."""
        return self.centers.size

    @property
    def spacing(self) -> float:
        """Mean distance of neighbouring centres; the bandwidth where there is one centre."""
        if self.size == 1:
            return self.bandwidth
        return float(self.centers[-1] - self.centers[0]) / (self.size - 1)

    def values(self, z: ArrayLike) -> Array:
        """Return B_i(z), shape z.shape + (N,)."""
        points = np.asarray(z, dtype=np.float64)[..., None]
        if self.kind == "poly":
            return points ** np.arange(self.size)
        u = (points - self.centers) / self.bandwidth
        if self.kind == "rbf":
            u *= u
            u *= -0.5
            return np.exp(u, out=u)
        t = u + 1
        pieces = [t**2 / 2, (-2 * t**2 + 6 * t - 3) / 2, (3 - t) ** 2 / 2]
        return np.select(_spline_pieces(t), pieces) * (4 / 3)

    def derivatives(self, z: ArrayLike) -> Array:
        """Return dB_i/dz, shape z.shape + (N,)."""
        points = np.asarray(z, dtype=np.float64)[..., None]
        if self.kind == "poly":
            powers = np.arange(self.size)
            return powers * points ** np.maximum(powers - 1, 0)
        u = (points - self.centers) / self.bandwidth
        if self.kind == "rbf":
            return -u / self.bandwidth * np.exp(-0.5 * u * u)
        t = u + 1
        return np.select(_spline_pieces(t), [t, 3 - 2 * t, t - 3]) * (4 / 3) / self.bandwidth

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Basis):
            return NotImplemented
        return (
            self.kind == other.kind
            and self.bandwidth == other.bandwidth
            and np.array_equal(self.centers, other.centers)
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.bandwidth, self.centers.tobytes()))

    def __repr__(self) -> str:
        ends = f"{self.centers[0]:g}..{self.centers[-1]:g}"
        return f"Basis({self.kind!r}, {self.size} centres {ends}, bandwidth={self.bandwidth:g})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Basis, (self.kind, np.array(self.centers), self.bandwidth)


def _spline_pieces(t: Array) -> list[NDArray[np.bool_]]:
    return [(t >= 0) & (t < 1), (t >= 1) & (t < 2), (t >= 2) & (t <= 3)]


def checked_span(span: Any) -> tuple[float, float]:
    """Return the ends of a span, or raise `InvalidInput` where it does not increase."""
    try:
        left, right = (float(end) for end in span)
    except (TypeError, ValueError):
        raise InvalidInput(f"span is {span!r}; it must be a pair (low, high)") from None
    if not (np.isfinite([left, right]).all() and left < right):
        raise InvalidInput(f"span is {span!r}; it must increase, e.g. (-2.0, 2.0)")
    return left, right


def need_finite(**arrays: Array) -> None:
    """Raise `InvalidInput` naming the first array that holds NaN or infinity."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InvalidInput(f"{name} holds NaN or infinity")


def _coefficients(coef: ArrayLike, basis: Basis) -> Array:
    """Return `coef` as float64 (N,) or (R, N), or raise."""
    a = np.asarray(coef, dtype=np.float64)
    if a.ndim not in (1, 2) or a.shape[-1] != basis.size:
        raise InvalidInput(
            f"coef has shape {a.shape}; it must be ({basis.size},) or (R, {basis.size})"
        )
    return a


def activation(z: ArrayLike, coef: ArrayLike, basis: Basis) -> Array:
    """Return sigma(z) = sum_i coef_i B_i(z), evaluated without a table.

    Args:
        z: any shape.
        coef: (N,), giving z.shape; or (R, N), giving z.shape + (R,).
        basis: the N functions.
    """
    a = _coefficients(coef, basis)
    points = np.asarray(z, dtype=np.float64)
    flat = points.ravel()
    out = np.empty((flat.size, *a.shape[:-1]))
    step = max(1, 4_000_000 // basis.size)
    for start in range(0, flat.size, step):
        out[start : start + step] = basis.values(flat[start : start + step]) @ a.T
    return out.reshape(points.shape + a.shape[:-1])


def features(X: ArrayLike, weights: ArrayLike, coef: ArrayLike, basis: Basis) -> Array:
    """Return sigma(X W), shape (n, M), or (n, M, R) for coef (R, N); X is used as given."""
    rows, w = np.asarray(X, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    need_finite(X=rows, weights=w)
    return activation(rows @ w, coef, basis)


@dataclass(frozen=True)
class LossGradient:
    """Mean squared error of a model without intercept, and its gradients.

    Attributes:
        prediction: f(x), shape (n,).
        loss: mean (f - y)^2.
        coef: gradient in the activation coefficients, (N,).
        readout: gradient in the readout, (M,).
        weights: gradient in the projection, (d, M), for nets that train it.
    """

    prediction: Array
    loss: float
    coef: Array
    readout: Array
    weights: Array


def loss_gradient(
    X: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike,
    coef: ArrayLike,
    readout: ArrayLike,
    basis: Basis,
) -> LossGradient:
    """Return the loss `mean (f - y)^2` and its gradients (published model, no intercept).

    Args:
        X: (n, d).
        y: (n,).
        weights: W, (d, M).
        coef: a, (N,).
        readout: v, (M,).
        basis: the N functions.
    """
    rows = np.asarray(X, dtype=np.float64)
    target = np.asarray(y, dtype=np.float64)
    w = np.asarray(weights, dtype=np.float64)
    a = _coefficients(coef, basis)
    v = np.asarray(readout, dtype=np.float64)
    need_finite(X=rows, y=target, weights=w, coef=a, readout=v)
    z = rows @ w
    if a.ndim != 1 or v.shape != (z.shape[1],) or target.shape != (z.shape[0],):
        raise InvalidInput(
            f"coef {a.shape}, readout {v.shape}, y {target.shape}: one activation (N,), a readout "
            f"({z.shape[1]},) and targets ({z.shape[0]},) are needed"
        )
    values = basis.values(z)
    sigma = values @ a
    prediction = sigma @ v
    error = prediction - target
    slope = 2 * error / target.size
    through = slope[:, None] * v
    return LossGradient(
        prediction=prediction,
        loss=float(error @ error) / target.size,
        coef=through.ravel() @ values.reshape(-1, basis.size),
        readout=sigma.T @ slope,
        weights=rows.T @ (through * (basis.derivatives(z) @ a)),
    )


def balance_penalty(
    coef: ArrayLike, readout: ArrayLike, lambda1: float = 1.0, lambda2: float = 0.1
) -> float:
    """Return the published regulariser that balances the two layers.

    `lambda1 (|a|^2/sqrt(N) - |v|^2/sqrt(M))^2 + lambda2 |a|_1 / N` (arXiv 2411.19468).
    """
    a = np.asarray(coef, dtype=np.float64)
    v = np.asarray(readout, dtype=np.float64)
    n_basis, n_components = a.shape[-1], v.shape[0]
    gap = float((a**2).sum()) / np.sqrt(n_basis) - float((v**2).sum()) / np.sqrt(n_components)
    return float(lambda1 * gap**2 + lambda2 * np.abs(a).sum() / n_basis)


def _need_rbf(basis: Basis, what: str) -> None:
    if basis.kind != "rbf":
        raise InvalidInput(
            f"{what} has a closed form for basis 'rbf' only, got {basis.kind!r}; "
            "fit with basis='rbf'"
        )


def basis_kernel(x: ArrayLike, y: ArrayLike, basis: Basis) -> Array:
    """Return K_ij(x, y) = E_w B_i(w.x) B_j(w.y) for w ~ N(0, I), shape (N, N).

    With S = [[h^2+|x|^2, x.y], [x.y, h^2+|y|^2]]:
    `h^2 det(S)^(-1/2) exp(-[(h^2+|y|^2)c_i^2 - 2(x.y)c_i c_j + (h^2+|x|^2)c_j^2] / (2 det S))`.
    """
    _need_rbf(basis, "basis_kernel")
    p, q = np.asarray(x, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel()
    need_finite(x=p, y=q)
    c, h2 = basis.centers, basis.bandwidth**2
    sx, sy, dot = h2 + p @ p, h2 + q @ q, p @ q
    det = sx * sy - dot**2
    form = sy * c[:, None] ** 2 - 2 * dot * np.outer(c, c) + sx * c[None, :] ** 2
    return h2 / np.sqrt(det) * np.exp(-form / (2 * det))


def activation_kernel(X: ArrayLike, Y: ArrayLike, coef: ArrayLike, basis: Basis) -> Array:
    """Return k_a(x, y) = a^T K(x, y) a, summed over activations, shape (n, m).

    This is the limit of `(1/M) Phi Phi^T` over random projections, reached at rate M^(-1/2).
    """
    _need_rbf(basis, "activation_kernel")
    rows, columns = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    a = np.atleast_2d(_coefficients(coef, basis))
    need_finite(X=rows, Y=columns, coef=a)
    weight = a.T @ a
    h2, c = basis.bandwidth**2, basis.centers
    sx = h2 + (rows**2).sum(axis=1)[:, None]
    sy = h2 + (columns**2).sum(axis=1)[None, :]
    dot = rows @ columns.T
    det = sx * sy - dot**2
    total = np.zeros_like(dot)
    # term by term over pairs of centres: n x m at a time, never n x m x N x N
    for i in range(c.size):
        for j in range(c.size):
            if weight[i, j]:
                form = sy * c[i] ** 2 - 2 * dot * (c[i] * c[j]) + sx * c[j] ** 2
                total += weight[i, j] * np.exp(-form / (2 * det))
    return h2 * total / np.sqrt(det)


def basis_mean(squared_norm: float, basis: Basis) -> Array:
    """Return E_w B_i(w.x) for w ~ N(0, I) and |x|^2 = `squared_norm`, shape (N,)."""
    _need_rbf(basis, "basis_mean")
    norm = np.asarray(squared_norm, dtype=np.float64)
    if norm.ndim or not 0 <= norm < np.inf:
        raise InvalidInput(f"squared_norm is {squared_norm!r}; it must be a finite number >= 0")
    spread = basis.bandwidth**2 + float(norm)
    return basis.bandwidth / np.sqrt(spread) * np.exp(-(basis.centers**2) / (2 * spread))
