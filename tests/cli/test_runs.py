"""`equipoise runs`: list, show, compare and resume on runs that were really started."""

import json
import re
import signal
import webbrowser
from pathlib import Path

import pytest

from equipoise.cli.runs import without_out
from equipoise.core.runs import Run

KEYS = {"path", "room", "verb", "preset", "seed", "status", "seconds"}


def data(done):
    assert done.code == 0, done.err
    return json.loads(done.out.splitlines()[-1])


def make(out: str, steps: int = 2, finish: bool = True, **options) -> Run:
    run = Run.create(
        "toy_room", "train", {"steps": steps}, folder=f"runs/toy_room/{out}", **options
    )
    run.log(1, loss=0.5)
    if finish:
        run.finish({"loss": 0.5 / steps})
    else:
        run.mark("interrupted")
    return run


def test_list_json_newest_first_and_filtered(call):
    assert data(call("runs", "list", "--json")) == {"runs": []}
    make("one")
    make("two", finish=False, seed=4, preset="small")
    rows = data(call("runs", "list", "--json"))["runs"]
    assert [Path(row["path"]).name for row in rows] == ["two", "one"]
    assert all(set(row) == KEYS for row in rows)
    assert rows[0] | {"path": "", "seconds": 0} == {
        "path": "",
        "room": "toy_room",
        "verb": "train",
        "preset": "small",
        "seed": 4,
        "status": "interrupted",
        "seconds": 0,
    }
    for line, names in (
        (["--status", "done"], ["one"]),
        (["--room", "toy-room"], ["two", "one"]),
        (["--room", "toy_room", "--status", "failed"], []),
        (["--room", "mpo"], []),
        (["--root", "elsewhere"], []),
    ):
        found = data(call("runs", "list", "--json", *line))["runs"]
        assert [Path(row["path"]).name for row in found] == names


def test_list_shows_broken_folders_and_says_why(call):
    run = make("one")
    (run.path / "run.json").write_text('{"format": 99}')
    done = call("runs", "list", "--json")
    assert data(done)["runs"][0]["status"] == "broken"
    assert "written by a newer equipoise (run format 99" in done.err
    shown = call("runs", "show", str(run.path))
    assert shown.code == 2
    assert "update equipoise to open it" in shown.err


def test_list_for_people(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    make("one")
    done = call("runs", "list")
    assert re.search(r"path\s+room\s+verb\s+preset\s+seed\s+status\s+seconds", done.out)
    assert "runs/toy_room/one" in done.out


@pytest.mark.parametrize("name", ["one", "latest", "runs/toy_room/one"])
def test_show_makes_the_report_and_opens_it(name, call, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    run = make("one")
    shown = data(call("runs", "show", name, "--open", "--json"))
    assert set(shown) == KEYS | {"results", "report"}
    assert shown["results"] == {"measured": {"loss": 0.25}}
    report = Path(shown["report"])
    assert report == run.path / "report.html"
    assert report.exists()
    assert opened == [report.resolve().as_uri()]
    before = report.stat().st_mtime_ns
    data(call("runs", "show", name, "--json"))
    assert report.stat().st_mtime_ns == before
    assert len(opened) == 1


def test_show_names_the_nearest_run(call):
    make("first")
    done = call("runs", "show", "frst")
    assert done.code == 1
    assert "no run 'frst' here; did you mean 'first'? `equipoise runs list` shows all" in done.err


def test_compare(call):
    make("one")
    make("two", steps=4)
    answer = data(call("runs", "compare", "one", "two", "--json"))
    assert answer["config"] == {"steps": [2, 4]}
    assert answer["measured"] == {"loss": [0.25, 0.125]}
    assert set(answer["first"]) == set(answer["second"]) == KEYS
    shown = call("runs", "compare", "one", "two")
    assert "loss  0.25, 0.125" in shown.out


def test_without_out():
    line = ["toy-room", "train", "--out", "x", "--json", "--seed", "3", "--out=y", "--debug"]
    assert without_out(line) == ["toy-room", "train", "--seed", "3"]


def test_resume_refuses_what_cannot_go_on(call):
    make("done")
    make("called", finish=False)
    finished = call("runs", "resume", "done")
    assert finished.code == 2
    assert "is finished; `equipoise runs show` shows it" in finished.err
    called = call("runs", "resume", "called")
    assert called.code == 2
    assert "was not started from a command line; call its function again" in called.err
    assert call("runs", "resume", "absent").code == 1


@pytest.mark.parametrize(
    ("how", "code", "status"), [("interrupt", 130, "interrupted"), ("fail", 1, "failed")]
)
def test_a_stopped_run_is_resumed_with_its_own_line(how, code, status, call, toy_room, monkeypatch):
    line = ["toy-room", "train", "--steps", "4", "--inner.rate", "2", "--seed", "3", "--json"]
    monkeypatch.setattr("sys.argv", ["/usr/bin/equipoise", *line])
    monkeypatch.setenv("TOY_STOP", "2")
    monkeypatch.setenv("TOY_HOW", how)
    stopped = call(*line)
    assert stopped.code == code
    monkeypatch.delenv("TOY_STOP")
    (row,) = data(call("runs", "list", "--json"))["runs"]
    assert (row["status"], row["seed"]) == (status, 3)
    monkeypatch.setattr("sys.argv", ["/usr/bin/equipoise", "runs", "resume", "latest"])
    resumed = call("runs", "resume", "latest", "--json")
    answer = data(resumed)
    assert (answer["steps"], answer["loss"]) == (4, 0.5)
    assert Path(answer["run"]).samefile(row["path"])
    assert [text for text in resumed.err.splitlines() if "step" in text] == ["step 3", "step 4"]
    assert [r.step for r in Run.open(row["path"]).metrics] == [1, 2, 3, 4]
    assert Run.open(row["path"]).record["argv"] == line
    assert len(list((toy_room / "runs" / "toy_room").iterdir())) == 1


def test_resume_works_from_another_folder(call, toy_room, monkeypatch, tmp_path):
    line = ["toy-room", "train", "--out", "mine"]
    monkeypatch.setattr("sys.argv", ["equipoise", *line])
    monkeypatch.setenv("TOY_STOP", "1")
    monkeypatch.setenv("TOY_HOW", "interrupt")
    assert call(*line).code == 130
    monkeypatch.delenv("TOY_STOP")
    monkeypatch.chdir(tmp_path)
    done = call("runs", "resume", str(toy_room / "mine"), "--json")
    assert Path(data(done)["run"]) == toy_room / "mine"
    assert Run.open(toy_room / "mine").status == "done"


def test_the_same_line_with_out_goes_on_and_is_then_refused(call, monkeypatch):
    line = ["toy-room", "train", "--out", "mine"]
    monkeypatch.setenv("TOY_STOP", "2")
    monkeypatch.setenv("TOY_HOW", "interrupt")
    assert call(*line).code == 130
    monkeypatch.delenv("TOY_STOP")
    other = call(*line, "--steps", "9")
    assert other.code == 2
    assert "mine holds a run with steps = 3, not 9; name a new folder" in other.err
    assert call(*line).code == 0
    again = call(*line)
    assert again.code == 2
    assert "mine holds a finished run; name a new folder or remove it" in again.err


@pytest.mark.standard
def test_ctrl_c_and_kill_in_another_process_then_resume(spawn, call):
    line = ["toy-room", "train", "--steps", "6", "--pause", "0.3", "--out", "mine"]
    for step, number, code in ((2, signal.SIGINT, 130), (3, signal.SIGKILL, -9)):
        process = spawn(*(line if step == 2 else ["runs", "resume", "mine"]))
        for text in process.stderr:
            if text == f"step {step}\n":
                break
        process.send_signal(number)
        _, err = process.communicate()
        assert process.returncode == code
        assert "Traceback" not in err
        assert Run.open("mine").status == "interrupted"
    answer = data(call("runs", "resume", "mine", "--json"))
    assert answer["steps"] == 6
    assert [r.step for r in Run.open("mine").metrics] == [1, 2, 3, 4, 5, 6]


def test_show_keeps_a_report_in_step_with_its_run(call):
    run = make("one", finish=False)
    data(call("runs", "show", str(run.path), "--json"))
    run.finish({"x": 7.25})
    call("runs", "show", str(run.path))
    assert "7.25" in (run.path / "report.html").read_text(encoding="utf-8")
