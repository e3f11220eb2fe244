"""Which ratings exist, against reachability by hand, bipartitions, and vanishing priors."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.preference.ratings import (
    PairCounts,
    connectivity,
    counts_from_matrix,
    fit_bradley_terry,
)


@st.composite
def tables(draw, largest: int = 6, highest: int = 3):
    """Return wins (K, K) and ties (K, K), mostly empty, and K names in any order."""
    k = draw(st.integers(1, largest))
    cells = st.lists(
        st.one_of(st.just(0), st.just(0), st.integers(0, highest)),
        min_size=k * k,
        max_size=k * k,
    )
    wins, ties = (np.array(draw(cells)).reshape(k, k) * (1 - np.eye(k)) for _ in range(2))
    ties = np.triu(ties) * draw(st.booleans())
    names = draw(st.permutations([f"m{i}" for i in range(k)]))
    return wins, ties + ties.T, list(names)


def _reach(arrows):
    """Return the reflexive, transitive closure by Warshall's algorithm."""
    reach = arrows | np.eye(len(arrows), dtype=bool)
    for middle in range(len(arrows)):
        reach |= reach[:, [middle]] & reach[[middle], :]
    return reach


def _expected(wins, ties, names):
    arrows = wins + ties > 0
    reach, joined = _reach(arrows), _reach(arrows | arrows.T)
    mutual = reach & reach.T
    games = wins + wins.T + ties
    status = {}
    for i, name in enumerate(names):
        league = np.flatnonzero(joined[i])
        if len(league) == 1:
            status[name] = "isolated"
            continue

        def merit(j):
            members = np.flatnonzero(mutual[j])
            inside = games[np.ix_(members, members)].sum() / 2
            return (-inside, min(names[m] for m in members))

        main = min(league, key=merit)
        above, below = reach[i, main], reach[main, i]
        kinds = {(True, True): "ok", (True, False): "above", (False, True): "below"}
        status[name] = kinds.get((bool(above), bool(below)), "undetermined")
    leagues = {tuple(names[j] for j in np.flatnonzero(row)) for row in joined}
    classes = {tuple(names[j] for j in np.flatnonzero(row)) for row in mutual}
    return status, leagues, classes


@given(tables())
def test_statuses_leagues_and_classes_are_those_of_the_closure(table):
    wins, ties, names = table
    found = connectivity(counts_from_matrix(wins, ties=ties, models=names))
    status, leagues, classes = _expected(wins, ties, names)
    assert found.status == status
    assert set(found.leagues) == leagues
    assert set(found.classes) == classes
    assert found.connected == (len(leagues) == 1)
    order = [names.index(members[0]) for members in found.leagues]
    assert order == sorted(order)


def _no_half_is_unbeaten(points, league):
    halves = [half for size in range(1, len(league)) for half in combinations(league, size)]
    return all(points[np.setdiff1d(league, half)][:, list(half)].any() for half in halves)


@given(tables(5))
def test_all_are_rated_exactly_where_no_half_is_unbeaten(table):
    wins, ties, names = table
    points = wins + ties / 2
    fit = fit_bradley_terry(counts_from_matrix(wins, ties=ties, models=names))
    leagues = [np.flatnonzero(fit.league == league) for league in np.unique(fit.league)]
    beaten = all(len(league) > 1 and _no_half_is_unbeaten(points, league) for league in leagues)
    assert (set(fit.status.values()) == {"ok"}) == beaten


@given(tables(5))
def test_rated_models_are_the_limit_of_a_vanishing_prior(table):
    wins, ties, names = table
    counts = counts_from_matrix(wins, ties=ties, models=names)
    fit = fit_bradley_terry(counts)
    pinned = fit_bradley_terry(counts, prior=1e-7)
    for league in range(fit.league.max() + 1):
        main = np.flatnonzero((fit.league == league) & np.isfinite(fit.log_strength))
        if len(main):
            held = pinned.log_strength[main]
            np.testing.assert_allclose(fit.log_strength[main], held - held.mean(), atol=2e-3)
            sides = {"above": held.max(), "below": -held.min()}
            for i in np.flatnonzero(fit.league == league):
                sign = {"above": 1, "below": -1}.get(fit.status[names[i]], 0)
                if sign:
                    assert sign * pinned.log_strength[i] > sides[fit.status[names[i]]]


def test_two_leagues_are_fitted_as_if_alone():
    rng = np.random.default_rng(1)
    first, second = (rng.integers(1, 9, (k, k)) * (1 - np.eye(k)) for k in (4, 3))
    wins = np.zeros((7, 7))
    odd, even = [1, 3, 5], [0, 2, 4, 6]
    wins[np.ix_(even, even)], wins[np.ix_(odd, odd)] = first, second
    both = fit_bradley_terry(counts_from_matrix(wins))
    for places, table in ((even, first), (odd, second)):
        alone = fit_bradley_terry(counts_from_matrix(table))
        np.testing.assert_allclose(both.log_strength[places], alone.log_strength, atol=1e-10)
        block = np.asarray(both.covariance)[np.ix_(places, places)]
        np.testing.assert_allclose(block, alone.covariance, atol=1e-10)
    np.testing.assert_allclose(np.asarray(both.covariance)[np.ix_(even, odd)], 0, atol=1e-12)


@pytest.mark.parametrize("outside", ["above", "below"])
def test_games_with_unrated_models_move_no_rating(outside):
    inner = np.array([[0, 5, 2], [3, 0, 4], [6, 1, 0]])
    wins = np.zeros((4, 4))
    wins[:3, :3] = inner
    if outside == "above":
        wins[3, :3] = [7, 1, 20]
    else:
        wins[:3, 3] = [7, 1, 20]
    fit, alone = (fit_bradley_terry(counts_from_matrix(table)) for table in (wins, inner))
    assert fit.status["3"] == outside
    np.testing.assert_allclose(fit.log_strength[:3], alone.log_strength, atol=1e-12)
    np.testing.assert_allclose(fit.standard_error[:3], alone.standard_error, atol=1e-12)
    assert np.isnan(fit.win_probability("3", "0"))


def test_dropping_ties_can_part_a_league():
    wins, ties = np.zeros((4, 4)), np.zeros((4, 4))
    wins[0, 1] = wins[1, 0] = wins[2, 3] = wins[3, 2] = 2
    ties[1, 2] = ties[2, 1] = 5
    counts = counts_from_matrix(wins, ties=ties)
    assert fit_bradley_terry(counts).league.tolist() == [0, 0, 0, 0]
    dropped = fit_bradley_terry(counts, tie_model="drop")
    assert dropped.league.tolist() == [0, 0, 1, 1]
    assert np.isnan(dropped.difference("1", "2")).all()


@pytest.mark.parametrize("k", [2, 40, 3000])
def test_a_chain_of_wins_is_a_class_once_its_end_beats_its_beginning(k):
    chain = np.arange(k - 1)
    pairs = np.column_stack([chain, chain + 1])
    wins = np.tile([1.0, 0.0], (k - 1, 1))
    names = tuple(f"m{i:04d}" for i in range(k))
    open_chain = connectivity(PairCounts(names, pairs, wins, np.zeros(k - 1)))
    assert len(open_chain.classes) == k
    assert open_chain.status[names[0]] == "ok"
    assert open_chain.status[names[-1]] == "below"
    tied = np.append(np.zeros(k - 2), 1.0) if k > 2 else np.ones(1)
    assert len(connectivity(PairCounts(names, pairs, wins, tied)).classes) == k - 1
    if k > 2:
        ring = np.vstack([pairs, [0, k - 1]])
        closing = np.vstack([wins, [0.0, 1.0]])
        closed = connectivity(PairCounts(names, ring, closing, np.zeros(k)))
        assert closed.classes == (names,)
