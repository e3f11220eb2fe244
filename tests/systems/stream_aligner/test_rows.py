import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.preference.comparisons import Comparison, Feedback, Rating, write_comparisons
from equipoise.systems.stream_aligner import batch
from equipoise.systems.stream_aligner.rows import CorrectionRow, Rows, read_rows, write_rows

comparison: Any = Comparison  # whose texts become segments
feedback: Any = Feedback
rating: Any = Rating

GOOD = {"question": "q", "prefix": "p", "last": "l", "correction": "c"}
WHOLE = {"question": "q", "answer": "a", "correction": "c"}
NO_HALVES = st.text(st.characters(exclude_categories=("Cs",)))
ROW = st.builds(
    CorrectionRow,
    *(NO_HALVES,) * 4,
    verdict=st.sampled_from([None, "copy", "edit", "drop", "stop"]),
    solution=st.none() | NO_HALVES,
    source=st.none() | NO_HALVES,
)


def write(path, *values):
    lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@given(st.lists(ROW, min_size=1, max_size=8))
def test_what_was_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    assert write_rows(rows, path) == len(rows)
    assert read_rows(path) == Rows(tuple(rows), "stream")
    whole = [CorrectionRow(row.question, "", row.last, row.correction) for row in rows]
    write_rows(whole, path, style="aligner")
    assert read_rows(path) == Rows(tuple(whole), "aligner")
    assert set(json.loads(path.read_text().split("\n")[0])) == set(WHOLE)


def test_optional_fields_are_read_and_others_ignored(tmp_path):
    given = GOOD | {"solution": "42", "verdict": "edit", "source": "gsm", "more": [1]}
    (row,) = read_rows(write(tmp_path / "r.jsonl", given)).rows
    assert row == CorrectionRow("q", "p", "l", "c", "edit", "42", "gsm")
    assert row.to_json() == {name: given[name] for name in given if name != "more"}


def test_aligner_rows_have_an_empty_prefix(tmp_path):
    found = read_rows(write(tmp_path / "r.jsonl", WHOLE))
    assert found == Rows((CorrectionRow("q", "", "a", "c"),), "aligner")


@pytest.mark.parametrize("text", ["\ufeff [\n {0},\n {1}\n]\n", "[{0},{1}]", "[{0}\n\n,{1} ]\n\n"])
def test_one_json_array_is_the_same_as_lines(tmp_path, text):
    path = tmp_path / "r.json"
    two = [json.dumps(GOOD), json.dumps(GOOD | {"last": "]\n,[{"})]
    path.write_text(text.replace("{0}", two[0]).replace("{1}", two[1]), encoding="utf-8")
    assert [row.last for row in read_rows(path).rows] == ["l", "]\n,[{"]


def test_a_broken_entry_of_an_array_is_named_by_the_line_where_it_begins(tmp_path):
    entries = ",\n".join([json.dumps(GOOD)] * 3 + ['{"question": 5}', "7", json.dumps(GOOD)])
    path = tmp_path / "r.json"
    path.write_text(f"[\n{entries}\n]")
    found = read_rows(path, keep_going=True)
    assert len(found.rows) == 4
    assert found.broken == ((5, "'prefix' is missing"), (6, "no JSON object but int"))


@pytest.mark.parametrize(
    "text",
    ["[", "[}", '[{"question": ', "[ROW", "[ROW,]", "[ROW] x", "[ROW ROW]"],
)
def test_an_array_that_is_no_json_is_refused_whole(tmp_path, text):
    (tmp_path / "r.json").write_text(text.replace("ROW", json.dumps(GOOD)))
    with pytest.raises(InvalidInput, match=r"r\.json is no JSON array: .*line 1"):
        read_rows(tmp_path / "r.json", keep_going=True)


BROKEN = [
    ("{", r"not JSON \(Expecting property name enclosed in double quotes"),
    ("3", "no JSON object but int"),
    (GOOD | {"last": None}, "'last' is null; it must be text"),
    (GOOD | {"question": 5}, "'question' is int"),
    ({"question": "q", "prefix": "p", "last": "l"}, "'correction' is missing"),
    ({"question": "q", "answer": "p"}, "'correction' is missing"),
    (GOOD | {"verdict": "edti"}, "'verdict' is 'edti'; .*did you mean 'edit'"),
    (GOOD | {"solution": 42}, "'solution' is int"),
    ('{"question": "\\ud800", "prefix": "", "last": "", "correction": ""}', "unpaired surrogate"),
    ({"schema": "equipoise.comparison/1", "id": "x"}, "prompt"),
    (WHOLE, "a row of style aligner in a file of style stream"),
]


@pytest.mark.parametrize(("line", "reason"), BROKEN)
def test_a_broken_line_is_named_and_the_others_are_used(tmp_path, line, reason):
    path = write(tmp_path / "r.jsonl", *[GOOD] * 150, "", line, *[GOOD] * 50)
    found = read_rows(path)
    assert len(found.rows) == 200
    ((number, why),) = found.broken
    assert number == 152
    with pytest.raises(InvalidInput, match=reason):
        raise InvalidInput(why)


def test_more_than_one_percent_broken_is_refused_unless_told_to_keep_going(tmp_path):
    at_limit = write(tmp_path / "limit.jsonl", *[GOOD] * 99, "{")
    assert len(read_rows(at_limit).rows) == 99
    path = write(tmp_path / "r.jsonl", *[GOOD] * 98, "{", "[]", "5")
    with pytest.raises(InvalidInput, match=r"3 of 101 lines are broken \(line 99: .*--keep-going"):
        read_rows(path)
    found = read_rows(path, keep_going=True)
    assert len(found.rows) == 98
    assert [number for number, _ in found.broken] == [99, 100, 101]


@pytest.mark.parametrize("lines", [[], [""], ["{"]])
def test_a_file_without_rows_is_refused(tmp_path, lines):
    with pytest.raises(InvalidInput, match="holds no rows"):
        read_rows(write(tmp_path / "r.jsonl", *lines), keep_going=True)


def test_missing_files_folders_and_damaged_ones(tmp_path):
    with pytest.raises(MissingData, match="no file"):
        read_rows(tmp_path / "nothing")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_rows(tmp_path)
    packed = gzip.compress("\n".join([json.dumps(GOOD)] * 400).encode())
    (tmp_path / "r.jsonl.gz").write_bytes(packed)
    assert len(read_rows(tmp_path / "r.jsonl.gz").rows) == 400
    (tmp_path / "r.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InvalidInput, match="damaged"):
        read_rows(tmp_path / "r.jsonl.gz")


def test_comparison_records_are_read_as_aligner_rows(tmp_path):
    turns = [{"text": "Hi", "role": "user"}, {"text": "Hello", "role": "assistant"}]
    records = [
        comparison("1", "q", "good", "bad", winner="a"),
        comparison("2", "q", "bad", "good", winner="b"),
        comparison("3", "q", "good", "bad", "a", feedback={"b": feedback(refinement="better")}),
        comparison("4", "q", "good", "bad", "a", feedback={"a": feedback(refinement="unused")}),
        comparison("5", [*turns, {"text": "Why?", "role": "user"}], "good", "bad", "a"),
        comparison("6", "q", "x", "y", "tie"),
        comparison("7", "q", "x", "y"),
        comparison("8", "q", "x", [{"modality": "image", "path": "a.png"}], "a"),
        rating("9", "q", "x"),
    ]
    write_comparisons(tmp_path / "c.jsonl", records)
    found = read_rows(tmp_path / "c.jsonl")
    assert found.style == "aligner"
    assert found.left_out == 4
    assert found.broken == ()
    assert [(row.question, row.last, row.correction) for row in found.rows] == [
        ("q", "bad", "good"),
        ("q", "bad", "good"),
        ("q", "bad", "better"),
        ("q", "bad", "good"),
        ("Why?", "bad", "good"),
    ]


def test_what_correct_writes_can_be_trained_on(tmp_path):
    rows = [{"question": "q", "answer": "new", "original": "old"}]
    rows += [{"question": "q", "answer": "same", "original": "same"}]
    batch.write_comparison_file(rows, tmp_path / "c.jsonl")
    (row,) = read_rows(tmp_path / "c.jsonl").rows
    assert (row.last, row.correction, row.source) == ("old", "new", "stream_aligner")


def test_rows_with_a_prefix_are_no_aligner_rows_and_styles_are_named(tmp_path):
    row = CorrectionRow("q", "p", "l", "c")
    with pytest.raises(InvalidInput, match="row 1 has a prefix"):
        write_rows([row], tmp_path / "r.jsonl", style="aligner")
    with pytest.raises(InvalidInput, match="stream, aligner"):
        write_rows([row], tmp_path / "r.jsonl", style="whole")
    assert not (tmp_path / "r.jsonl").exists()
    with pytest.raises(InvalidInput, match="'question' is bytes"):
        CorrectionRow(b"q", "p", "l", "c")  # type: ignore[arg-type]
