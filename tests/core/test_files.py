"""Atomic writes, JSON lines with bad records, canonical JSON, strict JSON data."""

import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.files import (
    JsonlProblem,
    canonical_json,
    from_json,
    iter_jsonl,
    sha256_file,
    to_json,
    write_atomic,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_write_atomic_creates_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.txt"
    assert write_atomic(path, "é\n") == path
    assert path.read_bytes() == "é\n".encode()
    write_atomic(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_write_atomic_keeps_the_users_umask(tmp_path):
    before = os.umask(0o027)
    try:
        path = write_atomic(tmp_path / "x", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file(call, tmp_path, monkeypatch):
    path = write_atomic(tmp_path / "x.json", "old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomic_refuses_a_folder(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomic(tmp_path / "x", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_canonical_json_known_spelling():
    assert canonical_json({"b": [1, 2.5, None], "a": "é\n"}) == '{"a":"é\\n","b":[1,2.5,null]}'
    assert canonical_json({"y": 1, "x": {"d": 1, "c": 2}}) == '{"x":{"c":2,"d":1},"y":1}'
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON"):
            canonical_json({"a": bad})


@given(json_values)
def test_canonical_json_reads_back_and_ignores_order(value):
    value = from_json(to_json(value))
    if isinstance(value, dict):
        shuffled = dict(reversed(value.items()))
        assert canonical_json(to_json(shuffled)) == canonical_json(to_json(value))
    text = canonical_json(to_json(value))
    assert from_json(json.loads(text)) == value or "NaN" in text


@given(json_values)
def test_to_json_is_strict_and_keeps_json_values(value):
    text = json.dumps(to_json(value), allow_nan=False)
    spelt = ("NaN", "Infinity", "-Infinity")
    if not any(word in text for word in spelt):
        assert from_json(json.loads(text)) == value


def test_to_json_of_everything_a_verb_may_return():
    @dataclass(frozen=True)
    class Pair:
        low: float
        high: np.ndarray

    class Keyed(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            return 3

        def __iter__(self):
            return iter(["k"])

        def __len__(self) -> int:
            return 1

    assert to_json(
        {
            1: np.float32(0.5),
            "int": np.int64(3),
            "bool": np.bool_(True),
            "array": np.array([[1.0, math.nan]]),
            "pair": Pair(-math.inf, np.arange(2)),
            "set": {"b", "a"},
            "tuple": (1, None),
            "path": Path("x"),
            "keyed": Keyed(),
        }
    ) == {
        "1": 0.5,
        "int": 3,
        "bool": True,
        "array": [[1.0, "NaN"]],
        "pair": {"low": "-Infinity", "high": [0, 1]},
        "set": ["a", "b"],
        "tuple": [1, None],
        "path": "x",
        "keyed": {"k": 3},
    }


def test_from_json_turns_non_finite_spellings_back():
    back = from_json({"a": ["NaN", "Infinity", "-Infinity", "text"], "b": 1})
    assert math.isnan(back["a"][0])
    assert back["a"][1:] == [math.inf, -math.inf, "text"]
    assert back["b"] == 1


def test_sha256_of_a_file_longer_than_one_block(tmp_path):
    (tmp_path / "empty").touch()
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_file(tmp_path / "empty") == empty
    (tmp_path / "a").write_bytes(b"a" * 1_000_000)
    million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    assert sha256_file(tmp_path / "a") == million


def test_iter_jsonl_reports_bad_lines_and_keeps_the_rest(tmp_path):
    path = tmp_path / "x.jsonl"
    lines = [
        b'\xef\xbb\xbf{"a": 1}\r\n',
        b"\n",
        b'{"a": 2\n',
        b"  \t \n",
        b'"\xff"\n',
        b"[" * 100_000 + b"\n",
        b"1" * 5000 + b"\n",
        '"é\u2028"\n'.encode(),
        b"3",
    ]
    path.write_bytes(b"".join(lines))
    found = dict(iter_jsonl(path))
    assert sorted(found) == [1, 3, 5, 6, 7, 8, 9]
    assert (found[1], found[8], found[9]) == ({"a": 1}, "é\u2028", 3)
    assert all(isinstance(found[line], JsonlProblem) for line in (3, 5, 6, 7))
    assert found[3].text == '{"a": 2'
    assert found[3].reason.startswith("not JSON (Expecting")
    assert found[5].reason.startswith("not UTF-8")
    assert len(found[6].text) == 80


def test_iter_jsonl_streams(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\nbroken\n')
    lines = iter_jsonl(path)
    assert next(lines) == (1, {"a": 1})
    number, problem = next(lines)
    assert (number, problem.text) == (2, "broken")
    assert list(lines) == []


def test_half_a_surrogate_pair_is_written_as_json_spells_it(tmp_path):
    path = write_atomic(tmp_path / "a.json", json.dumps({"text": "a\ud800"}, ensure_ascii=False))
    assert json.loads(path.read_text(encoding="utf-8")) == {"text": "a\ud800"}
