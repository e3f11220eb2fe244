import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.systems.stream_aligner.audit.events import SegmentEvent
from equipoise.systems.stream_aligner.audit.followed_files import (
    FollowedFile,
    answer_records,
    page_record,
    reviewed_files,
)
from equipoise.systems.stream_aligner.audit.log import AuditLog, redacted


def event(number: int = 0, original: str = "a fern", corrected: str = "a moss") -> SegmentEvent:
    return SegmentEvent(
        1.0, "r", number, "?", 0, "", original, corrected, "edit", 1.0, "open", "m", "k"
    )


def rounds(followed: FollowedFile) -> list[int]:
    return [record["round"] for record in followed.read()]


def test_a_growing_file_is_followed_through_rotation(tmp_path):
    path = tmp_path / "audit.jsonl"
    followed = FollowedFile(path)
    assert rounds(followed) == []  # it may come later
    with AuditLog(path, max_bytes=700) as log:
        log.write(event(0))
        assert rounds(followed) == [0]
        assert rounds(followed) == []
        for number in range(1, 4):
            log.write(event(number))
            assert rounds(followed) == [number]
        log.write_request({"time": 1, "request_id": "r", "event": "finished"})
        assert rounds(followed) == []
    assert (tmp_path / "audit.jsonl.1").exists()
    assert followed.skipped == 0
    followed.close()


def test_half_a_line_waits_for_its_end_and_broken_ones_are_counted(tmp_path):
    path = tmp_path / "audit.jsonl"
    line = json.dumps(event(5).record()).encode() + b"\n"
    path.write_bytes(b"nothing\n\n\xff\n[1]\n" + line[:40])
    followed = FollowedFile(path)
    assert rounds(followed) == []
    with path.open("ab") as file:
        file.write(line[40:] + line)
    assert rounds(followed) == [5, 5]
    assert followed.skipped == 3
    path.write_bytes(line)  # cut short and begun anew
    assert rounds(followed) == [5]
    followed.close()


def test_of_a_large_file_the_end_is_read(tmp_path):
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        for number in range(60):
            log.write(event(number, "fern " * 20_000, "moss"))
    found = rounds(FollowedFile(path))
    assert found == list(range(found[0], 60))
    assert 10 < len(found) < 60


def test_answers_of_correct_become_segments(tmp_path):
    steps = [
        {"leading": "", "original": "A fern.", "corrected": "A moss!", "verdict": "edit"},
        {"leading": " ", "original": "Stones.", "corrected": "", "verdict": "drop", "note": "no"},
        {"leading": " ", "original": "End.", "corrected": "End.", "verdict": "copy"},
        "no step",
    ]
    row = {"question": "Why?", "answer": "x", "original": "y", "steps": steps}
    (tmp_path / "answers.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    followed = FollowedFile(tmp_path / "answers.jsonl")
    found = list(followed.read())
    assert [record["prefix_chars"] for record in found] == [0, 7, 7] * 2
    assert len({record["request_id"] for record in found}) == 2
    assert found[0]["question"] == "Why?"
    assert found[1]["note"] == "no"
    assert [op[0] for op in found[0]["diff"]] == ["equal", "replace"]
    assert followed.skipped == 2
    assert len(list(answer_records({"steps": []}, "x"))) == 0
    assert next(answer_records({"steps": steps}, "x"))["question"] == ""


def test_a_record_for_the_page_holds_known_fields_and_its_own_difference():
    hostile = event().record() | {
        "diff": [["equal", {"a": 1}, 3]],
        "extra": "<b>",
        "note": "\ud800",
    }
    found = page_record(hostile)
    assert found == event().record() | {"note": "\ufffd"}
    hidden = page_record(redacted(event().record()) | {"chars": {"original": 6, "leading": "x"}})
    assert hidden["chars"] == {"question": 0, "leading": 0, "original": 6, "corrected": 0}
    assert hidden["redacted"] is True
    assert "diff" in event().record()
    assert page_record(redacted(event().record()) | {"chars": None})["chars"]["original"] == 0


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 50))
def test_bytes_of_any_kind_do_no_harm(tmp_path_factory, pieces, cut):
    path = tmp_path_factory.mktemp("f") / "audit.jsonl"
    path.write_bytes(b"")
    followed: Any = FollowedFile(path)
    whole = b"\n".join([*pieces, json.dumps(event(3).record()).encode(), b""])
    seen = []
    for start in range(0, len(whole), cut):
        with path.open("ab") as file:
            file.write(whole[start : start + cut])
        seen += list(followed.read())
    assert seen[-1]["round"] == 3
    followed.close()


def test_files_below_a_folder_are_named_newest_first(tmp_path):
    root = tmp_path / "runs"
    names = ["audit.jsonl", "stream_aligner/audit-2.jsonl", "stream_aligner/run/audit.jsonl"]
    names += ["stream_aligner/run/answers-sums.jsonl"]
    other = ["libra/run/audit.jsonl", "stream_aligner/run/audit.jsonl.1", "stream_aligner/x.jsonl"]
    for age, name in enumerate([*names, *other]):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        os.utime(path, (1_000 + age, 1_000 + age))
    (tmp_path / "audit-outside.jsonl").write_text("")
    (root / "audit-link.jsonl").symlink_to(tmp_path / "audit-outside.jsonl")
    assert reviewed_files(root) == [names[2], names[1], names[0], names[3]]
    assert reviewed_files(tmp_path / "nothing") == []


@pytest.mark.parametrize("number", [3])
def test_a_file_that_vanishes_is_waited_for(tmp_path, number):
    path = tmp_path / "audit.jsonl"
    with AuditLog(path) as log:
        log.write(event(number))
    followed = FollowedFile(path)
    assert rounds(followed) == [number]
    path.unlink()
    assert rounds(followed) == []
    with AuditLog(path) as log:
        log.write(event(number + 1))
    assert rounds(followed) == [number + 1]
    followed.close()
