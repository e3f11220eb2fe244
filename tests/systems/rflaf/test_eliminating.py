"""Compression by elimination: against refits without each unit, and what it loses."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_friedman1
from sklearn.model_selection import train_test_split

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import RFLAFClassifier, RFLAFRegressor
from equipoise.systems.rflaf.commands import compress
from equipoise.systems.rflaf.eliminating import exchanged_units, surviving_units
from equipoise.systems.rflaf.problem import FeatureMoments

X, Y = make_friedman1(400, noise=0.5, random_state=0)
NEW, NEW_Y = make_friedman1(400, noise=0.5, random_state=1)
SMALL = {"n_components": 50, "n_basis": 9, "random_state": 0, "n_starts": 2}


def one_less(gram, cross, penalty, units):
    """Try every removal by a refit of all that remains; return the units of the least J."""
    rank = len(penalty)
    tried = []
    for gone in range(len(units)):
        left = np.delete(units, gone)
        place = (left[:, None] * rank + np.arange(rank)).ravel()
        system = gram[np.ix_(place, place)] + np.kron(np.eye(len(left)), penalty)
        fit = np.linalg.solve(system, cross[place])
        tried.append((-(fit * cross[place]).sum(), gone))
    return np.delete(units, min(tried)[1])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_every_removal_is_the_cheapest_of_all_refits(rank, outputs, seed):
    rng = np.random.default_rng(seed)
    phi = rng.standard_normal((60, 8 * rank)) @ rng.standard_normal((8 * rank, 8 * rank))
    y = rng.standard_normal((60, outputs)) + phi[:, :outputs]
    gram, cross = phi.T @ phi / 60, phi.T @ y / 60
    root = rng.standard_normal((rank, rank))
    penalty = 0.1 * (root @ root.T + np.eye(rank))
    zero = np.zeros(8 * rank)
    moments = FeatureMoments(gram, cross, zero, np.zeros(outputs), (y**2).mean(0), 60.0)
    expected = np.arange(8)
    for keep in range(7, 0, -1):
        expected = one_less(gram, cross, penalty, expected)
        np.testing.assert_array_equal(surviving_units(moments, penalty, keep), expected)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_an_exchange_ends_where_no_swap_of_the_best_newcomer_helps(rank, seed):
    rng = np.random.default_rng(seed)
    phi = rng.standard_normal((60, 9 * rank)) @ rng.standard_normal((9 * rank, 9 * rank))
    y = phi[:, : 3 * rank] @ rng.standard_normal((3 * rank, 2)) + rng.standard_normal((60, 2))
    gram, cross = phi.T @ phi / 60, phi.T @ y / 60
    penalty = 0.01 * np.eye(rank)
    moments = FeatureMoments(gram, cross, np.zeros(9 * rank), np.zeros(2), (y**2).mean(0), 60.0)

    def value(units):
        place = (np.asarray(units)[:, None] * rank + np.arange(rank)).ravel()
        system = gram[np.ix_(place, place)] + 0.01 * np.eye(len(place))
        return -(cross[place] * np.linalg.solve(system, cross[place])).sum()

    begun = np.array([8, 7, 6])
    found = exchanged_units(moments, penalty, begun)
    assert len(set(found)) == 3
    assert value(found) <= value(begun)
    newcomer = min(set(range(9)) - set(found), key=lambda j: value([*found, j]))
    kept = one_less(gram, cross, penalty, np.append(found, newcomer))
    assert newcomer not in kept


def test_a_copied_unit_and_a_silent_one_go_first():
    rng = np.random.default_rng(0)
    phi = rng.standard_normal((50, 5))
    phi[:, 3], phi[:, 4] = phi[:, 0], 0.0
    y = phi[:, :3].sum(axis=1, keepdims=True)
    zero = np.zeros(5)
    moments = FeatureMoments(
        phi.T @ phi / 50, phi.T @ y / 50, zero, np.zeros(1), (y**2).mean(0), 50.0
    )
    left = surviving_units(moments, np.array([[1e-9]]), 3)
    assert set(left) in ({0, 1, 2}, {1, 2, 3})


def test_a_fifth_of_the_units_keeps_the_score():
    whole = RFLAFRegressor(150, random_state=0).fit(X, Y)
    scores = {
        way: whole.compress(30, X, Y, method=way, random_state=0).score(NEW, NEW_Y)
        for way in ("eliminate", "leverage")
    }
    assert scores["eliminate"] > 0.9 * whole.score(NEW, NEW_Y)
    assert scores["eliminate"] > scores["leverage"] + 0.05


def test_digits_keep_their_labels():
    data = load_digits()
    train, test, labels, truth = train_test_split(data.data, data.target, random_state=0)
    whole = RFLAFClassifier(150, random_state=0, loss="squared").fit(train, labels)
    small = whole.compress(30, train, labels, random_state=0)
    assert small.readout_.shape == (30, 1, 10)
    assert small.score(test, truth) > 0.9 * whole.score(test, truth)


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "adam", "solver_options": {"epochs": 3}},
        {"alpha": "loo"},
        {"engine": "lifted"},
        {"solver": "als", "rank": 2},
        {"alpha": 1e-3, "smooth": 0.0},
        {"fit_intercept": False},
    ],
)
def test_every_way_to_fit_can_be_compressed(options):
    whole = RFLAFRegressor(**SMALL | options).fit(X, Y)
    small = whole.compress(20, X, Y, random_state=0)
    assert small.n_components == small.random_weights_.shape[1] == 20
    assert small.activation_coef_.shape == whole.activation_coef_.shape
    kept = (small.random_weights_[:, :, None] == whole.random_weights_[:, None]).all(axis=0)
    np.testing.assert_array_equal(kept.sum(axis=1), 1)
    again = whole.compress(20, X, Y, random_state=0)
    np.testing.assert_array_equal(small.predict(NEW), again.predict(NEW))
    assert small.score(X, Y) > 0.5 * whole.score(X, Y)


def test_more_units_than_there_are_keep_all():
    whole = RFLAFRegressor(**SMALL).fit(X, Y)
    small = whole.compress(80, X, Y, random_state=0)
    np.testing.assert_array_equal(small.random_weights_, whole.random_weights_)
    assert small.score(NEW, NEW_Y) == pytest.approx(whole.score(NEW, NEW_Y), abs=0.02)


def test_an_unknown_method_names_the_nearest(tmp_path):
    whole = RFLAFRegressor(**SMALL).fit(X, Y)
    before = whole.predict(NEW)
    with pytest.raises(InvalidInput, match="did you mean 'eliminate'"):
        whole.compress(5, X, Y, method="eliminat")
    np.testing.assert_array_equal(whole.predict(NEW), before)


def test_the_verb_refuses_an_unknown_method_before_it_begins(tmp_path):
    from equipoise.systems.rflaf.commands import train

    run = tmp_path / "run"
    train("diabetes", out=run, n_components="20", n_basis="7", n_starts="1")
    with pytest.raises(InvalidInput, match="did you mean 'leverage'"):
        compress(str(run), "diabetes", n_components=5, method="leverages", out=tmp_path / "small")
    assert not (tmp_path / "small").exists()
