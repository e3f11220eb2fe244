import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.config import load_config
from equipoise.core.errors import InvalidInput, MissingData
from equipoise.core.runs import Run
from equipoise.core.store import path_of
from equipoise.preference.comparisons import Comparison, read_comparisons
from equipoise.systems.stream_aligner import StreamAlignerConfig, commands

ANSWERS = {
    "Add 1 and 1.": "First, 1 + 1 = 3. So it is.",
    "Hello?": "Hello. How are you?",
    "Add 2 and 2.": "2 + 2 = 4.",
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rows = [{"question": q, "answer": a} for q, a in ANSWERS.items()]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    asked = [{"question": question} for question in ANSWERS]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    return tmp_path


def run_correct(folder: Path, **changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "upstream": f"replay:{folder / 'answers.jsonl'}",
        "corrector": "arithmetic",
        "out": folder / "out.jsonl",
    }
    return commands.correct(folder / "q.jsonl", **(options | changes))


def test_segment_of_a_file_and_of_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text.md"
    path.write_bytes("One. ```\nTwo é!\n".encode())
    found = commands.segment(str(path))
    assert found == {
        "segments": [
            {"leading": "", "text": "One.", "kind": "text", "forced": False},
            {"leading": " ", "text": "```", "kind": "text", "forced": False},
            {"leading": "\n", "text": "Two é!", "kind": "text", "forced": False},
            {"leading": "\n", "text": "", "kind": "text", "forced": False},
        ],
        "count": 4,
        "characters": 16,
        "lossless": True,
    }
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x" * 50)))
    assert [s["forced"] for s in commands.segment(max_chars=20)["segments"]] == [True, True, False]
    with pytest.raises(InvalidInput, match="No such file"):
        commands.segment(str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match="max_chars is 3"):
        commands.segment(str(path), max_chars=3)


@pytest.mark.parametrize("dash", [["-"], []])
def test_segment_reads_standard_input_on_the_command_line(dash: list[str]) -> None:
    line = [sys.executable, "-m", "equipoise", "stream-aligner", "segment", *dash]
    done = subprocess.run(
        [*line, "--max-chars", "25", "--json"],
        input=b"One. Two",
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["count"], found["lossless"]) == (2, True)
    refused = subprocess.run([*line, "--max-char", "3"], capture_output=True, check=False)
    assert refused.returncode == 2
    with pytest.raises(InvalidInput, match="or - for standard input, not both"):
        commands.segment("a.txt", stdin=True)


def test_correct_writes_answers_and_comparisons(files: Path) -> None:
    result = run_correct(files, comparisons=files / "comparisons.jsonl")
    assert (result["questions"], result["changed"], result["comparisons"]) == (3, 1, 1)
    assert (result["edits"], result["copies"], result["drops"], result["stops"]) == (1, 4, 0, 0)
    rows = [json.loads(line) for line in (files / "out.jsonl").read_text().splitlines()]
    assert [row["question"] for row in rows] == list(ANSWERS)
    assert rows[0]["answer"] == "First, 1 + 1 = 2. So it is."
    assert rows[0]["original"] == ANSWERS["Add 1 and 1."]
    assert rows[0]["steps"][0] == {
        "leading": "",
        "original": "First, 1 + 1 = 3.",
        "corrected": "First, 1 + 1 = 2.",
        "verdict": "edit",
        "note": "1 + 1 = 2",
    }
    (record,) = read_comparisons(files / "comparisons.jsonl").records
    assert isinstance(record, Comparison)
    assert record.winner == "a"
    assert record.response_a[0].text == rows[0]["answer"]
    assert record.response_b[0].text == rows[0]["original"]
    refinement = record.feedback["b"].refinement
    assert refinement is not None
    assert refinement[0].text == rows[0]["answer"]
    assert record.origin.source == "stream_aligner"


def test_correct_continues_where_it_was_cut_off(files: Path) -> None:
    run_correct(files)
    whole = (files / "out.jsonl").read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 1, len(whole)):
        (files / "out.jsonl").write_bytes(whole[:cut])
        run_correct(files)
        assert (files / "out.jsonl").read_bytes() == whole


def test_correct_refuses_a_file_of_other_answers(files: Path) -> None:
    run_correct(files)
    before = (files / "out.jsonl").read_bytes()
    (files / "q.jsonl").write_text('{"prompt": "Hello?"}\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match="line 1 answers another question; name a new file"):
        run_correct(files)
    (files / "note.jsonl").write_text("hello\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="line 1: no answer of this room"):
        run_correct(files, out=files / "note.jsonl")
    assert (files / "out.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corrector": "arithmetics"}, "did you mean 'arithmetic'"),
        ({"upstream": "replays:x"}, "unknown upstream 'replays:x'"),
        ({"mode": "streams"}, "unknown mode 'streams': did you mean 'stream'"),
        ({"rounds": -2}, "rounds is -2"),
    ],
)
def test_correct_checks_its_options_first(
    files: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        run_correct(files, **changes)
    assert not (files / "out.jsonl").exists()


def test_correct_names_the_broken_line(files: Path) -> None:
    (files / "q.jsonl").write_text('{"question": "a"}\n{"q": 1}\n', encoding="utf-8")
    with pytest.raises(InvalidInput, match="line 2: 'question'"):
        run_correct(files)
    (files / "q.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(InvalidInput, match="holds no questions"):
        run_correct(files)


@pytest.mark.standard
def test_a_killed_correct_ends_as_an_uninterrupted_one(files: Path) -> None:
    asked = [{"question": q} for q in list(ANSWERS) * 300]
    (files / "q.jsonl").write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    run_correct(files, out=files / "whole.jsonl")
    line = (
        "from pathlib import Path; from equipoise.systems.stream_aligner import commands; "
        f"f = Path({str(files)!r}); commands.correct(f / 'q.jsonl', "
        "upstream=f'replay:{f}/answers.jsonl', corrector='arithmetic', out=f / 'out.jsonl')"
    )
    process = subprocess.Popen([sys.executable, "-c", line], stderr=subprocess.DEVNULL)
    out = files / "out.jsonl"
    deadline = time.monotonic() + 60
    while (not out.exists() or out.stat().st_size < 1000) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert 0 < len(out.read_bytes().splitlines()) <= 900
    run_correct(files)
    assert out.read_bytes() == (files / "whole.jsonl").read_bytes()


TINY: dict[str, Any] = {
    "sum_questions": "3",
    "open_questions": "1",
    "answers": "40",
    "worlds": "2",
    "steps": "3",
}


def test_the_demo_runs_without_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Path:
        raise MissingData(f"{name} is not here; run: equipoise models pull {name}")

    monkeypatch.setattr("equipoise.systems.stream_aligner.demonstration.path_of", absent)
    result = commands.demo(out=tmp_path / "run", **TINY)
    shown = capsys.readouterr().err
    assert "scripted answers stand in for the model: smollm2-135m is not here" in shown
    assert "sentence by sentence" in shown
    assert result["questions"] == 3
    assert result["stream"]["final_right"] == 3
    assert result["stream"]["stated_right"] == result["stream"]["stated"]
    assert result["raw"]["final_right"] <= result["stream"]["final_right"]
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "Add " in page
    assert {path.name for path in (tmp_path / "run" / "plots").iterdir()} == {
        "arithmetic.svg",
        "bad-mass.svg",
        "methods.svg",
    }
    run = Run.open(tmp_path / "run")
    assert run.status == "done"
    assert run.results["measured"]["stream"]["final_right"] == 3
    json.dumps(result)


def test_the_demo_continues_an_interrupted_run(tmp_path: Path) -> None:
    options: dict[str, Any] = {"model": "scripted", **TINY}
    first = commands.demo(out=tmp_path / "a", **options)
    config = load_config(StreamAlignerConfig, overrides=options, preset="tiny")
    run = Run.create("stream_aligner", "demo", config, folder=tmp_path / "b")
    stored = (tmp_path / "a" / "answers-sums.jsonl").read_bytes()
    (run.path / "answers-sums.jsonl").write_bytes(stored[: len(stored) // 2])
    run.mark("interrupted")
    second = commands.demo(out=tmp_path / "b", **options)
    assert (run.path / "answers-sums.jsonl").read_bytes() == stored
    assert {k: v for k, v in first.items() if k not in ("run", "report", "seconds")} == {
        k: v for k, v in second.items() if k not in ("run", "report", "seconds")
    }


@pytest.mark.standard
def test_the_demo_with_the_embedded_model(tmp_path: Path) -> None:
    try:
        path_of("smollm2-135m")
    except MissingData as error:
        pytest.skip(str(error))
    result = commands.demo(out=tmp_path / "run", **TINY)
    assert result["stream"]["stated_right"] == result["stream"]["stated"] > 0
    assert result["stream"]["final_right"] >= result["aligner"]["final_right"]


def test_answers_of_other_settings_or_rules_are_not_gone_on_with(files: Path) -> None:
    run_correct(files)
    kept = (files / "out.jsonl").read_bytes()
    with pytest.raises(InvalidInput, match=r"holds answers with mode = 'stream', not 'aligner'"):
        run_correct(files, mode="aligner")
    with pytest.raises(InvalidInput, match="with corrector = "):
        run_correct(files, corrector="identity")
    assert (files / "out.jsonl").read_bytes() == kept
    assert run_correct(files)["questions"] > 0
    rules = files / "rules.json"
    rules.write_text('[{"find": "a", "replace": "b"}]')
    run_correct(files, corrector=f"rules:{rules}", out=files / "ruled.jsonl")
    rules.write_text('[{"find": "a", "replace": "c"}]')
    with pytest.raises(InvalidInput, match="with corrector_sha256 = "):
        run_correct(files, corrector=f"rules:{rules}", out=files / "ruled.jsonl")
