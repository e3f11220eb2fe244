import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.systems.stream_aligner import entries


def values(found: Any) -> list[tuple[int, Any]]:
    return [(line.number, line.value if not line.problem else line.problem) for line in found]


def test_lines_and_arrays_hold_the_same(tmp_path: Path) -> None:
    lines, array = tmp_path / "a.jsonl", tmp_path / "a.json"
    lines.write_text('{"a": 1}\n\n{"a": 2}\n')
    array.write_text('[\n{"a": 1},\n\n{"a": 2}]\n')
    assert values(entries.iter_entries(lines)) == [(1, {"a": 1}), (3, {"a": 2})]
    assert values(entries.iter_entries(array)) == [(2, {"a": 1}), (4, {"a": 2})]


def test_a_table_names_its_cells(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text('\ufeffid, prompt\n1,"two\nlines"\n\n2,"a, b"\n', encoding="utf-8")
    found = values(entries.iter_table(file))
    assert found == [(2, {"id": "1", "prompt": "two\nlines"}), (5, {"id": "2", "prompt": "a, b"})]


def test_a_tables_broken_rows_are_named(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(b'id,prompt\n1\n2,\xff\n3,ok\n4,"open\n')
    found = values(entries.iter_table(file))
    assert found[0] == (2, "has 1 columns, the header has 2")
    assert found[1] == (3, "not UTF-8")
    assert found[2] == (4, {"id": "3", "prompt": "ok"})
    assert found[3][1].startswith("not CSV")
    assert len(found) == 4


def test_a_cut_gzip_table_ends_with_its_problem(tmp_path: Path) -> None:
    file = tmp_path / "t.csv.gz"
    rows = "".join(f"{place},{place * 7919}\n" for place in range(5000))
    file.write_bytes(gzip.compress(f"id,prompt\n{rows}".encode())[:-2000])
    found = values(entries.iter_table(file))
    assert "gzip data is damaged" in found[-1][1]
    assert found[0] == (2, {"id": "0", "prompt": "0"})


def test_what_a_file_begins_with(tmp_path: Path) -> None:
    file = tmp_path / "a"
    for content, expected in (("\ufeff \n[1]", True), ("id,prompt", False), ("", False)):
        file.write_text(content, encoding="utf-8")
        assert entries.begins(file, b"{[") is expected
    file.write_bytes(b"\x1f\x8bno gzip")
    assert not entries.begins(file, b"{[")
    with pytest.raises(MissingData):
        entries.begins(tmp_path / "absent", b"{")


def test_a_file_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "MAX_BYTES", 4 * 2**20)
    small, bomb = tmp_path / "small.gz", tmp_path / "bomb.gz"
    small.write_bytes(gzip.compress(b"x" * 4 * 2**20))
    bomb.write_bytes(gzip.compress(b"x" * (4 * 2**20 + 1)))
    assert bomb.stat().st_size < 5000
    entries.check_size(small)
    with pytest.raises(InvalidInput, match="MiB, unpacked"):
        entries.check_size(bomb)


def test_an_array_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(["x" * 100]))
    assert len(list(entries.iter_entries(file))) == 1
    monkeypatch.setattr(entries, "MAX_BYTES", 50)
    with pytest.raises(InvalidInput, match="write it as JSON lines"):
        list(entries.iter_entries(file))


def test_one_in_a_hundred_may_be_broken() -> None:
    entries.check_broken("f", [(3, "bad")], 100)
    with pytest.raises(InvalidInput, match=r"2 of 100 lines are broken \(line 3: bad; line 4: no"):
        entries.check_broken("f", [(3, "bad"), (4, "no")], 100)
    entries.check_broken("f", [(3, "bad")] * 60, 100, keep_going=True)
    assert entries.listed([(n, "bad") for n in range(5)]).endswith("line 2: bad; ...")


def test_entries_are_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MAX_ENTRIES", 3)
    lines = [entries.Line(number, b"1", 1) for number in (1, 2, 3, 4)]
    assert list(entries.bounded("f", iter(lines[:3]))) == lines[:3]
    with pytest.raises(InvalidInput, match="f holds more than 3 entries"):
        list(entries.bounded("f", iter(lines)))


def test_a_pipe_is_refused_in_words(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for read in (entries.check_size, lambda path: entries.begins(path, b"[")):
        with pytest.raises(InvalidInput, match="pipe cannot be read twice; write it to a file"):
            read(pipe)
