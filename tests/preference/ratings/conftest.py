"""Battles drawn from a known truth."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray


class Drawn(NamedTuple):
    """Integer-coded battles (N,) and the strengths (K,) with mean 0 that they were drawn from."""

    a: NDArray[np.intp]
    b: NDArray[np.intp]
    outcome: NDArray[np.intp]
    truth: NDArray[np.float64]


@pytest.fixture(scope="session")
def draw() -> Callable[..., Drawn]:
    """Draw n battles of k models; `nu` is Davidson's tie parameter, `shift` adds to each logit."""

    def drawn(k: int, n: int, seed: int, *, nu: float = 0.0, shift: float | NDArray = 0.0) -> Drawn:
        rng = np.random.default_rng(seed)
        truth = rng.normal(0, 0.8, k)
        a = rng.integers(0, k, n)
        b = (a + rng.integers(1, k, n)) % k
        d = truth[a] - truth[b] + shift
        odds = np.stack([np.exp(d / 2), np.exp(-d / 2), np.full(n, nu)])
        steps = np.cumsum(odds / odds.sum(axis=0), axis=0)
        outcome = np.minimum((rng.random(n) > steps).sum(axis=0), 2)
        return Drawn(a, b, outcome.astype(np.intp), truth - truth.mean())

    return drawn
