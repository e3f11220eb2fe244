"""Evaluation of the activation whose cost does not depend on the number of basis functions.

A grid of knots carries values and slopes; between knots stands the cubic Hermite polynomial. For
Gaussians that is an approximation with a known bound, for splines it is exact (their breakpoints
are knots), polynomials are evaluated directly. `ActivationTable` evaluates one learnt activation;
`Interpolation` is the same map kept linear in the coefficients, for fitting.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf.objective import Array, Basis, activation

_TAIL = 8.0  # bandwidths beyond the outer centres, where a Gaussian is below 1.3e-14
_BLOCK = 1 << 15  # what a pass needs stays in the second-level cache


@dataclass(frozen=True)
class KnotGrid:
    """Increasing knots; `step` is their distance where it is constant, else 0."""

    knots: Array
    step: float

    @classmethod
    def of(cls, basis: Basis, knots_per_spacing: int) -> "KnotGrid":
        """Return the knots for a basis: see the module's head."""
        c, h = basis.centers, basis.bandwidth
        spacing = float(np.diff(c).min()) if c.size > 1 else h
        if basis.kind == "rbf":
            step = spacing / knots_per_spacing
            low, high = c[0] - _TAIL * h, c[-1] + _TAIL * h
            count = int(np.ceil((high - low) / step - 1e-9))
            return cls(low + step * np.arange(count + 1), step)
        if np.allclose(np.diff(c), spacing, rtol=1e-12):
            for parts in range(1, knots_per_spacing + 1):
                if abs(parts * h / spacing - round(parts * h / spacing)) < 1e-9 * parts:
                    step = spacing / parts
                    count = round((c[-1] - c[0] + 3 * h) / step)
                    return cls(c[0] - h + step * np.arange(count + 1), step)
        breaks = np.unique((c[:, None] + h * np.array([-1.0, 0.0, 1.0, 2.0])).ravel())
        return cls(breaks, 0.0)

    def locate(self, z: Array) -> tuple[NDArray[np.int32], Array, Array]:
        """Return for flat z the cell's number, the place in it (0..1), and its length.

        Points off the grid get cell -1.
        """
        last = self.knots.size - 2
        if self.step:
            place = (z - self.knots[0]) * (1 / self.step)
            cell = np.floor(place)
            cell[(cell == last + 1) & (z <= self.knots[-1])] = last
            outside = ~((cell >= 0) & (cell <= last))
            cell[outside] = -1
            number = cell.astype(np.int32)
            return number, place - cell, np.full(z.shape, self.step)
        number = np.searchsorted(self.knots, z, side="right").astype(np.int32) - 1
        number[z == self.knots[-1]] = last
        number[(number < 0) | (number > last)] = -1
        length = np.diff(self.knots)[number]
        return number, (z - self.knots[number]) / length, length


class ActivationTable:
    """sigma(z) and its derivative from a table: cost independent of N, zero outside the knots.

    Args:
        coef: (N,), or (R, N) for several activations.
        basis: the N functions. Polynomials have no table and are evaluated by powers.
        knots_per_spacing: knots for each distance of centres.
    """

    def __init__(self, coef: ArrayLike, basis: Basis, knots_per_spacing: int = 32) -> None:
        if knots_per_spacing < 1:
            raise InvalidInput(f"knots_per_spacing is {knots_per_spacing!r}; it must be >= 1")
        self.coef = np.array(coef, dtype=np.float64)
        self.basis = basis
        self.knots_per_spacing = int(knots_per_spacing)
        if basis.kind == "poly":
            activation(0.0, self.coef, basis)  # checks the shape
            return
        self._grid = KnotGrid.of(basis, self.knots_per_spacing)
        value = activation(self._grid.knots, self.coef, basis).reshape(self._grid.knots.size, -1)
        slope = _slopes(self.coef, basis, self._grid.knots)
        length = np.diff(self._grid.knots)[:, None]
        f0, f1, g0, g1 = value[:-1], value[1:], slope[:-1] * length, slope[1:] * length
        # one row a cell, one block of four a activation: what a point needs lies together
        cubic = np.stack([f0, g0, 3 * (f1 - f0) - 2 * g0 - g1, 2 * (f0 - f1) + g0 + g1], axis=-1)
        self._cubic = np.concatenate([cubic, np.zeros_like(cubic[:1])])  # cell -1: zero

    def __call__(self, z: ArrayLike) -> Array:
        """Return sigma(z), shape z.shape, with (R, N) coefficients z.shape + (R,)."""
        return self._evaluate(z, 0)

    def derivative(self, z: ArrayLike) -> Array:
        """Return the derivative of the table's curve, shaped like the value."""
        return self._evaluate(z, 1)

    def _evaluate(self, z: ArrayLike, order: int) -> Array:
        points = np.asarray(z, dtype=np.float64)
        shape = points.shape + self.coef.shape[:-1]
        flat = points.ravel()
        if self.basis.kind == "poly":
            values = self.basis.derivatives(flat) if order else self.basis.values(flat)
            return (values @ self.coef.T).reshape(shape)
        out = np.empty((flat.size, self._cubic.shape[1]))
        for start in range(0, flat.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            cell, t, length = self._grid.locate(flat[part])
            for r in range(out.shape[1]):
                c = self._cubic[cell, r]
                if order:
                    out[part, r] = ((3 * c[:, 3] * t + 2 * c[:, 2]) * t + c[:, 1]) / length
                else:
                    out[part, r] = ((c[:, 3] * t + c[:, 2]) * t + c[:, 1]) * t + c[:, 0]
        return out.reshape(shape)

    @cached_property
    def error_bound(self) -> float:
        """Greatest possible distance from the exact sum, anywhere on the line.

        Hermite interpolation errs by `step^4 / 384 * max |f''''|`; the sum of the Gaussians'
        fourth derivatives is bounded at the greatest |a|. Splines and polynomials are exact up
        to rounding.
        """
        scale = float(np.abs(self.coef).max(initial=0.0))
        if self.basis.kind != "rbf":
            return 1e-14 * scale * self.basis.size
        c, h = self.basis.centers, self.basis.bandwidth
        z = np.linspace(c[0] - 4 * h, c[-1] + 4 * h, 64 * c.size + 512)[:, None]
        u2 = ((z - c) / h) ** 2
        fourth = np.abs((u2 * u2 - 6 * u2 + 3) * np.exp(-u2 / 2)).sum(axis=1).max() / h**4
        inside = 1.02 * fourth * self._grid.step**4 / 384
        return scale * (float(inside) + self.basis.size * np.exp(-(_TAIL**2) / 2) + 1e-15)


def _slopes(coef: Array, basis: Basis, knots: Array) -> Array:
    """Return sigma'(knots), shape (K, R), a block of knots at a time."""
    step = max(1, 4_000_000 // basis.size)
    parts = range(0, knots.size, step)
    rows = np.atleast_2d(coef).T
    return np.concatenate([basis.derivatives(knots[s : s + step]) @ rows for s in parts])


class Interpolation:
    """B_i(z) = sum_k weight_k(z) table[number_k(z), i]: a few weights for each point.

    With few functions, or polynomials, the weights are the basis values themselves and the table is
    the identity, which is exact.

    Attributes:
        per_point: J, the weights of a point.
        table: (C * J, N) for C cells; what a point needs lies together.
    """

    def __init__(self, basis: Basis, *, exact: bool = False) -> None:
        self.basis = basis
        self.direct = exact or basis.kind == "poly" or basis.size <= 6
        if self.direct:
            self.per_point, self.table = basis.size, np.eye(basis.size)
            return
        spacing = basis.spacing
        self._grid = KnotGrid.of(basis, int(np.ceil(32 * max(1.0, spacing / basis.bandwidth))))
        value, slope = basis.values(self._grid.knots), basis.derivatives(self._grid.knots)
        length = np.diff(self._grid.knots)[:, None]
        ends = (value[:-1], length * slope[:-1], value[1:], length * slope[1:])
        self.per_point, self.table = 4, np.stack(ends, axis=1).reshape(-1, basis.size)

    def entries(self, z: Array) -> tuple[NDArray[np.int32], Array]:
        """Return the table's rows and their weights for flat z (P,), each (P * J,)."""
        among = np.arange(self.per_point, dtype=np.int32)
        if self.direct:
            return np.tile(among, z.size), self.basis.values(z).ravel()
        cell, t, _ = self._grid.locate(z)
        outside = cell < 0
        share = t * t * (3 - 2 * t)
        bend = t * (1 - t)
        weights = np.stack([1 - share, bend * (1 - t), share, -bend * t], axis=1)
        if outside.any():
            cell[outside] = 0
            weights[outside] = 0.0
        number = np.repeat(cell * np.int32(self.per_point), self.per_point).reshape(-1, among.size)
        number += among
        return number.reshape(-1), weights.reshape(-1)
