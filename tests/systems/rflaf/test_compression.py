"""Leverage-weighted compression: scores, draws, the refit by hand, what it loses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_friedman1

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import (
    RFLAFClassifier,
    RFLAFRegressor,
    RFLAFTransformer,
    leave_one_out,
    leverage_scores,
)
from equipoise.systems.rflaf.compression import draw_units, unit_scores

X, Y = make_friedman1(240, n_features=5, noise=0.5, random_state=0)
NEW, NEW_Y = make_friedman1(300, n_features=5, noise=0.5, random_state=1)
DRAWN = {"method": "leverage"}
OPTIONS = {"n_components": 50, "n_basis": 9, "random_state": 0, "n_starts": 2}


@pytest.fixture(scope="module")
def big():
    return RFLAFRegressor(**OPTIONS).fit(X, Y)


@given(st.integers(2, 30), st.integers(1, 8), st.floats(1e-3, 10), st.integers(0, 99))
def test_scores_by_definition(n, m, ridge, seed):
    phi = np.random.default_rng(seed).normal(size=(n, m))
    sigma = phi.T @ phi / n
    expected = np.diag(sigma @ np.linalg.inv(sigma / m + ridge * np.eye(m)))
    out = leverage_scores(phi, ridge)
    np.testing.assert_allclose(out.scores, expected, rtol=1e-7, atol=1e-10)
    assert out.effective_dimension == pytest.approx(expected.sum(), rel=1e-7)
    np.testing.assert_allclose(out.probabilities, expected / expected.sum(), rtol=1e-6, atol=1e-9)
    # Sigma (Sigma/M0 + r I)^-1 has eigenvalues below M0
    assert out.effective_dimension <= m * min(n, m) + 1e-9
    np.testing.assert_allclose(
        leverage_scores(phi).scores, leverage_scores(phi, 1 / np.sqrt(n)).scores
    )


def test_scores_follow_permuted_and_repeated_rows():
    phi = np.random.default_rng(0).normal(size=(40, 6))
    order = np.random.default_rng(1).permutation(6)
    plain = leverage_scores(phi, 0.1)
    np.testing.assert_allclose(leverage_scores(phi[:, order], 0.1).scores, plain.scores[order])
    np.testing.assert_allclose(leverage_scores(np.repeat(phi, 3, 0), 0.1).scores, plain.scores)
    silent = leverage_scores(np.zeros((5, 4)))
    np.testing.assert_array_equal(silent.probabilities, 0.25)
    assert silent.effective_dimension == 0


@pytest.mark.parametrize(
    ("features", "ridge", "words"),
    [
        (np.ones(3), None, r"shape \(3,\)"),
        (np.ones((0, 3)), None, r"shape \(0, 3\)"),
        (np.array([[np.nan]]), None, "finite"),
        (np.ones((3, 2)), -1.0, "ridge is -1.0"),
        (np.ones((3, 2)), np.nan, "ridge is nan"),
    ],
)
def test_wrong_features_are_refused(features, ridge, words):
    with pytest.raises(InvalidInput, match=words):
        leverage_scores(features, ridge)


def test_unit_scores_sum_over_the_activations_of_a_unit():
    phi = np.random.default_rng(3).normal(size=(60, 12)) * np.linspace(0.2, 2, 12)
    found = unit_scores(phi.T @ phi / 60, 60, 4)
    scores = leverage_scores(phi).scores.reshape(4, 3).sum(axis=1)
    np.testing.assert_allclose(found, scores / scores.sum(), rtol=1e-8)


def test_draws_keep_the_expected_gram_matrix():
    q = np.array([0.5, 0.3, 0.15, 0.05])
    total, count = np.zeros(4), 20
    for seed in range(3000):
        units, factor = draw_units(q, count, np.random.default_rng(seed))
        assert np.all(np.diff(units) > 0)
        times = factor**2 * q[units]
        np.testing.assert_allclose(times, np.round(times))
        assert times.sum() == pytest.approx(count)
        total[units] += factor**2
    # E factor^2 = count for each unit: sum over drawn columns is unbiased
    np.testing.assert_allclose(total / 3000, count, rtol=0.1)


def test_the_refit_is_a_ridge_on_weighted_features(by_hand, big):
    small = big.compress(30, X, Y, **DRAWN, random_state=4)
    m = small.n_components
    place = [
        int(np.flatnonzero((big.random_weights_ == small.random_weights_[:, [j]]).all(0))[0])
        for j in range(m)
    ]
    assert place == sorted(set(place))
    q = leverage_scores(by_hand.model_features(big, X)).probabilities[place]
    phi = by_hand.model_features(small, X)
    # |v / factor|^2 = sum over units of v^2 q / times, times whole numbers that sum to 30
    weights = np.arange(1, 31)
    residual = Y - small.predict(X)
    centred = phi - phi.mean(axis=0)
    pull = centred.T @ residual / 240 / small.readout_[:, 0, 0]
    times = small.alpha_ * q / pull
    nearest = weights[np.abs(times[:, None] - weights).argmin(axis=1)]
    np.testing.assert_allclose(times, nearest, rtol=2e-2)
    assert nearest.sum() == 30
    weighted = phi * np.sqrt(nearest / q)
    v, b, value = by_hand.ridge(weighted, Y, small.alpha_ * np.eye(m))
    np.testing.assert_allclose(small.predict(X), (weighted @ v + b)[:, 0], atol=1e-4)
    assert small.objective_ == pytest.approx(value, rel=1e-5)
    found = leave_one_out(weighted, Y, small.alpha_)
    assert small.gcv_ == pytest.approx(found.gcv, rel=1e-4)
    for factor in (0.1, 10.0):
        assert found.gcv < 1.001 * leave_one_out(weighted, Y, small.alpha_ * factor).gcv


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("outputs", [1, 2])
def test_deviations_are_those_of_the_weighted_ridge(by_hand, rank, outputs):
    y = Y if outputs == 1 else np.c_[Y, X[:, 0] ** 2]
    small = (
        RFLAFRegressor(**OPTIONS, rank=rank).fit(X, y).compress(20, X, y, **DRAWN, random_state=1)
    )
    _, deviation = small.predict(X, return_std=True)
    residual = (y - small.predict(X)).reshape(240, -1)
    # the noise is at least the mean square of the residuals, and the spread adds to it
    floor = np.sqrt((residual**2).mean(axis=0))
    assert np.all(deviation.reshape(240, -1) > floor)
    assert np.all(deviation.reshape(240, -1) < 2 * floor)
    a = small.activation_coef_
    np.testing.assert_allclose(a @ a.T, np.eye(rank), atol=1e-10)
    np.testing.assert_allclose(residual.mean(axis=0), 0, atol=1e-8)
    phi = by_hand.model_features(small, X)
    stated = phi @ small.readout_.reshape(-1, outputs) + small.intercept_
    np.testing.assert_allclose(small.predict(X).reshape(240, -1), stated, atol=1e-5)


def test_more_units_lose_less(big):
    whole = big.score(NEW, NEW_Y)
    scores = [
        np.mean(
            [big.compress(s, X, Y, **DRAWN, random_state=r).score(NEW, NEW_Y) for r in range(5)]
        )
        for s in (5, 20, 200)
    ]
    assert scores[0] < scores[1] < scores[2]
    assert scores[2] > whole - 0.03


def test_the_original_is_left_alone_and_seeds_decide(big):
    before = big.predict(NEW)
    one, again, other = (big.compress(15, X, Y, **DRAWN, random_state=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.predict(NEW), again.predict(NEW))
    assert not np.array_equal(one.random_weights_, other.random_weights_)
    np.testing.assert_array_equal(big.predict(NEW), before)
    assert big.n_components == 50
    out = one.predict_interval(NEW, 0.9, "jackknife")
    assert np.mean((out.low <= NEW_Y) & (out.high >= NEW_Y)) > 0.75


def test_classifiers_and_transformers_can_be_compressed():
    labels = np.array(["a", "b", "c"])[np.digitize(Y, np.quantile(Y, [0.3, 0.7]))]
    for loss in ("log", "squared"):
        c = RFLAFClassifier(**OPTIONS, loss=loss).fit(X, labels)
        small = c.compress(30, X, labels, random_state=0)
        assert small.score(X, labels) > c.score(X, labels) - 0.15
        assert list(small.classes_) == ["a", "b", "c"]
    t = RFLAFTransformer(**OPTIONS).fit(X, Y).compress(10, X, Y, random_state=0)
    assert t.transform(X).shape == (240, t.n_components)


@pytest.mark.parametrize("count", [0, -1, 2.5, "ten"])
def test_a_count_is_a_positive_integer(big, count):
    with pytest.raises(InvalidInput, match="n_components is"):
        big.compress(count, X, Y)
