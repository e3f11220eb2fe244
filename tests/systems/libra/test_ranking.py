"""Rank ranges from paired replicates, interval ends, scored replicates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.systems.libra.ranking import interval_ends, rank_of, rank_ranges, scored_replicates


def test_rank_counts_larger_values_only():
    values = {"a": 0.9, "b": 0.5, "c": 0.5, "d": None}
    assert [rank_of(value, values) for value in (0.9, 0.5, 0.1)] == [1, 2, 4]


def test_ranges_follow_differences_and_not_overlap():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, size=1000)  # shared: the models move together
    values = {"a": 0.6, "b": 0.55, "c": 0.2}
    samples = {"a": 0.6 + noise, "b": 0.55 + noise, "c": 0.2 + rng.normal(0, 0.1, size=1000)}
    assert rank_ranges(values, samples, level=0.95) == {"a": (1, 1), "b": (2, 2), "c": (3, 3)}
    apart = {"a": 0.6 + noise, "b": 0.55 + rng.permutation(noise), "c": samples["c"]}
    ranges = rank_ranges(values, apart, level=0.95)
    assert ranges["a"] == (1, 2)
    assert ranges["b"] == (1, 2)


def test_models_without_replicates_or_value():
    certain = {"a": np.full(50, 0.9), "b": np.full(50, 0.1)}
    values = {"a": 0.9, "b": 0.1, "open": 0.5, "unranked": None}
    ranges = rank_ranges(values, certain, level=0.95)
    assert ranges == {"a": (1, 2), "b": (2, 3)}
    assert rank_ranges(values, {}, level=0.95) == {}


def test_nan_replicates_are_left_out_and_all_nan_is_undecided():
    some = np.array([0.9, np.nan, 0.9, 0.9])
    values = {"a": 0.9, "b": 0.1, "c": 0.5}
    samples = {"a": some, "b": np.full(4, 0.1), "c": np.full(4, np.nan)}
    ranges = rank_ranges(values, samples, level=0.9)
    assert ranges["a"] == (1, 2)
    assert ranges["c"] == (1, 3)


def test_interval_ends():
    samples = np.linspace(0, 1, 1001)
    assert interval_ends(samples, 0.95) == (pytest.approx(0.025), pytest.approx(0.975))
    assert interval_ends(np.array([np.nan, 0.5]), 0.95) == (0.5, 0.5)
    assert interval_ends(np.array([np.nan]), 0.95) == (None, None)
    assert interval_ends(None, 0.95) == (None, None)


def test_scored_replicates_keep_gaps():
    both = np.array([[0.9, 0.9], [1.0, np.nan], [1.0, 0.8]])
    scores = scored_replicates(both, (0.5, 0.5), 2.0)
    assert scores[[0, 2]] == pytest.approx([0.9, 0.8585786], abs=1e-7)
    assert np.isnan(scores[1])
    assert np.isnan(scored_replicates(both[1:2], (0.5, 0.5), 2.0)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(0, 1000), st.floats(0.5, 0.99))
def test_a_range_holds_the_rank_and_widens_with_the_level(count, seed, level):
    rng = np.random.default_rng(seed)
    centres = rng.random(count)
    values = {f"m{k}": float(centre) for k, centre in enumerate(centres)}
    samples = {name: value + rng.normal(0, 0.1, size=200) for name, value in values.items()}
    ranges = rank_ranges(values, samples, level=level)
    wider = rank_ranges(values, samples, level=(1 + level) / 2)
    for name, value in values.items():
        best, worst = ranges[name]
        assert 1 <= best <= rank_of(value, values) <= worst <= count
        assert wider[name][0] <= best
        assert wider[name][1] >= worst
