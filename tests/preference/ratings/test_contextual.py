"""Ratings under control of style or position, style features, the gain of the next pair."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import (
    count_battles,
    counts_from_matrix,
    fit_bradley_terry,
    fit_contextual,
    pair_gain,
    style_features,
)
from equipoise.preference.ratings import newton as newton_module

WORDS = np.array(["a", "b", "tie", "both_bad"])


def simulate(k, n, beta, seed):
    rng = np.random.default_rng(seed)
    t = rng.normal(0, 0.8, k)
    z = rng.normal(size=(n, len(beta)))
    a = rng.integers(0, k, n)
    b = (a + rng.integers(1, k, n)) % k
    chance = 1 / (1 + np.exp(t[b] - t[a] - z @ beta))
    outcome = np.where(rng.random(n) < 0.1, 2, np.where(rng.random(n) < chance, 0, 1))
    return a, b, outcome, z, t - t.mean()


@pytest.mark.parametrize("ridge", [0.0, 5.0])
def test_an_independent_maximiser_agrees(ridge):
    a, b, outcome, z, _ = simulate(5, 400, np.array([0.5, -0.3]), 0)
    fit = fit_contextual(a, b, outcome, z, ridge=ridge)
    y = np.array([1.0, 0.0, 0.5])[outcome]

    def loss(x):
        gap = x[a] - x[b] + z @ x[5:]
        return (np.log1p(np.exp(-gap)) + (1 - y) * gap).sum() + ridge / 2 * x[5:] @ x[5:]

    found = minimize(loss, np.zeros(7), method="BFGS", options={"gtol": 1e-8}).x
    np.testing.assert_allclose(fit.log_strength, found[:5] - found[:5].mean(), atol=1e-6)
    np.testing.assert_allclose(fit.coefficients, found[5:], atol=1e-6)
    assert fit.residual <= 1e-9 * 400
    assert fit.converged


def test_coefficients_lie_in_their_intervals():
    beta = np.array([0.8, 0.0, -0.4])
    a, b, outcome, z, t = simulate(8, 20_000, beta, 1)
    fit = fit_contextual(a, b, outcome, z)
    # ties as half wins shrink the logits by about their share
    assert np.abs((fit.coefficients - beta * 0.9) / fit.coefficient_error).max() < 4
    assert np.corrcoef(fit.log_strength, t)[0, 1] > 0.99
    assert fit.coefficients.shape == fit.coefficient_error.shape == (3,)
    low, high = fit.interval()
    assert (low < high).all()
    assert fit.difference("0", "1")[1] > 0


def test_without_effect_it_is_bradley_terry():
    a, b, outcome, z, _ = simulate(6, 3000, np.array([0.0]), 2)
    plain = fit_bradley_terry(count_battles(a, b, outcome))
    huge = fit_contextual(a, b, outcome, z, ridge=1e9)
    np.testing.assert_allclose(huge.log_strength, plain.log_strength, atol=1e-5)
    np.testing.assert_allclose(huge.standard_error, plain.standard_error, rtol=1e-4)
    none = fit_contextual(a, b, outcome, np.zeros((3000, 0)))
    np.testing.assert_allclose(none.log_strength, plain.log_strength, atol=1e-9)
    np.testing.assert_allclose(none.covariance, plain.covariance, atol=1e-9)


def test_features_that_tell_nothing_have_infinite_error():
    a, b, outcome, z, _ = simulate(4, 500, np.array([0.5]), 3)
    fit = fit_contextual(a, b, outcome, np.column_stack([z, np.zeros(500), z]))
    assert fit.coefficients[1] == 0
    assert np.isposinf(fit.coefficient_error).all()
    alone = fit_contextual(a, b, outcome, np.column_stack([z, np.zeros(500)]))
    assert np.isfinite(alone.coefficient_error[0])
    assert np.isposinf(alone.coefficient_error[1])


def test_position_bias_by_a_constant_feature():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, 8000)
    b = (a + rng.integers(1, 4, 8000)) % 4
    outcome = np.where(rng.random(8000) < 0.6, 0, 1)
    fit = fit_contextual(a, b, outcome, np.ones(8000))
    assert fit.coefficients[0] == pytest.approx(np.log(0.6 / 0.4), abs=0.1)
    np.testing.assert_allclose(fit.log_strength, 0, atol=0.15)


def test_statuses_anchor_and_leagues():
    names = ["x", "y", "x", "y", "z", "u", "v"]
    other = ["y", "x", "y", "x", "x", "v", "u"]
    outcome = ["a", "a", "b", "tie", "a", "a", "a"]
    z = np.array([0.1, -0.2, 0.3, 0.0, 0.5, 0.1, -0.1])
    fit = fit_contextual(names, other, outcome, z, ridge=1.0, anchor="x")
    assert fit.status == {"u": "ok", "v": "ok", "x": "ok", "y": "ok", "z": "above"}
    assert fit.log_strength[2] == 0
    assert np.isnan(fit.log_strength[4])
    assert fit.league.tolist() == [0, 0, 1, 1, 1]


def test_a_feature_that_decides_everything_is_told():
    a, b = ["x", "y"] * 10, ["y", "x"] * 10
    z = np.tile([1.0, 1.0, -1.0, -1.0], 5)
    outcome = np.where(z > 0, "a", "b")
    with pytest.warns(RuntimeWarning, match="give a ridge"):
        fit = fit_contextual(a, b, outcome, 0.1 * z)
    assert not fit.converged
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_contextual(a, b, outcome, z, ridge=0.1).converged


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1.0, 1e9])
@pytest.mark.parametrize(("effect", "ridge"), [(0.5, 0.0), (0.5, 3.0), (40.0, 0.0)])
def test_units_of_a_feature_do_not_sway_the_fit(unit, effect, ridge):
    a, b, outcome, z, _ = simulate(4, 2000, np.array([effect]), 6)
    fit = fit_contextual(a, b, outcome, z, ridge=ridge)
    other = fit_contextual(a, b, outcome, z * unit, ridge=ridge * unit**2)
    assert fit.converged
    assert other.converged
    np.testing.assert_allclose(other.coefficients * unit, fit.coefficients, rtol=1e-8)
    np.testing.assert_allclose(other.coefficient_error * unit, fit.coefficient_error, rtol=1e-8)
    np.testing.assert_allclose(other.log_strength, fit.log_strength, atol=1e-9)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("present", [0.02, 0.2, 1.0])
def test_a_feature_of_few_battles_that_decides_them_is_told_in_any_unit(unit, present):
    a, b, outcome, z, _ = simulate(4, 500, np.array([0.0]), 7)
    lean = np.array([1.0, -1.0, 0.0, 0.0])[outcome]
    feature = np.abs(z[:, 0]) * lean * (np.arange(500) < 500 * present)
    with pytest.warns(RuntimeWarning, match="give a ridge"):
        assert not fit_contextual(a, b, outcome, feature * unit).converged


def test_one_battle_far_out_does_not_look_like_a_decision():
    a, b, outcome, z, _ = simulate(4, 2000, np.array([0.5]), 8)
    z[np.argmax(outcome == 0)] = 1e6
    fit = fit_contextual(a, b, outcome, z)
    assert fit.converged
    assert fit.coefficients[0] == pytest.approx(0.45, abs=0.2)


def test_sparse_system_agrees(monkeypatch):
    a, b, outcome, z, _ = simulate(30, 5000, np.array([0.5, -0.2]), 4)
    dense = fit_contextual(a, b, outcome, z)
    monkeypatch.setattr(newton_module, "DENSE_LIMIT", 5)
    sparse = fit_contextual(a, b, outcome, z)
    np.testing.assert_allclose(sparse.log_strength, dense.log_strength, atol=1e-7)
    np.testing.assert_allclose(sparse.coefficients, dense.coefficients, atol=1e-7)
    np.testing.assert_allclose(sparse.coefficient_error, dense.coefficient_error, rtol=0.15)


@pytest.mark.parametrize(
    ("features", "more", "message"),
    [
        (np.zeros((3, 1)), {}, r"features must be \(2, F\)"),
        ([[0.0], [np.nan]], {}, "row 1: features must be finite"),
        ([[0.0], [1.0]], {"ridge": -1}, "ridge is -1"),
        ([[0.0], [1.0]], {"ridge": "x"}, "ridge is 'x'; it must be a finite number >= 0"),
        ([[0.0], [1.0]], {"anchor": "q"}, "unknown model 'q'"),
    ],
)
def test_bad_input_is_refused(features, more, message):
    with pytest.raises(InvalidInput, match=message):
        fit_contextual(["x", "y"], ["y", "x"], ["a", "a"], features, **more)


def test_style_features():
    text = "# Title\n\nsome **bold** words\n- item\n* item\n1. item\n```\n# not\n- not\n```\n"
    plain = "just words"
    features = style_features(text, plain)
    assert features.shape == (4,)
    words = len(text.split())
    assert features[0] == pytest.approx((words - 2) / (words + 3))
    assert features[1:].tolist() == [1 / 2, 3 / 4, 1 / 2]
    np.testing.assert_allclose(style_features(plain, text), -features)
    assert style_features("", "").tolist() == [0, 0, 0, 0]
    assert style_features("a * b ** c #tag", "x")[1:].tolist() == [0, 0, 0]


def _trace(counts):
    return np.trace(np.linalg.pinv(fit_bradley_terry(counts).information))


def test_pair_gain_is_the_fall_of_the_trace():
    rng = np.random.default_rng(0)
    wins = rng.integers(1, 9, (5, 5)) * (1 - np.eye(5))
    fit = fit_bradley_terry(counts_from_matrix(wins))
    gain = pair_gain(fit)
    assert gain.shape == (5, 5)
    np.testing.assert_allclose(gain, gain.T)
    assert (gain.diagonal() == 0).all()
    before = np.trace(np.linalg.pinv(fit.information))
    for i in range(5):
        for j in range(i + 1, 5):
            p = 1 / (1 + np.exp(fit.log_strength[j] - fit.log_strength[i]))
            r = np.eye(5)[i] - np.eye(5)[j]
            after = np.trace(np.linalg.pinv(fit.information + p * (1 - p) * np.outer(r, r)))
            assert gain[i, j] == pytest.approx(before - after, rel=1e-6)
    scarce = np.array([[0, 50, 1], [50, 0, 50], [1, 50, 0.0]])
    gain = pair_gain(fit_bradley_terry(counts_from_matrix(scarce)))
    assert gain[0, 2] > gain[0, 1]


def test_pair_gain_where_there_is_no_common_scale():
    wins = np.zeros((5, 5))
    wins[0, 1] = wins[1, 0] = wins[2, 3] = wins[3, 2] = 2
    gain = pair_gain(fit_bradley_terry(counts_from_matrix(wins)))
    assert gain[0, 1] > 0
    assert np.isnan(gain[0, 2])
    assert np.isnan(gain[4, 0])
    assert np.isfinite(pair_gain(fit_bradley_terry(counts_from_matrix(wins), prior=1.0))).all()
    assert pair_gain(fit_bradley_terry(count_battles([], [], [], models=["x"]))).tolist() == [[0]]


def test_no_battles_are_no_error():
    fit = fit_contextual([], [], [], np.zeros((0, 2)))
    assert fit.models == ()
    assert fit.coefficients.tolist() == [0, 0]
