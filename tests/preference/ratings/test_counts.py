"""Counting battles, merging shards, and what bad rows get."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import PairCounts, count_battles, counts_from_matrix
from equipoise.preference.ratings import counts as counts_module

battles = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 4), st.sampled_from(["a", "b", "tie", "both_bad"])),
    max_size=40,
).map(lambda rows: [(f"m{a}", f"m{(a + step) % 5}", outcome) for a, step, outcome in rows])


def _columns(rows):
    return tuple(list(column) for column in zip(*rows)) if rows else ([], [], [])


def _same(one, two):
    return (
        one.models == two.models
        and np.array_equal(one.pairs, two.pairs)
        and np.array_equal(one.wins, two.wins)
        and np.array_equal(one.ties, two.ties)
        and np.array_equal(one.both_bad, two.both_bad)
    )


@given(battles)
def test_counts_equal_a_plain_loop(rows):
    counts = count_battles(*_columns(rows))
    assert list(counts.models) == sorted({name for a, b, _ in rows for name in (a, b)})
    expected = np.zeros((len(counts.models),) * 2)
    for a, b, outcome in rows:
        i, j = counts.models.index(a), counts.models.index(b)
        share = {"a": 1.0, "b": 0.0}.get(outcome, 0.5)
        expected[i, j] += share
        expected[j, i] += 1 - share
    assert np.array_equal(counts.matrix(), expected)
    assert counts.battles == len(rows)
    assert np.array_equal(counts.games, expected.sum(0) + expected.sum(1))
    assert counts.both_bad.sum() == sum(outcome == "both_bad" for *_, outcome in rows)
    assert (counts.pairs[:, 0] < counts.pairs[:, 1]).all()
    order = counts.pairs[:, 0] * 10 + counts.pairs[:, 1]
    assert (np.diff(order) > 0).all()


@given(battles, st.integers(0, 40))
def test_shards_merge_to_the_whole(rows, cut):
    models = [f"m{k}" for k in range(5)]
    whole = count_battles(*_columns(rows), models=models)
    first = count_battles(*_columns(rows[:cut]), models=models)
    second = count_battles(*_columns(rows[cut:]), models=models[::-1])
    assert _same(first.merge(second), whole)


def test_merging_adds_new_models():
    merged = count_battles(["x"], ["y"], ["a"]).merge(count_battles(["a"], ["y"], ["tie"]))
    assert merged.models == ("x", "y", "a")
    assert merged.matrix().tolist() == [[0, 1, 0], [0, 0, 0.5], [0, 0.5, 0]]


@given(battles)
def test_swapping_columns_changes_nothing(rows):
    a, b, outcome = _columns(rows)
    turned = [{"a": "b", "b": "a"}.get(result, result) for result in outcome]
    assert _same(count_battles(a, b, outcome), count_battles(b, a, turned))


@given(battles)
def test_sorting_path_equals_table_path(rows):
    saved = counts_module.MAX_TABLE
    whole = count_battles(*_columns(rows))
    try:
        counts_module.MAX_TABLE = 0
        assert _same(count_battles(*_columns(rows)), whole)
    finally:
        counts_module.MAX_TABLE = saved


def test_many_blocks_and_integer_codes():
    rng = np.random.default_rng(0)
    n, k = 3 * counts_module.BLOCK + 17, 7
    a = rng.integers(0, k, n)
    b = (a + rng.integers(1, k, n)) % k
    outcome = rng.integers(0, 4, n)
    names = np.array([f"m{i}" for i in range(k)])
    words = np.array(["a", "b", "tie", "both_bad"])
    coded = count_battles(a, b, outcome, models=names.tolist())
    assert coded.battles == n
    for dtype in (str, object):
        spelt = count_battles(names[a].astype(dtype), names[b].astype(dtype), words[outcome])
        assert _same(coded, spelt)
    series = [pd.Series(x) for x in (names[a], names[b], words[outcome])]
    assert _same(coded, count_battles(*series))
    plain = count_battles(a.astype(np.int16).tolist(), b.tolist(), outcome)
    assert plain.models == tuple("0123456")
    assert np.array_equal(plain.wins, coded.wins)


def test_weights_count_as_so_many_battles():
    counts = count_battles(["x", "x"], ["y", "y"], ["a", "tie"], weights=[2.5, 0.0])
    assert counts.battles == 2.5
    assert counts.wins.tolist() == [[2.5, 0.0]]


def test_counts_from_a_matrix():
    counts = counts_from_matrix(
        [[0, 3, 0], [1, 0, 0], [0, 0, 0]], ties=np.eye(3)[[1, 0, 2]] * [1, 1, 0]
    )
    assert counts.models == ("0", "1", "2")
    assert counts.pairs.tolist() == [[0, 1]]
    assert counts.wins.tolist() == [[3, 1]]
    assert counts.ties.tolist() == [1]
    assert counts.matrix().tolist() == [[0, 3.5, 0], [1.5, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("a", "b", "outcome", "more", "message"),
    [
        (["x", "x"], ["y", "y"], ["a", "c"], {}, r"row 1: outcome 'c'"),
        (["x", "x"], ["y", "y"], ["a", None], {}, r"row 1: outcome None"),
        (["x"], ["y"], ["both bad"], {}, r"row 0: outcome 'both bad'.*did you mean 'both_bad'"),
        (["x", "x"], ["y", "x"], ["a", "a"], {}, r"row 1: 'x' plays against itself"),
        (["x", ""], ["y", "x"], ["a", "a"], {}, r"row 1: model_a is ''"),
        (["x", "x"], [None, "x"], ["a", "a"], {}, r"row 0: model_b is None"),
        (["x", 3], ["y", "x"], ["a", "a"], {}, r"row 1: model_a is 3"),
        (["x"], ["y", "z"], ["a"], {}, r"equally long, got 1, 2 and 1"),
        (["x"], ["yy"], ["a"], {"models": ["x", "yyy"]}, r"row 0: model_b 'yy' is not in models"),
        (["x"], ["y"], ["a"], {"models": ["x", "x", "y"]}, r"models\[1\] repeats 'x'"),
        (["x"], ["y"], ["a"], {"weights": [-1.0]}, r"row 0: weight -1.0"),
        (["x"], ["y"], ["a"], {"weights": [np.nan]}, r"row 0: weight nan"),
        (["x"], ["y"], ["a"], {"weights": [1, 2]}, r"one entry for each of 1 rows"),
        ([0, 1], [1, 2], [0, 4], {}, r"row 1: outcome 4"),
        ([0, 1], [1, 5], [0, 1], {"models": ["x", "y"]}, r"row 1: model_b is 5.*0\.\.1"),
        ([0, -1], [1, 0], [0, 1], {}, r"row 1: model_a is -1"),
    ],
)
def test_bad_rows_are_named(a, b, outcome, more, message):
    with pytest.raises(InvalidInput, match=message):
        count_battles(a, b, outcome, **more)


@pytest.mark.parametrize(
    ("wins", "more", "message"),
    [
        ([[0, 1]], {}, "square"),
        ([[0, -1], [0, 0]], {}, ">= 0"),
        ([[0, np.nan], [0, 0]], {}, "finite"),
        ([[1, 0], [0, 0]], {}, r"wins\[0, 0\] is not 0"),
        ([[0, 1], [0, 0]], {"ties": [[0, 1], [2, 0]]}, "symmetric"),
        ([[0, 1], [0, 0]], {"models": ["x"]}, "1 names for a matrix of 2"),
    ],
)
def test_bad_matrices_are_refused(wins, more, message):
    with pytest.raises(InvalidInput, match=message):
        counts_from_matrix(wins, **more)


def test_pair_counts_check_their_own_shape():
    with pytest.raises(InvalidInput, match="i < j"):
        PairCounts(("x", "y"), [[1, 0]], [[1, 0]], [0])  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="one entry a pair"):
        PairCounts(("x", "y"), [[0, 1]], [[1, 0]], [0, 0])  # type: ignore[arg-type]
    empty = count_battles([], [], [])
    assert (empty.models, empty.battles, empty.matrix().shape) == ((), 0.0, (0, 0))


def test_other_iterables_and_unhashable_entries():
    counts = count_battles(iter(["x", "y"]), ("y", "x"), (word for word in ["a", "b"]))
    assert counts.wins.tolist() == [[2, 0]]
    with pytest.raises(InvalidInput, match=r"row 1: \['y'\] is not a string"):
        count_battles(["x", ["y"]], ["y", "x"], ["a", "a"])
    with pytest.raises(InvalidInput, match="row 0: model_a is 3"):
        count_battles(iter([3, "x"]), ["y", "y"], ["a", "a"])
    with pytest.raises(InvalidInput, match="one dimension"):
        count_battles(np.zeros((2, 2)), ["y", "x"], ["a", "a"])


def test_a_pair_that_stands_twice_is_refused():
    with pytest.raises(InvalidInput, match="a pair stands twice"):
        PairCounts(("x", "y"), np.array([[0, 1]] * 2), np.array([[3.0, 0], [0, 1]]), np.zeros(2))
