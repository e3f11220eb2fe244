"""Named random streams: the same everywhere, independent of one another."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream


def first(*key, size=4):
    return stream(*key).integers(0, 2**32, size).tolist()


GOLDEN = [
    ((0,), [2823993291, 2418690188, 3498920644]),
    ((0, "data"), [508300522, 273980824, 1945921864]),
    ((7, "train", 3), [3019720670, 217765367, 786401075]),
    ((1180591620717411303424, "x", "y"), [1246966659, 2202751867, 3550016969]),
]
names = st.lists(st.text(max_size=4) | st.integers(-5, 5), max_size=3).map(tuple)


@pytest.mark.parametrize(("key", "numbers"), GOLDEN)
def test_streams_never_change(key, numbers):
    assert stream(*key).integers(0, 2**32, 3).tolist() == numbers


@given(st.integers(0, 2**64), names, names)
def test_equal_names_equal_stream_other_names_another(seed, a, b):
    assert (first(seed, *a) == first(seed, *b)) == (a == b)


def test_names_are_injective():
    keys = [
        (), ("",), ("", ""), ("a", "b"), ("ab",), ("a:b",), ("b", "a"), (1,), ("1",), (1, 2), (12,),
        ("str:1",), ("a", ""), ("", "a"), (-1,), ("int:1",), (0,),
    ]  # fmt: skip
    drawn = [tuple(first(0, *key)) for key in keys]
    assert len(set(drawn)) == len(keys)
    assert first(0) != first(1)


def test_numpy_integers_and_text_mean_the_same():
    assert first(np.int64(3), "env", np.int32(2)) == first(3, "env", 2)
    assert first(3, np.str_("env")) == first(3, "env")


def test_order_of_asking_does_not_matter():
    one = stream(5, "data").random(3)
    stream(5, "init").random(100)
    assert np.array_equal(stream(5, "data").random(3), one)


def test_streams_are_uncorrelated():
    keys = [(seed, name) for seed in range(3) for name in ("data", "init", 0, 1)]
    drawn = np.stack([stream(*key).normal(size=20_000) for key in keys])
    correlations = np.asarray(np.corrcoef(drawn))
    for a, b in itertools.combinations(range(len(keys)), 2):
        assert abs(correlations[a, b]) < 0.035


@pytest.mark.parametrize("seed", [-1, 1.0, "3", None, True])
def test_seeds_are_whole_numbers_from_nought(seed):
    with pytest.raises(InvalidInput, match="it must be an integer >= 0"):
        stream(seed, "data")


@pytest.mark.parametrize("name", [1.5, None, True, ("a",)])
def test_names_are_text_or_integers(name):
    with pytest.raises(InvalidInput, match="it must be text or an integer"):
        stream(0, name)
