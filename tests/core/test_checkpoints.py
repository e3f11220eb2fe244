"""Checkpoints: what goes in comes out, whole or not at all."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from equipoise.core import checkpoints as module
from equipoise.core.checkpoints import load_checkpoint, save_checkpoint
from equipoise.core.errors import InvalidInput, MissingData, RunFailed

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8"]


@given(
    st.dictionaries(
        st.text("ab.c/", min_size=1, max_size=6),
        st.sampled_from(DTYPES).flatmap(
            lambda kind: arrays_of.arrays(
                np.dtype(kind), arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0)
            )
        ),
        max_size=3,
    )
)
def test_arrays_of_every_kind_and_shape_come_back_bit_equal(tmp_path_factory, given_arrays):
    path = tmp_path_factory.mktemp("checkpoint") / "last"
    save_checkpoint(path, given_arrays, {"step": 3})
    loaded = load_checkpoint(path)
    assert loaded.meta == {"step": 3}
    assert set(loaded.arrays) == set(given_arrays)
    for name, array in given_arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        assert loaded.arrays[name].shape == array.shape
        assert loaded.arrays[name].tobytes() == array.tobytes()


def test_views_lists_and_other_byte_orders_are_taken(tmp_path):
    matrix = np.arange(6.0).reshape(2, 3)
    given_arrays = {"t": matrix.T, "list": [1.5, 2.5], "number": 3, "big": matrix.astype(">f8")}
    loaded = load_checkpoint(save_checkpoint(tmp_path / "c", given_arrays, {})).arrays
    assert np.array_equal(loaded["t"], matrix.T)
    assert np.array_equal(loaded["list"], [1.5, 2.5])
    assert loaded["number"].shape == ()
    assert np.array_equal(loaded["big"], matrix)


@pytest.mark.standard
def test_torch_tensors_are_taken(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    weight = torch.nn.Linear(3, 2).weight
    loaded = load_checkpoint(
        save_checkpoint(tmp_path / "c", {"w": weight, "n": torch.tensor(3), "t": weight.t()}, {})
    )
    assert np.array_equal(loaded.arrays["w"], weight.detach().numpy())
    assert np.array_equal(loaded.arrays["t"], weight.detach().numpy().T)
    assert loaded.arrays["n"].dtype == np.int64
    with pytest.raises(InvalidInput, match="'w' is bfloat16, which NumPy lacks; save it as flo"):
        save_checkpoint(tmp_path / "c", {"w": weight.bfloat16()}, {})
    assert load_checkpoint(tmp_path / "c").arrays["n"] == 3


@pytest.mark.parametrize("bad", [np.array(["x"]), np.array([object()]), np.zeros(2, "c16")])
def test_what_cannot_be_saved_is_refused_and_the_old_one_kept(bad, tmp_path):
    path = save_checkpoint(tmp_path / "c", {"a": np.ones(2)}, {})
    with pytest.raises(InvalidInput, match=r"array 'b' has dtype .*; it can be any of bool, int8"):
        save_checkpoint(path, {"a": np.zeros(2), "b": bad}, {})
    assert load_checkpoint(path).arrays["a"].tolist() == [1.0, 1.0]
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize(
    ("arrays", "meta", "message"),
    [
        ({"a": [[1.0], [2.0, 3.0]]}, {}, "array 'a' has rows of unequal length"),
        ({}, {(1, 2): 3}, "meta of checkpoint .* is not JSON-able: keys must be"),
    ],
)
def test_ragged_arrays_and_keys_that_are_no_text_are_refused(arrays, meta, message, tmp_path):
    with pytest.raises(InvalidInput, match=message):
        save_checkpoint(tmp_path / "c", arrays, meta)
    assert list(tmp_path.iterdir()) == []


def test_meta_keeps_numbers_and_nesting(tmp_path):
    meta = {"a": {"b": [1, 2.5, None, True, "é"]}, "inf": math.inf, "np": np.float64(0.25)}
    loaded = load_checkpoint(save_checkpoint(tmp_path / "c", {}, meta | {"v": np.arange(2)}))
    assert loaded.meta == meta | {"v": [0, 1]}
    assert load_checkpoint(save_checkpoint(tmp_path / "d", {}, None)).meta == {}


def test_files_of_a_checkpoint(tmp_path):
    path = save_checkpoint(tmp_path / "a" / "b", {"x": np.zeros(3)}, {"k": 1})
    assert sorted(p.name for p in path.iterdir()) == ["arrays.safetensors", "meta.json"]
    head = json.loads((path / "meta.json").read_text())
    assert head["format"] == "equipoise.checkpoint/1"
    assert head["meta"] == {"k": 1}
    assert path.stat().st_mode & 0o555 == 0o555


def test_replaced_whole(tmp_path):
    path = tmp_path / "last"
    for step in range(3):
        save_checkpoint(path, {f"a{step}": np.full(2, step)}, {"step": step})
    assert list(load_checkpoint(path).arrays) == ["a2"]
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


def test_a_crash_between_the_renames_loses_nothing(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path / "last", {"a": np.zeros(1)}, {"step": 1})
    rename, calls = os.rename, []

    def crash(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(module.os, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"a": np.ones(1)}, {"step": 2})
    monkeypatch.undo()
    assert not path.exists()
    assert load_checkpoint(path).meta == {"step": 1}
    save_checkpoint(path, {"a": np.ones(1)}, {"step": 3})
    assert load_checkpoint(path).meta == {"step": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


def test_what_a_killed_save_left_is_cleared_away(tmp_path):
    stale = tmp_path / ".last.abc.part"
    stale.mkdir()
    (stale / "arrays.safetensors").write_bytes(b"half")
    (tmp_path / ".later.abc.part").mkdir()
    save_checkpoint(tmp_path / "last", {}, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == [".later.abc.part", "last"]


def test_a_full_disk_keeps_the_old_one(tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path / "last", {"a": np.zeros(1)}, {"step": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(RunFailed, match=r"cannot write checkpoint .*last: .*No space left"):
        save_checkpoint(path, {"a": np.ones(1)}, {"step": 2})
    assert load_checkpoint(path).meta == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last"]


def test_something_else_is_never_replaced(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "text").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for path in (folder, tmp_path / "file"):
        with pytest.raises(InvalidInput, match="is there and is no checkpoint; it is not replaced"):
            save_checkpoint(path, {}, {})
    assert (folder / "text").read_text() == (tmp_path / "file").read_text() == "keep"


def flip(path: Path) -> None:
    data = bytearray((path / "arrays.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "arrays.safetensors").write_bytes(data)


def lose(path: Path) -> None:
    (path / "arrays.safetensors").unlink()


def newer(path: Path) -> None:
    head = json.loads((path / "meta.json").read_text())
    (path / "meta.json").write_text(json.dumps(head | {"format": "equipoise.checkpoint/2"}))


def no_sum(path: Path) -> None:
    (path / "meta.json").write_text('{"format": "equipoise.checkpoint/1"}')


def broken(path: Path) -> None:
    (path / "meta.json").write_text('{"format"')


def a_list(path: Path) -> None:
    (path / "meta.json").write_text("[1]")


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (flip, RunFailed, "do not match their checksum: the file was changed"),
        (lose, RunFailed, "do not match their checksum"),
        (no_sum, RunFailed, "do not match their checksum"),
        (newer, InvalidInput, "has format 'equipoise.checkpoint/2', this version reads"),
        (broken, InvalidInput, "is no checkpoint: its meta.json is missing or broken"),
        (a_list, InvalidInput, "is no checkpoint: its meta.json is missing or broken"),
    ],
)
def test_damaged_checkpoints_are_refused(spoil, kind, message, tmp_path):
    path = save_checkpoint(tmp_path / "c", {"a": np.arange(5.0)}, {})
    spoil(path)
    with pytest.raises(kind, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


def test_nothing_there(tmp_path):
    with pytest.raises(MissingData, match="no checkpoint at"):
        load_checkpoint(tmp_path / "absent")
    with pytest.raises(InvalidInput, match="is no checkpoint"):
        load_checkpoint(tmp_path)
