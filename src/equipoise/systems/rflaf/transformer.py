"""The transformer: the learnt features, for any model behind it."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from equipoise.systems.rflaf.calibrated import checked_data, checked_weight, unchanged_on_error
from equipoise.systems.rflaf.classifier import one_vs_rest
from equipoise.systems.rflaf.estimator import ActivationEstimator
from equipoise.systems.rflaf.fitted import FittedModel
from equipoise.systems.rflaf.gradient_fits import fit_log_loss
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.planning import Plan


class RFLAFTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ActivationEstimator):
    """Random features whose activation is learnt from the targets.

    Parameters and attributes are the regressor's, and:

    Args:
        loss: `squared` (numeric targets) or `log` (labels; the activation that suits
            classification).
    """

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
        loss: str = "squared",
    ) -> None:
        shared = {k: v for k, v in locals().items() if k in ActivationEstimator._get_param_names()}
        super().__init__(**shared)
        self.loss = loss

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _targets(self, y: Any, *, first: bool) -> Array:
        if self.loss == "log":
            labels = column_or_1d(y, warn=True)
            check_classification_targets(labels)
            if first:
                self.classes_ = np.unique(labels)
            return one_vs_rest(labels, self.classes_)
        target = np.asarray(y, dtype=np.float64)
        return target.reshape(len(target), -1)

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: Any = None) -> Self:
        """Learn the activation from rows X (n, d) and targets y, (n,) or (n, K)."""
        with unchanged_on_error(self):
            rows, target = checked_data(
                self,
                X,
                y,
                dtype=np.float64,
                multi_output=self.loss != "log",
                y_numeric=self.loss != "log",
                ensure_min_samples=2,
            )
            weight = checked_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
            self._fit_rows(rows, target, weight)
        return self

    def _second_stage(
        self, model: FittedModel, X: Array, y: Array, sample_weight: Array, plan: Plan
    ) -> FittedModel:
        if self.loss == "squared" or self.solver == "adam" or self.classes_.size == 1:
            return model
        return fit_log_loss(model, X, y, sample_weight, plan)

    @property
    def _n_features_out(self) -> int:
        return self.readout_.shape[0] * self.readout_.shape[1]

    def transform(self, X: ArrayLike) -> Array:
        """Return sigma_r(z_m), (n, M*R), feature m*R + r."""
        rows = self._validated(X)
        out = np.empty((len(rows), self._n_features_out))
        for part, phi in self._feature_parts(rows):
            out[part] = phi
        return out
