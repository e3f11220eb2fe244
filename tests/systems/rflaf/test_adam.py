"""The published recipe: step by step against torch, its schedule, options and estimators."""

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import Basis, RFLAFClassifier, RFLAFRegressor, balance_penalty
from equipoise.systems.rflaf.adam import AdamOptions, cross_entropy, train_adam

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(60, 3)) / 2
WEIGHTS = RNG.normal(size=(3, 8))
WEIGHT = RNG.uniform(0.5, 2, 60)
TARGETS = {
    "one": np.sin(3 * ROWS[:, :1]),
    "two": np.c_[ROWS[:, 0] ** 2, ROWS[:, 1]],
    "binary": (ROWS[:, :1] > 0).astype(float),
    "classes": np.eye(3)[np.digitize(ROWS[:, 0], [-0.2, 0.2])],
}
BASIS = Basis.uniform(9)
NEVER = 10**9


def run(y, *, seed=0, rank=1, **changes):
    intercept, log_loss = changes.pop("fit_intercept", True), changes.pop("log_loss", False)
    weight = changes.pop("sample_weight", WEIGHT)
    return train_adam(
        ROWS,
        WEIGHTS,
        y,
        weight,
        BASIS,
        AdamOptions(**({"batch_size": 60} | changes)),
        np.random.default_rng(seed),
        rank=rank,
        fit_intercept=intercept,
        log_loss=log_loss,
    )


@pytest.mark.parametrize("kind", list(TARGETS))
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("intercept", [True, False])
def test_full_batches_are_steps_of_torch(kind, rank, intercept):
    torch = pytest.importorskip("torch")
    y, log_loss = TARGETS[kind], kind in ("binary", "classes")
    common = {"rank": rank, "fit_intercept": intercept, "log_loss": log_loss, "learning_rate": 0.03}
    start = run(y, epochs=1, warmup_batches=NEVER, **common)
    end = run(y, epochs=12, warmup_batches=0, **common)
    a, v, b = (
        torch.tensor(part, requires_grad=True)
        for part in (start.coef, start.readout, start.intercept)
    )
    values = torch.tensor(BASIS.values(ROWS @ WEIGHTS))
    target, weight = torch.tensor(y), torch.tensor(WEIGHT / WEIGHT.mean())
    optimiser = torch.optim.Adam([a, v, b] if intercept else [a, v], lr=0.03)
    history = []
    for _ in range(12):
        raw = torch.einsum("nmi,ri,mrk->nk", values, a, v) + b
        if kind == "binary":
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                raw[:, 0], target[:, 0], weight=weight
            )
        elif kind == "classes":
            loss = -(weight * (target * torch.log_softmax(raw, 1)).sum(1)).mean()
        else:
            loss = (weight[:, None] * (raw - target) ** 2).mean()
        gap = (a**2).sum() / 9**0.5 - (v**2).sum() / 8**0.5
        loss = loss + gap**2 + 0.1 * a.abs().sum() / 9
        history.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    np.testing.assert_allclose(end.history, history, rtol=1e-5)
    for mine, theirs in zip((end.coef, end.readout, end.intercept), (a, v, b)):
        np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=1e-5)


def test_first_values_have_the_published_spread():
    y = TARGETS["one"]
    fits = [run(y, seed=s, epochs=1, warmup_batches=NEVER) for s in range(300)]
    a, v = (np.array([getattr(f, n) for f in fits]) for n in ("coef", "readout"))
    assert a.var() == pytest.approx(1 / 9, rel=0.15)
    assert v.var() == pytest.approx(1 / 8, rel=0.15)
    assert abs(a.mean()) < 0.03
    assert all(not f.intercept.any() for f in fits)


def test_the_first_batches_move_nothing():
    y = TARGETS["one"]
    still = run(y, epochs=1, warmup_batches=NEVER)
    # 60 rows in batches of 20: eight batches end within the third epoch
    eight = run(y, epochs=2, batch_size=20, warmup_batches=8)
    np.testing.assert_array_equal(eight.coef, still.coef)
    np.testing.assert_array_equal(eight.readout, still.readout)
    moved = run(y, epochs=3, batch_size=20, warmup_batches=8)
    assert np.abs(moved.readout - still.readout).max() == pytest.approx(1e-3, rel=1e-3)


def test_defaults_are_the_published_ones():
    assert AdamOptions() == AdamOptions(45, 1e-3, 128, 1.0, 0.1, 0.9, 0.999, 8)


def test_the_history_begins_with_loss_and_penalty():
    y = TARGETS["two"]
    start = run(y, epochs=1, warmup_batches=NEVER, lambda1=2.0, lambda2=0.7)
    raw = np.einsum("nmi,ri,mrk->nk", BASIS.values(ROWS @ WEIGHTS), start.coef, start.readout)
    share = WEIGHT / WEIGHT.sum()
    loss = (share[:, None] * (raw - y) ** 2).sum() / 2
    loss += balance_penalty(start.coef, start.readout, 2.0, 0.7)
    assert start.history[0] == pytest.approx(loss, rel=1e-6)


def test_training_lowers_the_loss_and_depends_on_the_seed_alone():
    y = TARGETS["one"]
    options = {"epochs": 60, "batch_size": 16, "learning_rate": 0.02}
    one, again, other = run(y, **options), run(y, **options), run(y, seed=1, **options)
    assert one.history[-1] < 0.5 * one.history[0]
    np.testing.assert_array_equal(one.readout, again.readout)
    assert not np.allclose(one.readout, other.readout)


@pytest.mark.parametrize("columns", [1, 4])
def test_cross_entropy_and_its_slope(columns):
    rng = np.random.default_rng(columns)
    raw = rng.normal(size=(20, columns)) * 3
    mark = rng.integers(0, max(columns, 2), 20)
    y = mark[:, None].astype(float) if columns == 1 else np.eye(columns)[mark]
    losses, slope = cross_entropy(raw, y)
    logits = np.c_[np.zeros(20), raw] if columns == 1 else raw
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(losses, -np.log(chance[np.arange(20), mark]), rtol=1e-10)
    for k in range(columns):
        step = np.zeros(columns)
        step[k] = 1e-5
        difference = cross_entropy(raw + step, y)[0] - cross_entropy(raw - step, y)[0]
        np.testing.assert_allclose(slope[:, k], difference / 2e-5, atol=1e-7)


def test_cross_entropy_of_extreme_outputs_is_finite():
    losses, slope = cross_entropy(np.array([[1e4], [-1e4]]), np.array([[1.0], [1.0]]))
    np.testing.assert_allclose(losses, [0, 1e4])
    np.testing.assert_allclose(slope[:, 0], [0, -1], atol=1e-12)
    losses, slope = cross_entropy(np.array([[1e4, 0.0], [1e4, 0.0]]), np.eye(2))
    np.testing.assert_allclose(losses, [0, 1e4])
    np.testing.assert_allclose(slope, [[0, 0], [1, -1]], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs 0"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"warmup_batches": -1}, "warmup_batches -1"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"beta1": 1.0}, "beta1"),
        ({"beta2": -0.1}, "beta2"),
    ],
)
def test_wrong_options_are_refused(changes, words):
    X, y = make_friedman1(30, random_state=0)
    with pytest.raises(InvalidInput, match=words) as refused:
        RFLAFRegressor(5, 5, solver="adam", solver_options=changes).fit(X, y)
    assert "\n" not in str(refused.value)


def test_estimators_report_epochs_and_keep_the_intercept_as_asked():
    X, y = make_friedman1(120, random_state=0)
    y = (y - y.mean()) / y.std()
    options = {"epochs": 30, "learning_rate": 0.01, "batch_size": 32}
    made = {"solver": "adam", "solver_options": options, "random_state": 0}
    with_it = RFLAFRegressor(15, 9, **made).fit(X, y)
    without = RFLAFRegressor(15, 9, fit_intercept=False, **made).fit(X, y)
    assert with_it.objective_history_.shape == (30,)
    assert with_it.n_iter_ == 30
    assert without.intercept_ == 0
    assert with_it.intercept_ != 0
    assert (with_it.alpha_, with_it.smooth_) == (0, 0)
    # J without a penalty is the mean square on the training rows
    assert with_it.objective_ == pytest.approx(((y - with_it.predict(X)) ** 2).mean(), rel=1e-6)
    with pytest.raises(InvalidInput, match="rank='auto'"):
        RFLAFRegressor(15, 9, rank="auto", **made).fit(X, y)
    with pytest.raises(InvalidInput, match="need"):
        RFLAFRegressor(15, 9, **made).partial_fit(X, y)


@pytest.mark.parametrize("cuts", [[0.0], [-0.4, 0.4]])
def test_a_classifier_trained_by_the_recipe_gives_probabilities(cuts):
    X = np.random.default_rng(1).normal(size=(200, 2))
    labels = np.array(["low", "middle", "top"])[np.digitize(X[:, 0], cuts)]
    options = {"epochs": 60, "learning_rate": 0.02, "batch_size": 32}
    made = {"solver": "adam", "solver_options": options, "random_state": 0}
    m = RFLAFClassifier(20, 9, **made).fit(X, labels)
    p = m.predict_proba(X)
    assert m.score(X, labels) > 0.85
    np.testing.assert_allclose(p.sum(axis=1), 1)
    np.testing.assert_array_equal(m.classes_[p.argmax(axis=1)], m.predict(X))
