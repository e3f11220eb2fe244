"""Log loss: readout against scikit-learn, the joint optimum by search, the held-out fifth."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from sklearn.linear_model import LogisticRegression

from equipoise.systems.rflaf import Basis, RFLAFClassifier
from equipoise.systems.rflaf.logistic import LogHead, LogProblem, held_out
from equipoise.systems.rflaf.row_problem import RowProblem

RNG = np.random.default_rng(2)
X = RNG.normal(size=(180, 3))
SCORE = np.sin(2 * X[:, 0]) + X[:, 1] + 0.5 * RNG.normal(size=180)
BINARY = np.where(SCORE > 0, "yes", "no")
THREE = np.array(["a", "b", "c"])[np.digitize(SCORE, [-0.6, 0.5])]
WEIGHT = RNG.uniform(0.3, 2, 180)
SMALL = {"n_components": 8, "n_basis": 7, "random_state": 0, "n_starts": 2}
FIXED = {"alpha": 3e-2, "smooth": 1e-2}


def classifier(**changes):
    return RFLAFClassifier(**(SMALL | changes))


def one_hot(labels):
    names = np.unique(labels)
    marks = (labels[:, None] == names).astype(float)
    return marks[:, 1:] if len(names) == 2 else marks


def by_sklearn(phi, labels, scale, weight=None, intercept=True):
    """Return scikit-learn's penalised logistic regression at penalty `scale` on |v|^2."""
    share = np.full(len(phi), 1 / len(phi)) if weight is None else weight / weight.sum()
    fitted = LogisticRegression(
        C=1 / (2 * scale), tol=1e-10, max_iter=20_000, fit_intercept=intercept
    )
    return fitted.fit(phi, labels, sample_weight=share)


@pytest.mark.parametrize("labels", [BINARY, THREE], ids=["two", "three"])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_the_readout_is_a_penalised_logistic_regression(by_hand, labels, weight):
    m = classifier(tol=1e-10, max_iter=300, **FIXED).fit(X, labels, weight)
    phi = by_hand.model_features(m, X)
    scale = by_hand.model_penalty(m)[0, 0]
    theirs = by_sklearn(phi, labels, scale, weight)
    np.testing.assert_allclose(m.predict_proba(X), theirs.predict_proba(phi), atol=2e-4)
    np.testing.assert_allclose(m.readout_[:, 0].T, theirs.coef_, atol=5e-3)


@pytest.mark.parametrize("labels", [BINARY, THREE], ids=["two", "three"])
@pytest.mark.parametrize("intercept", [True, False])
def test_newton_for_a_given_activation(by_hand, labels, intercept):
    z = X @ np.random.default_rng(1).normal(size=(3, 6)) / 2
    basis, coef = Basis.uniform(7), np.random.default_rng(0).normal(size=(1, 7))
    marks = one_hot(labels)
    rows = RowProblem(z, None, marks, WEIGHT, basis, fit_intercept=intercept, exact=True)
    outputs = marks.shape[1]
    start = LogHead(coef, np.zeros((6, 1, outputs)), np.zeros(outputs), 0.0, (), 1e-2, 0.0)
    log = LogProblem(rows, marks)
    end = log.solve_readout(start, max_iter=100)
    scale = 1e-2 * float((coef**2).sum())
    theirs = by_sklearn(by_hand.features(basis, z, coef), labels, scale, WEIGHT, intercept)
    np.testing.assert_allclose(end.flat.T, theirs.coef_, atol=1e-3)
    assert end.value == pytest.approx(log.loss(end) + scale * (end.flat**2).sum(), rel=1e-9)
    assert log.loss(start) == pytest.approx(np.log(max(outputs, 2)), rel=1e-9)
    if not intercept:
        assert not end.intercept.any()


@pytest.mark.parametrize("labels", [BINARY, THREE], ids=["two", "three"])
@pytest.mark.parametrize("rank", [1, 2])
def test_the_joint_optimum_against_a_search_by_differences(by_hand, labels, rank):
    m = classifier(rank=rank, tol=1e-12, max_iter=500, **FIXED).fit(X, labels)
    z = ((X - m.offset_) / m.scale_) @ m.random_weights_
    values, marks = m.basis_.values(z), one_hot(labels)
    p = by_hand.penalty(7, 3e-2, 1e-2)
    outputs = marks.shape[1]
    cut = [7 * rank, 7 * rank + m.readout_.size]

    def objective(x):
        a, v, b = x[: cut[0]].reshape(rank, 7), x[cut[0] : cut[1]], x[cut[1] :]
        v = v.reshape(m.readout_.shape)
        raw = np.einsum("nmi,ri,mrk->nk", values, a, v, optimize=True) + b
        logits = np.c_[np.zeros(len(raw)), raw] if outputs == 1 else raw
        mark = np.c_[1 - marks, marks] if outputs == 1 else marks
        chance = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        theta = np.einsum("mrk,ri->mki", v, a).reshape(-1, 7)
        return -(mark * chance).sum() / len(X) + np.trace(theta @ p @ theta.T)

    there = np.concatenate([m.activation_coef_.ravel(), m.readout_.ravel(), m.intercept_])
    assert objective(there) == pytest.approx(m.objective_, rel=1e-5)
    assert np.abs(approx_fprime(there, objective, 1e-7)).max() < 2e-3
    further = minimize(objective, there, method="L-BFGS-B", options={"maxiter": 15})
    assert further.fun > m.objective_ - 1e-5


@pytest.mark.parametrize("labels", [BINARY, THREE], ids=["two", "three"])
def test_the_objective_falls_at_every_iteration(labels):
    m = classifier(**FIXED).fit(X, labels)
    assert np.all(np.diff(m.objective_history_) <= 0)
    assert m.objective_history_[-1] == pytest.approx(m.objective_, rel=1e-9)
    assert m.n_iter_ >= 1


@pytest.mark.parametrize("labels", [BINARY, THREE], ids=["two", "three"])
def test_the_second_stage_ends_below_any_readout_of_the_first_activation(by_hand, labels):
    log = classifier(tol=1e-10, **FIXED).fit(X, labels)
    first = classifier(loss="squared", **FIXED).fit(X, labels)
    scale = by_hand.model_penalty(first)[0, 0]
    phi = by_hand.model_features(first, X)
    theirs = by_sklearn(phi, labels, scale)
    chance = theirs.predict_proba(phi)[np.arange(180), np.searchsorted(theirs.classes_, labels)]
    size = (theirs.coef_**2).sum()
    assert log.objective_ < -np.log(chance).mean() + scale * size


@pytest.mark.parametrize("labels", [BINARY, THREE], ids=["two", "three"])
def test_weights_equal_repeats_in_any_order(labels):
    rng = np.random.default_rng(0)
    times = rng.integers(1, 3, 180)
    order = rng.permutation(np.repeat(np.arange(180), times))
    tight = {"tol": 1e-13, "max_iter": 1000} | FIXED
    weighted = classifier(**tight).fit(X, labels, times)
    repeated = classifier(**tight).fit(X[order], labels[order])
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-5)
    assert classifier().fit(X, labels, times).alpha_ == pytest.approx(
        classifier().fit(X[order], labels[order]).alpha_, rel=1e-6
    )


def test_names_of_the_classes_do_not_matter():
    tight = {"tol": 1e-13, "max_iter": 1000} | FIXED
    plain = classifier(**tight).fit(X, BINARY)
    swapped = classifier(**tight).fit(X, np.where(BINARY == "yes", "A", "B"))
    np.testing.assert_allclose(plain.predict_proba(X), swapped.predict_proba(X)[:, ::-1], atol=1e-5)
    turned = {"a": 7, "b": 3, "c": 5}
    three = classifier(**tight).fit(X, THREE)
    numbers = classifier(**tight).fit(X, np.array([turned[c] for c in THREE]))
    np.testing.assert_allclose(
        three.predict_proba(X), numbers.predict_proba(X)[:, [2, 0, 1]], atol=1e-5
    )


def test_intercepts_of_several_classes_sum_to_zero():
    assert abs(classifier(**FIXED).fit(X, THREE).intercept_.sum()) < 1e-9


def test_a_strong_penalty_leaves_the_shares_of_the_classes():
    m = classifier(alpha=1e6, smooth=0.0).fit(X, THREE, WEIGHT)
    shares = [WEIGHT[c == THREE].sum() / WEIGHT.sum() for c in "abc"]
    np.testing.assert_allclose(m.predict_proba(X[:3]), [shares] * 3, atol=1e-4)


def test_separable_classes_stay_finite():
    m = classifier(alpha=0.0, smooth=0.0, max_iter=20).fit(X, np.where(X[:, 0] > 0, 1, 0))
    assert np.isfinite(m.readout_).all()
    assert m.score(X, X[:, 0] > 0) > 0.95


def test_the_held_out_fifth_follows_the_content_of_rows():
    rows = np.random.default_rng(0).normal(size=(4000, 2))
    out = held_out(rows, 3)
    assert 0.16 < out.mean() < 0.24
    order = np.random.default_rng(1).permutation(4000)
    np.testing.assert_array_equal(held_out(rows[order], 3), out[order])
    np.testing.assert_array_equal(held_out(np.repeat(rows, 2, 0), 3), np.repeat(out, 2))
    assert (held_out(rows, 4) != out).mean() > 0.2


def test_alpha_for_the_log_loss_is_a_stated_multiple_of_the_first_stages():
    first = classifier(loss="squared").fit(X, BINARY).alpha_
    ratio = classifier().fit(X, BINARY).alpha_ / first
    assert np.isclose(ratio, [1, 0.1, 0.01, 0.001], rtol=1e-6).any()
