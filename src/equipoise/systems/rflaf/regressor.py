"""The regressor."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.stats import Interval
from equipoise.systems.rflaf.calibrated import checked_data, checked_weight, unchanged_on_error
from equipoise.systems.rflaf.estimator import ActivationEstimator
from equipoise.systems.rflaf.intervals import (
    METHODS,
    bayes_interval,
    check_confidence,
    conformal_quantile,
    jackknife_interval,
)
from equipoise.systems.rflaf.objective import Array


class RFLAFRegressor(RegressorMixin, ActivationEstimator):
    """Random features with one learnt activation and a ridge readout, for regression.

    Raw columns are fine: scaling, grid and penalty are automatic. Several outputs share the
    activation.

    Args:
        n_components: M, random units.
        n_basis: N, basis functions of the activation.
        basis: `rbf`, `bspline` or `poly`.
        span: ends of the centres.
        width: bandwidth in spacings.
        rank: R, number of activations, or `auto` (least GCV among 1..4).
        solver: `varpro`, `als`, or `adam` (the published recipe).
        alpha: ridge penalty >= 0, `gcv` or `loo`.
        smooth: penalty on second differences of the activation, or `gcv`.
        standardize: subtract means, divide by deviations.
        scale: a further divisor, or `auto`.
        projection: `gaussian` or `orthogonal`.
        fit_intercept: whether an intercept is fitted.
        engine: `auto`, `lifted` (statistics; exact forgetting) or `data`.
        activation_rows: rows on which the data engine learns the activation; the readout sees all.
        n_starts: starts of the search.
        max_iter: iterations of the kept start.
        tol: relative decrease of the objective at which it stops.
        solver_options: `chunk_bytes`; for adam also its numbers.
        random_state: seed.
        n_jobs: threads over starts.
        verbose: 1 says what the starts reached.

    Attributes:
        activation_coef_: (R, N), orthonormal rows.
        readout_: (M, R, K).
        intercept_: (K,).
        random_weights_: W, (d, M).
        offset_: (d,).
        scale_: (d,).
        basis_: the `Basis`.
        alpha_: penalty used; `smooth_` likewise.
        objective_: J at the solution; `objective_history_` by iteration.
        start_objectives_: J each start reached in the search.
        gcv_: generalised cross-validation score.
        n_iter_: iterations.
        inside_: share of training pre-activations within the span.
        singular_values_: of readout times activations, (R,): is one activation enough?
        statistics_: `LiftedStatistics`, with the lifted engine.
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _targets(self, y: Any, *, first: bool) -> Array:
        target = np.asarray(y, dtype=np.float64)
        if first:
            self._single = target.ndim == 1
        return target.reshape(len(target), -1)

    def _validated_rows(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool, least: int = 1
    ) -> tuple[Array, Array, Array]:
        rows, target = checked_data(
            self,
            X,
            y,
            dtype=np.float64,
            reset=reset,
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=least,
        )
        weight = checked_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        return rows, target, weight

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: Any = None) -> Self:
        """Fit to rows X (n, d) and targets y (n,) or (n, K)."""
        with unchanged_on_error(self):
            self._fit_rows(*self._validated_rows(X, y, sample_weight, reset=True, least=2))
        return self

    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: Any = None, *, solve: bool = True
    ) -> Self:
        """Add rows to the statistics; the first call calibrates unless `calibrate` was called.

        Args:
            X: (n, d).
            y: (n,) or (n, K).
            sample_weight: (n,).
            solve: refit now; otherwise call `solve` before predicting.

        Raises:
            InvalidInput: n_components * n_basis above 6000, or a parameter that needs rows.
        """
        first = not hasattr(self, "random_weights_")
        with unchanged_on_error(self):
            rows = self._validated_rows(X, y, sample_weight, reset=first)
            self._accumulate(*rows, solve)
        return self

    def predict(self, X: ArrayLike, return_std: bool = False) -> Any:
        """Return predictions, (n,) or (n, K); with `return_std` also their standard deviations.

        The deviation is that of a new observation, given the activation.
        """
        rows = self._validated(X)
        if not return_std:
            return self._shaped(self._raw(rows))
        estimate, deviation = self._with_deviation(rows)
        return self._shaped(estimate), self._shaped(deviation)

    def _shaped(self, values: Array) -> Array:
        return values[:, 0] if self._single else values

    def _with_deviation(self, X: Array) -> tuple[Array, Array]:
        posterior = self._posterior
        assert posterior is not None
        flat = self.readout_.reshape(-1, self.readout_.shape[2])
        estimate = np.empty((len(X), flat.shape[1]))
        variance = np.empty_like(estimate)
        for part, phi in self._feature_parts(X):
            estimate[part] = phi @ flat + self.intercept_
            variance[part] = posterior.variance(phi)
        return estimate, np.sqrt(np.maximum(variance, 0.0))

    def conformalize(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Keep the absolute residuals on rows not used for fitting, for conformal intervals."""
        check_is_fitted(self, "readout_")
        rows, targets, _ = self._checked_rows(X, y, None)
        self._need_outputs(targets)
        self._conformal = np.sort(np.abs(targets - self._raw(rows)), axis=0)
        return self

    def predict_interval(
        self, X: ArrayLike, confidence_level: float = 0.9, method: str = "bayes"
    ) -> Interval:
        """Return predictions with intervals for new observations.

        Args:
            X: (n, d).
            confidence_level: wanted coverage, in (0, 1).
            method: `bayes` (normal quantiles of the posterior), `jackknife` (jackknife+ given the
                activation) or `conformal` (split; call `conformalize` first).

        Raises:
            InvalidInput: an unknown method, a level outside (0, 1), training rows or residuals
                that are not there.
        """
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
        level = check_confidence(confidence_level)
        rows = self._validated(X)
        if method == "bayes":
            out = bayes_interval(*self._with_deviation(rows), level)
        elif method == "conformal":
            if not hasattr(self, "_conformal"):
                raise InvalidInput(
                    "method='conformal' needs residuals on other rows; call conformalize(X, y)"
                )
            estimate, radius = self._raw(rows), conformal_quantile(self._conformal, level)
            out = Interval(estimate, estimate - radius, estimate + radius)
        else:
            out = self._jackknife(rows, level)
        return Interval(*(self._shaped(part) for part in (out.estimate, out.low, out.high)))

    def _jackknife(self, X: Array, level: float) -> Interval:
        train, posterior = self._train, self._posterior
        if train is None or posterior is None:
            raise InvalidInput(
                "method='jackknife' needs the training rows, which are kept by fit where "
                "n * n_components <= 2e7; use method='bayes' or 'conformal'"
            )
        flat = self.readout_.reshape(-1, self.readout_.shape[2])
        at = self.calibration_
        seen = np.concatenate(
            [
                self._table(at.z(train.X[part])).reshape(-1, len(flat))
                for part in _slices(len(train.X))
            ]
        )
        estimate = np.empty((len(X), flat.shape[1]))
        low, high = np.empty_like(estimate), np.empty_like(estimate)
        residuals = train.y - seen @ flat - self.intercept_
        for part, phi in self._feature_parts(X):
            out = jackknife_interval(
                posterior,
                seen,
                residuals,
                train.sample_weight,
                phi,
                phi @ flat + self.intercept_,
                level,
            )
            estimate[part], low[part], high[part] = out.estimate, out.low, out.high
        return Interval(estimate, low, high)


def _slices(n: int, step: int = 8192) -> list[slice]:
    return [slice(start, start + step) for start in range(0, n, step)]
