"""The equations against known answers, quadrature, an independent spline library, differences."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.interpolate import BSpline

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf.objective import (
    Basis,
    activation,
    activation_kernel,
    balance_penalty,
    basis_kernel,
    basis_mean,
    features,
    loss_gradient,
)


def test_loss_gradient_known_answer():
    basis = Basis("rbf", (-1.0, 1.0), 1.0)
    weights, coef, readout = np.array([[1.0, -1.0]]), np.array([1.0, -2.0]), np.array([0.5, 0.25])
    out = loss_gradient([[0.5]], [1.0], weights, coef, readout, basis)
    np.testing.assert_allclose(out.prediction, [-0.66187268], atol=1e-8)
    np.testing.assert_allclose(out.coef, [-1.27282981, -1.73636302], atol=1e-8)
    np.testing.assert_allclose(out.readout, [4.78732783, -0.77507072], atol=1e-8)
    assert balance_penalty(coef, readout) == pytest.approx(11.136328125, abs=1e-12)


@pytest.mark.parametrize("kind", ["rbf", "bspline", "poly"])
def test_loss_gradient_against_differences(kind):
    rng = np.random.default_rng(0)
    basis = Basis.uniform(5, kind=kind)
    x, y = rng.normal(size=(7, 2)), rng.normal(size=7)
    parts = [rng.normal(size=(2, 3)) / 2, rng.normal(size=5), rng.normal(size=3)]
    out = loss_gradient(x, y, *parts, basis)
    for place, gradient in enumerate([out.weights, out.coef, out.readout]):
        flat = np.zeros(gradient.size)
        for j in range(gradient.size):
            losses = []
            for sign in (1, -1):
                moved = [p.copy() for p in parts]
                moved[place].ravel()[j] += sign * 1e-6
                losses.append(loss_gradient(x, y, *moved, basis).loss)
            flat[j] = (losses[0] - losses[1]) / 2e-6
        np.testing.assert_allclose(gradient.ravel(), flat, rtol=2e-6, atol=1e-7)


KERNEL = [
    ((1, 0), (1, 0), 0, 0, 1, 0.57735027),
    ((1, 0), (0, 1), 0, 0, 1, 0.5),
    ((1, 0), (0.6, 0.8), 0, 0, 0.5, 0.22798038),
    ((1, 0), (0.6, 0.8), 0.5, -0.5, 0.5, 0.15518907),
]


@pytest.mark.parametrize(("x", "y", "ci", "cj", "h", "value"), KERNEL)
def test_basis_kernel_known_answers(x, y, ci, cj, h, value):
    centers = sorted({ci, cj})
    k = basis_kernel(x, y, Basis("rbf", centers, h))
    assert k[centers.index(ci), centers.index(cj)] == pytest.approx(value, abs=1e-8)


@pytest.mark.parametrize(("rho", "value"), [(-1, 0.174078), (0, 0.058824), (0.5, 0.066667)])
def test_basis_kernel_on_the_sphere_is_even(rho, value):
    basis = Basis("rbf", (0.0,), 0.25)
    for sign in (1, -1):
        y = (sign * rho, np.sqrt(1 - rho**2))
        assert basis_kernel((1, 0), y, basis)[0, 0] == pytest.approx(value, abs=1e-6)


def test_kernel_against_quadrature_and_monte_carlo():
    basis = Basis("rbf", (-0.7, 0.4), 0.6)
    x = np.array([0.8])
    for i in range(2):
        for j in range(2):

            def integrand(w, i=i, j=j):
                b = basis.values(w * 0.8), basis.values(w * -1.3)
                return b[0][i] * b[1][j] * np.exp(-w * w / 2) / np.sqrt(2 * np.pi)

            exact = quad(integrand, -12, 12, epsabs=1e-12)[0]
            assert basis_kernel(x, [-1.3], basis)[i, j] == pytest.approx(exact, abs=1e-10)
    rng = np.random.default_rng(1)
    rows, coef = rng.normal(size=(4, 3)), rng.normal(size=(2, 2))
    f = features(rows, rng.normal(size=(3, 200_000)), coef, basis)
    products = np.einsum("amr,bmr->mab", f, f)
    error = products.mean(axis=0) - activation_kernel(rows, rows, coef, basis)
    assert np.all(np.abs(error) <= 5 * products.std(axis=0) / np.sqrt(200_000))


@pytest.mark.slow
def test_empirical_kernel_at_a_million_units():
    basis = Basis.uniform(9)
    rng = np.random.default_rng(2)
    rows, coef = rng.normal(size=(4, 3)) * 0.5, rng.normal(size=9)
    f = features(rows, rng.normal(size=(3, 1_000_000)), coef, basis)
    for a in range(4):
        products = f[a] * f
        error = products.mean(axis=1) - activation_kernel(rows[a : a + 1], rows, coef, basis)[0]
        assert np.all(np.abs(error) <= 5 * products.std(axis=1) / 1e3)


@given(st.floats(0.1, 5), st.floats(0.01, 10), st.floats(-3, 3), st.floats(0.1, 3))
def test_basis_mean_scales(factor, squared_norm, c, h):
    one = basis_mean(squared_norm, Basis("rbf", (c,), h))
    other = basis_mean(squared_norm * factor**2, Basis("rbf", (c * factor,), h * factor))
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_basis_mean_known_answer():
    assert basis_mean(1.0, Basis("rbf", (0.0,), 1.0))[0] == pytest.approx(0.70710678, abs=1e-8)


def test_partition_of_gaussians():
    z = np.linspace(-0.05, 0.05, 401) + 0.013
    total = Basis.uniform(81, (-2, 2)).values(z).sum(axis=1)
    np.testing.assert_allclose(total, 2.50662827, atol=2e-8)
    assert np.ptp(total) / total.mean() < 1.2e-8


def test_spline_values_and_support():
    basis = Basis("bspline", (1.0,), 0.25)
    z = 1 + 0.25 * np.array([-0.5, 0, 0.5, 1, 1.5])
    np.testing.assert_allclose(basis.values(z)[:, 0], [1 / 6, 2 / 3, 1, 2 / 3, 1 / 6], atol=1e-14)
    assert np.all(basis.values([0.74, 1.51]) == 0)


def test_spline_against_scipy():
    basis = Basis("bspline", (0.3, 1.1), 0.7)
    z = np.linspace(-1.5, 3.5, 501)
    for i, c in enumerate(basis.centers):
        knots = c + 0.7 * np.array([-1.0, 0, 1, 2])
        spline = BSpline.basis_element(knots, extrapolate=False)
        expected = np.nan_to_num(spline(z)) * 4 / 3
        np.testing.assert_allclose(basis.values(z)[:, i], expected, atol=1e-12)
        slope = np.nan_to_num(spline.derivative()(z)) * 4 / 3
        np.testing.assert_allclose(basis.derivatives(z)[:, i], slope, atol=1e-12)


def test_least_squares_of_two_curves():
    basis = Basis.uniform(17)
    z = np.linspace(-1.5, 1.5, 301)
    design = basis.values(z)
    sine = np.where(np.abs(z) <= 1, np.sin(np.pi * z), 0)
    for curve, bound in ((z, 7.1e-5), (sine, 0.0711)):
        fit = design @ np.linalg.lstsq(design, curve, rcond=None)[0]
        assert np.abs(fit - curve).max() == pytest.approx(bound, rel=0.01)
    for width, condition in ((0.5, 8e4), (1, 1.8e3), (2, 6e7)):
        found = np.linalg.cond(Basis.uniform(17, width=width).values(z))
        assert found == pytest.approx(condition, rel=0.15)


@given(st.integers(1, 9), st.sampled_from(["rbf", "bspline"]), st.floats(0.5, 2))
def test_moving_weight_between_layers_changes_nothing(n, kind, width):
    basis = Basis.uniform(n, width=width, kind=kind)
    rng = np.random.default_rng(n)
    x, w, a, v = (rng.normal(size=s) for s in ((6, 3), (3, 4), n, 4))
    one, other = features(x, w, a, basis) @ v, features(x, w, 7 * a, basis) @ (v / 7)
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_activation_shapes():
    basis = Basis.uniform(5)
    z = np.zeros((3, 4))
    assert activation(z, np.ones(5), basis).shape == (3, 4)
    assert activation(z, np.ones((2, 5)), basis).shape == (3, 4, 2)
    assert activation(0.5, np.ones(5), basis).shape == ()
    assert features(np.zeros((3, 2)), np.zeros((2, 4)), np.ones((2, 5)), basis).shape == (3, 4, 2)
    assert basis.values(z).shape == basis.derivatives(z).shape == (3, 4, 5)


def test_basis_is_a_value():
    basis = Basis.uniform(7, (-1, 3), 0.5, "bspline")
    assert basis == pickle.loads(pickle.dumps(basis))
    assert hash(basis) == hash(Basis.uniform(7, (-1, 3), 0.5, "bspline"))
    assert basis != Basis.uniform(7)
    assert (basis.size, basis.spacing, basis.bandwidth) == (7, pytest.approx(4 / 6), 4 / 6 / 2)
    assert Basis.uniform(1).bandwidth == 4
    with pytest.raises(ValueError, match="read-only"):
        basis.centers[0] = 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Basis("rbff", (0,), 1), "did you mean 'rbf'"),
        (lambda: Basis("rbf", (1, 0), 1), "increasing"),
        (lambda: Basis("rbf", (), 1), "increasing"),
        (lambda: Basis("rbf", (0,), 0), "bandwidth is 0"),
        (lambda: Basis.uniform(0), "n_basis is 0"),
        (lambda: Basis.uniform(3, (2, -2)), "must increase"),
        (lambda: Basis.uniform(3, 5), "must be a pair"),
        (lambda: Basis.uniform(3, width=-1), "width is -1"),
        (lambda: activation(0, [1, 2], Basis.uniform(3)), "coef has shape"),
        (lambda: basis_kernel([1], [1], Basis.uniform(3, kind="bspline")), "basis='rbf'"),
        (lambda: basis_mean(1, Basis.uniform(3, kind="poly")), "basis='rbf'"),
        (
            lambda: loss_gradient([[1.0]], [1.0, 2.0], [[1.0]], [1.0], [1.0], Basis.uniform(1)),
            "targets",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_refused(bad):
    basis, coef = Basis.uniform(3), np.ones(3)
    X, wrong = np.ones((2, 2)), np.array([[1.0, bad], [1.0, 1.0]])
    W, y, v = np.ones((2, 4)), np.ones(2), np.ones(4)
    calls = {
        "X": lambda: features(wrong, W, coef, basis),
        "weights": lambda: features(X, np.full((2, 4), bad), coef, basis),
        "y": lambda: loss_gradient(X, np.array([1.0, bad]), W, coef, v, basis),
        "readout": lambda: loss_gradient(X, y, W, coef, np.full(4, bad), basis),
        "Y": lambda: activation_kernel(X, wrong, coef, basis),
        "x": lambda: basis_kernel(wrong[0], X[0], basis),
    }
    for name, call in calls.items():
        with pytest.raises(InvalidInput, match=f"^{name} holds NaN or infinity"):
            call()
    for norm in (-1.0, bad, [1.0]):
        with pytest.raises(InvalidInput, match="squared_norm is"):
            basis_mean(norm, basis)
