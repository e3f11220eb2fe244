import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from equipoise.core.errors import MissingData
from equipoise.systems.stream_aligner.audit.commands import audit
from equipoise.systems.stream_aligner.audit.events import SegmentEvent
from equipoise.systems.stream_aligner.audit.log import AuditLog
from equipoise.systems.stream_aligner.rows import CorrectionRow, read_rows

KEYS = [
    "requests",
    "segments",
    "copies",
    "edits",
    "drops",
    "stops",
    "unreviewed",
    "timeouts",
    "edit_rate",
    "skipped_lines",
]


def write_log(path, *, redact: bool = False) -> None:
    """Write the log of one answer: a copy, an edit, one that came too late, and a lost request."""
    said = [("Hello.", "Hello.", "copy", ""), (" 1 + 1 = 3.", " 1 + 1 = 2.", "edit", "sum")]
    said += [(" Well.", " Well.", "unreviewed", "late")]
    length = 0
    with AuditLog(path, redact=redact, max_bytes=700) as log:
        for number, (original, corrected, verdict, note) in enumerate(said):
            texts = (original[: -len(original.lstrip())], original.lstrip(), corrected.lstrip())
            log.write(
                SegmentEvent(
                    *(1.0, "r", number, "Sum?", length, *texts, verdict, 1.0),
                    *("open", "m", "k", note),
                )
            )
            length += len(corrected)
        log.write_request({"time": 1, "request_id": "s", "event": "upstream_lost"})


def test_it_counts_makes_a_page_and_rows_rotated_files_included(tmp_path, capsys):
    path = tmp_path / "audit.jsonl"
    write_log(path)
    assert (tmp_path / "audit.jsonl.1").exists()
    with path.open("a") as file:
        file.write("broken\n")
    found = audit(path, html=tmp_path / "deep" / "a.html", rows=tmp_path / "rows.jsonl")
    assert list(found) == KEYS
    assert list(found.values()) == [2, 3, 1, 1, 0, 0, 1, 1, 1 / 3, 1]
    assert "Sum?" in (tmp_path / "deep" / "a.html").read_text()
    rows = read_rows(tmp_path / "rows.jsonl").rows
    assert rows == (
        CorrectionRow("Sum?", "Hello.", "1 + 1 = 3.", "1 + 1 = 2.", "edit", source="audit"),
    )
    said = capsys.readouterr().err
    assert "audit.jsonl, line " in said
    assert "rows: 1 edits in " in said


def test_a_redacted_log_gives_no_rows_and_says_so_in_one_line(tmp_path, capsys):
    write_log(tmp_path / "a.jsonl", redact=True)
    found = audit(tmp_path / "a.jsonl", rows=tmp_path / "rows.jsonl")
    assert (found["edits"], found["timeouts"]) == (1, 1)
    assert (tmp_path / "rows.jsonl").read_text() == ""
    assert "1 edits were stored without their texts and give no rows\n" in capsys.readouterr().err


def test_edits_whose_beginning_is_lost_are_named(tmp_path, capsys):
    write_log(tmp_path / "a.jsonl")
    lines = [
        line
        for file in sorted(tmp_path.glob("a.jsonl*"), reverse=True)
        for line in file.read_text().splitlines()
    ]
    (tmp_path / "b.jsonl").write_text("\n".join(lines[1:]) + "\n")
    audit(tmp_path / "b.jsonl", rows=tmp_path / "rows.jsonl")
    assert "1 edits lack earlier lines of their answer" in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingData, match=r"nothing\.jsonl"):
        audit(tmp_path / "nothing.jsonl")


@pytest.mark.standard
def test_the_command_line(tmp_path):
    write_log(tmp_path / "audit.jsonl")
    line = [sys.executable, "-m", "equipoise", "stream-aligner", "audit"]
    done = subprocess.run(
        [*line, "audit.jsonl", "--html", "a.html", "--rows", "r.jsonl", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout.splitlines()[-1])) == KEYS
    assert (tmp_path / "a.html").exists()
    assert (tmp_path / "r.jsonl").exists()
    done = subprocess.run([*line, "none"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "no audit file 'none'" in done.stderr


@contextmanager
def proxy(folder: Path, *options: str) -> Iterator[str]:
    """A proxy started by its command line over stored answers; yields its address."""
    question = {"question": "Sum?", "answer": "Hi there. 1 + 1 = 3. Some spam. So it is 2. Bye."}
    (folder / "q.jsonl").write_text(json.dumps(question) + "\n")
    rules = [{"find": "spam", "verdict": "drop"}, {"find": "3", "replace": "2"}]
    (folder / "rules.json").write_text(json.dumps(rules))
    line = [sys.executable, "-m", "equipoise", "stream-aligner", "serve", "--port", "0"]
    line += ["--upstream", "replay:q.jsonl", "--corrector", "rules:rules.json", *options]
    served = subprocess.Popen(line, cwd=folder, stderr=subprocess.PIPE, text=True)
    assert served.stderr is not None
    try:
        found = next(said for said in served.stderr if said.startswith("ready "))
        yield found.split()[1].rstrip("/")
        served.terminate()
        assert served.wait(20) == 0
    finally:
        served.kill()
        served.communicate()


def ask(url: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Sum?"}]}
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        json.load(answer)


def metric(text: str, name: str, label: str) -> int:
    found = re.search(rf'^{name}\{{[^}}]*"{label}"[^}}]*\}} ([\d.]+)$', text, re.MULTILINE)
    return int(float(found[1])) if found else 0


@pytest.mark.standard
@pytest.mark.parametrize(
    "options",
    [(), ("--mode", "detect"), ("--on-failure", "open", "--corrector-timeout", "0.000001")],
)
def test_the_counts_are_those_of_a_real_proxys_metrics(tmp_path, options):
    with proxy(tmp_path, "--audit", "audit.jsonl", *options) as url:
        for _ in range(3):
            ask(url)
        with urllib.request.urlopen(f"{url}/metrics", timeout=20) as answer:
            metrics = answer.read().decode()
    found = audit(tmp_path / "audit.jsonl", rows=tmp_path / "rows.jsonl")
    name = "equipoise_stream_segments_total"
    plural = {"copy": "copies", "edit": "edits", "drop": "drops", "unreviewed": "unreviewed"}
    for verdict, key in plural.items():
        assert found[key] == metric(metrics, name, verdict), verdict
    assert found["requests"] == 3
    assert found["segments"] >= 9
    if "--corrector-timeout" in options:
        failures = metric(metrics, "equipoise_stream_failures_total", "open")
        assert found["unreviewed"] == found["segments"] == failures
        assert found["timeouts"] == 5  # then the breaker opens and no one is asked
        return
    assert (found["edits"], found["timeouts"], found["skipped_lines"]) == (3, 0, 0)
    (row, *others) = read_rows(tmp_path / "rows.jsonl").rows
    assert (row.prefix, row.last, row.correction) == ("Hi there.", "1 + 1 = 3.", "1 + 1 = 2.")
    assert others == [row, row]
