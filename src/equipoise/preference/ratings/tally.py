"""Sums over battles or pairs, gathered by position."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]


def tally(positions: Positions, values: Floats, size: int) -> Floats:
    """Return (size,): for each position the sum of its `values`."""
    return np.bincount(positions, values, minlength=size).astype(np.float64, copy=False)


def tally_both(pairs: Positions, values: Floats, size: int) -> Floats:
    """Return (size,): the sum of `values` (M,) over the pairs (M, 2) that a position is in."""
    return tally(pairs[:, 0], values, size) + tally(pairs[:, 1], values, size)


def tally_difference(first: Positions, second: Positions, values: Floats, size: int) -> Floats:
    """Return (size,): the sum of `values` where a position is first, minus where it is second."""
    return tally(first, values, size) - tally(second, values, size)
