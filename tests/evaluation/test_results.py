"""Result rows: what must be there, what is refused with its line, and the way there and back."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import TaskResult, read_results, write_results

names = st.text(min_size=1, max_size=10).filter(lambda text: text.strip())
unit = st.floats(0, 1)
KEYS = ["model", "task", "score", "dimension", "category", "n", "standard_error", "item_ids",
        "scores", "clusters", "missing", "task_version", "task_hash", "judge", "split", "source",
        "notes"]  # fmt: skip


def rows(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_only_three_keys_are_required(tmp_path):
    path = rows(tmp_path / "r.jsonl", '{"model": "a", "task": "t", "score": 0.5}')
    (result,) = read_results(path)
    assert result == TaskResult("a", "t", 0.5)
    assert (result.dimension, result.n, result.missing, result.notes) == ("safety", None, 0, ())


@st.composite
def results(draw):
    scores = draw(st.lists(st.none() | unit, max_size=5))
    ids = tuple(f"i{n}" for n in range(len(scores)))
    return TaskResult(
        model=draw(names),
        task=draw(names),
        score=draw(st.none() | unit),
        dimension=draw(st.sampled_from(["capability", "safety"])),
        category=draw(names),
        n=None if scores else draw(st.none() | st.integers(0, 9)),
        standard_error=draw(st.none() | st.floats(0, 1)),
        item_ids=ids,
        scores=tuple(scores),
        clusters=draw(st.sampled_from([(), ids])),
        missing=scores.count(None) + draw(st.integers(0, 9)),
        task_version=draw(st.text(max_size=3)),
        task_hash=draw(st.text(max_size=3)),
        judge=draw(st.text(max_size=3)),
        source=draw(st.text(max_size=3)),
        notes=tuple(draw(st.lists(names, max_size=2))),
        classes=draw(st.sampled_from([(), ids])),
        max_missing=draw(st.none() | unit),
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(results(), max_size=4))
def test_there_and_back(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("r") / "results.jsonl"
    assert write_results(path, written) == path
    assert read_results(path) == written
    first = path.read_bytes()
    write_results(path, read_results(path))
    assert path.read_bytes() == first


def test_a_written_row_has_every_key_of_the_specification(tmp_path):
    path = write_results(tmp_path / "r.jsonl", [TaskResult("a", "t", 0.5)])
    assert list(json.loads(path.read_text("utf-8"))) == KEYS


def test_null_stands_for_not_known(tmp_path):
    row = dict.fromkeys(KEYS) | {"model": "a", "task": "t", "score": 1}
    assert TaskResult.from_json(row) == TaskResult("a", "t", 1.0)


def test_a_note_may_be_one_text():
    row = {"model": "a", "task": "t", "score": 1, "notes": "converted"}
    assert TaskResult.from_json(row).notes == ("converted",)


def test_foreign_keys_are_left_out_and_misspelt_ones_refused():
    row = {"model": "a", "task": "t", "score": 0.5}
    assert TaskResult.from_json({**row, "seconds": 3, "seed": 1}) == TaskResult("a", "t", 0.5)
    with pytest.raises(InvalidInput, match="'dimention': did you mean 'dimension'"):
        TaskResult.from_json({**row, "dimention": "capability"})


def test_numbers_as_ids_become_texts():
    row = {"model": "a", "task": "t", "score": 0.5, "item_ids": [1, 2], "scores": [0, 1]}
    assert TaskResult.from_json(row).item_ids == ("1", "2")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "model is ''; it must be a text that is not empty"),
        ({"task": 3}, "task is 3"),
        ({"category": " "}, "category is ' '"),
        ({"score": 1.1}, r"score is 1.1; allowed: a number in \[0, 1\], or null"),
        ({"score": float("nan")}, "score is nan"),
        ({"score": "0.5"}, "score is '0.5'"),
        ({"score": True}, "score is True"),
        ({"dimension": "safty"}, "unknown dimension 'safty': did you mean 'safety'"),
        ({"n": -1}, "n is -1; allowed: a whole number >= 0"),
        ({"n": 2.5}, "n is 2.5"),
        ({"missing": "3"}, "missing is '3'"),
        ({"standard_error": -0.1}, "standard_error is -0.1"),
        ({"standard_error": float("inf")}, "standard_error is inf"),
        ({"standard_error": 10**400}, "standard_error is 1000"),
        ({"scores": [0.5, 2]}, r"scores\[1\] is 2"),
        ({"scores": 0.5}, "scores must be a list of numbers"),
        ({"item_ids": "ab"}, "item_ids must be a list of texts"),
        ({"item_ids": ["a"], "scores": [0, 1]}, "1 item_ids for 2 scores"),
        ({"clusters": ["a"]}, "1 clusters for 0 scores"),
        ({"item_ids": ["a", "a"], "scores": [0, 1]}, "item id 'a' occurs twice"),
        ({"notes": [3]}, "notes must be a list of texts"),
        ({"notes": 3}, "notes must be a list of texts"),
        ({"classes": ["yes"]}, "1 classes for 0 scores"),
        ({"max_missing": 2}, r"max_missing is 2; allowed: a share in \[0, 1\]"),
        ({"score": 10**400}, r"score is 10{56}\.\.\.; allowed: a number in \[0, 1\]"),
        ({"n": 10**20}, "n is 100000000000000000000; allowed: at most 9007199254740992"),
        ({"n": 3, "scores": [1, None]}, "n is 3, but 1 of the scores are numbers"),
        ({"missing": 1, "scores": [None, None, 1]}, "missing is 1, but 2 of the scores are null"),
    ],
)
def test_bad_values_are_refused_with_their_line(tmp_path, changes, message):
    good = '{"model": "a", "task": "t", "score": 0.5}'
    bad = json.dumps({"model": "a", "task": "t", "score": 0.5, **changes})
    path = rows(tmp_path / "r.jsonl", good, "", bad)
    with pytest.raises(InvalidInput, match=message) as caught:
        read_results(path)
    assert "r.jsonl, line 3: " in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"model": "a", "task": "t"}', "lacks 'score'; it needs model, task, score"),
        ("[1]", "a result row is an object"),
        ('{"model": ', "not JSON"),
    ],
)
def test_lines_that_are_no_rows(tmp_path, line, message):
    with pytest.raises(InvalidInput, match=f"line 1: .*{message}"):
        read_results(rows(tmp_path / "r.jsonl", line))


def test_no_file_and_an_empty_file(tmp_path):
    with pytest.raises(InvalidInput, match="does not exist"):
        read_results(tmp_path / "none.jsonl")
    assert read_results(rows(tmp_path / "r.jsonl")) == []


def test_nothing_is_written_over_when_a_row_cannot_be_spelt(tmp_path):
    path = write_results(tmp_path / "r.jsonl", [TaskResult("a", "t", 0.5)])
    before = path.read_bytes()

    def broken():
        yield TaskResult("b", "t", 0.5)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        write_results(path, broken())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["r.jsonl"]


@pytest.mark.parametrize(
    ("score", "n", "missing", "limit", "incomplete"),
    [
        (0.5, 19, 1, 0.05, False),
        (0.5, 18, 1, 0.05, True),
        (0.5, 18, 2, 0.2, False),
        (None, 0, 5, 1.0, True),
        (0.5, None, 0, 0.05, False),
        (0.5, 10, 0, 0.0, False),
    ],
)
def test_incomplete(score, n, missing, limit, incomplete):
    assert TaskResult("a", "t", score, n=n, missing=missing).incomplete(limit) == incomplete


def test_gaps_among_the_scores_are_missing_items_whether_counted_or_not():
    row = {"model": "a", "task": "t", "score": 1.0, "item_ids": list("abcd")}
    told = TaskResult.from_json(row | {"scores": [1, None, None, None]})
    assert (told.n, told.missing, told.incomplete()) == (1, 3, True)
    more = TaskResult.from_json(row | {"item_ids": [], "scores": [1, 1], "missing": 2})
    assert (more.n, more.missing) == (2, 2)


def test_a_row_carries_the_share_that_its_task_lets_be_missing():
    row = TaskResult("a", "t", 0.5, n=8, missing=2, max_missing=0.2)
    assert not row.incomplete()
    assert row.incomplete(0.1)
    assert TaskResult.from_json(row.to_json()) == row


def test_numpy_numbers_are_taken_as_numbers(tmp_path):
    numbers: Any = {"n": np.int64(2), "scores": (np.float64(1), np.int8(0))}
    row = TaskResult("m", "t", float(np.float32(0.5)), **numbers)
    path = tmp_path / "r.jsonl"
    write_results(path, [row])
    assert read_results(path) == [row]
    assert [type(value) for value in (row.score, row.n, *row.scores)] == [float, int, float, int]
