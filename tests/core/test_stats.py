"""Intervals and paired tests against known answers, brute force and simulated coverage."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from equipoise.core.errors import InvalidInput
from equipoise.core.stats import (
    Interval,
    bootstrap_interval,
    check_level,
    cluster_groups,
    clustered_mean,
    paired_test,
    percentile_interval,
    sign_test,
    wilson_interval,
)

small_floats = st.integers(-50, 50).map(lambda n: n / 4)


def test_wilson_known_answers():
    interval = wilson_interval(19, 20)
    assert interval.estimate == 0.95
    assert interval.low == pytest.approx(0.7639, abs=5e-5)
    assert interval.high == pytest.approx(0.9911, abs=5e-5)
    assert wilson_interval(0, 10).low == 0.0
    assert wilson_interval(10, 10).high == 1.0
    assert wilson_interval(0, 10).high == pytest.approx(0.2775, abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy_and_mirrors(pair):
    successes, n = pair
    interval = wilson_interval(successes, n, level=0.9)
    known = binomtest(successes, n).proportion_ci(0.9, method="wilson")
    assert interval.low == pytest.approx(known.low, abs=1e-12)
    assert interval.high == pytest.approx(known.high, abs=1e-12)
    assert 0.0 <= interval.low <= interval.estimate <= interval.high <= 1.0
    mirrored = wilson_interval(n - successes, n, level=0.9)
    assert mirrored.low == pytest.approx(1 - interval.high, abs=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5), (float("nan"), 5), (0, -1)])
def test_wilson_refuses(successes, n):
    with pytest.raises(InvalidInput, match="needs n > 0 and 0 <= successes <= n"):
        wilson_interval(successes, n)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, -0.1, float("nan")])
def test_levels_lie_between_nought_and_one(level):
    for call in (
        lambda: check_level(level),
        lambda: wilson_interval(1, 2, level=level),
        lambda: bootstrap_interval([1.0, 2.0], level=level),
        lambda: percentile_interval([1.0, 2.0], 1.5, level=level),
    ):
        with pytest.raises(InvalidInput, match=r"must lie strictly between 0 and 1, e.g. 0.95"):
            call()


def test_bootstrap_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        interval = bootstrap_interval(rng.normal(3.0, 2.0, 40), replicates=400, seed=trial)
        hits += interval.low <= 3.0 <= interval.high
    assert 0.89 <= hits / 300 <= 0.98


def test_bootstrap_is_the_normal_interval_for_many_values():
    values = np.random.default_rng(1).normal(size=4000)
    interval = bootstrap_interval(values, level=0.9)
    half = 1.6449 * values.std() / np.sqrt(4000)
    assert interval.estimate == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_bootstrap_same_seed_same_interval_and_levels_nest():
    values = np.random.default_rng(2).exponential(size=50)
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    assert bootstrap_interval(values, seed=5) != bootstrap_interval(values, seed=6)
    wide, narrow = (bootstrap_interval(values, level=level) for level in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_bootstrap_mean_in_blocks_equals_the_plain_statistic():
    values = np.random.default_rng(3).normal(size=2500)

    def mean(rows):
        return np.mean(rows)

    fast, plain = bootstrap_interval(values), bootstrap_interval(values, mean)
    assert fast.low == pytest.approx(plain.low, abs=1e-12)
    assert fast.high == pytest.approx(plain.high, abs=1e-12)


def test_bootstrap_of_rows_gives_numbers_or_arrays():
    rows = np.random.default_rng(4).normal(size=(30, 3))
    whole = bootstrap_interval(rows)
    assert isinstance(whole.low, float)
    assert whole.low < whole.estimate == rows.mean() < whole.high
    columns = bootstrap_interval(rows, lambda sample: sample.mean(axis=0))
    assert columns.low.shape == columns.high.shape == columns.estimate.shape == (3,)
    assert np.all(columns.low < columns.high)
    for column in range(3):
        one = bootstrap_interval(rows[:, column])
        assert columns.low[column] == pytest.approx(one.low)
    constant = bootstrap_interval([2.0])
    assert constant == Interval(2.0, 2.0, 2.0)
    assert bootstrap_interval([1, 2, 3], np.median).estimate == 2.0


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "needs at least one value, got none"),
        (3.0, {}, "needs at least one value, got none"),
        ([1.0, float("nan")], {}, "got NaN among its values; leave missing values out"),
        ([1.0], {"replicates": 0}, "replicates is 0; it must be at least 1"),
        (["a", "b"], {}, r"values is \['a', 'b'\]; it must hold numbers"),
        ([[1], [2, 3]], {}, r"values is \[\[1\], \[2, 3\]\]; it must hold numbers, in rows of"),
    ],
)
def test_bootstrap_refuses(values, options, message):
    with pytest.raises(InvalidInput, match=message):
        bootstrap_interval(values, **options)


@given(st.lists(st.tuples(small_floats, small_floats), min_size=1, max_size=8))
def test_paired_test_is_exact_by_enumeration(pairs):
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    difference = second - first
    sums = [abs(np.dot(s, difference)) for s in itertools.product((-1, 1), repeat=len(pairs))]
    exact = np.mean(np.array(sums) >= abs(difference.sum()) - 1e-9)
    answer = paired_test(first, second, replicates=50)
    assert answer.p_value == pytest.approx(exact)
    assert answer.difference.estimate == pytest.approx(difference.mean())
    assert paired_test(second, first, replicates=50).p_value == pytest.approx(answer.p_value)


def test_paired_test_above_sixteen_differences_is_near_the_t_test():
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(5)
    first = rng.normal(size=40)
    second = first + rng.normal(0.25, 1.0, size=40)
    answer = paired_test(first, second)
    assert answer.p_value == pytest.approx(ttest_rel(first, second).pvalue, abs=0.02)
    assert answer == paired_test(first, second)
    assert paired_test(first, first + 1.0).p_value == pytest.approx(1 / 10_001)
    assert paired_test(first, first).p_value == 1.0


def test_paired_test_refuses():
    with pytest.raises(InvalidInput, match="two equally long samples, got 2 and 3 values"):
        paired_test([1, 2], [1, 2, 3])
    with pytest.raises(InvalidInput, match="got 0 and 0 values"):
        paired_test([], [])


@given(st.integers(0, 40), st.integers(0, 40))
def test_sign_test_is_symmetric_and_agrees_with_the_binomial(wins, losses):
    p_value = sign_test(wins, losses)
    assert p_value == pytest.approx(sign_test(losses, wins))
    assert 0.0 < p_value <= 1.0
    if wins != losses:
        from math import comb

        tail = sum(comb(wins + losses, k) for k in range(min(wins, losses) + 1))
        assert p_value == pytest.approx(2 * tail / 2 ** (wins + losses))


def test_sign_test_known_and_refused():
    assert sign_test(5, 0) == 0.0625
    assert sign_test(0, 0) == 1.0
    with pytest.raises(InvalidInput, match="needs counts >= 0, got -1 and 2"):
        sign_test(-1, 2)


def test_percentile_interval_of_arrays():
    samples = np.arange(101.0)[:, None] * np.array([1.0, 2.0])
    interval = percentile_interval(samples, np.array([50.0, 100.0]), level=0.9)
    assert interval.low.tolist() == pytest.approx([5.0, 10.0])
    assert interval.high.tolist() == pytest.approx([95.0, 190.0])


def test_cluster_groups_in_order_of_appearance():
    groups = cluster_groups(["b", "a", "b", 3, "a"])
    assert [group.tolist() for group in groups] == [[0, 2], [1, 4], [3]]
    assert cluster_groups([]) == []


def test_clusters_are_resampled_as_wholes():
    rng = np.random.default_rng(0)
    values = rng.normal(size=30)
    whole = clustered_mean(values, range(30))
    plain = bootstrap_interval(values)
    repeated = clustered_mean(np.repeat(values, 9), np.repeat(range(30), 9).tolist())
    for other in (plain, repeated):
        assert (other.low, other.high) == pytest.approx((whole.low, whole.high), abs=1e-12)
    assert bootstrap_interval(np.repeat(values, 9)).high < whole.high
    # members weigh alike, so that large clusters weigh more
    assert clustered_mean([1, 1, 1, 5], ["a", "a", "a", "b"]).estimate == 2
    assert clustered_mean([True, False], ["a", "b"]).estimate == 0.5


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [([1.0], ["a", "b"], "1 values and 2 clusters"), ([], [], "at least one value")],
)
def test_clusters_that_do_not_fit(values, clusters, message):
    with pytest.raises(InvalidInput, match=message):
        clustered_mean(values, clusters)
