"""`reproduce`: by name, in one process or several, gone on with, and what its report says."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.core.runs import Run
from equipoise.systems.stream_aligner.experiments import process
from equipoise.systems.stream_aligner.experiments.commands import reproduce
from equipoise.systems.stream_aligner.experiments.findings import paragraph, shows
from equipoise.systems.stream_aligner.experiments.process import groups, run_beside
from equipoise.systems.stream_aligner.experiments.reproduction import EXPERIMENTS

FEW: dict[str, Any] = {"answers": "200", "worlds": "3", "text_worlds": "1", "text_answers": "6"}


def without_seconds(measured: dict[str, Any]) -> dict[str, Any]:
    return {name: found | {"seconds": None} for name, found in measured.items()}


def test_what_is_measured_and_what_is_refused(tmp_path: Path) -> None:
    result = reproduce(only=("latency", "induction"), jobs=1, out=tmp_path / "run", **FEW)
    measured = result["measured"]
    assert set(measured) == {"latency", "induction"}
    assert measured["latency"]["largest_error"] < 0.01
    assert measured["induction"]["largest_error"] < 4.5
    assert measured["induction"]["worlds"] == 3
    assert result["published"]
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "standard errors from its closed form" in page
    short: dict[str, Any] = {"answers": "400", "world_questions": "4", "world_answers": "3"}
    again = reproduce(only=("arithmetic",), out=tmp_path / "sums", **short)
    assert again["measured"]["arithmetic"]["covered"] == 3
    with pytest.raises(InvalidInput, match="unknown experiment 'inductoin': did you mean"):
        reproduce(only=("inductoin",), out=tmp_path / "new")
    with pytest.raises(InvalidInput, match="jobs is 0"):
        reproduce(only=("latency",), jobs=0, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.standard
def test_several_processes_measure_the_same_and_what_is_there_is_kept(tmp_path: Path) -> None:
    names = ("latency", "induction", "rounds", "prefix")
    alone = reproduce(only=names, jobs=1, out=tmp_path / "alone", **FEW)
    beside = reproduce(only=names, jobs=2, out=tmp_path / "beside", **FEW)
    assert without_seconds(alone["measured"]) == without_seconds(beside["measured"])
    file = tmp_path / "beside" / "latency.json"
    kept = json.loads(file.read_text(encoding="utf-8")) | {"largest_error": 0.5}
    file.write_text(json.dumps(kept), encoding="utf-8")
    Run.open(tmp_path / "beside").mark("interrupted")
    again = reproduce(only=names, jobs=2, out=tmp_path / "beside", **FEW)
    assert again["measured"]["latency"]["largest_error"] == 0.5


def test_a_failing_experiment_is_named_and_the_others_stopped(tmp_path: Path) -> None:
    told: list[Any] = []
    with pytest.raises(RunFailed, match=r"experiment (latency|induction): unknown .*'nothing'"):
        run_beside(
            ["latency", "induction"],
            tmp_path,
            jobs=2,
            preset="tiny",
            seed=0,
            changes={"nothing": "1", "answers": "1000000"},
            done=told.append,
        )
    assert not told
    assert not list(tmp_path.iterdir())


def test_those_that_share_correctors_start_together_and_the_longest_first() -> None:
    found = groups(list(EXPERIMENTS))
    assert sorted(name for group in found for name in group) == sorted(EXPERIMENTS)
    assert found[:3] == [["smollm2"], ["methods", "rounds", "prefix"], ["size"]]
    assert groups(["cost"]) == [["cost"]]
    assert groups([]) == []


@pytest.mark.parametrize("code", [0, 3])
def test_a_talkative_child_is_not_held_up_and_its_last_words_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    talk = f"import sys; sys.stderr.write('w' * 300_000 + '\\nlast words\\n'); sys.exit({code})"
    command = [sys.executable, "-c", talk]
    monkeypatch.setattr(process, "tied_command", lambda module, task: command)
    done: list[Any] = []
    plan: dict[str, Any] = {"jobs": 1, "preset": "tiny", "seed": 0, "changes": {}}
    fails = pytest.raises(RunFailed, match=r"^experiment cost: last words$")
    with fails if code else nullcontext():
        run_beside(["cost"], tmp_path, done=done.append, **plan)
    assert done == ([] if code else [["cost"]])


@pytest.mark.parametrize(("cores", "jobs", "threads"), [(6, 2, 3), (2, 2, 1), (1, 4, 1), (5, 1, 5)])
def test_threads_are_shared_out_among_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, jobs: int, threads: int
) -> None:
    talk = "import os, sys; sys.exit(os.environ['OMP_NUM_THREADS'] + ' threads')"
    monkeypatch.setattr(process, "tied_command", lambda module, task: [sys.executable, "-c", talk])
    monkeypatch.setenv("OMP_NUM_THREADS", str(cores))
    plan: dict[str, Any] = {"jobs": jobs, "preset": "tiny", "seed": 0, "changes": {}}
    with pytest.raises(RunFailed, match=f"^experiment cost: {threads} threads$"):
        run_beside(["cost"], tmp_path, done=lambda names: None, **plan)


@pytest.mark.standard
def test_no_experiment_outlives_a_killed_run(tmp_path: Path) -> None:
    line = ["-m", "equipoise", "stream-aligner", "reproduce", "--only", "induction", "--only"]
    line += ["identity", "--jobs", "2", "--answers", "100000", "--out", str(tmp_path / "run")]
    parent = subprocess.Popen([sys.executable, *line], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(children := _children(parent.pid)) < 2:
        assert time.monotonic() < deadline
        assert parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait(30)
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def test_the_command_line_of_a_child(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    task = {"names": ["latency"], "folder": str(tmp_path), "preset": "tiny", "seed": 0}
    monkeypatch.setattr(sys, "argv", ["x", json.dumps(task | {"changes": {}})])
    assert process.main() == 0
    assert json.loads((tmp_path / "latency.json").read_text(encoding="utf-8"))["reached"] is True
    monkeypatch.setattr(sys, "argv", ["x", json.dumps(task | {"changes": {"steps": "many"}})])
    assert process.main() == 1
    assert "steps" in capsys.readouterr().err


SLOPE = {"estimate": 0.2, "low": 0.1, "high": 0.3}
APART = {"estimate": -0.2, "low": -0.3, "high": -0.1}


@pytest.mark.parametrize(
    ("apart", "said"),
    [
        (SLOPE, "The opposite of the paper's claim"),
        (APART, "as the paper claims"),
        (SLOPE | {"low": -0.1}, "No difference can be told"),
    ],
)
def test_the_paragraph_on_size_says_what_the_interval_does(apart: Any, said: str) -> None:
    slopes = {"stream": SLOPE, "aligner": SLOPE, "difference": apart}
    found = {"rows": [{}], "slopes": slopes, "target": "flatter", "reached": False}
    text = paragraph("size", found)
    assert said in text
    assert text.endswith("Target: flatter; not reached.")


@pytest.mark.parametrize(
    ("rewriting", "aligner", "said", "unsaid"),
    [
        (0.95, 0.4, "for the same teacher only: one that was taught", "One that"),
        (0.7, 0.4, "One that was taught whole answers", "same teacher only"),
        (0.95, 0.92, "One that was taught whole answers", "built on a wrong sum"),
    ],
)
def test_the_paragraph_on_arithmetic_says_what_its_figures_do(
    rewriting: float, aligner: float, said: str, unsaid: str
) -> None:
    shares = {"raw": 0.4, "post-hoc": 0.5, "aligner": aligner, "stream": 0.9}
    shares["aligner that rewrites"] = rewriting
    trained = {
        "rows": [{"method": method, "accuracy": share} for method, share in shares.items()],
        "fix_rate": "NaN",  # as it stands in a stored result: no wrong sum was proposed
        "break_rate": 0.012,
        "stream_minus_closed_form": -0.01,
    }
    text = paragraph("arithmetic", {"rows": [{}], "trained": trained})
    assert "(repairs not seen, spoils 1.2%) the closed form says 91%" in text
    assert said in text
    assert unsaid not in text


def test_shares_of_nothing_are_told_as_not_seen() -> None:
    rows = [{"method": one, "accuracy": 0.5, "stated_share": 0.5} for one in ("raw", "stream")]
    found = {"rows": rows, "fix_rate": 0.9, "edit_precision": "NaN", "copy_rate": 1.0}
    found |= {"checks": {"edit precision": False}, "model": "m", "corrector": "trained"}
    text = paragraph("smollm2", found)
    assert "edits that are right not seen" in text
    assert "wrong ones repaired 90%" in text


def test_a_result_without_rows_says_why() -> None:
    missing = {"rows": [], "missing": "there is no model", "reached": None}
    assert paragraph("smollm2", missing) == "Not run: there is no model."


def test_the_paragraph_on_methods_tells_the_gap() -> None:
    rows = [
        {"method": method, "harmless_omega": value, "helpful_omega": value - 1}
        for method, value in (("raw", 0.0), ("aligner", 20.4), ("stream", 35.0))
    ]
    gap = {"harmless": 14.6, "harmless_low": 6, "harmless_high": 23}
    gap |= {"helpful": 11, "helpful_low": 5, "helpful_high": 18}
    found = {"rows": rows, "stream_minus_aligner": gap, "corrector": "trained", "ordered": False}
    text = paragraph("methods", found | {"target": "t", "reached": True})
    assert "Harmless omega: raw 0, aligner 20, stream 35" in text
    assert "harmless 15 [6, 23], helpful 11 [5, 18]" in text
    assert "does not hold in both" in text


@pytest.mark.standard
def test_every_experiment_has_a_paragraph_of_its_own_figures(tmp_path: Path) -> None:
    names = ("cost", "latency", "methods", "prefix", "rounds", "smollm2")
    result = reproduce(only=names, jobs=1, out=tmp_path, smollm2_answers="3", **FEW)
    for name, found in result["measured"].items():
        text = shows(name, found)
        assert text, name
        assert paragraph(name, found).startswith(text)
        assert "nan" not in text
    stored = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    verdicts = {row["experiment"]: row["reached"] for row in stored["measured"]["experiments"]}
    assert verdicts["cost"] is True
    assert verdicts["smollm2"] is None
    assert ">8.5<" in Path(result["report"]).read_text(encoding="utf-8")
    assert os.path.getsize(result["report"]) > 20_000
