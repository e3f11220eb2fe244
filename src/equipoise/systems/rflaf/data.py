"""Data sets: the paper's synthetic teachers.

`make_synthetic` follows the published recipe (arXiv 2411.19468): X ~ N(0, I_2), teacher directions
W* ~ N(0, 1), y = mean_m v*_m s(w_m.x) with v*_m = A max(b1.w_m, b2.w_m), b1, b2 ~ N(0, I).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.rflaf.objective import Array

_BLOCK = 4_000_000


@dataclass(frozen=True)
class DataSet:
    """Rows and targets.

    Attributes:
        X: (n, d).
        y: (n,).
        task: `regression` or `classification`.
        feature_names: one a column.
        source: where the rows come from, one line.
    """

    X: Array
    y: NDArray[Any]
    task: str
    feature_names: tuple[str, ...]
    source: str


def _f1(z: Array) -> Array:
    return np.where(np.abs(z) <= 1, np.sin(np.pi * z), 0.0)


def _f2(z: Array) -> Array:
    return np.where((z >= 0) & (z <= 1), np.sin(np.pi * z), 0.0)


def _f3(z: Array) -> Array:
    left = np.where((z >= -1.5) & (z <= -0.5), -np.sin(np.pi * (z + 0.5)), 0.0)
    return left + np.where((z >= 0.5) & (z <= 1.5), np.sin(np.pi * (z - 0.5)), 0.0)


TEACHERS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "f1": (_f1, 20.0),
    "f2": (_f2, 7.0),
    "f3": (_f3, 5.0),
}


def teacher_activation(kind: str) -> Callable[[Array], Array]:
    """Return the true activation s of a synthetic set, to be drawn under a learnt one."""
    if kind not in TEACHERS:
        raise unknown_name("synthetic set", kind, TEACHERS)
    return TEACHERS[kind][0]


def make_synthetic(
    kind: str = "f1",
    n_samples: int = 15000,
    n_teacher: int = 100000,
    random_state: int = 125,
) -> DataSet:
    """Return one of the paper's synthetic regression sets, without noise, d = 2.

    Args:
        kind: f1 (one wave), f2 (half a wave) or f3 (two half waves).
        n_samples: n.
        n_teacher: units of the teacher.
        random_state: seed of rows and teacher.

    Raises:
        InvalidInput: an unknown kind, or counts below 1.
    """
    wave = teacher_activation(kind)
    for name, count in (("n_samples", n_samples), ("n_teacher", n_teacher)):
        if not isinstance(count, (int, np.integer)) or count < 1:
            raise InvalidInput(f"{name} is {count!r}; it must be an integer >= 1")
    rng = np.random.default_rng(random_state)
    rows = rng.standard_normal((n_samples, 2))
    weights = rng.standard_normal((2, n_teacher))
    b = rng.standard_normal((2, 2))
    value = TEACHERS[kind][1] * np.maximum(b[0] @ weights, b[1] @ weights) / n_teacher
    y = np.empty(n_samples)
    step = max(1, _BLOCK // n_teacher)
    for start in range(0, n_samples, step):
        y[start : start + step] = wave(rows[start : start + step] @ weights) @ value
    source = f"synthetic {kind}, teacher of {n_teacher} units, seed {random_state}"
    return DataSet(rows, y, "regression", ("x1", "x2"), source)
