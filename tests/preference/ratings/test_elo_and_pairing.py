"""Elo and the gain of the next pair: plain loops, and what must not change them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import (
    count_battles,
    counts_from_matrix,
    elo_ratings,
    fit_bradley_terry,
    pair_gain,
)

battles = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from(["a", "b", "tie", "both_bad"])),
    min_size=1,
    max_size=40,
).map(lambda rows: tuple(zip(*[(f"m{a}", f"m{(a + s) % 4}", outcome) for a, s, outcome in rows])))
steps = st.floats(0.5, 40)


def _loop(a, b, outcome, k, initial, scale, base):
    ratings = dict.fromkeys(sorted({*a, *b}), initial)
    for first, second, result in zip(a, b, outcome):
        strong, weak = base ** (ratings[first] / scale), base ** (ratings[second] / scale)
        surprise = {"a": 1.0, "b": 0.0}.get(result, 0.5) - strong / (strong + weak)
        ratings[first] += k * surprise
        ratings[second] -= k * surprise
    return ratings


@given(battles, steps, st.floats(-100, 1500), st.floats(100, 900), st.floats(1.5, 20))
def test_elo_is_its_textbook_loop(rows, k, initial, scale, base):
    options = {"k": k, "initial": initial, "scale": scale, "base": base}
    found = elo_ratings(*rows, **options)
    assert list(found) == sorted({*rows[0], *rows[1]})
    assert found == pytest.approx(_loop(*rows, **options), abs=1e-8)


@given(battles, steps)
def test_elo_does_not_see_sides_origin_or_units(rows, k):
    a, b, outcome = rows
    found = elo_ratings(a, b, outcome, k=k)
    turned = [{"a": "b", "b": "a"}.get(result, result) for result in outcome]
    assert elo_ratings(b, a, turned, k=k) == pytest.approx(found)
    shifted = elo_ratings(a, b, outcome, k=k, initial=0)
    assert {name: 1000 + rating for name, rating in shifted.items()} == pytest.approx(found)
    natural = elo_ratings(
        a, b, outcome, k=k / 400 * np.log(10), initial=0, scale=1.0, base=float(np.e)
    )
    scaled = {name: 1000 + 400 / np.log(10) * rating for name, rating in natural.items()}
    assert scaled == pytest.approx(found)


@pytest.mark.parametrize("options", [{"base": 1.0}, {"base": 0.0}, {"scale": -400.0}])
def test_elo_refuses_a_curve_that_does_not_rise(options):
    with pytest.raises(InvalidInput, match=r"^scale must be > 0 and base > 1, got "):
        elo_ratings(["x"], ["y"], ["a"], **options)


@pytest.mark.parametrize("name", ["k", "initial", "scale", "base"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "x", 10**400])
def test_elo_refuses_what_is_no_finite_number(name, value):
    with pytest.raises(InvalidInput, match=f"^{name} is .*; it must be a finite number$"):
        elo_ratings(["x"], ["y"], ["a"], **{name: value})


@pytest.mark.parametrize("base", [1.0 + 1e-12, 2.0, 100.0, 1e300])
def test_elo_far_apart_expects_nothing_of_the_weaker(base):
    found = elo_ratings(["x", "y"], ["y", "x"], ["a", "a"], k=1e16, scale=1, base=base, initial=0)
    assert found == pytest.approx({"x": -0.5e16, "y": 0.5e16})


@pytest.fixture(scope="module")
def fitted(draw):
    """Return the counts of five models and their number."""
    games = draw(5, 300, 31, nu=0.5)
    return count_battles(games.a, games.b, games.outcome)


@pytest.mark.parametrize("tie_model", ["half", "drop", "davidson", "rao_kupper"])
def test_gain_does_not_see_the_anchor_and_follows_a_renaming(fitted, tie_model):
    gain = pair_gain(fit_bradley_terry(fitted, tie_model=tie_model))
    assert (gain[~np.eye(5, dtype=bool)] > 0).all()
    anchored = fit_bradley_terry(fitted, tie_model=tie_model, anchor="2", anchor_rating=0)
    np.testing.assert_allclose(pair_gain(anchored), gain, rtol=1e-6)
    reversed_names = count_battles([], [], [], models=fitted.models[::-1]).merge(fitted)
    turned = pair_gain(fit_bradley_terry(reversed_names, tie_model=tie_model))
    np.testing.assert_allclose(turned[::-1, ::-1], gain, rtol=1e-6)


def _information(tie_model, d, parameter):
    """Return minus the curvature by d of the expected log chance of one game."""

    def chances(x):
        if tie_model == "davidson":
            odds = np.exp(x / 2), parameter, np.exp(-x / 2)
            return np.array(odds) / sum(odds)
        first, second = 1 / (1 + parameter * np.exp(-x)), 1 / (1 + parameter * np.exp(x))
        return np.array([first, 1 - first - second, second])

    heights = [chances(d) @ np.log(chances(d + step)) for step in (-1e-3, 0.0, 1e-3)]
    return -(heights[0] - 2 * heights[1] + heights[2]) / 1e-6


@pytest.mark.parametrize("tie_model", ["davidson", "rao_kupper"])
def test_gain_with_fitted_ties_is_that_of_the_information_of_a_game(fitted, tie_model):
    fit = fit_bradley_terry(fitted, tie_model=tie_model)
    gain = pair_gain(fit)
    before = np.trace(np.linalg.pinv(fit.information))
    for i, j in ((0, 1), (2, 4)):
        more = _information(tie_model, fit.log_strength[i] - fit.log_strength[j], fit.tie_parameter)
        r = np.eye(5)[i] - np.eye(5)[j]
        after = np.trace(np.linalg.pinv(fit.information + more * np.outer(r, r)))
        assert gain[i, j] == pytest.approx(before - after, rel=1e-4)


def test_gain_within_a_league_is_that_of_the_league_alone():
    first, second = np.array([[0, 4, 1], [2, 0, 3], [1, 5, 0]]), np.array([[0, 2], [7, 0]])
    wins = np.zeros((5, 5))
    wins[:3, :3], wins[3:, 3:] = first, second
    gain = pair_gain(fit_bradley_terry(counts_from_matrix(wins)))
    for part, table in ((slice(0, 3), first), (slice(3, 5), second)):
        alone = pair_gain(fit_bradley_terry(counts_from_matrix(table)))
        np.testing.assert_allclose(gain[part, part], alone, rtol=1e-9)
    assert np.isnan(gain[:3, 3:]).all()
