"""Live ratings over many pairs, removals and snapshots, against fits from nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import (
    LiveRatings,
    count_battles,
    fit_bradley_terry,
    pair_gain,
)

NAMES = ["zeta", "Ä", "b c", "m1", "m10", "m2", "x", "y", "w"]


def _walk(seed, votes):
    """Yield (remove, row) of random votes, one in four of them taken back later."""
    rng = np.random.default_rng(seed)
    kept = []
    for _ in range(votes):
        if kept and rng.random() < 0.25:
            yield True, kept.pop(rng.integers(len(kept)))
            continue
        a, b = rng.choice(len(NAMES), 2, replace=False)
        row = (NAMES[a], NAMES[b], ("a", "b", "tie", "both_bad")[rng.integers(4)])
        kept.append(row)
        yield False, row


def _assert_equal(live, full):
    assert live.status == full.status
    for name in ("league", "games", "log_strength", "standard_error", "covariance", "information"):
        np.testing.assert_allclose(getattr(live, name), getattr(full, name), atol=1e-6)
    np.testing.assert_allclose(pair_gain(live), pair_gain(full), atol=1e-6)


@pytest.mark.parametrize("prior", [0.0, 0.7])
def test_every_step_of_a_walk_over_all_pairs_equals_a_refit(prior):
    live = LiveRatings(NAMES, prior=prior)
    kept = []
    for step, (gone, row) in enumerate(_walk(3, 260)):
        (live.remove if gone else live.add)(*row)
        (kept.remove if gone else kept.append)(row)
        if step % 9 == 0:
            a, b, outcome = zip(*kept) if kept else ((), (), ())
            counts = count_battles(a, b, outcome, models=NAMES)
            _assert_equal(live.fit(), fit_bradley_terry(counts, prior=prior))
    assert len(live.counts.pairs) > 30


def test_votes_taken_back_leave_no_trace():
    live = LiveRatings(NAMES)
    rows = [row for gone, row in _walk(5, 120) if not gone]
    for row in rows[:40]:
        live.add(*row)
    before = live.fit()
    for row in rows[40:]:
        live.add(*row)
    live.fit()
    for row in rows[:39:-1]:
        live.remove(*row)
    _assert_equal(live.fit(), before)


@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_the_order_of_votes_does_not_matter(random):
    rows = [row for gone, row in _walk(8, 60) if not gone]
    mixed = list(rows)
    random.shuffle(mixed)
    one, two = LiveRatings(NAMES), LiveRatings(NAMES)
    for first, second in zip(rows, mixed):
        one.add(*first)
        two.add(*second)
        if random.random() < 0.1:
            two.fit()
    for name in ("pairs", "wins", "ties", "both_bad"):
        assert np.array_equal(getattr(one.counts, name), getattr(two.counts, name))
    _assert_equal(two.fit(), one.fit())


def test_a_vote_seen_from_the_other_side_is_the_same_vote():
    live = LiveRatings(["x", "y"])
    live.add("x", "y", "a")
    live.add("y", "x", "b")
    live.add("y", "x", "tie")
    assert live.counts.wins.tolist() == [[2, 0]]
    live.remove("y", "x", "b")
    live.remove("x", "y", "tie")
    assert (live.counts.wins.tolist(), live.counts.ties.tolist()) == ([[1, 0]], [0])
    with pytest.raises(InvalidInput, match="no battle of 'x' and 'y' with outcome 'b'"):
        live.remove("x", "y", "b")


def test_counts_and_fits_given_out_do_not_change_with_later_votes():
    live = LiveRatings(NAMES)
    for _, row in filter(lambda step: not step[0], _walk(2, 150)):
        live.add(*row)
    counts, fit = live.counts, live.fit()
    kept = [counts.wins.copy(), counts.ties.copy(), fit.log_strength.copy(), fit.games.copy()]
    kept.append(np.array(fit.covariance))
    for _ in range(30):
        live.add("x", "y", "a")
        live.add("zeta", "x", "both_bad")
    live.fit()
    now = [counts.wins, counts.ties, fit.log_strength, fit.games, fit.covariance]
    for before, after in zip(kept, now):
        assert np.array_equal(before, after, equal_nan=True)


def test_a_model_is_rated_from_its_first_win_to_its_last():
    live = LiveRatings(["x", "y", "new"])
    for outcome in "aabb":
        live.add("x", "y", outcome)
    assert live.fit().status["new"] == "isolated"
    live.add("new", "x", "b")
    assert live.fit().status["new"] == "below"
    live.add("new", "y", "a")
    assert live.fit().status["new"] == "ok"
    live.remove("new", "x", "b")
    assert live.fit().status["new"] == "above"
    live.remove("new", "y", "a")
    assert live.fit().status == {"x": "ok", "y": "ok", "new": "isolated"}
