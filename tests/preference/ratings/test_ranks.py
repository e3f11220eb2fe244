"""Rank sets pair by pair, nested levels, percentiles, and the older convention by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import norm

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import (
    RatingSamples,
    bootstrap_bradley_terry,
    count_battles,
    counts_from_matrix,
    fit_bradley_terry,
    overlap_ranks,
    rank_sets,
)
from equipoise.preference.ratings.bootstrap import percentile_ends

TIE_MODELS = ("half", "drop", "davidson", "rao_kupper")
samples_of = hnp.arrays(np.float64, (9, 4), elements=st.floats(-5, 5))


def _sets_by_hand(low, high, league):
    """Return best and worst from the ends of t_j - t_i, each (K, K)."""
    best, worst = [], []
    for i in range(len(league)):
        rivals = [j for j in range(len(league)) if j != i and league[j] == league[i]]
        best.append(1 + sum(low[i, j] > 0 for j in rivals))
        worst.append(1 + len(rivals) - sum(high[i, j] < 0 for j in rivals))
    return best, worst


@pytest.mark.parametrize("tie_model", TIE_MODELS)
@pytest.mark.parametrize("level", [0.3, 0.9])
def test_sets_are_counted_from_every_difference(draw, tie_model, level):
    games = draw(7, 500, 21, nu=0.4)
    fit = fit_bradley_terry(count_battles(games.a, games.b, games.outcome), tie_model=tie_model)
    pairs = [[fit.difference(b, a) for b in fit.models] for a in fit.models]
    gap, error = np.transpose(pairs, (2, 0, 1))
    half = norm.ppf(0.5 + level / 2) * error
    best, worst = _sets_by_hand(gap - half, gap + half, fit.league)
    sets = rank_sets(fit, level=level)
    assert sets.models == fit.models
    assert sets.best.tolist() == best
    assert sets.worst.tolist() == worst


@given(samples_of, st.floats(0.05, 0.99))
def test_sets_of_replicates_are_counted_from_their_quantiles(strength, level):
    league = np.array([0, 0, 1, 0])
    samples = RatingSamples(("a", "b", "c", "d"), strength, league, 1000.0)
    gaps = strength[:, None, :] - strength[:, :, None]
    low, high = np.quantile(gaps, [(1 - level) / 2, (1 + level) / 2], axis=0)
    low, high = (np.where(np.abs(end) < 1e-9, 0, end) for end in (low, high))
    sets = rank_sets(samples, level=level)
    best, worst = _sets_by_hand(low, high, league)
    assert (np.abs(sets.best - best) <= (np.abs(low) < 1e-9).sum(axis=1)).all()
    assert (np.abs(sets.worst - worst) <= (np.abs(high) < 1e-9).sum(axis=1)).all()
    assert (sets.best[2], sets.worst[2]) == (1, 1)


@given(samples_of, st.floats(0.05, 0.99))
def test_ends_of_finite_replicates_are_the_usual_quantiles(strength, level):
    samples = RatingSamples(("a", "b", "c", "d"), strength, np.zeros(4, dtype=np.intp), 800.0)
    low, high = samples.interval(level)
    ends = np.quantile(strength, [(1 - level) / 2, (1 + level) / 2], axis=0)
    expected = 800 + 400 / np.log(10) * ends
    np.testing.assert_allclose([low, high], expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("unbounded", [0, 10, 24, 25, 40, 974, 975, 1000])
def test_an_end_is_infinite_once_its_tail_is(unbounded):
    strength = np.linspace(-1, 1, 1000)[:, None]
    strength[:unbounded] = -np.inf
    league = np.zeros(1, dtype=np.intp)
    low, high = RatingSamples(("a",), strength, league, 1000.0).interval(0.95)
    assert np.isneginf(low[0]) == (unbounded > 0.025 * 999)
    assert np.isneginf(high[0]) == (unbounded > 0.975 * 999)
    turned = RatingSamples(("a",), -strength, league, 1000.0).interval(0.95)
    np.testing.assert_allclose(turned, (2000 - high, 2000 - low))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_a_neighbour_without_weight_does_not_enter_an_end(level):
    count = 40 if level > 0.5 else 4
    outside = round(count * (1 - level) / 2)
    known = np.arange(count + 1.0)
    expected = known[outside], known[count - outside]
    known[:outside], known[count + 1 - outside :] = -np.inf, np.inf
    assert np.ravel(percentile_ends(known[:, None], level)).tolist() == list(expected)


def test_equal_models_are_not_separated_by_rounding():
    wins = [[0, 3, 4, 0], [2, 0, 4, 0], [3, 3, 0, 0], [0, 0, 0, 0]]
    ties = np.zeros((4, 4))
    ties[2, 3] = ties[3, 2] = 1
    counts = counts_from_matrix(wins, ties=ties)
    for source in (fit_bradley_terry(counts), bootstrap_bradley_terry(counts, replicates=200)):
        sets = rank_sets(source)
        assert (sets.best.tolist(), sets.worst.tolist()) == ([1] * 4, [4] * 4)


def test_undetermined_replicates_are_left_out_of_the_ends():
    known = np.arange(10.0)
    strength = np.column_stack([np.append(known, [np.nan] * 30), np.full(40, np.nan)])
    samples = RatingSamples(("a", "b"), strength, np.zeros(2, dtype=np.intp), 0.0)
    low, high = samples.interval(0.5)
    scale = 400 / np.log(10)
    assert (low[0] / scale, high[0] / scale) == pytest.approx(np.quantile(known, [0.25, 0.75]))
    assert np.isnan([low[1], high[1]]).all()
    sets = rank_sets(samples)
    assert (sets.best.tolist(), sets.worst.tolist()) == ([1, 1], [2, 2])


@pytest.mark.parametrize("tie_model", TIE_MODELS)
def test_sets_widen_with_the_level_and_hold_the_place_of_the_estimate(draw, tie_model):
    games = draw(8, 700, 5, nu=0.3)
    counts = count_battles(games.a, games.b, games.outcome)
    fit = fit_bradley_terry(counts, tie_model=tie_model)
    samples = bootstrap_bradley_terry(counts, replicates=200, tie_model=tie_model)
    place = 1 + (fit.log_strength[None, :] > fit.log_strength[:, None]).sum(axis=1)
    for source in (fit, samples):
        inner = None
        for level in (0.2, 0.6, 0.95, 0.999):
            sets = rank_sets(source, level=level)
            if level > 0.5:
                assert ((sets.best <= place) & (place <= sets.worst)).all()
            if inner is not None:
                assert (sets.best <= inner.best).all()
                assert (sets.worst >= inner.worst).all()
            inner = sets


def test_correlated_errors_separate_what_overlapping_intervals_do_not():
    wins = np.array([[0, 40, 20], [24, 0, 20], [1, 1, 0]])
    fit = fit_bradley_terry(counts_from_matrix(wins), anchor="2")
    sets = rank_sets(fit, level=0.8)
    assert sets.best.tolist() == [1, 2, 3]
    assert sets.worst.tolist() == [1, 2, 3]
    assert overlap_ranks(*fit.interval(0.8)).tolist() == [1, 1, 3]


@given(hnp.arrays(np.float64, (2, 6), elements=st.floats(allow_nan=True, width=16)))
def test_overlap_ranks_count_intervals_wholly_above(ends):
    low, high = np.fmin(*ends), np.fmax(*ends)
    expected = [1 + sum(bool(other > top) for other in low) for top in high]
    assert overlap_ranks(low, high).tolist() == expected


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, float("nan")])
def test_levels_outside_the_open_unit_interval_are_refused(level):
    counts = counts_from_matrix([[0, 2], [1, 0]])
    for source in (fit_bradley_terry(counts), bootstrap_bradley_terry(counts, replicates=5)):
        with pytest.raises(InvalidInput, match="level is "):
            rank_sets(source, level=level)
        with pytest.raises(InvalidInput, match="level is "):
            source.interval(level)
