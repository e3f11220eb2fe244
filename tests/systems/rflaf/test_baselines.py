"""Baselines: what each is made of, the penalty against leave-one-out, tuning on training rows."""

import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from equipoise.core.errors import InvalidInput, MissingExtra
from equipoise.systems.rflaf.baselines import (
    ALPHAS,
    GAMMAS,
    NOISES,
    RandomFeatures,
    RFFLearnClassifier,
    RFFLearnRegressor,
    fit_baseline,
    make_baseline,
)
from equipoise.systems.rflaf.config import RFLAFConfig
from equipoise.systems.rflaf.evaluate import check_evaluation

X, Y = make_friedman1(120, n_features=5, noise=0.5, random_state=0)
LABELS = np.where(Y > 14, "high", "low")
FEATURES = ["rbf_sampler", "nystroem", "relu", "cos", "tanh"]


@pytest.mark.parametrize(
    ("shape", "curve"), [("relu", lambda z: z * (z > 0)), ("cos", np.cos), ("tanh", np.tanh)]
)
def test_random_features_by_hand(shape, curve):
    made = RandomFeatures(9, shape=shape, random_state=1).fit(X)
    assert made.random_weights_.shape == (5, 9)
    z = X @ made.random_weights_ + made.random_offset_
    np.testing.assert_allclose(made.transform(X), curve(z))
    np.testing.assert_array_equal(clone(made).fit(X).transform(X), made.transform(X))
    other = RandomFeatures(9, shape=shape, random_state=2).fit(X)
    assert not np.allclose(other.transform(X), made.transform(X))


def test_projections_are_scaled_to_unit_variance_of_standard_rows():
    made = RandomFeatures(4000).fit(np.zeros((2, 8)))
    np.testing.assert_allclose((made.random_weights_**2).sum(axis=0).mean(), 1, rtol=0.05)
    assert made.random_offset_.std() == pytest.approx(1, rel=0.05)


def test_cosines_have_a_gaussian_kernel():
    # E cos(w.x + b) cos(w.y + b) with b ~ N(0, 1): half of both sums and differences of phases
    m, rows = 200_000, np.array([[0.3, -0.5], [1.0, 0.2]])
    phi = RandomFeatures(m, shape="cos").fit(rows).transform(rows)
    difference = np.exp(-((rows[0] - rows[1]) ** 2).sum() / 2 / 2)
    together = np.exp(-((rows[0] + rows[1]) ** 2).sum() / 2 / 2 - 2)
    assert phi[0] @ phi[1] / m == pytest.approx((difference + together) / 2, abs=0.01)


def test_random_features_check_their_rows():
    with pytest.raises(NotFittedError):
        RandomFeatures().transform(X)
    made = RandomFeatures(5).fit(X)
    with pytest.raises(ValueError, match="features"):
        made.transform(X[:, :2])
    with pytest.raises(ValueError, match="NaN"):
        made.fit(np.full((3, 2), np.nan))


@pytest.mark.parametrize("name", FEATURES)
def test_the_penalty_is_that_of_least_leave_one_out_error(name):
    model = make_baseline(name, "regression", 15, 0).fit(X, Y)
    phi, chosen = model[:-1].transform(X), model[-1].alpha_
    errors = []
    for alpha in ALPHAS:
        residual = []
        for i in range(0, 120, 4):
            rest = np.arange(120) != i
            fitted = Ridge(alpha=alpha, solver="svd").fit(phi[rest], Y[rest])
            residual.append(Y[i] - fitted.predict(phi[i : i + 1])[0])
        errors.append(np.mean(np.square(residual)))
    # a quarter of the rows left out in turn: near the best of the grid
    assert errors[ALPHAS.index(chosen)] < 1.25 * min(errors)


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("name", FEATURES)
def test_units_of_the_columns_do_not_matter(task, name):
    y = Y if task == "regression" else LABELS
    factor, shift = np.array([1e-3, 5.0, 1.0, 200.0, 0.1]), np.arange(5) * 100.0
    plain, _ = fit_baseline(name, task, 20, 0, X, y)
    moved, _ = fit_baseline(name, task, 20, 0, X * factor + shift, y)
    one, other = plain.predict(X), moved.predict(X * factor + shift)
    if task == "classification":
        assert np.mean(one == other) > 0.98
    else:
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", ["rbf_sampler", "nystroem"])
def test_gamma_is_the_best_of_seven_by_cross_validation(name):
    from sklearn.model_selection import cross_val_score

    model, gamma = fit_baseline(name, "regression", 20, 0, X, Y)
    assert gamma is not None
    assert model[1].gamma == gamma
    order, step = np.random.default_rng(0).permutation(120), f"{model.steps[1][0]}__gamma"
    scores = []
    for g in 2 * np.array(GAMMAS) / 5:
        tried = make_baseline(name, "regression", 20, 0).set_params(**{step: g})
        scores.append(cross_val_score(tried, X[order], Y[order], cv=3).mean())
    assert gamma == pytest.approx(2 * GAMMAS[int(np.argmax(scores))] / 5)


@pytest.mark.parametrize("n", [2, 5])
def test_few_rows_are_fitted_without_tuning(n):
    model, gamma = fit_baseline("rbf_sampler", "regression", 5, 0, X[:n], Y[:n])
    assert gamma is None
    assert np.isfinite(model.predict(X[:n])).all()
    lonely = np.array(["a"] * 19 + ["b"])
    model, gamma = fit_baseline("rbf_sampler", "classification", 5, 0, X[:20], lonely)
    assert gamma is None
    assert set(model.predict(X[:20])) <= {"a", "b"}


def test_trees_are_those_of_scikit_learn():
    assert isinstance(make_baseline("trees", "regression", 5, 0), HistGradientBoostingRegressor)
    kind = make_baseline("trees", "classification", 5, 0)
    assert isinstance(kind, HistGradientBoostingClassifier)
    assert kind.random_state == 0


@pytest.mark.parametrize("name", FEATURES)
def test_seeds_decide(name):
    fits = [fit_baseline(name, "regression", 10, s, X, Y)[0].predict(X) for s in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert not np.allclose(fits[0], fits[2])


def test_unknown_baselines_have_a_nearest():
    with pytest.raises(InvalidInput, match="did you mean 'nystroem'"):
        make_baseline("nystrom", "regression", 5, 0)


@pytest.fixture
def rfflearn():
    pytest.importorskip("rfflearn")


@pytest.mark.parametrize("noise", [0.1, 2.0])
def test_rfflearn_is_ridge_on_cosines_by_hand(rfflearn, noise):
    made = RFFLearnRegressor(9, gamma=0.05, noise=noise, random_state=3).fit(X, Y)
    phi = made.model_.conv(X)
    assert phi.shape == (120, 9)
    left = phi.T @ phi + noise**2 * np.eye(9)
    coef = np.linalg.solve(left, phi.T @ (Y - Y.mean()))
    np.testing.assert_allclose(made.predict(X), phi @ coef + Y.mean(), rtol=1e-8)


def test_rfflearn_has_the_gaussian_kernel_of_its_gamma(rfflearn):
    rows = X[:3] / 2
    squared = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    found = []
    for seed in range(20):
        made = RFFLearnRegressor(500, gamma=0.7, random_state=seed).fit(rows, Y[:3])
        phi = made.model_.conv(rows)
        found.append(2 * phi @ phi.T / 500)
    np.testing.assert_allclose(np.mean(found, axis=0), np.exp(-0.7 * squared), atol=0.05)


def test_rfflearn_leaves_the_global_generator_alone(rfflearn):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    RFFLearnRegressor(9).fit(X, Y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_rfflearn_is_tuned_on_training_rows(rfflearn):
    model, gamma = fit_baseline("rfflearn", "regression", 20, 0, X, Y)
    assert gamma in [2 * g / 5 for g in GAMMAS]
    assert model[1].gamma == gamma
    assert model[1].noise in NOISES
    assert model.score(X, Y) > 0.5
    again, _ = fit_baseline("rfflearn", "regression", 20, 0, X, Y)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    few, gamma = fit_baseline("rfflearn", "regression", 20, 0, X[:5], Y[:5])
    assert gamma is None
    assert np.isfinite(few.predict(X)).all()
    np.testing.assert_allclose(
        fit_baseline("rfflearn", "regression", 5, 0, X, 0 * Y + 3)[0].predict(X), 3
    )


def test_rfflearn_takes_labels_of_any_kind(rfflearn):
    names, _ = fit_baseline("rfflearn", "classification", 30, 0, X, LABELS)
    numbers, _ = fit_baseline("rfflearn", "classification", 30, 0, X, 10 * (LABELS == "low") - 3)
    assert names.score(X, LABELS) > 0.8
    np.testing.assert_array_equal(names.predict(X) == "low", numbers.predict(X) == 7)
    lonely = RFFLearnClassifier(5).fit(X, np.repeat("only", 120))
    assert set(lonely.predict(X)) == {"only"}


def test_rfflearn_absent_names_the_install_line(monkeypatch):
    for name in ("rfflearn", "rfflearn.cpu"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"needs rfflearn.*equipoise\[peers\]"):
        make_baseline("rfflearn", "regression", 5, 0)
    with pytest.raises(MissingExtra):
        check_evaluation(RFLAFConfig(sets=("diabetes",), models=("relu", "rfflearn")))
