"""Automatic scaling: quantile, moments, projections, the share inside the span."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import Basis, RFLAFRegressor
from equipoise.systems.rflaf.scaling import (
    Calibration,
    calibration,
    checked_divisor,
    column_moments,
    draw_projection,
    inside_share,
    too_far_outside,
    weighted_quantile,
)

X = np.random.default_rng(0).normal(size=(300, 4)) * [1, 10, 0.01, 3] + [0, 5, -2, 1e4]


def calibrated(rows=X, weight=None, seed=0, **changes):
    options = {
        "n_components": 20,
        "n_basis": 9,
        "basis": "rbf",
        "span": (-2.0, 2.0),
        "width": 1.0,
        "standardize": True,
        "scale": "auto",
        "projection": "gaussian",
    }
    weight = np.ones(len(rows)) if weight is None else weight
    return calibration(rows, weight, np.random.default_rng(seed), **(options | changes))


@given(
    st.lists(st.tuples(st.floats(-100, 100), st.integers(1, 4)), min_size=1, max_size=30),
    st.floats(0.01, 1.0),
)
def test_a_weighted_quantile_is_that_of_repeats(pairs, q):
    values, times = np.array([v for v, _ in pairs]), np.array([t for _, t in pairs])
    found = weighted_quantile(values, times.astype(float), q)
    repeated = np.sort(np.repeat(values, times))
    assert found == repeated[max(0, int(np.ceil(q * len(repeated) - 1e-9)) - 1)]
    assert found == weighted_quantile(values, times / 7.0, q)


@pytest.mark.parametrize("span", [(-2.0, 2.0), (-1.0, 3.0), (-5.0, 0.5)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_quantile_of_the_pre_activations_reaches_the_end_of_the_span(span, weighted):
    weight = np.random.default_rng(1).integers(0, 4, 300) if weighted else np.ones(300)
    at = calibrated(weight=weight.astype(float), span=span)
    z = np.abs(at.z(np.repeat(X, weight.astype(int), 0))).ravel()
    reach = max(abs(end) for end in span)
    assert (z <= reach * (1 + 1e-9)).mean() >= 0.999
    assert (z < reach * (1 - 1e-9)).mean() < 0.999
    assert at.basis == Basis.uniform(9, span)


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_weighted_and_constant_columns_get_one(weighted):
    weight = np.random.default_rng(2).uniform(0.1, 3, 300) if weighted else np.ones(300)
    rows = np.c_[X, np.full(300, 0.1), np.full(300, 1e9 + 1 / 3)]
    mean, deviation = column_moments(rows, weight)
    np.testing.assert_allclose(mean, np.average(rows, axis=0, weights=weight), rtol=1e-12)
    spread = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=weight))
    np.testing.assert_allclose(deviation[:4], spread[:4], rtol=1e-10)
    np.testing.assert_array_equal(deviation[4:], 1)
    at = calibrated(rows, weight)
    assert np.isfinite(at.z(rows)).all()


def test_a_large_offset_costs_no_digits():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(10_000, 1))
    mean, deviation = column_moments(rows + 1e9, np.ones(10_000))
    assert mean[0] == pytest.approx(1e9 + rows.mean(), abs=1e-5)
    assert deviation[0] == pytest.approx(rows.std(), rel=1e-6)


def test_what_is_fixed_by_hand_stays():
    at = calibrated(scale=3.0, standardize=False)
    np.testing.assert_array_equal(at.offset, 0)
    np.testing.assert_array_equal(at.scale, 3)
    standard = calibrated(scale=3.0)
    np.testing.assert_allclose(standard.scale, 3 * X.std(axis=0), rtol=1e-10)
    raw = calibrated(standardize=False)
    assert np.ptp(raw.scale) == 0
    np.testing.assert_array_equal(raw.offset, 0)


def test_constant_rows_are_left_as_they_are():
    at = calibrated(np.ones((10, 2)))
    np.testing.assert_array_equal(at.scale, 1)
    np.testing.assert_array_equal(at.z(np.ones((3, 2))), 0)


@pytest.mark.parametrize("m", [3, 5, 13])
def test_orthogonal_projections_are_orthogonal_in_blocks(m):
    w = draw_projection(5, m, "orthogonal", np.random.default_rng(0))
    assert w.shape == (5, m)
    for start in range(0, m, 5):
        block = w[:, start : start + 5]
        size = np.linalg.norm(block, axis=0)
        np.testing.assert_allclose(block.T @ block, np.diag(size**2), atol=1e-12)


@pytest.mark.parametrize("projection", ["gaussian", "orthogonal"])
def test_projections_have_the_moments_of_a_standard_normal(projection):
    draws = [draw_projection(4, 12, projection, np.random.default_rng(seed)) for seed in range(400)]
    w = np.concatenate([d.T for d in draws])
    np.testing.assert_allclose(w.mean(axis=0), 0, atol=0.08)
    np.testing.assert_allclose(w.T @ w / len(w), np.eye(4), atol=0.1)
    assert (w**4).mean() == pytest.approx(3, rel=0.12)
    assert (np.linalg.norm(w, axis=1) ** 2).var() == pytest.approx(8, rel=0.25)


def test_the_projection_depends_on_the_seed_alone():
    one, again, other = calibrated(), calibrated(X[:50]), calibrated(seed=1)
    np.testing.assert_array_equal(one.weights, again.weights)
    assert not np.allclose(one.weights, other.weights)


def test_the_share_inside_counts_both_ends_and_weights():
    basis = Basis.uniform(5)
    z = np.array([[0.0, 2.0], [2.1, -2.0], [3.0, -3.0]])
    assert inside_share(z, basis) == pytest.approx(0.5)
    assert inside_share(z, basis, np.array([1.0, 2.0, 0.0])) == pytest.approx(2 / 3)
    single = Basis.uniform(1, (-1.0, 1.0))
    assert inside_share(np.array([[1.9, 2.1]]), single) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("inside", "training", "said"),
    [
        (np.ones(100), 1.0, False),
        (np.full(10_000, 0.9995), 0.9995, False),
        (np.full(10_000, 0.99), 0.999, True),
        (np.full(10_000, 0.95), 0.95, False),
        (np.array([0.0]), 1.0, True),
        (np.r_[0.2, np.ones(5000)], 1.0, True),
        (np.full(10_000, 0.99), np.nan, True),
    ],
)
def test_when_new_rows_are_too_far_outside(inside, training, said):
    assert too_far_outside(inside, training) is said


def test_rows_far_away_warn_once_and_get_the_intercept():
    y = np.sin(X[:, 0])
    m = RFLAFRegressor(15, 9, random_state=0, n_starts=1).fit(X, y)
    assert m.inside_ >= 0.999
    with pytest.warns(UserWarning, match=r"100\.00% of the pre-activations") as found:
        far = m.predict(X[:20] + 1e7)
    assert len(found) == 1
    np.testing.assert_allclose(far, m.intercept_[0], atol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RFLAFRegressor(15, 5, basis="poly", random_state=0, n_starts=1).fit(X, y).predict(X * 3)


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, True, "1", None])
def test_a_divisor_is_a_positive_number(scale):
    with pytest.raises(InvalidInput, match="must be 'auto' or a finite number > 0"):
        checked_divisor(scale)


def test_unknown_projections_have_a_nearest():
    with pytest.raises(InvalidInput, match="did you mean 'orthogonal'"):
        draw_projection(2, 2, "orthogonl", np.random.default_rng(0))


def test_pre_activations_by_definition():
    at = Calibration(np.eye(2), np.array([1.0, 2.0]), np.array([2.0, 4.0]), Basis.uniform(3))
    np.testing.assert_allclose(at.z(np.array([[3.0, 6.0]])), [[1.0, 1.0]])
