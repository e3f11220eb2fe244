"""What RFLAF is measured against: random features of fixed shape, and trees.

Every baseline of random features has as many units as the model and its ridge penalty from
leave-one-out; `gamma` is chosen among seven by cross-validation on at most 5,000 training rows.
"""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from equipoise.core.errors import unknown_name

GAMMAS = tuple(float(g) for g in np.logspace(-2, 1, 7))
ALPHAS = tuple(float(a) for a in np.logspace(-10, 2, 13))
TUNING_ROWS = 5000
BASELINES = ("rbf_sampler", "nystroem", "relu", "trees")
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


def make_baseline(name: str, task: str, n_components: int, seed: int) -> Any:
    """Return a baseline that is not fitted yet; its columns are standardised.

    Args:
        name: rbf_sampler, nystroem, relu, cos, tanh (each with RidgeCV) or trees
            (HistGradientBoosting).
        task: regression or classification.
        n_components: units.
        seed: of everything random.

    Raises:
        InvalidInput: an unknown name.
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
    features: dict[str, Any] = {
        "rbf_sampler": RBFSampler(n_components=n_components, random_state=seed),
        "nystroem": Nystroem(n_components=n_components, random_state=seed),
        **{
            shape: RandomFeatures(n_components, shape=shape, random_state=seed) for shape in _SHAPES
        },
    }
    if name not in features:
        raise unknown_name("baseline", name, [*features, "trees"])
    readout = RidgeClassifierCV(alphas=ALPHAS) if classes else RidgeCV(alphas=ALPHAS)
    return make_pipeline(StandardScaler(), features[name], readout)


def fit_baseline(
    name: str, task: str, n_components: int, seed: int, X: Any, y: Any
) -> tuple[Any, float | None]:
    """Return a fitted baseline and the gamma that it was given, None where it has none.

    Raises:
        InvalidInput: an unknown name.
    """
    made = make_baseline(name, task, n_components, seed)
    if name not in ("rbf_sampler", "nystroem"):
        return made.fit(X, y), None
    from sklearn.model_selection import GridSearchCV

    step = made.steps[1][0]
    grid = {f"{step}__gamma": [2 * gamma / X.shape[1] for gamma in GAMMAS]}
    some = np.random.default_rng(seed).permutation(len(X))[:TUNING_ROWS]
    folds = (
        min(3, int(np.unique(y[some], return_counts=True)[1].min())) if task != "regression" else 3
    )
    if folds < 2 or len(some) < 6:
        return made.fit(X, y), None
    best = GridSearchCV(made, grid, cv=folds).fit(X[some], y[some]).best_params_
    return made.set_params(**best).fit(X, y), float(best[f"{step}__gamma"])
