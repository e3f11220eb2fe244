"""Intervals: jackknife+ against weighted refits, conformal ranks, coverage, bad levels."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.datasets import make_friedman1

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import RFLAFClassifier, RFLAFRegressor
from equipoise.systems.rflaf.fitted import Posterior
from equipoise.systems.rflaf.intervals import (
    bayes_interval,
    check_confidence,
    conformal_quantile,
    jackknife_interval,
)

X, Y = make_friedman1(120, n_features=5, noise=1.0, random_state=0)
NEW, NEW_Y = make_friedman1(500, n_features=5, noise=1.0, random_state=1)
SMALL = {"n_components": 10, "n_basis": 7, "random_state": 0, "n_starts": 2}


@pytest.mark.parametrize("intercept", [1, 0])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_jackknife_is_that_of_weighted_refits(by_hand, intercept, level):
    rng = np.random.default_rng(0)
    phi, new = rng.normal(size=(30, 4)) + 1, rng.normal(size=(6, 4)) + 1
    y, w, alpha = rng.normal(size=(30, 2)) + phi[:, :2], rng.uniform(0.5, 2, 30), 0.05
    share = w / w.sum()
    mean = share @ phi * intercept
    d = phi - mean
    inverse = np.linalg.inv((d * share[:, None]).T @ d + alpha * np.eye(4))
    whole_v, whole_b, _ = by_hand.ridge(phi, y, alpha * np.eye(4), w, intercept=bool(intercept))
    out = jackknife_interval(
        Posterior(mean, inverse, np.ones(2), w.sum(), intercept),
        phi,
        y - phi @ whole_v - whole_b,
        w,
        new,
        new @ whole_v + whole_b,
        level,
    )
    low, high = np.empty((6, 30, 2)), np.empty((6, 30, 2))
    for i in range(30):
        rest = np.arange(30) != i
        # the same absolute penalty S * alpha
        quadratic = alpha * w.sum() / w[rest].sum() * np.eye(4)
        v, b, _ = by_hand.ridge(phi[rest], y[rest], quadratic, w[rest], intercept=bool(intercept))
        radius = np.abs(y[i] - phi[i] @ v - b)
        low[:, i], high[:, i] = new @ v + b - radius, new @ v + b + radius
    below, above = math.floor((1 - level) * 31 + 1e-9), math.ceil(level * 31 - 1e-9)
    np.testing.assert_allclose(out.low, np.sort(low, axis=1)[:, below - 1], rtol=1e-8)
    np.testing.assert_allclose(out.high, np.sort(high, axis=1)[:, above - 1], rtol=1e-8)


@given(st.integers(1, 60), st.integers(1, 99))
def test_the_conformal_rank(n, percent):
    scores = np.sort(np.random.default_rng(n).normal(size=(n, 2)), axis=0)
    found = conformal_quantile(scores, percent / 100)
    place = -(-(n + 1) * percent // 100)  # exact ceiling
    expected = np.full(2, np.inf) if place > n else scores[place - 1]
    np.testing.assert_array_equal(found, expected)


def test_bayes_intervals_are_normal_quantiles():
    out = bayes_interval(np.zeros((2, 1)), np.array([[1.0], [3.0]]), 0.8)
    np.testing.assert_allclose(out.high[:, 0], norm.ppf(0.9) * np.array([1, 3]))
    np.testing.assert_allclose(out.low, -np.asarray(out.high))


@pytest.mark.parametrize("method", ["bayes", "jackknife", "conformal"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_intervals_widen_with_the_level_and_contain_the_estimate(method, outputs):
    y = Y if outputs == 1 else np.c_[Y, -2 * Y]
    new_y = NEW_Y if outputs == 1 else np.c_[NEW_Y, -2 * NEW_Y]
    m = RFLAFRegressor(**SMALL).fit(X, y).conformalize(NEW[:200], new_y[:200])
    narrow, wide = (m.predict_interval(NEW[200:220], level, method) for level in (0.5, 0.95))
    assert np.shape(narrow.low) == np.shape(y[:20])
    assert np.all(np.asarray(wide.low) < narrow.low)
    assert np.all(np.asarray(wide.high) > narrow.high)
    assert np.all(np.asarray(narrow.low) <= narrow.estimate)
    np.testing.assert_array_equal(narrow.estimate, m.predict(NEW[200:220]))
    if outputs == 2:  # the second output is the first one turned and doubled
        width = np.asarray(wide.high) - wide.low
        np.testing.assert_allclose(width[:, 1], 2 * width[:, 0], rtol=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_jackknife_covers_new_rows_at_every_level(level):
    m = RFLAFRegressor(**SMALL).fit(X, Y)
    out = m.predict_interval(NEW, level, "jackknife")
    covered = np.mean((out.low <= NEW_Y) & (out.high >= NEW_Y))
    assert level - 0.12 < covered < level + 0.12


@pytest.mark.parametrize("engine", ["lifted", "data"])
def test_deviations_grow_away_from_the_rows_and_agree_between_engines(engine):
    x = np.random.default_rng(0).normal(size=(200, 1))
    y = np.sin(2 * x[:, 0]) + 0.1 * np.random.default_rng(1).normal(size=200)
    options = SMALL | {"alpha": 1e-5, "smooth": 0.0, "tol": 1e-10, "max_iter": 300}
    m = RFLAFRegressor(engine=engine, **options).fit(x, y)
    _, near = m.predict([[0.0]], return_std=True)
    _, edge = m.predict([[x.max()]], return_std=True)
    assert edge[0] > near[0]
    assert near[0] == pytest.approx(0.1, rel=0.3)


def test_streamed_models_have_posteriors_but_no_jackknife():
    m = RFLAFRegressor(**SMALL).partial_fit(X, Y)
    whole = RFLAFRegressor(**SMALL, engine="lifted").fit(X, Y)
    for level in (0.5, 0.9):
        one, other = m.predict_interval(NEW, level), whole.predict_interval(NEW, level)
        np.testing.assert_allclose(one.low, other.low, rtol=1e-8)
    with pytest.raises(InvalidInput, match="kept by fit"):
        m.predict_interval(NEW, method="jackknife")


def test_a_new_fit_forgets_the_conformal_scores():
    m = RFLAFRegressor(**SMALL).fit(X, Y).conformalize(NEW, NEW_Y)
    m.fit(X, -Y)
    with pytest.raises(InvalidInput, match="call conformalize"):
        m.predict_interval(NEW, method="conformal")
    c = RFLAFClassifier(**SMALL).fit(X, Y > 14).conformalize(NEW, NEW_Y > 14)
    c.fit(X, Y > 13)
    with pytest.raises(InvalidInput, match="call conformalize"):
        c.predict_set(NEW)


def test_sets_are_those_of_the_conformal_rank():
    labels = np.digitize(Y, np.quantile(Y, [0.3, 0.7]))
    fresh = np.digitize(NEW_Y, np.quantile(Y, [0.3, 0.7]))
    m = RFLAFClassifier(**SMALL).fit(X, labels).conformalize(NEW[:99], fresh[:99])
    scores = np.sort(1 - m.predict_proba(NEW[:99])[np.arange(99), fresh[:99]])
    p = m.predict_proba(NEW[99:])
    for level in (0.6, 0.9):
        sets = m.predict_set(NEW[99:], level)
        np.testing.assert_array_equal(sets, 1 - p <= scores[round(level * 100) - 1])
    covered = []
    for seed in range(30):
        order = np.random.default_rng(seed).permutation(500)
        m.conformalize(NEW[order[:99]], fresh[order[:99]])
        sets = m.predict_set(NEW[order[99:]], 0.6)
        covered.append(sets[np.arange(401), fresh[order[99:]]].mean())
    assert np.mean(covered) == pytest.approx(0.6, abs=0.04)
    assert m.predict_set(NEW[:5], 0.999).all()


@pytest.mark.parametrize("level", [0, 1, -0.1, 1.5, np.nan, np.inf, True, "0.9", None])
def test_levels_outside_the_unit_interval_are_refused(level):
    with pytest.raises(InvalidInput, match="strictly between 0 and 1") as refused:
        check_confidence(level)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("rows", "targets", "words"),
    [
        (NEW[:5], np.c_[NEW_Y, NEW_Y][:5], "2 outputs, the model 1"),
        (NEW[:5], NEW_Y[:4], "inconsistent"),
        (NEW[:5, :3], NEW_Y[:5], "features"),
        (NEW[:5], np.full(5, np.nan), "y contains NaN"),
    ],
)
def test_refused_residuals_change_nothing(rows, targets, words):
    m = RFLAFRegressor(**SMALL).fit(X, Y).conformalize(NEW, NEW_Y)
    before = m.predict_interval(NEW[:3], method="conformal")
    with pytest.raises(ValueError, match=words):
        m.conformalize(rows, targets)
    np.testing.assert_array_equal(m.predict_interval(NEW[:3], method="conformal").low, before.low)
