"""What RFLAF is measured against: random features of fixed shape, and trees.

Every baseline of random features has as many units as the model and its ridge penalty from
leave-one-out; `gamma` is chosen among seven by cross-validation on at most 5,000 training rows.
`rfflearn`, which has no leave-one-out, chooses its penalty by the same folds.
"""

import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from equipoise.core.errors import unknown_name
from equipoise.core.extras import require

GAMMAS = tuple(float(g) for g in np.logspace(-2, 1, 7))
ALPHAS = tuple(float(a) for a in np.logspace(-10, 2, 13))
NOISES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Standard deviations of the noise that `rfflearn` is tuned over; their squares are its penalty."""
TUNING_ROWS = 5000
BASELINES = ("rbf_sampler", "nystroem", "relu", "trees")
"""What stands beside every training."""
ALL_BASELINES = (*BASELINES, "cos", "tanh", "bspline", "mlp", "kan", "gp", "rfflearn")
"""All there are; rfflearn needs the extra `peers`."""
GP_ROWS = (2000, 500)
"""Rows that a Gaussian process sees of a regression, of a classification."""
_SHAPES = {"relu": lambda z: np.maximum(z, 0.0), "cos": np.cos, "tanh": np.tanh}


class RandomFeatures(TransformerMixin, BaseEstimator):
    """Random features of a fixed activation: s(x.w + b) with w ~ N(0, I / d), b ~ N(0, 1).

    Args:
        n_components: units.
        shape: relu, cos or tanh.
        random_state: seed.
    """

    def __init__(
        self, n_components: int = 300, *, shape: str = "relu", random_state: int = 0
    ) -> None:
        self.n_components = n_components
        self.shape = shape
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> "RandomFeatures":
        """Draw the projection for X (n, d)."""
        if self.shape not in _SHAPES:
            raise unknown_name("shape", self.shape, _SHAPES)
        X = validate_data(self, X)
        rng = np.random.default_rng(self.random_state)
        d = X.shape[1]
        self.random_weights_ = rng.standard_normal((d, self.n_components)) / np.sqrt(d)
        self.random_offset_ = rng.standard_normal(self.n_components)
        return self

    def transform(self, X: Any) -> Any:
        """Return the features, (n, n_components)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return _SHAPES[self.shape](X @ self.random_weights_ + self.random_offset_)


def load_rfflearn() -> ModuleType:
    """Return the package's module for CPUs.

    Raises:
        MissingExtra: it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # which of its own options are absent
        return require("rfflearn.cpu", "peers")


class _RFFLearn(BaseEstimator):
    """What the two estimators of `rfflearn` share: units drawn from our generator, and noise.

    Its Gaussian processes stand here, not its least squares: those have no penalty, and where
    units are as many as rows they predict nothing (diabetes, 300 units: R^2 below -2).

    Args:
        n_components: units.
        gamma: of the kernel exp(-gamma |x - y|^2).
        noise: standard deviation of the noise.
        random_state: seed.
    """

    def __init__(
        self,
        n_components: int = 300,
        *,
        gamma: float = 1.0,
        noise: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.n_components = n_components
        self.gamma = gamma
        self.noise = noise
        self.random_state = random_state

    def _fitted(self, kind: Callable[..., Any], X: Any, y: Any) -> Any:
        rng, deviation = np.random.default_rng(self.random_state), np.sqrt(2 * self.gamma)
        weights = deviation * rng.standard_normal((X.shape[1], self.n_components))
        shift = rng.uniform(0, 2 * np.pi, self.n_components)
        return kind(self.n_components, deviation, self.noise, W=weights, b=shift).fit(X, y)


class RFFLearnRegressor(RegressorMixin, _RFFLearn):
    """`rfflearn`'s Gaussian process regression on random Fourier features; y is standardised."""

    def fit(self, X: Any, y: Any) -> "RFFLearnRegressor":
        """Fit X (n, d), y (n,).

        Raises:
            MissingExtra: rfflearn is not installed.
        """
        X, y = validate_data(self, X, y, y_numeric=True)
        self.center_, self.spread_ = float(y.mean()), float(y.std()) or 1.0
        kind = load_rfflearn().RFFGPR
        self.model_ = self._fitted(kind, X, (y - self.center_) / self.spread_)
        return self

    def predict(self, X: Any) -> Any:
        """Return predictions, (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return self.model_.predict(X) * self.spread_ + self.center_


class RFFLearnClassifier(ClassifierMixin, _RFFLearn):
    """`rfflearn`'s Gaussian process classifier on random Fourier features."""

    def fit(self, X: Any, y: Any) -> "RFFLearnClassifier":
        """Fit X (n, d), labels y (n,).

        Raises:
            MissingExtra: rfflearn is not installed.
        """
        X, y = validate_data(self, X, y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.model_ = self._fitted(load_rfflearn().RFFGPC, X, codes)
        return self

    def predict(self, X: Any) -> Any:
        """Return labels, (n,)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        if self.classes_.size == 1:
            return np.repeat(self.classes_, len(X))
        return self.classes_[self.model_.predict(X)]


def _mlp(classes: bool, n_components: int, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    kind = MLPClassifier if classes else MLPRegressor
    net = kind(
        hidden_layer_sizes=(n_components,), early_stopping=True, random_state=seed, max_iter=500
    )
    if classes:
        return net
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    return TransformedTargetRegressor(net, transformer=StandardScaler())


def _kan(classes: bool, n_components: int, seed: int) -> Any:
    from equipoise.systems.rflaf.kan import KANEstimator

    return KANEstimator("classification" if classes else "regression", random_state=seed)


def _gp(classes: bool, n_components: int, seed: int) -> Any:
    from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    kernel = ConstantKernel() * RBF(3.0, (0.1, 100.0))
    if classes:
        return GaussianProcessClassifier(kernel, random_state=seed)
    noisy = kernel + WhiteKernel(0.1, (1e-5, 10.0))
    return GaussianProcessRegressor(noisy, normalize_y=True, random_state=seed)


def _bspline(classes: bool, n_components: int, seed: int) -> Any:
    from equipoise.systems.rflaf.classifier import RFLAFClassifier
    from equipoise.systems.rflaf.regressor import RFLAFRegressor

    kind = RFLAFClassifier if classes else RFLAFRegressor
    return kind(n_components, basis="bspline", random_state=seed)


def _rfflearn(classes: bool, n_components: int, seed: int) -> Any:
    load_rfflearn()
    kind = RFFLearnClassifier if classes else RFFLearnRegressor
    return kind(n_components, random_state=seed)


_MADE: dict[str, Callable[[bool, int, int], Any]] = {
    "mlp": _mlp,
    "kan": _kan,
    "gp": _gp,
    "bspline": _bspline,
    "rfflearn": _rfflearn,
}


def make_baseline(name: str, task: str, n_components: int, seed: int) -> Any:
    """Return a baseline that is not fitted yet; its columns are standardised.

    Args:
        name: rbf_sampler, nystroem, relu, cos, tanh (each with RidgeCV), trees
            (HistGradientBoosting), bspline (this room's model on quadratic B-splines), mlp, kan,
            gp (a Gaussian process with an RBF kernel, on at most `GP_ROWS` rows), or rfflearn (that
            package's Gaussian process on random Fourier features).
        task: regression or classification.
        n_components: units.
        seed: of everything random.

    Raises:
        InvalidInput: an unknown name.
        MissingExtra: rfflearn is not installed.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.kernel_approximation import Nystroem, RBFSampler
    from sklearn.linear_model import RidgeClassifierCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = task == "classification"
    if name == "trees":
        kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
        return kind(random_state=seed)
    if name in _MADE:
        return make_pipeline(StandardScaler(), _MADE[name](classes, n_components, seed))
    features: dict[str, Any] = {
        "rbf_sampler": RBFSampler(n_components=n_components, random_state=seed),
        "nystroem": Nystroem(n_components=n_components, random_state=seed),
        **{
            shape: RandomFeatures(n_components, shape=shape, random_state=seed) for shape in _SHAPES
        },
    }
    if name not in features:
        raise unknown_name("baseline", name, ALL_BASELINES)
    readout = RidgeClassifierCV(alphas=ALPHAS) if classes else RidgeCV(alphas=ALPHAS)
    return make_pipeline(StandardScaler(), features[name], readout)


def fit_baseline(
    name: str, task: str, n_components: int, seed: int, X: Any, y: Any
) -> tuple[Any, float | None]:
    """Return a fitted baseline and the gamma that it was given, None where it has none.

    Raises:
        InvalidInput: an unknown name.
        MissingExtra: rfflearn is not installed.
    """
    if name == "nystroem":  # it has a unit for each of some rows, and tunes on two thirds of them
        n_components = min(n_components, max(1, len(X) // 2))
    made = make_baseline(name, task, n_components, seed)
    most = GP_ROWS[task == "classification"]
    if name == "gp" and len(X) > most:
        some = np.random.default_rng(seed).permutation(len(X))[:most]
        return made.fit(X[some], y[some]), None
    if name not in ("rbf_sampler", "nystroem", "rfflearn"):
        return made.fit(X, y), None
    from sklearn.model_selection import GridSearchCV

    step = made.steps[1][0]
    grid = {f"{step}__gamma": [2 * gamma / X.shape[1] for gamma in GAMMAS]}
    if name == "rfflearn":
        grid[f"{step}__noise"] = list(NOISES)
    some = np.random.default_rng(seed).permutation(len(X))[:TUNING_ROWS]
    folds = (
        min(3, int(np.unique(y[some], return_counts=True)[1].min())) if task != "regression" else 3
    )
    if folds < 2 or len(some) < 6:
        return made.fit(X, y), None
    best = GridSearchCV(made, grid, cv=folds).fit(X[some], y[some]).best_params_
    return made.set_params(**best).fit(X, y), float(best[f"{step}__gamma"])
