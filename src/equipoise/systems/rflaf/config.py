"""The room's configuration: what a run fits, and on which data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from equipoise.core.config import Config

_EIGHT = "diabetes breast_cancer digits friedman1 friedman2 friedman3 single_index flights"
_TEN = "rbf_sampler nystroem relu cos tanh bspline trees mlp kan gp"
_LARGE = {
    "n_samples": 15000,
    "sets": tuple(_EIGHT.split()),
    "models": tuple(_TEN.split()),
    "compare_components": 300,
}
_PUBLISHED = {"standardize": False, "scale": 1.0}


@dataclass(frozen=True)
class RFLAFConfig(Config):
    """A fit of a table; the presets are those of the paper's synthetic sets.

    Attributes:
        data: a file, or a data set by name: f1, f2 and f3 are the paper's.
        target: column to predict; empty: `y` or `target` where there is one, else the last.
        task: whether the target holds numbers or classes; auto looks at it.
        n_samples: rows of f1, f2 or f3.
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
        sets: data sets of `evaluate`.
        models: models of `evaluate`; RFLAF always takes part.
        seeds: splits of `evaluate` and `reproduce`, each with a seed of its own.
        compare_components: M in `evaluate`, on other sets than f1 to f3.
        compare_basis: N there.
        most_rows: rows of a data set in `evaluate`, drawn where it has more.
    """

    data: str = "f1"
    target: str = ""
    task: Literal["auto", "regression", "classification"] = "auto"
    n_samples: int = 3000
    n_teacher: int = 100000
    n_components: int = 300
    n_basis: int = 17
    rank: int = 1
    solver: Literal["varpro", "als", "adam"] = "varpro"
    alpha: float | str = "gcv"
    smooth: float | str = "gcv"
    standardize: bool = True
    scale: float | str = "auto"
    n_starts: int = 5
    max_iter: int = 100
    test_size: float = 0.2
    sets: tuple[str, ...] = ("diabetes", "friedman1", "digits")
    models: tuple[str, ...] = ("rbf_sampler", "relu", "trees")
    seeds: int = 3
    compare_components: int = 100
    compare_basis: int = 17
    most_rows: int = 50_000

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": _PUBLISHED | {"n_components": 60, "n_basis": 25},
        "small": _PUBLISHED | _LARGE | {"n_components": 200, "n_basis": 41, "seeds": 5},
        "paper": _PUBLISHED | _LARGE | {"n_components": 1000, "n_basis": 401, "seeds": 10},
    }
