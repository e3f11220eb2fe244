"""Shards: any order, split and form give the model of all rows; what cannot be is refused."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from equipoise.systems.rflaf import RFLAFClassifier, RFLAFRegressor, fit_shards
from equipoise.systems.rflaf.shards import shard_statistics

X, Y = make_friedman1(120, n_features=5, noise=0.5, random_state=0)
LABELS = np.array(["a", "b", "c"])[np.digitize(Y, np.quantile(Y, [0.3, 0.7]))]
SMALL = {"n_components": 10, "n_basis": 7, "random_state": 0, "n_starts": 2}
ATOL = 1e-6 * np.ptp(Y)


def regressor(**changes):
    return RFLAFRegressor(**(SMALL | changes))


def parts(*ends):
    edges = [0, *ends, 120]
    return [(X[a:b], Y[a:b]) for a, b in pairwise(edges)]


@pytest.mark.parametrize("ends", [(), (60,), (1, 2, 3), (30, 60, 90, 119)])
def test_any_split_of_calibrated_rows_is_the_whole(ends):
    whole = regressor().calibrate(X).partial_fit(X, Y)
    m = fit_shards(regressor().calibrate(X), parts(*ends))
    np.testing.assert_allclose(m.predict(X), whole.predict(X), atol=ATOL)
    assert m.statistics_.n_samples == 120
    assert m.gcv_ == pytest.approx(whole.gcv_, rel=1e-6)


def test_the_order_of_shards_does_not_matter_once_calibrated():
    shards = parts(20, 50, 100)
    one = fit_shards(regressor().calibrate(X), shards)
    other = fit_shards(regressor().calibrate(X), shards[::-1])
    np.testing.assert_allclose(one.predict(X), other.predict(X), atol=ATOL)


def test_the_first_shard_calibrates():
    m = fit_shards(regressor(), iter(parts(40, 80)))
    by_first = regressor().calibrate(X[:40])
    for name in ("random_weights_", "offset_", "scale_"):
        np.testing.assert_array_equal(getattr(m, name), getattr(by_first, name))
    whole = by_first.partial_fit(X, Y)
    np.testing.assert_allclose(m.predict(X), whole.predict(X), atol=ATOL)


def test_callables_and_generators_are_called_once_each():
    called = []

    def make(place):
        def shard():
            called.append(place)
            return parts(30, 70)[place]

        return shard

    m = fit_shards(regressor().calibrate(X), (make(i) for i in range(3)))
    assert sorted(called) == [0, 1, 2]
    whole = regressor().calibrate(X).partial_fit(X, Y)
    np.testing.assert_allclose(m.predict(X), whole.predict(X), atol=ATOL)


def test_statistics_so_far_are_added_to():
    m = regressor().calibrate(X).partial_fit(X[:50], Y[:50])
    more = fit_shards(m, [(X[50:90], Y[50:90]), (X[90:], Y[90:])])
    assert more is m
    whole = regressor().calibrate(X).partial_fit(X, Y)
    np.testing.assert_allclose(m.predict(X), whole.predict(X), atol=ATOL)
    m.forget(X[90:], Y[90:])
    left = regressor().calibrate(X).partial_fit(X[:90], Y[:90])
    np.testing.assert_allclose(m.predict(X), left.predict(X), atol=10 * ATOL)


def test_one_shards_statistics_leave_the_estimator_of_the_worker():
    mine = regressor().calibrate(X)
    found, _ = shard_statistics(regressor().calibrate(X), (X[:30], Y[:30]))
    by_hand = mine.partial_fit(X[:30], Y[:30], solve=False).statistics_
    np.testing.assert_allclose(found.gram, by_hand.gram)
    assert found.n_samples == 30


@pytest.mark.parametrize("outputs", [1, 2])
def test_outputs_keep_their_shape(outputs):
    y = Y if outputs == 1 else np.c_[Y, -Y]
    m = fit_shards(regressor(), [(X[:60], y[:60]), (X[60:], y[60:])])
    assert m.predict(X).shape == y.shape


def test_a_classifier_of_shards_that_have_every_class_is_the_whole():
    options = SMALL | {"loss": "squared"}
    m = fit_shards(RFLAFClassifier(**options), [(X[:60], LABELS[:60]), (X[60:], LABELS[60:])])
    whole = RFLAFClassifier(**options).calibrate(X[:60]).partial_fit(X, LABELS)
    np.testing.assert_allclose(m.decision_function(X), whole.decision_function(X), atol=1e-5)
    np.testing.assert_array_equal(m.classes_, ["a", "b", "c"])


def test_a_refused_shard_leaves_the_statistics_as_they_were():
    m = regressor().calibrate(X).partial_fit(X[:50], Y[:50])
    before = m.predict(X)
    with pytest.raises(ValueError, match="NaN"):
        fit_shards(m, [(X[50:90], Y[50:90]), (X[90:] * np.nan, Y[90:])])
    np.testing.assert_array_equal(m.predict(X), before)
    assert m.statistics_.n_samples == 50


@pytest.mark.parametrize(
    "make", [lambda: RFLAFRegressor(**SMALL), lambda: regressor().calibrate(X)]
)
def test_a_refused_shard_undoes_the_first_one_too(make):
    m = make()
    before = dict(vars(m))
    with pytest.raises(ValueError, match="NaN"):
        fit_shards(m, [(X[:90], Y[:90]), (X[90:] * np.nan, Y[90:])])
    assert vars(m) == before
    again = fit_shards(m, [(X[:90], Y[:90]), (X[90:], Y[90:])])
    assert again.statistics_.n_samples == 120


@pytest.mark.standard
def test_two_processes_change_nothing():
    one, two = (
        fit_shards(regressor().calibrate(X), parts(20, 50, 100), n_jobs=jobs) for jobs in (1, 2)
    )
    np.testing.assert_allclose(one.predict(X), two.predict(X), atol=ATOL)


@pytest.mark.parametrize(
    ("changes", "shards", "words"),
    [
        ({"solver": "adam"}, parts(60), "need"),
        ({"alpha": "loo"}, parts(60), "need"),
        ({"n_components": 1000}, parts(60), "6000"),
        ({}, [(X[:50], Y[:50]), (X[50:, :3], Y[50:])], "features"),
        ({}, [(X[:50], Y[:50]), (X[50:], Y[50:-1])], "inconsistent"),
        ({}, [(X[:50], Y[:50]), (X[50:] * np.nan, Y[50:])], "X contains NaN"),
        ({}, [(X[:50], Y[:50]), (X[50:], np.c_[Y, Y][50:])], "outputs|shape"),
    ],
)
def test_bad_shards_are_refused(changes, shards, words):
    with pytest.raises(ValueError, match=words):
        fit_shards(regressor(**changes), shards)
