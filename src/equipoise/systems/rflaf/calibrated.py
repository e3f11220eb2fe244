"""From scikit-learn's conventions to a fit: parameters, calibration, fitted attributes.

Fitting itself is in `fitting`; streaming and what is asked of a fitted model are in `estimator`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.rflaf.fitted import (
    FittedModel,
    Posterior,
    Trail,
    table_of,
)
from equipoise.systems.rflaf.fitting import fit_rows
from equipoise.systems.rflaf.intervals import JACKKNIFE_POINTS, TrainingRows
from equipoise.systems.rflaf.objective import Array, Basis
from equipoise.systems.rflaf.parameters import plan_of
from equipoise.systems.rflaf.planning import Plan
from equipoise.systems.rflaf.scaling import (
    Calibration,
    calibration,
)
from equipoise.systems.rflaf.statistics import LiftedStatistics
from equipoise.systems.rflaf.table import ActivationTable

if TYPE_CHECKING:
    pass

checked_data: Any = validate_data  # its annotations name the default values only
checked_weight: Any = _check_sample_weight


@contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Put an estimator's attributes back where a call is refused."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


class CalibratedEstimator(BaseEstimator, ABC):
    """What fits rows; a subclass says what its targets are."""

    offset_: Array
    scale_: Array
    random_weights_: Array
    basis_: Basis
    activation_coef_: Array
    readout_: Array
    intercept_: Array
    statistics_: LiftedStatistics
    _table: ActivationTable
    _posterior: Posterior | None
    _band: Array | None
    _train: TrainingRows | None
    _trail: Trail | None = None  # a model read from a file has none

    def __init__(
        self,
        n_components: int = 300,
        n_basis: int = 17,
        *,
        basis: str = "rbf",
        span: tuple[float, float] = (-2.0, 2.0),
        width: float = 1.0,
        rank: int | str = 1,
        solver: str = "varpro",
        alpha: float | str = "gcv",
        smooth: float | str = "gcv",
        standardize: bool = True,
        scale: float | str = "auto",
        projection: str = "gaussian",
        fit_intercept: bool = True,
        engine: str = "auto",
        activation_rows: int = 20000,
        n_starts: int = 5,
        max_iter: int = 100,
        tol: float = 1e-7,
        solver_options: dict[str, Any] | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.n_basis = n_basis
        self.basis = basis
        self.span = span
        self.width = width
        self.rank = rank
        self.solver = solver
        self.alpha = alpha
        self.smooth = smooth
        self.standardize = standardize
        self.scale = scale
        self.projection = projection
        self.fit_intercept = fit_intercept
        self.engine = engine
        self.activation_rows = activation_rows
        self.n_starts = n_starts
        self.max_iter = max_iter
        self.tol = tol
        self.solver_options = solver_options
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # -- parameters and calibration -----------------------------------------------------------

    def _plan(self) -> tuple[Plan, int]:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return plan_of(self.get_params(deep=False), seed), seed

    def _calibrated(self, X: Array, sample_weight: Array, seed: int) -> Calibration:
        return calibration(
            X,
            sample_weight,
            stream(seed, "projection"),
            n_components=self.n_components,
            n_basis=self.n_basis,
            basis=self.basis,
            span=self.span,
            width=self.width,
            standardize=self.standardize,
            scale=self.scale,
            projection=self.projection,
        )

    @property
    def calibration_(self) -> Calibration:
        """Projection, offset, scale and basis as one record."""
        if not hasattr(self, "random_weights_"):
            raise AttributeError("not calibrated yet")
        return Calibration(self.random_weights_, self.offset_, self.scale_, self.basis_)

    def _set_calibration(self, at: Calibration) -> None:
        self.random_weights_, self.offset_ = at.weights, at.offset
        self.scale_, self.basis_ = at.scale, at.basis

    def calibrate(self, X: ArrayLike) -> Self:
        """Fix projection, offset, scale and basis from rows alone; `partial_fit` keeps them.

        A model fitted before is dropped: it belongs to another calibration.
        """
        with unchanged_on_error(self):
            _, seed = self._plan()
            rows = checked_data(self, X, dtype=np.float64)
            at = self._calibrated(rows, np.ones(len(rows)), seed)
            self._forget_fit()
            self._set_calibration(at)
        return self

    def _forget_fit(self, *, statistics: bool = True) -> None:
        # what `validate_data` has just learnt about the columns stays
        keep = {"n_features_in_", "feature_names_in_", "classes_"}
        if not statistics:
            keep |= {"statistics_", "random_weights_", "offset_", "scale_", "basis_"}
        keep |= set(self.get_params(deep=False)) | {"_single"}
        for name in [n for n in vars(self) if n not in keep and not n.startswith("_sklearn")]:
            if name.endswith("_") or name in ("_table", "_posterior", "_band", "_train", "_trail"):
                delattr(self, name)
        vars(self).pop("_conformal", None)

    # -- fitting ------------------------------------------------------------------------------

    @abstractmethod
    def _targets(self, y: Any, *, first: bool) -> Array:
        """Return targets (n, K) in float64 from validated y."""

    def _fit_rows(self, X: Array, y: Any, sample_weight: Array) -> None:
        """Calibrate and fit validated rows."""
        plan, seed = self._plan()
        used = sample_weight > 0
        if not used.any():
            raise InvalidInput("sample_weight is zero for every row; at least one must count")
        targets = self._targets(y, first=True)
        if not used.all():
            X, targets, sample_weight = X[used], targets[used], sample_weight[used]
        at = self._calibrated(X, sample_weight, seed)
        model, statistics = fit_rows(at, X, targets, sample_weight, plan)
        model = self._second_stage(model, X, targets, sample_weight, plan)
        self._forget_fit()
        self._set_calibration(at)
        self._adopt(model)
        if statistics is not None:
            self.statistics_ = statistics
        if len(X) * self.n_components <= JACKKNIFE_POINTS:
            self._train = TrainingRows(X.copy(), targets.copy(), sample_weight.copy())

    def _second_stage(
        self, model: FittedModel, X: Array, y: Array, sample_weight: Array, plan: Plan
    ) -> FittedModel:
        """Return the model, or what a further loss makes of it."""
        return model

    def _adopt(self, model: FittedModel) -> None:
        """Lay a fitted model out as attributes."""
        self.activation_coef_, self.readout_ = model.coef, model.readout
        self.intercept_, self.singular_values_ = model.intercept, model.singular_values
        report = model.report
        self.alpha_, self.smooth_ = float(report["alpha"]), float(report["smooth"])
        self.objective_, self.gcv_ = float(report["objective"]), float(report["gcv"])
        self.objective_history_ = report["history"]
        self.start_objectives_ = report["starts"]
        self.n_iter_, self.inside_ = int(report["n_iter"]), float(report["inside"])
        self._posterior, self._band, self._train = model.posterior, model.band, None
        self._trail = report.get("trail")
        self._table = table_of(model.coef, model.calibration)
