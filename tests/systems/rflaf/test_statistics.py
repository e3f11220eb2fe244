"""Lifted statistics: any chunking, merge, exact removal, files, refused calls change nothing."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.systems.rflaf.objective import Basis
from equipoise.systems.rflaf.statistics import LiftedStatistics

SUMS = ("gram", "cross", "feature_sum", "target_sum", "target_square_sum", "weight_sum")
RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 6))
X, Y = RNG.normal(size=(300, 3)), RNG.normal(size=(300, 2))
WEIGHT = RNG.uniform(0, 2, 300)


def empty(**changes):
    options = {"offset": 0.1, "scale": [1.0, 2.0, 3.0], "n_outputs": 2} | changes
    return LiftedStatistics(W, Basis.uniform(5), **options)


def state(stats):
    return {name: np.array(getattr(stats, name)) for name in (*SUMS, "n_samples")}


def assert_close(one, other, rtol=1e-12):
    for name in SUMS:
        a, b = np.asarray(getattr(one, name)), np.asarray(getattr(other, name))
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(a).max(), err_msg=name)
    assert one.n_samples == other.n_samples


def assert_unchanged(stats, before):
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(stats, name), value, err_msg=name)


def test_sums_by_definition():
    stats = empty().update(X, Y, WEIGHT)
    b = Basis.uniform(5).values(((X - 0.1) / [1.0, 2.0, 3.0]) @ W).reshape(300, 30)
    np.testing.assert_allclose(stats.gram, (b * WEIGHT[:, None]).T @ b, rtol=1e-12)
    np.testing.assert_allclose(stats.cross, b.T @ (Y * WEIGHT[:, None]), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(stats.feature_sum, WEIGHT @ b, rtol=1e-12)
    np.testing.assert_allclose(stats.target_sum, WEIGHT @ Y, rtol=1e-12)
    np.testing.assert_allclose(stats.target_square_sum, WEIGHT @ Y**2, rtol=1e-12)
    assert stats.weight_sum == pytest.approx(WEIGHT.sum())
    assert stats.n_samples == 300
    assert stats.nbytes == 8 * (30 * 30 + 30 * 2 + 30 + 2 + 2)


@pytest.mark.parametrize("size", [7, 128, 300])
def test_any_chunking_known_answer(size):
    chunked = empty()
    for start in range(0, 300, size):
        part = slice(start, start + size)
        chunked.update(X[part], Y[part], WEIGHT[part])
    assert_close(chunked, empty().update(X, Y, WEIGHT))


@given(st.integers(1, 298), st.integers(1, 298))
@settings(max_examples=20)
def test_merge_commutes_and_remove_undoes(first, second):
    low, high = sorted((first, second))
    parts = [slice(0, low), slice(low, high), slice(high, 300)]
    a, b, c = (empty().update(X[p], Y[p]) for p in parts)
    whole = empty().update(X, Y)
    assert_close(a.merge(b).merge(c), whole, 1e-11)
    assert_close(c.merge(a.merge(b)), whole, 1e-11)
    before = state(a)
    a.merge(b)
    assert_unchanged(a, before)
    kept = empty().update(X[:low], Y[:low])
    kept.update(X[low:], Y[low:]).remove(X[low:], Y[low:])
    assert_close(kept, a, 1e-9)


def test_weights_equal_repeats():
    times = np.random.default_rng(1).integers(0, 4, 300)
    repeated = empty().update(np.repeat(X, times, 0), np.repeat(Y, times, 0))
    weighted = empty().update(X, Y, times)
    for name in SUMS:
        a = np.asarray(getattr(repeated, name))
        np.testing.assert_allclose(
            a, getattr(weighted, name), rtol=1e-11, atol=1e-12 * np.abs(a).max()
        )


def test_save_and_load(tmp_path):
    stats = empty().update(X, Y, WEIGHT)
    stats.save(tmp_path / "jan.stats")
    read = LiftedStatistics.load(tmp_path / "jan.stats")
    assert_unchanged(read, state(stats))
    read.need_same(stats)
    assert_close(read.update(X, Y), stats.update(X, Y))


def test_damaged_and_foreign_files(tmp_path):
    with pytest.raises(MissingData):
        LiftedStatistics.load(tmp_path / "none")
    path = empty().update(X, Y).save(tmp_path / "one")
    arrays = path / "arrays.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-9])
    with pytest.raises(InvalidInput, match=r"statistics/1 expected.*checksum"):
        LiftedStatistics.load(path)
    (path / "meta.json").write_text("{}")
    with pytest.raises(InvalidInput, match="statistics/1 expected"):
        LiftedStatistics.load(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[:, :2], Y), r"X has shape \(300, 2\)"),
        ((X, Y[:, :1]), "y has shape"),
        ((X, Y[:10]), "y has shape"),
        ((np.where(X > 2, np.nan, X), Y), "X holds NaN"),
        ((X, np.where(Y > 2, np.inf, Y)), "y holds NaN or infinity"),
        ((X, Y, -WEIGHT), "sample_weight must"),
        ((X, Y, np.where(WEIGHT > 1, np.nan, WEIGHT)), "sample_weight holds NaN"),
    ],
)
@pytest.mark.parametrize("method", ["update", "remove"])
def test_refused_rows_change_nothing(method, arguments, message):
    stats = empty().update(X, Y)
    before = state(stats)
    with pytest.raises(InvalidInput, match=message):
        getattr(stats, method)(*arguments)
    assert_unchanged(stats, before)


def test_refused_removals_change_nothing():
    stats = empty().update(X[:100], Y[:100])
    before = state(stats)
    cases = [
        (X[:100], Y[:100], "remove only what was added"),
        (X, Y, "remove only what was added"),
        (X[200:205], Y[200:205], "cannot have been among"),
        (X[:5], Y[:5] + 30, "cannot have been among"),
    ]
    for x, y, message in cases:
        with pytest.raises(InvalidInput, match=message):
            stats.remove(x, y)
        assert_unchanged(stats, before)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (LiftedStatistics(W + 1, Basis.uniform(5), offset=0.1, n_outputs=2), "their weights"),
        (LiftedStatistics(W, Basis.uniform(5, width=2), offset=0.1, n_outputs=2), "their basis"),
        (empty(offset=0.2), "their offset"),
        (empty(scale=1.0), "their scale"),
        (empty(n_outputs=1), "their outputs"),
    ],
)
def test_merge_names_what_differs(other, message):
    with pytest.raises(InvalidInput, match=message):
        empty().merge(other)


def test_bad_construction():
    with pytest.raises(InvalidInput, match=r"6000.*[0-9,]+ bytes.*engine='data'"):
        LiftedStatistics(np.ones((2, 400)), Basis.uniform(17))
    with pytest.raises(InvalidInput, match="scale finite and > 0"):
        empty(scale=0.0)
    with pytest.raises(InvalidInput, match="no rows yet"):
        empty().problem()
    with pytest.raises(InvalidInput, match="n_outputs"):
        empty(n_outputs=0)


def test_sums_from_read_only_memory_can_be_added_to():
    whole, buffers = empty().update(X, Y, WEIGHT), []
    head = pickle.dumps(
        empty().update(X[:90], Y[:90], WEIGHT[:90]), 5, buffer_callback=buffers.append
    )
    found = pickle.loads(head, buffers=[bytes(b) for b in buffers])
    assert len(buffers) > 4
    assert_close(found.update(X[90:], Y[90:], WEIGHT[90:]), whole)
    assert found.gram.flags.f_contiguous
