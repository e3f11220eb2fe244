"""Elo: ratings after each battle in turn. They depend on the order; use them as a ticker only."""

import math
from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings.coding import POINTS, check_number, code_battles


def elo_ratings(
    model_a: ArrayLike | Iterable[Any],
    model_b: ArrayLike | Iterable[Any],
    outcome: ArrayLike | Iterable[Any],
    *,
    k: float = 4.0,
    initial: float = 1000.0,
    scale: float = 400.0,
    base: float = 10.0,
) -> dict[str, float]:
    """Return name -> Elo rating after the battles in the order given.

    Before each battle a expects 1 / (1 + base ** ((R_b - R_a) / scale)) points; both ratings move
    by `k` times the surprise, in opposite directions, so that the sum stays.

    Raises:
        InvalidInput: a bad row (named, counted from 0), a number that is not finite, `scale` <= 0
            or `base` <= 1.

    >>> elo_ratings(["x"], ["y"], ["a"])
    {'x': 1002.0, 'y': 998.0}
    """
    for name, value in (("k", k), ("initial", initial), ("scale", scale), ("base", base)):
        check_number(name, value)
    if scale <= 0 or base <= 1:
        raise InvalidInput(f"scale must be > 0 and base > 1, got {scale!r} and {base!r}")
    coded = code_battles(model_a, model_b, outcome)
    rating = [float(initial)] * len(coded.models)
    points = POINTS.tolist()
    highest = 300.0 / math.log10(base)  # base ** highest is 1e300, near the largest float
    for a, b, result in zip(coded.a.tolist(), coded.b.tolist(), coded.outcome.tolist()):
        exponent = (rating[b] - rating[a]) / scale
        move = k * (points[result] - 1.0 / (1.0 + base ** min(exponent, highest)))
        rating[a] += move
        rating[b] -= move
    return dict(zip(coded.models, rating))
