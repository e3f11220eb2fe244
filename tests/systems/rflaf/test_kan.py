"""The Kolmogorov-Arnold baseline: its spline, and that it learns sums of curves."""

import numpy as np
import pytest
from scipy.interpolate import BSpline

from equipoise.systems.rflaf.kan import KANEstimator, cubic_bspline, make_layers

torch = pytest.importorskip("torch")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((400, 3))


def test_the_spline_is_the_cardinal_cubic_one():
    u = np.linspace(-3, 3, 61)
    reference = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)(u)
    found = cubic_bspline(torch.tensor(u)).numpy()
    np.testing.assert_allclose(found, np.nan_to_num(reference), atol=1e-12)


def test_splines_sum_to_one_within_reach():
    (layer,) = make_layers([1, 1], 8, 0).children()
    with torch.no_grad():
        layer.get_parameter("curves").fill_(1.0)
        layer.get_parameter("straight").fill_(0.0)
        out = layer(torch.linspace(-2.9, 2.9, 50)[:, None])
    np.testing.assert_allclose(out.numpy(), 1.0, atol=1e-5)


@pytest.mark.standard
def test_a_sum_of_curves_is_learnt():
    y = np.sin(2 * X[:, 0]) + X[:, 1] ** 2 + 100
    model = KANEstimator(steps=1500).fit(X[:300], y[:300])
    assert model.score(X[300:], y[300:]) > 0.8
    assert model.n_parameters_ == 3 * 11 * 16 + 3 * 16 + 16 + 16 * 11 + 16 + 1


def test_classes_of_any_name_are_predicted_and_seeds_repeat():
    y = np.array(["low", "mid", "high"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    first, second = (KANEstimator("classification", steps=200).fit(X, y) for _ in range(2))
    assert set(first.predict(X)) <= set(y)
    assert first.score(X, y) > 0.8
    assert np.array_equal(first.predict(X), second.predict(X))


def test_constant_targets_are_predicted():
    model = KANEstimator(steps=60).fit(X, np.full(400, 3.0))
    np.testing.assert_allclose(model.predict(X), 3.0, atol=0.5)
