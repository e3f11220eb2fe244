"""Arrays from what a caller gave, or one clear line on what it is instead."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.errors import InvalidInput


def as_floats(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return `values` as a float64 array of the same shape.

    Args:
        name: what the caller calls them, for the message.
        values: numbers, nested to any depth.

    Raises:
        InvalidInput: a text, an object or a complex number among them, or rows of unequal length.

    >>> as_floats("wins", [[1, 2], [3, 4]]).shape
    (2, 2)
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufO":
            raise TypeError
        return array.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        shown = " ".join(repr(values).split())
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise InvalidInput(
            f"{name} is {shown}; it must hold numbers, in rows of equal length"
        ) from None
