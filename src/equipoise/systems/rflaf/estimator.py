"""What the three estimators share once rows are known: statistics, prediction, the activation."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.rflaf.compression import drawn_by_leverage
from equipoise.systems.rflaf.eliminating import eliminated
from equipoise.systems.rflaf.fitted import (
    FittedModel,
    chunks,
    feature_rows,
)
from equipoise.systems.rflaf.fitting import fit_statistics
from equipoise.systems.rflaf.intervals import JACKKNIFE_POINTS, TrainingRows
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.planning import Plan
from equipoise.systems.rflaf.scaling import (
    inside_rows,
    inside_share,
    too_far_outside,
)
from equipoise.systems.rflaf.statistics import LiftedStatistics, need_lifted_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from equipoise.systems.rflaf.kernel import ActivationKernel
    from equipoise.systems.rflaf.lan import LAN

from equipoise.systems.rflaf.calibrated import (
    CalibratedEstimator,
    checked_data,
    checked_weight,
    unchanged_on_error,
)

COMPRESSIONS = ("eliminate", "leverage")
_CURVE_POINTS = 401
_CARRIED = ("n_features_in_", "feature_names_in_", "classes_", "_single", "_class_multipliers")
_CURVE_LEVEL = 1.6448536269514722  # normal quantile of a 90 % band


@dataclass(frozen=True)
class ActivationCurve:
    """The learnt activations on a grid, with a 90 % band.

    The band is a Laplace approximation: the Hessian of J* in the coefficients, projected on the
    directions that change the activations' span. For classifiers it is that of the squared loss on
    +-1 targets.

    Attributes:
        z: points, (P,).
        value: (P, R).
        low: lower end, (P, R); NaN where no band was computed (very many coefficients).
        high: upper end, (P, R).
    """

    z: Array
    value: Array
    low: Array
    high: Array


def carry(source: Any, target: Any) -> None:
    """Give an estimator what another has learnt of columns, outputs and classes."""
    for name in _CARRIED:
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


def inside_of(estimator: Any, unknown: float = 1.0) -> float:
    """Return the share of streamed pre-activations that lay within the span."""
    return float(getattr(estimator, "_inside_stream", unknown))


class ActivationEstimator(CalibratedEstimator):
    """Base of regressor, classifier and transformer; not for use by itself."""

    # -- streaming ----------------------------------------------------------------------------

    def _accumulate(self, X: Array, y: Any, sample_weight: Array, solve: bool) -> None:
        """Add validated rows to the statistics."""
        plan, seed = self._plan()
        need_lifted_size(self.n_components, self.n_basis)
        self._check_streamable(plan)
        if hasattr(self, "readout_") and not hasattr(self, "statistics_"):
            warnings.warn(
                "the model so far was fitted from rows and kept no statistics: partial_fit begins "
                "anew with its calibration; to add to a fit use engine='lifted'",
                UserWarning,
                stacklevel=3,
            )
        targets = self._targets(y, first=not hasattr(self, "statistics_"))
        if not hasattr(self, "random_weights_"):
            if not sample_weight.sum() > 0:
                raise InvalidInput("sample_weight is zero for every row; at least one must count")
            self._set_calibration(self._calibrated(X, sample_weight, seed))
        if not hasattr(self, "statistics_"):
            at = self.calibration_
            self.statistics_ = LiftedStatistics(
                at.weights,
                at.basis,
                offset=at.offset,
                scale=at.scale,
                n_outputs=targets.shape[1],
            )
        before = self.statistics_.weight_sum
        self.statistics_.update(X, targets, sample_weight)
        self._note_inside(X, sample_weight, before)
        self._after_change(solve)

    def _note_inside(self, X: Array, sample_weight: Array, before: float) -> None:
        """Average the share of pre-activations inside the span over the chunks seen."""
        added = float(sample_weight.sum())
        if added > 0:
            share = sum(
                inside_share(self.calibration_.z(X[p]), self.basis_, sample_weight[p])
                * float(sample_weight[p].sum())
                for p in chunks(len(X), self.n_components)
                if sample_weight[p].sum() > 0
            )
            old = inside_of(self)
            self._inside_stream = (old * before + share) / (before + added)

    def _check_streamable(self, plan: Plan) -> None:
        if plan.search.alpha == "loo" or plan.search.solver == "adam":
            raise InvalidInput(
                "streamed rows are not kept, and alpha='loo' and solver='adam' need them; "
                "use alpha='gcv' and solver='varpro', or fit"
            )

    def _after_change(self, solve: bool) -> None:
        self._forget_fit(statistics=False)
        if solve:
            self.solve()

    def forget(
        self, X: ArrayLike, y: Any, sample_weight: Any = None, *, solve: bool = True
    ) -> Self:
        """Remove rows exactly: the model becomes the one that never saw them.

        Args:
            X: rows that `partial_fit`, or a fit with the lifted engine, has seen.
            y: their targets.
            sample_weight: the weights they were seen with.
            solve: refit now; otherwise call `solve` before predicting.

        Raises:
            InvalidInput: no statistics, more rows than seen, rows never seen; nothing changes.
        """
        with unchanged_on_error(self):
            statistics = self._need_statistics("forget")
            rows, targets, weight = self._checked_rows(X, y, sample_weight)
            used = weight > 0
            statistics.remove(rows[used], targets[used], weight[used])
            self._after_change(solve)
        return self

    def _checked_rows(self, X: Any, y: Any, sample_weight: Any) -> tuple[Array, Array, Array]:
        """Return rows, targets (n, K) and weights of a later call, validated."""
        rows, target = checked_data(
            self, X, y, dtype=np.float64, reset=False, multi_output=True, y_numeric=False
        )
        weight = checked_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        return rows, self._targets(target, first=False), weight

    def _need_outputs(self, targets: Array) -> None:
        if targets.shape[1] != self.readout_.shape[2]:
            raise InvalidInput(
                f"y has {targets.shape[1]} outputs, the model {self.readout_.shape[2]}"
            )

    def _need_statistics(self, what: str) -> LiftedStatistics:
        if not hasattr(self, "statistics_"):
            raise InvalidInput(
                f"{what} needs lifted statistics; use partial_fit, or fit with engine='lifted'"
            )
        return self.statistics_

    def merge(self, other: "ActivationEstimator") -> Self:
        """Add another estimator's statistics of the same calibration; returns self, solved.

        Raises:
            InvalidInput: another kind of estimator, no statistics, or another calibration (what
                differs is named).
        """
        if type(other) is not type(self):
            mine, given = type(self).__name__, type(other).__name__
            raise InvalidInput(f"merge got {given}; to {mine} only another {mine} can be added")
        with unchanged_on_error(self):
            mine = self._need_statistics("merge")
            theirs = other._need_statistics("merge")
            names = getattr(self, "classes_", None), getattr(other, "classes_", None)
            if names[0] is not None and not np.array_equal(names[0], np.asarray(names[1])):
                raise InvalidInput("the two classifiers differ in their classes")
            merged = mine.merge(theirs)
            shares = [inside_of(e) for e in (self, other)]
            self._inside_stream = float(
                np.average(shares, weights=[mine.weight_sum, theirs.weight_sum])
            )
            self.statistics_ = merged
            self._after_change(True)
        return self

    def solve(self) -> Self:
        """Fit from `statistics_`.

        Raises:
            NotFittedError: there are no statistics yet.
        """
        if not hasattr(self, "statistics_"):
            raise NotFittedError("there are no statistics to solve; call partial_fit first")
        plan, _ = self._plan()
        self._check_streamable(plan)
        model = fit_statistics(self.statistics_, plan)
        self._adopt(model)
        self.inside_ = inside_of(self, float("nan"))
        return self

    # -- prediction ---------------------------------------------------------------------------

    def _validated(self, X: ArrayLike) -> Array:
        check_is_fitted(self, "readout_")
        return checked_data(self, X, dtype=np.float64, reset=False)

    def _feature_parts(self, X: Array) -> Iterator[tuple[slice, Array]]:
        """Yield features of rows chunk by chunk; warn once where too many lie outside."""
        inside, at = np.empty(len(X)), self.calibration_
        for part in chunks(len(X), at.weights.shape[1]):
            z = at.z(X[part])
            inside[part] = inside_rows(z, self.basis_)
            yield part, feature_rows(self._table, z)
        if self.basis_.kind != "poly" and too_far_outside(inside, self.inside_):
            warnings.warn(
                f"{1 - inside.mean():.2%} of the pre-activations lie outside the span, where the "
                "features vanish and predictions tend to the intercept",
                UserWarning,
                stacklevel=4,
            )

    def _raw(self, X: Array) -> Array:
        """Return b + Phi v, (n, K)."""
        flat = self.readout_.reshape(-1, self.readout_.shape[2])
        out = np.empty((len(X), flat.shape[1]))
        for part, phi in self._feature_parts(X):
            out[part] = phi @ flat
        return out + self.intercept_

    # -- the activation -----------------------------------------------------------------------

    def activation_curve(self, z: ArrayLike | None = None) -> ActivationCurve:
        """Return the learnt activations on a grid, with a 90 % band.

        Args:
            z: points, (P,); None: 401 points over the span.
        """
        check_is_fitted(self, "readout_")
        if z is None:
            c = self.basis_.centers
            ends = (c[0], c[-1]) if c.size > 1 else self.span
            z = np.linspace(*ends, _CURVE_POINTS)
        points = np.asarray(z, dtype=np.float64).ravel()
        values = self.basis_.values(points)
        value = values @ self.activation_coef_.T
        half = np.full(value.shape, np.nan)
        if self._band is not None:
            rank, n_basis = self.activation_coef_.shape
            blocks = self._band.reshape(rank, n_basis, rank, n_basis)
            for r in range(rank):
                variance = ((values @ blocks[r, :, r]) * values).sum(axis=1)
                half[:, r] = _CURVE_LEVEL * np.sqrt(np.maximum(variance, 0.0))
        return ActivationCurve(points, value, value - half, value + half)

    def plot_activation(
        self, ax: "Axes | None" = None, *, band: bool = True, histogram: bool = True
    ) -> "Axes":
        """Draw the learnt activations with their band, and the pre-activations beneath.

        Args:
            ax: where to draw; None: a new figure in house style.
            band: draw the 90 % band.
            histogram: draw the density of z on the training rows, where they were kept.
        """
        from equipoise.systems.rflaf.drawing import draw_activation

        curve = self.activation_curve()
        z = None
        if histogram and self._train is not None:
            some = slice(None, None, max(1, len(self._train.X) // 1000))
            z = self.calibration_.z(self._train.X[some]).ravel()
        return draw_activation(ax, curve, band=band, z=z)

    def to_kernel(self) -> "ActivationKernel":
        """Return the learnt activation as an exact Gaussian-process kernel on raw columns.

        Raises:
            InvalidInput: the basis is not `rbf`.
        """
        from equipoise.systems.rflaf.kernel import ActivationKernel

        check_is_fitted(self, "readout_")
        if self.basis_.kind != "rbf":
            raise InvalidInput(
                f"to_kernel has a closed form for basis 'rbf' only, got {self.basis_.kind!r}; "
                "fit with basis='rbf'"
            )
        return ActivationKernel(self.activation_coef_, self.basis_, self.offset_, self.scale_)

    def unfreeze(self) -> "LAN":
        """Return a torch net that starts as this model and can train its projection too."""
        from equipoise.systems.rflaf.lan import LAN

        return LAN.from_estimator(self)

    def compress(
        self,
        n_components: int,
        X: ArrayLike,
        y: Any,
        *,
        method: str = "eliminate",
        random_state: Any = None,
    ) -> Self:
        """Return a new fitted estimator on the units that matter most.

        Args:
            n_components: at most that many units remain.
            X: rows to weigh the units and refit on.
            y: their targets.
            method: `eliminate` takes away the unit that the targets need least, again and again,
                and learns the activation anew on what is left (ours); `leverage` draws units by
                their leverage scores, merges repeated draws and refits the readout (published,
                2.9; much faster on many units, and loses more).
            random_state: of the draws, and of the starts of a new activation.

        Returns:
            An estimator of the same class; after `leverage` its `alpha_` applies to the weighted
            features.
        """
        check_is_fitted(self, "readout_")
        if method not in COMPRESSIONS:
            raise unknown_name("method", method, COMPRESSIONS)
        if not isinstance(n_components, (int, np.integer)) or not n_components >= 1:
            raise InvalidInput(f"n_components is {n_components!r}; it must be an integer >= 1")
        rows, targets, weight = self._checked_rows(X, y, None)
        self._need_outputs(targets)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        plan, _ = self._plan()
        plan = replace(plan, search=replace(plan.search, seed=seed))
        at, coef, data = self.calibration_, self.activation_coef_, (rows, targets, weight)
        if method == "eliminate":
            penalties = self.alpha_, self.smooth_
            model = eliminated(at, coef, penalties, data, plan, int(n_components))
        else:
            model = drawn_by_leverage(at, coef, data, plan, int(n_components))
        units = model.readout.shape[0]
        twin: Any = clone(self)
        new = twin.set_params(n_components=units)
        carry(self, new)
        model = new._refit_head(model, rows, targets, weight, plan)
        new._set_calibration(model.calibration)
        new._adopt(model)
        if len(rows) * units <= JACKKNIFE_POINTS and model.posterior is not None:
            new._train = TrainingRows(rows.copy(), targets.copy(), weight)
        return new

    def _refit_head(
        self, model: FittedModel, X: Array, y: Array, sample_weight: Array, plan: Plan
    ) -> FittedModel:
        """Return a compressed model, or what a further loss makes of its readout."""
        return model
