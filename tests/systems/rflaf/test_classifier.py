"""The classifier: probabilities, labels of any kind, class weights, streaming and refusals."""

import warnings

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_breast_cancer, load_iris, make_moons
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_score, train_test_split

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import RFLAFClassifier, RFLAFRegressor
from equipoise.systems.rflaf.classifier import one_vs_rest

X, MOON = map(np.asarray, make_moons(200, noise=0.25, random_state=0))
NEW, NEW_MOON = map(np.asarray, make_moons(400, noise=0.25, random_state=1))
SMALL = {"n_components": 20, "n_basis": 9, "random_state": 0, "n_starts": 2}
THREE = np.digitize(X[:, 0] + 0.3 * X[:, 1], [0.0, 0.9])


def classifier(**changes):
    return RFLAFClassifier(**(SMALL | changes))


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_it_learns_what_a_line_cannot(loss):
    m = classifier(loss=loss).fit(X, MOON)
    line = LogisticRegression().fit(X, MOON)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert m.score(NEW, NEW_MOON) > line.score(NEW, NEW_MOON) + 0.03


@pytest.mark.parametrize("load", [load_iris, load_breast_cancer])
def test_it_is_about_as_good_as_trees_on_bundled_sets(load):
    x, y = load(return_X_y=True)
    parts = train_test_split(x, y, test_size=0.4, random_state=0, stratify=y)
    m = classifier(n_components=40).fit(parts[0], parts[2])
    trees = HistGradientBoostingClassifier(random_state=0, max_iter=30).fit(parts[0], parts[2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert m.score(parts[1], parts[3]) > trees.score(parts[1], parts[3]) - 0.05
        p = m.predict_proba(parts[1])
    assert log_loss(parts[3], p) < 0.35


def test_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 2))
    chance = 1 / (1 + np.exp(-2 * np.sin(1.5 * x[:, 0]) - x[:, 1]))
    y = rng.random(1500) < chance
    m = classifier().fit(x[:700], y[:700])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = m.predict_proba(x[700:])[:, 1]
    assert np.abs(p - chance[700:]).mean() < 0.08
    seen, said = calibration_curve(y[700:], p, n_bins=4, strategy="quantile")
    assert np.abs(seen - said).max() < 0.15


@pytest.mark.parametrize("y", [MOON, THREE], ids=["two", "three"])
def test_probabilities_outputs_and_labels_agree(y):
    m = classifier(alpha=1e-2, smooth=0.0).fit(X, y)
    p, raw = m.predict_proba(X), m.decision_function(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p.min() >= 0
    logits = np.c_[np.zeros(200), raw] if raw.ndim == 1 else raw
    np.testing.assert_allclose(
        np.log(p) - np.log(p[:, :1]), logits - logits[:, :1], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_array_equal(m.classes_[p.argmax(axis=1)], m.predict(X))


@pytest.mark.parametrize(
    "names",
    [("b", "a"), (5, -3), (True, False), (2.0, 1.0), ("ä", "Z")],
    ids=["text", "integers", "truth", "floats", "unicode"],
)
@pytest.mark.parametrize("loss", ["log", "squared"])
def test_labels_of_any_kind_come_back(names, loss):
    labels = np.where(MOON == 1, names[0], names[1])
    m = classifier(loss=loss).fit(X, labels)
    assert set(m.predict(X)) <= set(labels)
    assert m.classes_.tolist() == sorted(names)
    assert m.predict(X).dtype == labels.dtype
    plain = classifier(loss=loss).fit(X, (labels == sorted(names)[1]).astype(int))
    np.testing.assert_array_equal(m.predict(X) == sorted(names)[1], plain.predict(X) == 1)


def test_squared_loss_is_regression_on_plus_and_minus_one():
    c = classifier(loss="squared").fit(X, MOON)
    r = RFLAFRegressor(**SMALL).fit(X, 2.0 * MOON - 1)
    np.testing.assert_allclose(c.decision_function(X), r.predict(X), rtol=1e-8)
    c = classifier(loss="squared").fit(X, THREE)
    targets = 2.0 * (THREE[:, None] == np.arange(3)) - 1
    np.testing.assert_allclose(
        c.decision_function(X), RFLAFRegressor(**SMALL).fit(X, targets).predict(X), rtol=1e-8
    )


@pytest.mark.parametrize("loss", ["log", "squared"])
def test_balanced_weights_equal_those_by_hand(loss):
    few = np.r_[np.flatnonzero(MOON == 0), np.flatnonzero(MOON == 1)[:15]]
    x, y = X[few], MOON[few]
    count = np.bincount(y)
    by_class = {0: len(y) / 2 / count[0], 1: len(y) / 2 / count[1]}
    balanced = classifier(loss=loss, class_weight="balanced").fit(x, y)
    mapping = classifier(loss=loss, class_weight=by_class).fit(x, y)
    weight = np.where(y == 1, by_class[1], by_class[0])
    by_rows = classifier(loss=loss).fit(x, y, weight)
    for other in (mapping, by_rows):
        np.testing.assert_allclose(
            balanced.decision_function(x), other.decision_function(x), rtol=1e-4, atol=1e-4
        )
    plain = classifier(loss=loss).fit(x, y)
    assert (balanced.predict(x) == 1).sum() >= (plain.predict(x) == 1).sum()


def test_a_factor_on_all_class_weights_changes_nothing():
    one = classifier(class_weight={0: 1.0, 1: 3.0}).fit(X, MOON)
    other = classifier(class_weight={0: 100.0, 1: 300.0}).fit(X, MOON)
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-6)


def test_a_class_without_weight_is_no_class():
    m = classifier().fit(X, THREE, (THREE != 1).astype(float))
    assert m.classes_.tolist() == [0, 2]
    without = classifier().fit(X[THREE != 1], THREE[THREE != 1])
    np.testing.assert_allclose(m.predict_proba(X), without.predict_proba(X), atol=1e-6)


def test_chunks_of_a_stream_may_lack_classes():
    options = {"loss": "squared"}
    whole = classifier(**options).calibrate(X).partial_fit(X, THREE)
    order = np.argsort(THREE, kind="stable")
    m = classifier(**options).calibrate(X)
    for part in np.array_split(order, 6):
        m.partial_fit(X[part], THREE[part], classes=[0, 1, 2], solve=False)
    m.solve()
    np.testing.assert_allclose(m.decision_function(X), whole.decision_function(X), atol=1e-6)
    m.forget(X[order[:30]], THREE[order[:30]])
    rest = classifier(**options).calibrate(X)
    rest.partial_fit(X[order[30:]], THREE[order[30:]], classes=[0, 1, 2])
    np.testing.assert_allclose(m.decision_function(X), rest.decision_function(X), atol=1e-5)


def test_streams_are_refused_what_they_cannot_do():
    m = classifier(loss="squared").partial_fit(X, THREE)
    before = m.decision_function(X)
    for call, words in (
        (lambda: m.partial_fit(X, THREE, classes=[0, 1]), "in the first call it was"),
        (lambda: m.partial_fit(X, THREE + 1), "unknown class"),
        (lambda: m.merge(classifier(loss="squared").partial_fit(X, MOON)), "in their classes"),
        (lambda: m.forget(X, THREE), "remove only what was added"),
    ):
        with pytest.raises(InvalidInput, match=words) as refused:
            call()
        assert "\n" not in str(refused.value)
        np.testing.assert_array_equal(m.decision_function(X), before)


@pytest.mark.parametrize(
    ("loss", "missing", "there"),
    [
        ("log", ["partial_fit"], ["predict_proba", "predict_set", "conformalize"]),
        ("squared", ["predict_proba", "predict_set", "conformalize"], ["partial_fit"]),
    ],
)
def test_methods_that_the_loss_does_not_have_are_absent(loss, missing, there):
    m = classifier(loss=loss)
    assert not any(hasattr(m, name) for name in missing)
    assert all(hasattr(m, name) for name in there)


@pytest.mark.parametrize(
    ("x", "y", "weight", "words"),
    [
        (np.where(X > 1.5, np.nan, X), MOON, None, "X contains NaN"),
        (np.where(X > 1.5, np.inf, X), MOON, None, "X contains infinity"),
        (X, np.where(MOON == 1, np.nan, 0.0), None, "NaN"),
        (X, X[:, 0], None, "Unknown label type|continuous"),
        (X, MOON[:-1], None, "inconsistent"),
        (X, MOON, np.full(200, np.nan), "sample_weight contains NaN"),
        (X, MOON, -np.ones(200), "sample_weight"),
        (X[:, 0], MOON, None, "Expected 2D array"),
    ],
)
def test_bad_rows_are_refused_by_name_and_change_nothing(x, y, weight, words):
    m = classifier(max_iter=10).fit(X, MOON)
    before = m.predict_proba(X)
    with pytest.raises(ValueError, match=words):
        m.fit(x, y, weight)
    np.testing.assert_array_equal(m.predict_proba(X), before)


def test_targets_of_one_against_the_rest():
    labels, classes = np.array(["b", "a", "c"]), np.array(["a", "b", "c"])
    np.testing.assert_array_equal(
        one_vs_rest(labels, classes), [[-1, 1, -1], [1, -1, -1], [-1, -1, 1]]
    )
    np.testing.assert_array_equal(one_vs_rest(labels[:2], classes[:2]), [[1], [-1]])
    with pytest.raises(InvalidInput, match="unknown class 'c'"):
        one_vs_rest(labels, classes[:2])


def test_it_can_be_cross_validated_by_log_loss():
    scores = cross_val_score(classifier(), X, MOON, scoring="neg_log_loss", cv=3)
    assert scores.mean() > -0.5
