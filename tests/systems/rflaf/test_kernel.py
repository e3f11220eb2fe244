"""The activation as a covariance: Monte Carlo, positive definiteness, scikit-learn's uses."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.kernel_ridge import KernelRidge

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import ActivationKernel, Basis, RFLAFRegressor, activation_kernel

X, Y = make_friedman1(80, n_features=5, noise=0.3, random_state=0)
BASIS = Basis.uniform(7)
COEF = np.random.default_rng(0).normal(size=(2, 7))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("n_basis", [1, 6])
def test_it_is_the_mean_over_random_units(rank, n_basis):
    rng = np.random.default_rng(rank)
    basis = Basis.uniform(n_basis, (-1.5, 2.0))
    coef, offset, scale = rng.normal(size=(rank, n_basis)), rng.normal(size=3), [0.5, 2.0, 4.0]
    rows, others = rng.normal(size=(4, 3)), rng.normal(size=(3, 3))
    k = ActivationKernel(coef, basis, offset, scale)(rows, others)
    w = rng.normal(size=(3, 60_000))
    sigma = [
        np.einsum("nmi,ri->nmr", basis.values((x - offset) / scale @ w), coef)
        for x in (rows, others)
    ]
    products = (sigma[0][:, None] * sigma[1][None]).sum(-1)
    error = np.abs(products.mean(-1) - k)
    assert np.all(error < 5 * products.std(-1) / np.sqrt(60_000))


def test_it_is_symmetric_positive_and_agrees_with_its_diagonal():
    kernel = ActivationKernel(COEF, BASIS, X.mean(0), X.std(0))
    k = kernel(X)
    np.testing.assert_allclose(k, k.T, rtol=1e-12)
    assert np.linalg.eigvalsh(k)[0] > -1e-10 * np.trace(k)
    np.testing.assert_allclose(kernel.diag(X), np.diag(k), rtol=1e-10)
    np.testing.assert_allclose(kernel(X, X), k, rtol=1e-12)
    np.testing.assert_allclose(kernel(X[:3], X), k[:3], rtol=1e-12)


def test_several_activations_add_and_signs_do_not_matter():
    parts = [ActivationKernel(a, BASIS)(X[:6]) for a in COEF]
    np.testing.assert_allclose(ActivationKernel(COEF, BASIS)(X[:6]), parts[0] + parts[1])
    np.testing.assert_allclose(ActivationKernel(-COEF, BASIS)(X[:6]), parts[0] + parts[1])
    np.testing.assert_allclose(ActivationKernel(3 * COEF[0], BASIS)(X[:6]), 9 * parts[0])
    # a rotation of the activations is the same set of features
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    np.testing.assert_allclose(ActivationKernel(turn @ COEF, BASIS)(X[:6]), sum(parts))


def test_it_depends_on_lengths_and_angles_only():
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    kernel = ActivationKernel(COEF, BASIS)
    np.testing.assert_allclose(kernel(X @ turn, X[:4] @ turn), kernel(X, X[:4]), rtol=1e-9)
    wide = Basis("rbf", 3 * BASIS.centers, 3 * BASIS.bandwidth)
    np.testing.assert_allclose(ActivationKernel(COEF, wide)(3 * X[:5]), kernel(X[:5]), rtol=1e-10)


def test_offset_and_scale_are_those_of_the_rows():
    shift, divisor = X.mean(0), X.std(0)
    scaled = ActivationKernel(COEF, BASIS, shift, divisor)(X[:5], X[5:9])
    by_rows = activation_kernel((X[:5] - shift) / divisor, (X[5:9] - shift) / divisor, COEF, BASIS)
    np.testing.assert_allclose(scaled, by_rows, rtol=1e-12)
    one = ActivationKernel(COEF, BASIS)(X[0])
    assert one.shape == (1, 1)


def test_it_has_no_hyperparameters_and_can_be_cloned():
    kernel = ActivationKernel(COEF, BASIS, np.zeros(5), np.ones(5))
    assert kernel.theta.shape == (0,)
    assert clone(kernel) == kernel
    assert kernel != ActivationKernel(2 * COEF, BASIS, np.zeros(5), np.ones(5))
    assert kernel != ActivationKernel(COEF, BASIS)
    assert kernel != ActivationKernel(COEF, Basis.uniform(7, (-1, 1)), np.zeros(5), np.ones(5))
    assert kernel != "kernel"
    k, gradient = kernel(X[:4], eval_gradient=True)
    assert gradient.shape == (4, 4, 0)
    np.testing.assert_array_equal(k, kernel(X[:4]))
    with pytest.raises(InvalidInput, match="only where Y is None"):
        kernel(X, X, eval_gradient=True)
    assert "2 activations" in repr(kernel)


def test_a_gaussian_process_is_kernel_ridge_by_hand():
    kernel = RFLAFRegressor(20, 7, random_state=0, n_starts=2).fit(X, Y).to_kernel()
    gp = GaussianProcessRegressor(kernel, alpha=0.1, optimizer=None).fit(X, Y)
    k = kernel(X)
    by_hand = kernel(X[:9] + 0.01, X) @ np.linalg.solve(k + 0.1 * np.eye(80), Y)
    np.testing.assert_allclose(gp.predict(X[:9] + 0.01), by_hand, rtol=1e-6)
    ridge = KernelRidge(alpha=0.1, kernel=kernel).fit(X, Y)
    np.testing.assert_allclose(ridge.predict(X[:9] + 0.01), by_hand, rtol=1e-6)
    noisy = GaussianProcessRegressor(5.0 * kernel + WhiteKernel(1.0), random_state=0).fit(X, Y)
    assert noisy.score(X, Y) > 0.7


def test_many_units_predict_as_the_kernel_does(by_hand):
    model = RFLAFRegressor(20, 7, random_state=0, n_starts=2).fit(X, Y)
    kernel, m = model.to_kernel(), 20_000
    w = np.random.default_rng(5).normal(size=(5, m))
    z = ((X - model.offset_) / model.scale_) @ w
    phi = np.einsum("nmi,i->nm", model.basis_.values(z), model.activation_coef_[0])
    gram = phi @ phi.T / m
    scale = np.trace(gram) / 80
    target = Y - Y.mean()
    by_units = gram @ np.linalg.solve(gram + 0.1 * scale * np.eye(80), target)
    k = kernel(X)
    by_kernel = k @ np.linalg.solve(k + 0.1 * scale * np.eye(80), target)
    np.testing.assert_allclose(by_units, by_kernel, atol=0.15 * target.std())


@pytest.mark.parametrize("kind", ["bspline", "poly"])
def test_only_gaussians_have_a_closed_form(kind):
    kernel = ActivationKernel(np.ones(5), Basis.uniform(5, kind=kind))
    with pytest.raises(InvalidInput, match="basis 'rbf' only"):
        kernel(X)
    with pytest.raises(InvalidInput, match="coef has shape"):
        ActivationKernel(np.ones(4), BASIS)(X)
