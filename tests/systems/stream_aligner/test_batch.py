import json
import threading
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.batch import append_rows, correct_file, in_order, whole_lines
from equipoise.systems.stream_aligner.upstreams import scripted_upstream


def write(place: int) -> dict[str, Any]:
    return {"question": "AB"[place], "answers": place}


def append(out: Path, questions: str = "AB") -> list[dict[str, Any]]:
    return append_rows(list(questions), write, out, needed=("answers",))


def test_rows_go_on_behind_what_is_there(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    rows = append(whole)
    assert [json.loads(line) for line in whole_lines(whole)] == rows == [write(0), write(1)]
    content = whole.read_bytes()
    for length in range(len(content) + 1):
        out = tmp_path / "cut.jsonl"
        out.write_bytes(content[:length])
        assert append(out) == rows
        assert out.read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [
        '{"question": "A"}\n{"question": "B"}',
        '{"question": "A"}\n',
        '{"question": "A"}',
        "a letter that has no line end",
        "[1]\n",
        '"question"\n',
    ],
)
def test_what_is_no_file_of_rows_stays_as_it_is(tmp_path: Path, content: str) -> None:
    out = tmp_path / "mine.txt"
    out.write_text(content)
    with pytest.raises(InvalidInput, match="no answer of this room; name a new file"):
        append(out)
    assert out.read_text() == content


def test_the_questions_themselves_are_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": "A"}')
    upstream = scripted_upstream(lambda question: "Yes.")
    with pytest.raises(InvalidInput, match="no answer of this room"):
        correct_file(["A"], upstream, lambda q, p, s: s, file)
    assert file.read_text() == '{"question": "A"}'


def test_an_unfinished_row_of_another_question_is_not_cut(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    append(out, "A")
    begun = out.read_text() + '{"question": "C", "ans'
    out.write_text(begun)
    with pytest.raises(InvalidInput, match="ends in no answer of this room"):
        append(out)
    assert out.read_text() == begun


def test_half_of_a_surrogate_pair_comes_back_as_it_was(tmp_path: Path) -> None:
    def odd(place: int) -> dict[str, Any]:
        return {"question": "\ud83d", "answers": ["\ud83d"]}

    out = tmp_path / "out.jsonl"
    for _ in range(2):
        assert append_rows(["\ud83d"], odd, out, needed=("answers",)) == [odd(0)]
    out.write_bytes(out.read_bytes()[:-4])
    assert append_rows(["\ud83d"], odd, out, needed=("answers",)) == [odd(0)]


def test_questions_at_once_stand_in_order(tmp_path: Path) -> None:
    questions = [str(place) for place in range(12)]
    together = threading.Barrier(3, timeout=30)

    def row(place: int) -> dict[str, Any]:
        if place < 3:
            together.wait()  # passes once three are under way
        return {"question": questions[place], "answers": place}

    out = tmp_path / "rows.jsonl"
    rows = append_rows(questions, row, out, needed=("answers",), at_once=3)
    assert [row["answers"] for row in rows] == list(range(12))
    assert [json.loads(line) for line in whole_lines(out)] == rows


def test_what_failed_at_once_is_done_again(tmp_path: Path) -> None:
    out, broken, asked = tmp_path / "rows.jsonl", {5}, []

    def row(place: int) -> dict[str, Any]:
        asked.append(place)
        if place in broken:
            raise InvalidInput("broken")
        return {"question": str(place), "answers": place}

    questions = [str(place) for place in range(40)]
    with pytest.raises(InvalidInput, match="broken"):
        append_rows(questions, row, out, needed=("answers",), at_once=2)
    assert [json.loads(line)["answers"] for line in whole_lines(out)] == list(range(5))
    assert len(asked) <= 5 + 4  # four more than were waited for
    broken.clear()
    assert len(append_rows(questions, row, out, needed=("answers",), at_once=2)) == 40


def test_whoever_leaves_waits_for_nobody() -> None:
    go, begun = threading.Event(), []

    def work(place: int) -> int:
        begun.append(place)
        if place:
            go.wait(30)
        return place

    results = in_order(work, range(100), 2)
    try:
        assert next(results) == 0
        results.close()
        assert not go.is_set()
        assert len(begun) <= 4
    finally:
        go.set()


def test_one_at_a_time_stays_in_its_thread() -> None:
    own = threading.get_ident()
    assert set(in_order(lambda _: threading.get_ident(), range(5), 1)) == {own}
    assert own not in set(in_order(lambda _: threading.get_ident(), range(5), 2))
