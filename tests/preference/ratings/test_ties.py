"""Ties: closed forms of two players, expected against observed, and covariances game by game."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logit

from equipoise.preference.ratings import (
    PairCounts,
    RatingFit,
    count_battles,
    counts_from_matrix,
    fit_bradley_terry,
)

TIE_MODELS = ("half", "drop", "davidson", "rao_kupper")
counted = st.integers(1, 400)


def duel(won: float, lost: float, tied: float) -> PairCounts:
    return counts_from_matrix([[0, won], [lost, 0]], ties=[[0, tied], [tied, 0]], models=["x", "y"])


def chances(model: str, d, parameter):
    """Return P(first wins), P(tie), P(second wins) as the papers write them."""
    pi, rho = np.exp(d), 1.0
    if model == "davidson":
        total = pi + rho + parameter * np.sqrt(pi * rho)
        return pi / total, parameter * np.sqrt(pi * rho) / total, rho / total
    first, second = pi / (pi + parameter * rho), rho / (rho + parameter * pi)
    return first, (parameter**2 - 1) * first * second, second


def tie_parameter(fit: RatingFit) -> float:
    assert fit.tie_parameter is not None
    return fit.tie_parameter


@given(counted, counted, counted)
def test_a_duel_fits_davidson_exactly(won, lost, tied):
    fit = fit_bradley_terry(duel(won, lost, tied), tie_model="davidson")
    assert fit.difference("x", "y")[0] == pytest.approx(np.log(won / lost), abs=1e-7)
    assert fit.tie_parameter == pytest.approx(tied / np.sqrt(won * lost), rel=1e-6)


@given(counted, counted, counted)
def test_a_duel_fits_rao_kupper_exactly(won, lost, tied):
    games = won + lost + tied
    ahead, behind = logit(won / games), logit(lost / games)
    fit = fit_bradley_terry(duel(won, lost, tied), tie_model="rao_kupper")
    assert fit.difference("x", "y")[0] == pytest.approx((ahead - behind) / 2, abs=1e-7)
    assert fit.tie_parameter == pytest.approx(np.exp(-(ahead + behind) / 2), rel=1e-6)


@given(counted, counted, counted, st.sampled_from(TIE_MODELS))
def test_a_duel_is_predicted_by_its_own_shares(won, lost, tied, model):
    fit = fit_bradley_terry(duel(won, lost, tied), tie_model=model)
    share = {"half": (won + tied / 2) / (won + lost + tied), "drop": won / (won + lost)}
    outright = won / (won + lost + tied)
    assert fit.win_probability("x", "y") == pytest.approx(share.get(model, outright), abs=1e-7)
    back = lost / (won + lost + tied) if model in ("davidson", "rao_kupper") else 1 - share[model]
    assert fit.win_probability("y", "x") == pytest.approx(back, abs=1e-7)


@pytest.mark.parametrize("model", ["davidson", "rao_kupper"])
def test_as_many_ties_are_expected_as_were_seen(draw, model):
    games = draw(6, 900, 3, nu=0.7)
    counts = count_battles(games.a, games.b, games.outcome)
    fit = fit_bradley_terry(counts, tie_model=model)
    i, j = counts.pairs.T
    d = fit.log_strength[i] - fit.log_strength[j]
    first, tied, second = chances(model, d, tie_parameter(fit))
    np.testing.assert_allclose(first + tied + second, 1)
    if model == "davidson":  # its score equation; Rao and Kupper's weighs a tie by its chance
        assert (counts.pair_games * tied).sum() == pytest.approx(counts.ties.sum(), rel=1e-8)
        points = np.bincount(i, counts.pair_games * (first + tied / 2), 6)
        points += np.bincount(j, counts.pair_games * (second + tied / 2), 6)
        np.testing.assert_allclose(points, counts.matrix().sum(axis=1), rtol=1e-8)
    for a, b, chance in zip(i, j, first):
        names = counts.models[a], counts.models[b]
        assert fit.win_probability(*names) == pytest.approx(chance, abs=1e-12)


@pytest.mark.parametrize("model", ["davidson", "rao_kupper"])
def test_the_sandwich_comes_from_the_scores_of_single_games(draw, model):
    games = draw(4, 160, 9, nu=0.8)
    counts = count_battles(games.a, games.b, games.outcome)
    fit = fit_bradley_terry(counts, tie_model=model)
    centre = np.append(fit.log_strength, np.log(tie_parameter(fit)))
    step, unit = 1e-4, np.eye(5)

    def log_chance(x, a, b, place):
        return np.log(chances(model, x[a] - x[b], np.exp(x[4]))[place])

    bread, meat = np.zeros((5, 5)), np.zeros((5, 5))
    for a, b, outcome in zip(games.a, games.b, games.outcome):
        place = (0, 2, 1)[outcome]
        score = np.array(
            [
                log_chance(centre + step * u, a, b, place)
                - log_chance(centre - step * u, a, b, place)
                for u in unit
            ]
        ) / (2 * step)
        meat += np.outer(score, score)

    def height(x):
        return sum(
            log_chance(x, a, b, (0, 2, 1)[outcome])
            for a, b, outcome in zip(games.a, games.b, games.outcome)
        )

    for p, u in enumerate(unit):
        for q, v in enumerate(unit):
            corners = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
            values = [r * s * height(centre + step * (r * u + s * v)) for r, s in corners]
            bread[p, q] = -sum(values) / (4 * step**2)
    inverse = np.linalg.pinv(bread, rcond=1e-5)
    expected = (inverse @ meat @ inverse)[:4, :4]
    np.testing.assert_allclose(fit.covariance, expected, rtol=5e-3, atol=2e-5)


@given(st.lists(st.integers(1, 9), min_size=6, max_size=6), st.sampled_from(TIE_MODELS))
def test_without_ties_the_four_treatments_agree(wins, model):
    table = np.zeros((3, 3))
    table[~np.eye(3, dtype=bool)] = wins
    counts = counts_from_matrix(table)
    fit, plain = fit_bradley_terry(counts, tie_model=model), fit_bradley_terry(counts)
    np.testing.assert_allclose(fit.log_strength, plain.log_strength, atol=1e-9)
    np.testing.assert_allclose(fit.covariance, plain.covariance, atol=1e-9)
    assert fit.win_probability("0", "1") == pytest.approx(plain.win_probability("0", "1"))


@given(st.lists(st.integers(0, 6), min_size=9, max_size=9), st.integers(0, 6))
def test_dropping_ties_is_fitting_a_table_without_them(numbers, seed):
    table = np.array(numbers).reshape(3, 3) * (1 - np.eye(3))
    ties = np.triu(np.random.default_rng(seed).integers(0, 9, (3, 3)), 1)
    with_ties = counts_from_matrix(table, ties=ties + ties.T)
    dropped = fit_bradley_terry(with_ties, tie_model="drop")
    without = fit_bradley_terry(counts_from_matrix(table))
    assert dropped.status == without.status
    np.testing.assert_allclose(dropped.log_strength, without.log_strength, atol=1e-9)
    np.testing.assert_allclose(dropped.standard_error, without.standard_error, atol=1e-9)
    assert np.array_equal(dropped.games, with_ties.games)


@pytest.mark.parametrize("model", ["davidson", "rao_kupper"])
@pytest.mark.parametrize("prior", [0.5, 4.0])
def test_a_prior_with_fitted_ties_is_the_maximum_of_both_terms(draw, model, prior):
    games = draw(4, 40, 5, nu=0.6)
    counts = count_battles(games.a, games.b, games.outcome)
    fit = fit_bradley_terry(counts, tie_model=model, prior=prior)
    place = np.array([0, 2, 1])[games.outcome]

    def loss(x):
        every = np.stack(chances(model, x[games.a] - x[games.b], np.exp(x[4])))
        drawn = prior / 2 * (np.log1p(np.exp(x[:4])) + np.log1p(np.exp(-x[:4]))).sum()
        return drawn - np.log(every[place, np.arange(40)]).sum()

    start = np.append(np.zeros(4), 0.1)
    found = minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-9, "maxiter": 8000}).x
    found = minimize(loss, found, method="BFGS").x
    np.testing.assert_allclose(fit.log_strength, found[:4] - found[:4].mean(), atol=2e-4)
    assert fit.tie_parameter == pytest.approx(np.exp(found[4]), rel=1e-3)
