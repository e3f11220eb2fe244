"""Ratings that follow every vote, and Elo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import (
    LiveRatings,
    count_battles,
    elo_ratings,
    fit_bradley_terry,
)

NAMES = [f"m{k}" for k in range(6)]
outcomes = st.sampled_from(["a", "b", "tie", "both_bad"])
changes = st.lists(
    st.tuples(st.integers(0, 5), st.integers(1, 5), outcomes, st.booleans()), max_size=40
)


def _same(live, full, tolerance=1e-6):
    assert live.status == full.status
    assert np.array_equal(live.league, full.league)
    for name in ("log_strength", "rating", "standard_error", "covariance", "games"):
        np.testing.assert_allclose(getattr(live, name), getattr(full, name), atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(changes, st.sampled_from([0.0, 1.0]))
def test_live_equals_a_full_refit_after_any_sequence(sequence, prior):
    live = LiveRatings(NAMES, prior=prior)
    kept = []
    for step, (a, gap, outcome, drop) in enumerate(sequence):
        row = (NAMES[a], NAMES[(a + gap) % 6], outcome)
        live.add(*row)
        kept.append(row)
        if drop and kept:
            live.remove(*kept.pop(step % len(kept)))
        if step % 7 == 0:
            live.fit()
    columns = tuple(map(list, zip(*kept))) if kept else ([], [], [])
    counts = count_battles(*columns, models=NAMES)
    assert np.array_equal(live.counts.matrix(), counts.matrix())
    assert np.array_equal(live.counts.pairs, counts.pairs)
    assert np.array_equal(live.counts.both_bad, counts.both_bad)
    _same(live.fit(), fit_bradley_terry(counts, prior=prior))


def test_ten_thousand_votes_and_few_newton_steps():
    rng = np.random.default_rng(0)
    k, n = 40, 10_000
    names = [f"m{i:02d}" for i in range(k)]
    t = rng.normal(0, 1, k)
    a = rng.integers(0, k, n)
    b = (a + rng.integers(1, k, n)) % k
    won = rng.random(n) < 1 / (1 + np.exp(t[b] - t[a]))
    live = LiveRatings(names)
    for i, j, first in zip(a, b, won):
        live.add(names[i], names[j], "a" if first else "b")
    live.fit()
    steps = []
    for i, j in zip(a[:30], b[:30]):
        live.add(names[i], names[j], "tie")
        steps.append(live.fit().iterations)
    assert max(steps) <= 5
    _same(live.fit(), fit_bradley_terry(live.counts))


def test_the_main_class_moves_with_the_games():
    live = LiveRatings(["a", "b", "c", "d"])
    for x, y in (("a", "b"), ("c", "d")):
        live.add(x, y, "a")
        live.add(x, y, "b")
    live.add("a", "c", "a")
    assert live.fit().status["a"] == "ok"
    live.add("c", "d", "a")
    assert live.fit().status == {"a": "above", "b": "above", "c": "ok", "d": "ok"}


def test_bad_changes_change_nothing():
    live = LiveRatings(["x", "y"])
    live.add("x", "y", "both_bad")
    before = live.counts.matrix()
    for call, row, message in (
        (live.add, ("x", "z", "a"), "unknown model 'z'"),
        (live.add, (["x"], "y", "a"), r"unknown model \"\['x'\]\".* Valid: x, y"),
        (live.add, ("x", 3, "a"), "unknown model '3'"),
        (live.add, ("x", "x", "a"), "'x' plays against itself"),
        (live.add, ("x", "y", "both"), "unknown outcome 'both'"),
        (live.remove, ("x", "y", "tie"), "no battle of 'x' and 'y' with outcome 'tie'"),
        (live.remove, ("x", "y", "a"), "no battle"),
    ):
        with pytest.raises(InvalidInput, match=message):
            call(*row)  # type: ignore[arg-type]
    assert np.array_equal(live.counts.matrix(), before)
    live.remove("y", "x", "both_bad")
    assert live.counts.battles == 0
    assert live.counts.pairs.shape == (0, 2)
    with pytest.raises(InvalidInput, match="repeats"):
        LiveRatings(["x", "x"])
    with pytest.raises(InvalidInput, match="prior"):
        LiveRatings(["x"], prior=-1)


def test_first_elo_game_of_equals():
    assert elo_ratings(["x"], ["y"], ["a"], k=4) == {"x": 1002.0, "y": 998.0}
    assert elo_ratings(["x"], ["y"], ["both_bad"]) == {"x": 1000.0, "y": 1000.0}
    assert elo_ratings([], [], []) == {}


def test_elo_by_hand():
    ratings = elo_ratings(["x", "x"], ["y", "y"], ["a", "b"], k=32, initial=1500)
    expected = 1 / (1 + 10 ** ((1484 - 1516) / 400))
    assert ratings["x"] == pytest.approx(1516 - 32 * expected)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), outcomes), max_size=60),
    st.floats(0.1, 64),
)
def test_elo_conserves_the_sum(rows, k):
    a = [f"m{x}" for x, _, _ in rows]
    b = [f"m{(x + step) % 4}" for x, step, _ in rows]
    ratings = elo_ratings(a, b, [outcome for *_, outcome in rows], k=k)
    assert sum(ratings.values()) == pytest.approx(1000 * len(ratings), abs=1e-8)


def test_elo_depends_on_order_and_bradley_terry_does_not():
    a, b, outcome = ["x", "y", "x"] * 5, ["y", "z", "z"] * 5, ["a", "a", "b"] * 5
    order = np.random.default_rng(0).permutation(15)
    mixed = [[column[p] for p in order] for column in (a, b, outcome)]
    assert elo_ratings(a, b, outcome) != elo_ratings(*mixed)
    one, two = (fit_bradley_terry(count_battles(*rows)) for rows in ((a, b, outcome), mixed))
    assert np.array_equal(one.log_strength, two.log_strength, equal_nan=True)


def test_elo_refuses_bad_rows_and_scales():
    with pytest.raises(InvalidInput, match="row 0: outcome 'won'"):
        elo_ratings(["x"], ["y"], ["won"])
    with pytest.raises(InvalidInput, match="scale must be > 0"):
        elo_ratings(["x"], ["y"], ["a"], scale=0)
