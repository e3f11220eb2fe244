"""Scikit-learn's habits: parameters, clones, frames, pipelines, targets of any shape, refusals."""

import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import make_friedman1
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import RFLAFClassifier, RFLAFRegressor, RFLAFTransformer

X, Y = make_friedman1(120, n_features=5, noise=0.5, random_state=0)
SMALL = {"n_components": 10, "n_basis": 7, "random_state": 0, "n_starts": 2}
CLASSES = [RFLAFRegressor, RFLAFClassifier, RFLAFTransformer]


def regressor(**changes):
    return RFLAFRegressor(**(SMALL | changes))


@pytest.mark.parametrize("cls", CLASSES)
def test_parameters_are_those_of_the_signature_and_stay_as_given(cls):
    names = set(inspect.signature(cls).parameters)
    assert set(cls().get_params()) == names
    options = {"chunk_bytes": 1_000_000}
    made = cls(**SMALL, span=[-1, 1], solver_options=options)
    made.fit(X, Y if cls is not RFLAFClassifier else Y > 14)
    assert made.span == [-1, 1]
    assert made.solver_options is options
    assert options == {"chunk_bytes": 1_000_000}
    twin = clone(made)
    assert twin.get_params() == made.get_params()
    assert not hasattr(twin, "readout_")


def test_the_documented_defaults():
    defaults = RFLAFRegressor().get_params()
    assert defaults == {
        "n_components": 300, "n_basis": 17, "basis": "rbf", "span": (-2.0, 2.0), "width": 1.0,
        "rank": 1, "solver": "varpro", "alpha": "gcv", "smooth": "gcv", "standardize": True,
        "scale": "auto", "projection": "gaussian", "fit_intercept": True, "engine": "auto",
        "activation_rows": 20000, "n_starts": 5, "max_iter": 100, "tol": 1e-7,
        "solver_options": None, "random_state": None, "n_jobs": None, "verbose": 0,
    }  # fmt: skip
    assert RFLAFClassifier().loss == "log"
    assert RFLAFClassifier().class_weight is None
    assert RFLAFTransformer().loss == "squared"
    assert is_regressor(RFLAFRegressor())
    assert is_classifier(RFLAFClassifier())


@pytest.mark.parametrize("seed", [3, np.int64(3), np.random.RandomState(3)])
def test_seeds_repeat_a_fit_and_other_seeds_do_not(seed):
    one = regressor(random_state=seed).fit(X, Y)
    other = regressor(random_state=3 if isinstance(seed, int) else 4).fit(X, Y)
    again = regressor(random_state=3).fit(X, Y)
    np.testing.assert_array_equal(one.predict(X), again.predict(X))
    assert np.array_equal(one.predict(X), other.predict(X)) == isinstance(seed, int)


def test_predicting_changes_nothing():
    m = regressor().fit(X, Y).conformalize(X, Y)
    before = pickle.dumps({k: v for k, v in vars(m).items() if isinstance(v, np.ndarray)})
    names = set(vars(m))
    m.predict(X, return_std=True)
    m.activation_curve()
    for method in ("bayes", "jackknife", "conformal"):
        m.predict_interval(X, 0.8, method)
    m.compress(4, X, Y, random_state=0)
    assert names == set(vars(m))
    assert before == pickle.dumps({k: v for k, v in vars(m).items() if isinstance(v, np.ndarray)})


def test_names_of_columns_are_kept_and_checked():
    frame = pd.DataFrame(X, columns=list("abcde"))
    m = regressor().fit(frame, pd.Series(Y))
    assert list(m.feature_names_in_) == list("abcde")
    assert m.n_features_in_ == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = regressor().fit(X, Y).predict(X)
        np.testing.assert_allclose(m.predict(frame), plain, rtol=1e-6)
        m.predict_interval(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        m.predict(frame.rename(columns={"a": "z"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        m.predict(X)
    with pytest.raises(ValueError, match="feature names should match"):
        regressor().calibrate(frame).partial_fit(frame[list("edcba")], Y)


@pytest.mark.parametrize("columns", [None, 1, 2, 4])
def test_predictions_are_shaped_as_the_targets(columns):
    y = Y if columns is None else np.column_stack([Y * (k + 1) for k in range(columns)])
    m = regressor().fit(X, y)
    assert m.predict(X).shape == y.shape
    assert m.readout_.shape == (10, 1, columns or 1)
    assert m.intercept_.shape == (columns or 1,)
    for part in m.predict(X, return_std=True):
        assert part.shape == y.shape
    assert m.fit(X, Y).predict(X).shape == Y.shape


def test_a_column_of_labels_is_taken_with_a_warning():
    with pytest.warns(DataConversionWarning):
        column = RFLAFClassifier(**SMALL).fit(X, (Y > 14)[:, None])
    assert column.predict(X).shape == (120,)


def test_it_stands_in_pipelines_searches_and_ensembles():
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame["kind"] = np.where(X[:, 0] > 0.5, "big", "small")
    columns = ColumnTransformer(
        [("text", OneHotEncoder(sparse_output=False), ["kind"])], remainder="passthrough"
    )
    search = GridSearchCV(
        make_pipeline(columns, regressor()), {"rflafregressor__rank": [1, 2]}, cv=2
    ).fit(frame, Y)
    assert set(search.best_params_.values()) <= {1, 2}
    assert np.std(search.predict(frame) - Y) < 0.5 * Y.std()
    bag = BaggingRegressor(regressor(n_starts=1, max_iter=15), 3, random_state=0).fit(X, Y)
    assert float(bag.score(X, Y)) > 0.6
    logged = TransformedTargetRegressor(regressor(), func=np.log, inverse_func=np.exp)
    assert logged.fit(X, np.exp(Y / 10)).score(X, np.exp(Y / 10)) > 0.5


def test_weights_are_routed():
    weight = np.r_[np.ones(60), np.zeros(60)]
    with config_context(enable_metadata_routing=True):
        asked = regressor().set_fit_request(sample_weight=True)
        asked.set_score_request(sample_weight=True)
        out = cross_validate(asked, X, Y, cv=3, params={"sample_weight": weight + 0.1})
        routed = make_pipeline(asked).fit(X, Y, sample_weight=weight)
    assert np.isfinite(out["test_score"]).all()
    by_rows = regressor().fit(X[:60], Y[:60])
    np.testing.assert_allclose(routed.predict(X), by_rows.predict(X), rtol=1e-9)


@pytest.mark.parametrize("cls", CLASSES)
def test_unfitted_estimators_say_so(cls):
    made = cls(**SMALL)
    call = made.transform if cls is RFLAFTransformer else made.predict
    with pytest.raises(NotFittedError):
        call(X)
    for name in ("activation_curve", "to_kernel", "solve"):
        with pytest.raises(NotFittedError):
            getattr(made, name)()
    with pytest.raises(NotFittedError):
        made.compress(3, X, Y)
    calibrated = cls(**SMALL).calibrate(X)
    assert calibrated.random_weights_.shape == (5, 10)
    with pytest.raises(NotFittedError):
        (calibrated.transform if cls is RFLAFTransformer else calibrated.predict)(X)


def test_calibration_drops_the_model_and_is_kept_by_later_rows():
    m = regressor().fit(X, Y).calibrate(X[:50])
    assert not hasattr(m, "readout_")
    offset = m.offset_.copy()
    m.partial_fit(X + 5, Y)
    np.testing.assert_array_equal(m.offset_, offset)
    with pytest.raises(InvalidInput, match="needs lifted statistics"):
        regressor(engine="data").fit(X, Y).forget(X[:3], Y[:3])


def test_going_on_from_a_fit_without_statistics_is_said():
    m = regressor(engine="data").fit(X, Y)
    with pytest.warns(UserWarning, match="begins anew"):
        m.partial_fit(X[:60], Y[:60])
    assert m.statistics_.n_samples == 60


@pytest.mark.parametrize(
    ("x", "y", "weight", "words"),
    [
        (np.where(X > 0.95, np.nan, X), Y, None, "X contains NaN"),
        (np.where(X > 0.95, -np.inf, X), Y, None, "X contains infinity"),
        (X, np.where(Y > 20, np.nan, Y), None, "y contains NaN"),
        (X, Y, np.where(Y > 20, np.inf, 1.0), "sample_weight contains infinity"),
        (X, Y, np.ones(5), "sample_weight.shape"),
        (X, Y, np.zeros(120), "non-zero|at least one"),
        (X[:0], Y[:0], None, "0 sample"),
        (X[:1], Y[:1], None, "minimum of 2"),
        (X[:, :0], Y, None, "0 feature"),
        (np.full((120, 2), "a"), Y, None, "string"),
        (X + 1j, Y, None, "Complex"),
    ],
)
def test_bad_rows_are_refused_by_name_and_change_nothing(x, y, weight, words):
    m = regressor(max_iter=10).fit(X, Y)
    before, names = m.predict(X), set(vars(m))
    with pytest.raises(ValueError, match=words):
        m.fit(x, y, weight)
    np.testing.assert_array_equal(m.predict(X), before)
    assert set(vars(m)) == names
