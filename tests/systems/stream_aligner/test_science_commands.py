import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import science_commands
from equipoise.systems.stream_aligner.collection import commands as collect_commands
from equipoise.systems.stream_aligner.worlds.arithmetic import ArithmeticWorld
from equipoise.systems.stream_aligner.worlds.text import TextWorld

SMALL: dict[str, Any] = {
    "decoder.width": "8",
    "decoder.layers": "1",
    "decoder.heads": "1",
    "batch": "8",
}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def write_questions(folder: Path, count: int) -> Path:
    path = folder / "questions.jsonl"
    asked = ArithmeticWorld(steps=4).questions(count, 0)
    path.write_text("".join(json.dumps({"question": question}) + "\n" for question in asked))
    return path


def collect(folder: Path, **changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {
        "upstream": "world:arithmetic",
        "teacher": "arithmetic",
        "questions": write_questions(folder, 8),
        "out": folder / "rows.jsonl",
    }
    return collect_commands.collect(**(options | changes))


def test_collect_train_evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = collect(tmp_path)
    assert (found["questions"], found["rows"], found["unparsed"]) == (8, 32, 0)
    assert found["copies"] + found["edits"] == 32
    trained = science_commands.train(
        tmp_path / "rows.jsonl", out=tmp_path / "run", schedule="mixed", epochs="1", **SMALL
    )
    assert (trained["rows"], trained["style"], trained["steps"]) == (32, "stream", 4)
    assert Path(trained["checkpoint"]).is_dir()
    measured = science_commands.evaluate(
        world="arithmetic",
        corrector=f"model:{trained['run']}",
        methods="raw,stream",
        questions=3,
        steps="2",
    )
    assert [row["method"] for row in measured["rows"]] == ["raw", "stream"]
    assert (measured["questions"], measured["steps"]) == (3, 2)
    assert json.loads(json.dumps(measured)) == measured


def test_exact_arithmetic_is_evaluated_as_exact(tmp_path: Path) -> None:
    found = science_commands.evaluate(
        world="arithmetic", corrector="arithmetic", questions=20, out=tmp_path / "run"
    )
    rows = {row["method"]: row["accuracy"] for row in found["rows"]}
    assert rows["stream"] == rows["oracle"] == 1.0
    assert rows["aligner"] == rows["post-hoc"]  # exact sums, each where it stands
    assert json.loads((tmp_path / "run" / "results.json").read_text())["measured"]["world"]


def test_the_text_world_from_rows_to_evaluation(tmp_path: Path) -> None:
    asked = TextWorld().questions(4, 0)
    file = tmp_path / "asked.jsonl"
    file.write_text("".join(json.dumps({"question": question}) + "\n" for question in asked))
    found = collect(tmp_path, upstream="world:text", teacher="oracle:text", questions=file, seed=3)
    assert found["questions"] == 4
    assert found["rows"] == sum(TextWorld(3).length(question) for question in asked)
    measured = science_commands.evaluate(
        corrector="oracle:text",
        world="text",
        methods="raw,post-hoc,stream,best-of-2,as-published",
        questions=20,
        text_held_out="true",
        out=tmp_path / "run",
    )
    rows = {row["method"]: row for row in measured["rows"]}
    assert list(rows) == ["raw", "post-hoc", "stream", "best-of-2", "as-published"]
    assert rows["stream"]["helpful"] == rows["stream"]["harmless"] == 1.0
    assert rows["raw"]["harmless"] < 1.0
    assert json.loads(json.dumps(measured)) == measured


def test_the_sentence_world_from_rows_to_evaluation(tmp_path: Path) -> None:
    file = tmp_path / "asked.jsonl"
    file.write_text("".join(json.dumps({"question": f"Answer {n}."}) + "\n" for n in range(5)))
    found = collect(
        tmp_path, upstream="world:sentence", teacher="oracle:sentence", questions=file, steps="4"
    )
    assert (found["questions"], found["rows"]) == (5, 20)
    assert found["edits"] > 0
    measured = science_commands.evaluate(
        corrector="oracle:sentence", world="sentence", questions=30, steps="4"
    )
    rows = {row["method"]: row["bad_mass"] for row in measured["rows"]}
    assert rows["stream"] == rows["aligner"] == rows["oracle"] == 0.0 < rows["raw"]
    assert (measured["fix_rate"], measured["break_rate"]) == (1.0, 0.0)
    assert json.loads(json.dumps(measured)) == measured
    with pytest.raises(InvalidInput, match="unknown world 'sentense': did you mean 'sentence'"):
        collect(tmp_path, upstream="world:sentense", out=tmp_path / "other.jsonl")


def test_aligner_rows_train_an_aligner(tmp_path: Path) -> None:
    collect(tmp_path, mode="aligner", teacher="oracle:arithmetic")
    trained = science_commands.train(
        tmp_path / "rows.jsonl", out=tmp_path / "run", epochs="1", **SMALL
    )
    assert (trained["style"], trained["rows"]) == ("aligner", 8)
    with pytest.raises(InvalidInput, match="style 'aligner' and reviews whole answers"):
        science_commands.evaluate(
            world="arithmetic", corrector=f"model:{trained['run']}", questions=2
        )


def test_broken_rows_are_counted_or_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collect(tmp_path)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write("{half\n")
    with pytest.raises(InvalidInput, match="line 33"):
        science_commands.train(tmp_path / "rows.jsonl", out=tmp_path / "no", **SMALL)
    trained = science_commands.train(
        tmp_path / "rows.jsonl", keep_going=True, out=tmp_path / "run", epochs="1", **SMALL
    )
    assert (trained["rows"], trained["broken"]) == (32, 1)
    assert "line 33" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upstream": "world:arithmetik"}, "unknown world 'arithmetik': did you mean 'arithmetic'"),
        ({"upstream": "locl:x"}, "unknown upstream 'locl:x'"),
        ({"teacher": "oracel:arithmetic"}, "unknown corrector 'oracel:arithmetic'"),
        ({"mode": "steam"}, "unknown mode 'steam': did you mean 'stream'"),
        ({"on_policy": -1}, "on_policy is -1"),
        ({"on_policy": 1, "mode": "aligner"}, "0 in mode aligner"),
        ({"rounds": 0}, "rounds is 0"),
    ],
)
def test_bad_collections(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        collect(tmp_path, **changes)


def test_bad_trainings_and_evaluations(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not both"):
        science_commands.train(tmp_path / "rows.jsonl", full=True, lora=True)
    with pytest.raises(InvalidInput, match="unknown world 'sentense'"):
        science_commands.evaluate(corrector="identity", world="sentense")
    with pytest.raises(InvalidInput, match="unknown method 'steam'"):
        science_commands.evaluate(
            world="arithmetic", corrector="identity", methods="steam", out=tmp_path / "run"
        )


@pytest.mark.standard
def test_a_killed_collection_is_continued_by_the_same_line(tmp_path: Path) -> None:
    write_questions(tmp_path, 400)
    line = [sys.executable, "-m", "equipoise", "stream-aligner", "collect"]
    line += ["--upstream", "world:arithmetic", "--teacher", "oracle:arithmetic"]
    line += ["--questions", "questions.jsonl", "--json", "--out"]

    def run(name: str) -> dict[str, Any]:
        done = subprocess.run(
            [*line, name], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    whole = run("whole.jsonl")
    killed = subprocess.Popen(
        [*line, "killed.jsonl"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rows, deadline = tmp_path / "killed.jsonl", time.monotonic() + 60
    while time.monotonic() < deadline and killed.poll() is None:
        if rows.exists() and rows.stat().st_size > 5000:
            break
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert 0 < rows.stat().st_size < (tmp_path / "whole.jsonl").stat().st_size
    assert run("killed.jsonl") | {"out": ""} == whole | {"out": ""}
    assert rows.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"questions": 0}, "questions is 0; it must be >= 1"),
        ({"questions": -2}, "questions is -2"),
        ({"methods": ","}, "no method is named; usual: raw,"),
    ],
)
def test_nothing_to_evaluate_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        science_commands.evaluate(
            corrector="identity", world="arithmetic", out=tmp_path / "run", **changes
        )
    assert not (tmp_path / "run").exists()
