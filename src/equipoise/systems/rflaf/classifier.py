"""The classifier: cross-entropy or squared loss on one-vs-rest targets."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.rflaf.calibrated import checked_data, checked_weight, unchanged_on_error
from equipoise.systems.rflaf.estimator import ActivationEstimator
from equipoise.systems.rflaf.fitted import FittedModel
from equipoise.systems.rflaf.gradient_fits import fit_log_loss
from equipoise.systems.rflaf.intervals import check_confidence, conformal_quantile
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.planning import Plan


def _loss_is(loss: str) -> Any:
    def check(self: Any) -> bool:
        if self.loss != loss:
            raise AttributeError(f"needs loss={loss!r}; this classifier has loss={self.loss!r}")
        return True

    return check


def one_vs_rest(labels: NDArray[Any], classes: NDArray[Any]) -> Array:
    """Return +-1 targets: one column for two classes (the second is +1), else one a class.

    Raises:
        InvalidInput: a label that is not among the classes.
    """
    place = np.minimum(np.searchsorted(classes, labels), classes.size - 1)
    wrong = classes[place] != labels
    if wrong.any():
        raise unknown_name("class", np.asarray(labels)[wrong][0], [str(c) for c in classes])
    if classes.size == 2:
        return np.where(place == 1, 1.0, -1.0)[:, None]
    if classes.size == 1:
        return np.ones((len(labels), 1))
    return np.where(place[:, None] == np.arange(classes.size), 1.0, -1.0)


class RFLAFClassifier(ClassifierMixin, ActivationEstimator):
    """Random features with one learnt activation, for classification.

    Parameters and attributes are the regressor's, with one output for two classes and one for
    each class otherwise, and:

    Args:
        loss: `log` (penalised cross-entropy, with probabilities) or `squared` (+-1 targets; can
            be streamed).
        class_weight: None, `balanced` or a mapping from class to weight.

    Attributes:
        classes_: the labels, sorted.
    """

    classes_: NDArray[Any]
    _class_multipliers: Array

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
        loss: str = "log",
        class_weight: Any = None,
    ) -> None:
        shared = {k: v for k, v in locals().items() if k in ActivationEstimator._get_param_names()}
        super().__init__(**shared)
        self.loss = loss
        self.class_weight = class_weight

    def _targets(self, y: Any, *, first: bool) -> Array:
        return one_vs_rest(np.asarray(y), self.classes_)

    def _labels(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool, least: int = 1
    ) -> tuple[Array, NDArray[Any], Array]:
        rows, labels = checked_data(
            self, X, y, dtype=np.float64, reset=reset, ensure_min_samples=least
        )
        labels = column_or_1d(labels, warn=True)
        check_classification_targets(labels)
        weight = checked_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        return rows, labels, weight

    def _checked_rows(self, X: Any, y: Any, sample_weight: Any) -> tuple[Array, Array, Array]:
        rows, labels, weight = self._labels(X, y, sample_weight, reset=False)
        return rows, self._targets(labels, first=False), self._by_class(labels, weight)

    def _by_class(self, labels: NDArray[Any], weight: Array) -> Array:
        """Return weights times the multipliers of their classes."""
        if not hasattr(self, "_class_multipliers"):
            return weight
        return weight * self._class_multipliers[np.searchsorted(self.classes_, labels)]

    def _set_multipliers(self, labels: NDArray[Any], weight: Array) -> None:
        """Fix what `class_weight` makes of a whole training set's weights.

        Weight moves between the classes; the amount of data stays what it is.
        """
        vars(self).pop("_class_multipliers", None)
        if self.class_weight is None:
            return
        shifted = weight * compute_sample_weight(self.class_weight, labels)
        factor = weight.sum() / shifted.sum() if shifted.sum() > 0 else 1.0
        _, first = np.unique(labels, return_index=True)
        each = compute_sample_weight(self.class_weight, labels)[first]
        self._class_multipliers = each * factor

    def _stream_multipliers(self) -> None:
        """Fix class weights for rows that come in pieces: as given, whatever the pieces."""
        vars(self).pop("_class_multipliers", None)
        if self.class_weight is None:
            return
        if not isinstance(self.class_weight, dict):
            raise InvalidInput(
                f"class_weight is {self.class_weight!r}, which needs all rows at once; give "
                "partial_fit a mapping from class to weight"
            )
        given = {key: float(value) for key, value in self.class_weight.items()}
        self._class_multipliers = np.array([given.get(c, 1.0) for c in self.classes_.tolist()])

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: Any = None) -> Self:
        """Fit to rows X (n, d) and labels y (n,)."""
        with unchanged_on_error(self):
            rows, labels, weight = self._labels(X, y, sample_weight, reset=True, least=2)
            self.classes_ = np.unique(labels[weight > 0]) if (weight > 0).any() else labels[:1]
            known = np.isin(labels, self.classes_)
            rows, labels, weight = rows[known], labels[known], weight[known]
            self._set_multipliers(labels, weight)
            self._fit_rows(rows, labels, self._by_class(labels, weight))
        return self

    def _second_stage(
        self, model: FittedModel, X: Array, y: Array, sample_weight: Array, plan: Plan
    ) -> FittedModel:
        if self.loss == "squared" or self.solver == "adam" or self.classes_.size == 1:
            return model
        return fit_log_loss(model, X, y, sample_weight, plan)

    def _refit_head(
        self, model: FittedModel, X: Array, y: Array, sample_weight: Array, plan: Plan
    ) -> FittedModel:
        if self.loss == "squared" or self.classes_.size == 1:
            return model
        return fit_log_loss(model, X, y, sample_weight, plan, move_activation=False)

    @available_if(_loss_is("squared"))
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: Any = None,
        sample_weight: Any = None,
        *,
        solve: bool = True,
    ) -> Self:
        """Add rows to the statistics (`loss="squared"`).

        Args:
            X: (n, d).
            y: labels, (n,).
            classes: all labels that will come; needed in the first call unless y has them all.
            sample_weight: (n,).
            solve: refit now; otherwise call `solve` before predicting.
        """
        first = not hasattr(self, "statistics_")
        with unchanged_on_error(self):
            fresh = not hasattr(self, "random_weights_")
            rows, labels, weight = self._labels(X, y, sample_weight, reset=fresh)
            if first:
                self.classes_ = np.unique(labels if classes is None else np.asarray(classes))
                self._stream_multipliers()
            elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise InvalidInput(
                    f"classes is {list(np.unique(classes))}, in the first call it was "
                    f"{list(self.classes_)}"
                )
            one_vs_rest(labels, self.classes_)  # unknown labels are refused here
            self._accumulate(rows, labels, self._by_class(labels, weight), solve)
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the outputs: (n,) for two classes (above 0: the second), else (n, classes)."""
        raw = self._raw(self._validated(X))
        return raw[:, 0] if self.classes_.size <= 2 else raw

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the label of greatest output, (n,)."""
        raw = self.decision_function(X)
        if self.classes_.size == 1:
            return np.repeat(self.classes_, len(raw))
        best = (raw > 0).astype(int) if raw.ndim == 1 else raw.argmax(axis=1)
        return self.classes_[best]

    @available_if(_loss_is("log"))
    def predict_proba(self, X: ArrayLike) -> Array:
        """Return class probabilities, (n, classes) (`loss="log"`)."""
        raw = self.decision_function(X)
        if self.classes_.size == 1:
            return np.ones((len(raw), 1))
        if raw.ndim == 1:
            return np.column_stack([expit(-raw), expit(raw)])
        exponent = np.exp(raw - raw.max(axis=1, keepdims=True))
        return exponent / exponent.sum(axis=1, keepdims=True)

    @available_if(_loss_is("log"))
    def conformalize(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Keep the scores 1 - p_y on rows not used for fitting, for prediction sets."""
        check_is_fitted(self, "readout_")
        rows, labels, _ = self._labels(X, y, None, reset=False)
        one_vs_rest(labels, self.classes_)
        p = self.predict_proba(rows if not hasattr(X, "columns") else X)
        place = np.searchsorted(self.classes_, labels)
        self._conformal = np.sort(1 - p[np.arange(len(p)), place])[:, None]
        return self

    @available_if(_loss_is("log"))
    def predict_set(self, X: ArrayLike, confidence_level: float = 0.9) -> NDArray[np.bool_]:
        """Return split conformal sets of classes, bool (n, classes).

        Raises:
            InvalidInput: `conformalize` was not called, or a level outside (0, 1).
        """
        level = check_confidence(confidence_level)
        check_is_fitted(self, "readout_")
        if not hasattr(self, "_conformal"):
            raise InvalidInput("predict_set needs scores on other rows; call conformalize(X, y)")
        return 1 - self.predict_proba(X) <= conformal_quantile(self._conformal, level)[0]
