"""Lines of a file: where they end, how they are numbered, and why one is no JSON."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equipoise.core.errors import MissingData
from equipoise.preference.comparisons import iter_comparisons, read_comparisons
from equipoise.preference.comparisons.lines import iter_lines

GOOD = '{"id": "%s", "prompt": "p", "response_a": "1", "response_b": "2"}'


def _store(tmp_path, content, packed=False):
    path = tmp_path / "x.jsonl"
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(raw) if packed else raw)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \t\n"])
def test_numbers_count_blank_lines_and_the_last_line_needs_no_end(tmp_path, end, packed):
    path = _store(tmp_path, end.join(["1", "", "   ", '"two"', "[3]"]), packed)
    assert [(line.number, line.value) for line in iter_lines(path)] == [
        *((1, 1), (4, "two"), (5, [3]))
    ]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", ["", "\n", "\r\n\n"])
def test_a_byte_order_mark_alone_is_no_line(tmp_path, end, packed):
    path = _store(tmp_path, f"\ufeff{end}", packed)
    assert list(iter_lines(path)) == []
    assert read_comparisons(path, strict=False).bad == ()


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_only_a_newline_ends_a_line(tmp_path, mark):
    values = [f"one{mark}line", "two"]
    text = "\n".join(json.dumps(value, ensure_ascii=mark < " ") for value in values)
    found = list(iter_lines(_store(tmp_path, text)))
    assert [(line.number, line.value) for line in found] == [(1, values[0]), (2, "two")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=6))
def test_any_text_comes_back_escaped_or_not(tmp_path, values):
    for plain in (False, True):
        text = "".join(json.dumps(value, ensure_ascii=not plain) + "\n" for value in values)
        lines = list(iter_lines(_store(tmp_path, text)))
        assert [line.value for line in lines] == values
        assert not any(line.problem for line in lines)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": }', "not JSON (Expecting value at character 7)"),
        (b'{"a": 1} {"b": 2}', "not JSON (Extra data at character 10)"),
        (b"{'a': 1}", "not JSON (Expecting property name enclosed in double quotes"),
        (b'{"a": "b"', "not JSON (Expecting ',' delimiter"),
        (b'"\x01"', "not JSON (Invalid control character at character 2)"),
        (b'"cut', "not JSON (Unterminated string at character 1)"),
        (b'["a", "cut\r', "not JSON (Unterminated string at character 7)"),
        (b'"ab\xff"', "not UTF-8 (invalid start byte at byte 3)"),
        (b'"\xed\xa0\x80"', "not UTF-8 (invalid continuation byte at byte 1)"),
        (b'{"a": ["\\ud83d"]}', "not Unicode text (an unpaired surrogate)"),
        (b'{"\\uDC00": 1}', "not Unicode text (an unpaired surrogate)"),
        (b"9" * 5000, "not readable JSON (Exceeds the limit"),
        (b"[" * 100_000, "not readable JSON (maximum recursion depth"),
    ],
)
def test_a_line_that_is_no_json_says_why_and_the_next_is_read(tmp_path, line, problem):
    first, bad, last = iter_lines(_store(tmp_path, b"1\n" + line + b"\n2\n"))
    assert (first.value, last.value, last.number) == (1, 2, 3)
    assert (bad.number, bad.value) == (2, None)
    assert bad.problem.startswith(problem)


@pytest.mark.parametrize("text", ['"\\ud83d\\ude00"', '"\\\\ud83d"', '"\\uD83D\\uDE00 \\\\uD83D"'])
def test_paired_and_escaped_surrogates_are_text(tmp_path, text):
    (line,) = iter_lines(_store(tmp_path, text))
    assert (line.value, line.problem) == (json.loads(text), "")


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_the_text_of_a_long_line_is_cut_by_characters(tmp_path, letter):
    (line,) = iter_lines(_store(tmp_path, f'"{letter * 3000}"\n'))
    assert line.text == f'"{letter * 999}'
    (short,) = iter_lines(_store(tmp_path, f'"{letter}"\r\n'))
    assert short.text == f'"{letter}"'


@pytest.mark.parametrize("packed", [False, True])
def test_every_bad_record_keeps_its_number_and_its_neighbours(tmp_path, packed):
    lines = [GOOD % k for k in range(60)]
    broken = {7: "{", 8: GOOD % "", 21: "", 30: GOOD % 3, 59: GOOD.replace('"p"', "[]") % "x"}
    for place, line in broken.items():
        lines[place] = line
    file = read_comparisons(_store(tmp_path, "\n".join(lines), packed), strict=False)
    assert [record.id for record in file.records] == [str(k) for k in range(60) if k not in broken]
    assert [(bad.line, bad.field) for bad in file.bad] == [
        *((8, ""), (9, "id"), (31, "id"), (60, "prompt"))
    ]
    assert all(bad.text == lines[bad.line - 1] for bad in file.bad)


def test_records_are_given_before_the_rest_is_read(tmp_path):
    path = _store(tmp_path, "\n".join([GOOD % 1, GOOD % 2, "{"]))
    stream = iter_comparisons(path)
    assert [next(stream).id, next(stream).id] == ["1", "2"]


def test_a_file_that_is_not_there_is_missing_data(tmp_path):
    with pytest.raises(MissingData, match=r"no file '.*none\.jsonl'; check the path") as caught:
        list(iter_lines(tmp_path / "none.jsonl"))
    assert "\n" not in str(caught.value)
