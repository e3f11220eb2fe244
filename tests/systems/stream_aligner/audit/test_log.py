import json
import os
import stat
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput, MissingData, RunFailed
from equipoise.systems.stream_aligner.audit import log as audit_log
from equipoise.systems.stream_aligner.audit.events import SegmentEvent
from equipoise.systems.stream_aligner.audit.log import AuditLog, line_problem, read_audit


def event(number: int = 0, original="a fern", corrected="a moss", question="What?", note=""):
    verdict = "copy" if original == corrected else "edit"
    return SegmentEvent(
        9.0,
        "r",
        number,
        question,
        0,
        " ",
        original,
        corrected,
        verdict,
        1.0,
        "open",
        "m",
        "k",
        note,
    )


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=6))
def test_what_was_written_is_read(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("log") / "a.jsonl"
    events = [event(n, *parts) for n, parts in enumerate(texts)]
    with AuditLog(path) as log:
        for one in events:
            log.write(one)
    found = read_audit(path)
    assert list(found) == [one.record() for one in events]
    assert found.skipped == 0


def test_a_line_is_in_the_file_as_soon_as_it_was_written(tmp_path):
    with AuditLog(tmp_path / "deep" / "a.jsonl") as log:
        for number in range(3):
            log.write(event(number, "line\nbreak\u2028\0", "\ud800 é"))
            assert log.path.read_bytes().count(b"\n") == number + 1
            assert log.writable()
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    assert not log.writable()
    with pytest.raises(OSError, match="closed"):
        log.write(event())


def test_redaction_keeps_hashes_and_lengths_and_no_words(tmp_path):
    secret = SegmentEvent(
        *(1.0, "r", 0, "the fern", 4, "\n\n", "green leaf", "green moss", "edit", 1.0),
        *("open", "m", "k", "the word leaf"),
    )
    with AuditLog(tmp_path / "a.jsonl", redact=True) as log:
        log.write(secret)
        log.write(event(1, "x", "x", note="late"))
    text = log.path.read_text()
    assert all(word not in text for word in ("fern", "leaf", "moss", "green"))
    first, second = read_audit(log.path)
    assert first["original"] == sha256(b"green leaf").hexdigest()
    assert first["question"] == sha256(b"the fern").hexdigest()
    assert first["chars"] == {"question": 8, "leading": 2, "original": 10, "corrected": 10}
    assert first["diff"] == [["equal", 6, 6], ["replace", 4, 4]]
    assert first["redacted"] is True
    assert "note" not in first
    assert second["note"] == "late"
    kept = {"time": 1.0, "request_id": "r", "round": 0, "prefix_chars": 4, "verdict": "edit"}
    assert {name: first[name] for name in kept} == kept


def test_rotation_by_size_keeps_the_newest_lines_in_order(tmp_path):
    path = tmp_path / "a.jsonl"
    with AuditLog(path, max_bytes=900, keep=3) as log:
        for number in range(40):
            log.write(event(number))
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["a.jsonl", "a.jsonl.1", "a.jsonl.2", "a.jsonl.3"]
    assert all(p.stat().st_size <= 900 for p in tmp_path.iterdir())
    rounds = [record["round"] for record in read_audit(path)]
    assert rounds == list(range(rounds[0], 40))
    assert len(rounds) >= 8


def test_a_line_longer_than_the_limit_is_kept_whole(tmp_path):
    with AuditLog(tmp_path / "a.jsonl", max_bytes=10, keep=2) as log:
        for number in range(3):
            log.write(event(number, "w" * 500))
    assert [record["round"] for record in read_audit(log.path)] == [0, 1, 2]


def test_rotated_names_are_numbers_and_nothing_else(tmp_path):
    path = tmp_path / "a[1]*.jsonl"
    with AuditLog(path) as log:
        log.write(event(7))
    for suffix in ("bak", "1.gz", "", "x1"):
        Path(f"{path}.{suffix}").write_text("not ours\n")
    for number in (2, 10):
        Path(f"{path}.{number}").write_text(json.dumps(event(number).record()) + "\n")
    assert [record["round"] for record in read_audit(path)] == [10, 2, 7]


def test_a_file_moved_away_by_another_program_is_begun_anew(tmp_path):
    with AuditLog(tmp_path / "a.jsonl") as log:
        log.write(event(0))
        os.rename(log.path, tmp_path / "moved")
        log.write(event(1))
    assert [record["round"] for record in read_audit(log.path)] == [1]


def test_a_line_that_was_being_written_costs_only_itself(tmp_path):
    path = tmp_path / "a.jsonl"
    whole = json.dumps(event(0).record()) + "\n"
    path.write_text(whole + '{"request_id": "r", "verd')
    with AuditLog(path) as log:
        log.write(event(1))
    found = read_audit(path)
    assert [record["round"] for record in found] == [0, 1]
    assert found.skipped == 1
    assert (found.shown[0].line, found.shown[0].file) == (2, "a.jsonl")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_raises_and_turns_the_log_red():
    with AuditLog("/dev/full") as log:
        assert log.writable()
        with pytest.raises(OSError, match="No space"):
            log.write(event())
        assert not log.writable()


def test_half_a_line_on_a_full_disk_does_not_stay(tmp_path, monkeypatch):
    write, room = os.write, [1000]

    def limited(file, data):
        if not room[0]:
            raise OSError(28, "No space left on device")
        done = write(file, bytes(data)[: room[0]])
        room[0] -= done
        return done

    with AuditLog(tmp_path / "a.jsonl") as log:
        monkeypatch.setattr(audit_log.os, "write", limited)
        log.write(event(0))
        size = log.path.stat().st_size
        for number in range(1, 9):
            try:
                log.write(event(number))
                size = log.path.stat().st_size
            except OSError:
                break
        assert log.path.stat().st_size == size
        assert not log.writable()
        assert log.path.stat().st_size == size
        room[0] = 100_000
        assert log.writable()
        assert log.path.stat().st_size == size  # trying it out leaves nothing
        log.write(event(99))
        assert log.writable()
    found = read_audit(log.path)
    assert [record["round"] for record in found][-1] == 99
    assert found.skipped == 0


def test_a_path_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "a.jsonl"):
        with pytest.raises(RunFailed, match="cannot be written") as caught:
            AuditLog(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
        assert caught.value.exit_code == 1


@pytest.mark.parametrize("option", [{"max_bytes": 0}, {"keep": 0}, {"keep": True}])
def test_limits_are_checked(tmp_path, option):
    with pytest.raises(InvalidInput, match=next(iter(option))):
        AuditLog(tmp_path / "a.jsonl", **option)


def test_threads_write_whole_lines(tmp_path):
    with AuditLog(tmp_path / "a.jsonl", max_bytes=4_000, keep=100) as log:

        def work(start):
            for number in range(start, start + 50):
                log.write(event(number, "word " * (number % 7)))

        threads = [threading.Thread(target=work, args=(50 * k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = read_audit(log.path)
    assert sorted(record["round"] for record in found) == list(range(200))
    assert found.skipped == 0


def test_lines_about_requests_are_read_and_foreign_ones_counted(tmp_path):
    with AuditLog(tmp_path / "a.jsonl") as log:
        log.write_request({"time": 1, "request_id": "r", "event": "upstream_lost"})
        log.write(event(0))
    foreign = [
        "not json",
        "[1]",
        "{}",
        '{"request_id": 5, "verdict": "copy"}',
        json.dumps(event().record() | {"verdict": "cpoy"}),
        json.dumps(event().record() | {"original": None}),
        json.dumps(event().record() | {"round": "0"}),
        json.dumps(event().record() | {"question": 7}),
        '{"request_id": "r"}',
    ]
    with log.path.open("ab") as file:
        file.write(b"\n\n" + "\n".join(foreign).encode() + b'\n\xff\xfe\n{"half')
    found = read_audit(log.path)
    assert [r.get("event", r.get("verdict")) for r in found] == ["upstream_lost", "edit"]
    assert found.skipped == len(foreign) + 2
    assert len(list(found)) == 2
    assert found.skipped == len(foreign) + 2  # counted anew, not on top
    reasons = [line.reason for line in found.shown]
    assert "verdict 'cpoy' is none of copy, edit, drop, stop, unreviewed" in reasons
    assert "'original' is not text" in reasons


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(MissingData, match=r"no audit file .*nothing\.jsonl"):
        read_audit(tmp_path / "nothing.jsonl")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_audit(tmp_path)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4))
def test_any_json_value_is_judged_without_an_error(value):
    assert isinstance(line_problem(value), str)
    record = event().record()
    for name in record:
        assert isinstance(line_problem(record | {name: value}), str)
