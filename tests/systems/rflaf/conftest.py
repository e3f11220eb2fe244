"""Independent formulas that the fits of this folder are held against."""

from types import SimpleNamespace

import numpy as np
import pytest


def penalty(n_basis, alpha, smooth):
    """Return P = alpha I + smooth D^T D, D the second differences."""
    d = np.diff(np.eye(n_basis), n=2, axis=0)
    return alpha * np.eye(n_basis) + smooth * d.T @ d


def features(basis, z, coef):
    """Return sigma_r(z_m) without a table, (n, M*R), feature m*R + r."""
    return np.einsum("nmi,ri->nmr", basis.values(z), np.atleast_2d(coef)).reshape(len(z), -1)


def model_features(model, X):
    """Return the features that a fitted model's attributes state, (n, M*R)."""
    z = ((np.asarray(X) - model.offset_) / model.scale_) @ model.random_weights_
    return features(model.basis_, z, model.activation_coef_)


def model_penalty(model):
    """Return the quadratic penalty of a fitted model's readout, (M*R, M*R)."""
    a = model.activation_coef_
    inner = a @ penalty(a.shape[1], model.alpha_, model.smooth_) @ a.T
    return np.kron(np.eye(model.readout_.shape[0]), inner)


def ridge(phi, y, quadratic, weight=None, *, intercept=True):
    """Return V, b and the objective of a weighted ridge, as one augmented least-squares problem."""
    n, p = phi.shape
    y = y.reshape(n, -1)
    share = np.full(n, 1 / n) if weight is None else weight / weight.sum()
    root = np.sqrt(share)[:, None]
    values, vectors = np.linalg.eigh(quadratic)
    below = (np.sqrt(np.maximum(values, 0))[:, None] * vectors.T, np.zeros((p, 1)))
    design = np.block([[root * phi, root * float(intercept)], list(below)])
    target = np.vstack([root * y, np.zeros((p, y.shape[1]))])
    found = np.linalg.lstsq(design, target, rcond=None)[0]
    value = ((target - design @ found) ** 2).sum()
    return found[:-1], found[-1], float(value)


@pytest.fixture(scope="session")
def by_hand():
    """The independent formulas by name."""
    return SimpleNamespace(
        penalty=penalty,
        features=features,
        model_features=model_features,
        model_penalty=model_penalty,
        ridge=ridge,
    )
