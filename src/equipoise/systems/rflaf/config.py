"""The room's configuration: what `demo` and the reproductions run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from equipoise.core.config import Config


@dataclass(frozen=True)
class RFLAFConfig(Config):
    """A run on one of the paper's synthetic sets.

    Attributes:
        data: f1, f2 or f3.
        n_samples: rows, a fifth of which is the test set.
        n_teacher: units of the teacher.
        n_components: M.
        n_basis: N.
        rank: number of activations.
        solver: varpro, als or adam.
        alpha: ridge penalty, gcv or loo.
        smooth: penalty on second differences, or gcv.
        standardize: subtract means and divide by deviations.
        scale: divisor of the rows, or auto.
        n_starts: starts of the search.
        max_iter: iterations of the kept start.
        test_size: share of rows in the test set.
    """

    data: Literal["f1", "f2", "f3"] = "f1"
    n_samples: int = 3000
    n_teacher: int = 100000
    n_components: int = 60
    n_basis: int = 25
    rank: int = 1
    solver: Literal["varpro", "als", "adam"] = "varpro"
    alpha: float | str = "gcv"
    smooth: float | str = "gcv"
    standardize: bool = False
    scale: float | str = 1.0
    n_starts: int = 5
    max_iter: int = 100
    test_size: float = 0.2

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {},
        "small": {"n_samples": 15000, "n_components": 200, "n_basis": 41},
        "paper": {"n_samples": 15000, "n_components": 1000, "n_basis": 401},
    }
