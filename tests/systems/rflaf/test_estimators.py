"""Estimators: conformance, stated attributes, invariances, weights, streaming, refusals."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits, make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import (
    ActivationTable,
    Basis,
    RFLAFClassifier,
    RFLAFRegressor,
    RFLAFTransformer,
)

X, Y = make_friedman1(200, n_features=5, noise=0.5, random_state=0)
NEW = make_friedman1(60, n_features=5, noise=0.5, random_state=1)
SMALL = {"n_components": 20, "n_basis": 9, "random_state": 0, "max_iter": 40}


def regressor(**changes):
    return RFLAFRegressor(**(SMALL | changes))


@pytest.mark.slow
@pytest.mark.parametrize("cls", [RFLAFRegressor, RFLAFClassifier, RFLAFTransformer])
def test_check_estimator_with_defaults(cls):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(cls(), on_skip=None)


@pytest.mark.parametrize("cls", [RFLAFRegressor, RFLAFTransformer])
def test_check_estimator_of_small_ones(cls):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(cls(20, 5, n_starts=2), on_skip=None)


@pytest.mark.parametrize("engine", ["data", "lifted"])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("basis", ["rbf", "bspline"])
def test_predictions_follow_from_the_stated_attributes(engine, rank, basis):
    y = np.c_[Y, Y**2 / 10]
    m = regressor(engine=engine, rank=rank, basis=basis, width=0.8).fit(X, y)
    z = ((X - m.offset_) / m.scale_) @ m.random_weights_
    sigma = np.einsum("nmi,ri->nmr", m.basis_.values(z), m.activation_coef_)
    stated = m.intercept_ + np.einsum("nmr,mrk->nk", sigma, m.readout_)
    np.testing.assert_allclose(m.predict(X), stated, atol=1e-6 * np.abs(stated).max())
    a = m.activation_coef_
    np.testing.assert_allclose(a @ a.T, np.eye(rank), atol=1e-10)
    assert np.all(a[np.arange(rank), np.abs(a).argmax(axis=1)] > 0)
    theta = np.einsum("mrk,ri->mki", m.readout_, a).reshape(-1, 9)
    np.testing.assert_allclose(np.linalg.svd(theta)[1][:rank], m.singular_values_, rtol=1e-8)
    error = ((y - m.predict(X)) ** 2).sum() / len(X)
    d = np.diff(np.eye(9), n=2, axis=0)
    p = m.alpha_ * np.eye(9) + m.smooth_ * d.T @ d
    assert m.objective_ == pytest.approx(error + np.trace(theta @ p @ theta.T), rel=1e-5)
    assert m.objective_history_.ndim == 1
    assert len(m.start_objectives_) == 5
    assert 0.99 < m.inside_ <= 1
    assert hasattr(m, "statistics_") == (engine == "lifted")


def test_engines_agree():
    one, other = (regressor(engine=e, alpha=1e-3).fit(X, Y) for e in ("data", "lifted"))
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver", ["varpro", "als", "adam"])
def test_every_solver_learns(solver):
    options = {"epochs": 200, "learning_rate": 0.01} if solver == "adam" else None
    m = regressor(solver=solver, solver_options=options).fit(X, Y)
    assert m.score(*NEW) > 0.5
    assert m.n_iter_ >= 1


def test_units_of_the_columns_do_not_matter():
    factor, shift = np.array([1e-3, 5.0, 1.0, 200.0, 0.1]), np.arange(5) * 1e3
    plain = regressor().fit(X, Y)
    moved = regressor().fit(X * factor + shift, Y)
    np.testing.assert_allclose(
        plain.predict(NEW[0]), moved.predict(NEW[0] * factor + shift), rtol=1e-4
    )


def test_weights_equal_repeats_and_zero_weight_removes():
    times = np.random.default_rng(0).integers(0, 3, len(X))
    weighted = regressor(max_iter=100).fit(X, Y, times)
    repeated = regressor(max_iter=100).fit(np.repeat(X, times, 0), np.repeat(Y, times))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6)


def test_constant_feature_function_explains_nothing_known_answer():
    m = RFLAFRegressor(10, 1, width=250.0, random_state=0).fit(X, Y)
    assert m.basis_.bandwidth == 1000
    assert abs(m.score(X, Y)) < 1e-3


def test_constant_targets_and_columns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m = regressor().fit(X, np.full(200, 3.0))
        np.testing.assert_allclose(m.predict(X), 3.0)
        np.testing.assert_allclose(
            regressor().fit(np.ones((50, 2)), Y[:50]).predict(np.ones((1, 2))), Y[:50].mean()
        )
        two = RFLAFClassifier(**SMALL).fit([[0.0], [1.0]], ["a", "b"])
        assert set(two.classes_) == {"a", "b"}
        one = RFLAFClassifier(**SMALL).fit(X, np.full(200, "a"))
        assert set(one.predict(X)) == {"a"}
        np.testing.assert_array_equal(one.predict_proba(X), 1)


def test_large_data_learns_the_activation_on_a_subset():
    x, y = make_friedman1(3000, n_features=5, noise=0.5, random_state=2)
    m = regressor(engine="data", activation_rows=500).fit(x, y)
    whole = regressor(engine="data").fit(x, y)
    assert m.score(x, y) > whole.score(x, y) - 0.05
    phi = ActivationTable(m.activation_coef_[0], m.basis_)(m.calibration_.z(x))
    residual = y - m.predict(x)
    assert abs(residual.mean()) < 1e-8
    stationary = phi.T @ residual / 3000 - m.alpha_ * m.readout_[:, 0, 0]
    assert np.abs(stationary - phi.mean(0) * residual.mean()).max() < 1e-6


@pytest.mark.parametrize("alpha", ["gcv", "loo", 0.0, 1e-2])
@pytest.mark.parametrize("smooth", ["gcv", 0.0, 1e-3])
def test_penalties(alpha, smooth):
    m = regressor(alpha=alpha, smooth=smooth).fit(X, Y)
    assert m.alpha_ == alpha if not isinstance(alpha, str) else m.alpha_ > 0
    if not isinstance(smooth, str):
        assert m.smooth_ == pytest.approx(smooth)
    assert m.score(*NEW) > 0.5


def test_rank_auto_and_options():
    m = regressor(rank="auto", projection="orthogonal", fit_intercept=False).fit(X, Y)
    assert 1 <= m.activation_coef_.shape[0] <= 4
    assert m.intercept_ == pytest.approx(0)
    block = m.random_weights_[:, :5] / np.linalg.norm(m.random_weights_[:, :5], axis=0)
    np.testing.assert_allclose(block.T @ block, np.eye(5), atol=1e-12)


def test_scikit_learn_habits():
    m = regressor(n_starts=2).fit(X, Y)
    again = pickle.loads(pickle.dumps(m))
    np.testing.assert_array_equal(m.predict(X), again.predict(X))
    assert clone(m).get_params() == m.get_params()
    search = GridSearchCV(
        make_pipeline(StandardScaler(), regressor(n_starts=2)),
        {"rflafregressor__n_basis": [5, 9]},
        cv=2,
    ).fit(X, Y)
    assert search.best_score_ > 0.4
    assert cross_val_score(regressor(n_starts=2), X, Y, cv=2).mean() > 0.4
    t = RFLAFTransformer(**SMALL, rank=2).set_output(transform="pandas").fit(X, Y)
    frame = t.transform(X)
    assert frame.shape == (200, 40)
    assert list(frame.columns) == list(t.get_feature_names_out())
    with config_context(enable_metadata_routing=True):
        asked = regressor().set_fit_request(sample_weight=True)
        assert asked.get_metadata_routing().fit.requests == {"sample_weight": True}


def test_leaving_the_span_warns_once():
    m = regressor().fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m.predict(X)
        m.predict(NEW[0])
    with pytest.warns(UserWarning, match="outside the span") as found:
        m.predict(X * 10)
    assert len(found) == 1


# -- classification -----------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_digits(loss):
    x, y = load_digits(return_X_y=True)
    m = RFLAFClassifier(60, 9, loss=loss, random_state=0, n_starts=2, max_iter=30)
    m.fit(x[:1200], y[:1200])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert m.score(x[1200:], y[1200:]) > 0.85
    assert m.readout_.shape == (60, 1, 10)
    assert hasattr(m, "predict_proba") == (loss == "log")
    assert hasattr(m, "partial_fit") == (loss == "squared")


@pytest.mark.filterwarnings("ignore:.*outside the span")
def test_binary_labels_weights_and_sets():
    labels = np.where(np.median(Y) < Y, "yes", "no")
    m = RFLAFClassifier(**SMALL).fit(X, labels)
    p = m.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(m.predict(X), m.classes_[(m.decision_function(X) > 0) * 1])
    with pytest.raises(InvalidInput, match="call conformalize"):
        m.predict_set(X)
    fresh = np.where(NEW[1] > np.median(Y), "yes", "no")
    m.conformalize(NEW[0], fresh)
    sets = m.predict_set(X, 0.9)
    assert sets.dtype == bool
    assert sets.shape == (200, 2)
    heavy = RFLAFClassifier(**SMALL, class_weight={"yes": 50, "no": 1}).fit(X, labels)
    assert (heavy.predict(X) == "yes").mean() >= (m.predict(X) == "yes").mean()
    with pytest.raises(InvalidInput, match="unknown class 'maybe'"):
        m.conformalize(NEW[0], np.where(NEW[1] > 10, "maybe", "no"))


# -- streaming ----------------------------------------------------------------------------------


def test_chunks_merge_and_forget_known_answer():
    whole = regressor().calibrate(X)
    whole.partial_fit(X, Y)
    for size in (7, 128):
        m = regressor().calibrate(X)
        for start in range(0, 200, size):
            m.partial_fit(X[start : start + size], Y[start : start + size], solve=False)
        with pytest.raises(NotFittedError):
            m.predict(X)
        m.solve()
        np.testing.assert_allclose(m.predict(X), whole.predict(X), atol=1e-6 * np.ptp(Y))
    halves = [
        regressor().calibrate(X).partial_fit(X[p], Y[p]) for p in (slice(120), slice(120, 200))
    ]
    first = halves[0].predict(X)
    merged = halves[0].merge(halves[1])
    np.testing.assert_allclose(merged.predict(X), whole.predict(X), atol=1e-6 * np.ptp(Y))
    merged.forget(X[120:], Y[120:])
    np.testing.assert_allclose(merged.predict(X), first, atol=1e-5 * np.ptp(Y))


def test_streamed_classifier():
    labels = np.digitize(Y, np.quantile(Y, [0.3, 0.7]))
    m = RFLAFClassifier(**SMALL, loss="squared")
    m.partial_fit(X[:100], labels[:100], classes=[0, 1, 2]).partial_fit(X[100:], labels[100:])
    assert m.score(X, labels) > 0.7
    before = m.predict(X)
    with pytest.raises(InvalidInput, match="unknown class"):
        m.partial_fit(X, labels + 5)
    np.testing.assert_array_equal(m.predict(X), before)


def state(m):
    return {k: v for k, v in vars(m).items() if isinstance(v, (np.ndarray, float, int))}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.partial_fit(np.where(X > 0.9, np.nan, X), Y), "X contains NaN"),
        (lambda m: m.partial_fit(X, np.where(Y > 20, np.inf, Y)), "y contains infinity"),
        (lambda m: m.partial_fit(X, Y, np.full(200, np.nan)), "sample_weight contains NaN"),
        (lambda m: m.partial_fit(X[:, :3], Y), "features"),
        (lambda m: m.fit(X, Y[:5]), "inconsistent"),
        (lambda m: m.forget(X, Y), "remove only what was added"),
        (lambda m: m.forget(X[:5] + 9, Y[:5]), "cannot have been among"),
        (lambda m: m.merge(regressor(random_state=1).partial_fit(X, Y)), "differ in their weights"),
        (lambda m: m.merge(regressor(engine="data").fit(X, Y)), "needs lifted statistics"),
        (lambda m: m.predict_interval(X, method="conformal"), "call conformalize"),
        (lambda m: m.predict_interval(X, method="bays"), "did you mean 'bayes'"),
        (lambda m: m.predict_interval(X, 1.0), "confidence_level is 1.0"),
        (lambda m: m.predict_interval(X, method="jackknife"), "needs the training rows"),
        (lambda m: m.compress(0, X, Y), "n_components is 0"),
    ],
)
def test_refused_calls_change_nothing(call, message):
    m = regressor(n_starts=1).partial_fit(X, Y)
    before, sums = state(m), m.statistics_.gram.copy()
    with pytest.raises(ValueError, match=message):
        call(m)
    after = state(m)
    assert before.keys() == after.keys()
    for key, value in before.items():
        np.testing.assert_array_equal(value, after[key], err_msg=key)
    np.testing.assert_array_equal(m.statistics_.gram, sums)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"solver": "varpo"}, "did you mean 'varpro'"),
        ({"basis": "rfb"}, "did you mean 'rbf'"),
        ({"engine": "lifed"}, "did you mean 'lifted'"),
        ({"projection": "gausian"}, "did you mean 'gaussian'"),
        ({"alpha": "gvc"}, "did you mean 'gcv'"),
        ({"alpha": -1}, "alpha is -1"),
        ({"smooth": -1.0}, "smooth is -1.0"),
        ({"n_basis": 0}, "n_basis is 0"),
        ({"n_components": 0}, "n_components is 0"),
        ({"width": 0}, "width is 0"),
        ({"span": (2, -2)}, "must increase"),
        ({"rank": 10}, "rank must be <= n_basis"),
        ({"scale": 0}, "scale is 0"),
        ({"tol": -1}, "tol is -1"),
        ({"solver": "adam", "solver_options": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"solver_options": {"epochs": 3}}, "option of solver varpro"),
        ({"engine": "lifted", "alpha": "loo"}, "needs rows"),
        ({"engine": "lifted", "n_components": 1000}, "6000"),
    ],
)
def test_wrong_parameters(changes, message):
    with pytest.raises(InvalidInput, match=message):
        regressor(**changes).fit(X, Y)
    with pytest.raises(InvalidInput, match="did you mean 'log'"):
        RFLAFClassifier(loss="lg").fit(X, Y > 14)


def test_partial_fit_above_the_limit_names_two_ways_out():
    with pytest.raises(InvalidInput, match=r"6000.*bytes.*smaller n_components.*engine='data'"):
        RFLAFRegressor(400, 17).partial_fit(X, Y)


def test_sparse_input_is_a_type_error():
    from scipy.sparse import csr_array

    with pytest.raises(TypeError, match="dense"):
        regressor().fit(csr_array(X), Y)


def test_basis_argument_reaches_the_model():
    m = regressor(span=(-1, 3), width=2.0, basis="bspline").fit(X, Y)
    assert m.basis_ == Basis.uniform(9, (-1, 3), 2.0, "bspline")
