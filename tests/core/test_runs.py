"""Run folders: layout, continuing, refusals, kill -9, listing and comparing."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from equipoise.core import runs as module
from equipoise.core.errors import InvalidInput, MissingData
from equipoise.core.files import sha256_file
from equipoise.core.runs import Run, compare_runs, find_run, list_runs


@dataclass(frozen=True)
class Settings:
    steps: int = 3
    rate: float = 0.5
    bound: float = math.inf


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256_file(p) for p in folder.rglob("*") if p.is_file()}


def edit(path: Path, **changes) -> None:
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(record | changes))


def dead_process() -> list[float]:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return [process.pid, 0.0]


def test_layout_of_a_run_folder(tmp_path):
    run = Run.create("mpo", "train", Settings(), preset="small", seed=7, root=tmp_path)
    assert run.path.parent == tmp_path / "mpo"
    stamp, name = run.path.name[:15], run.path.name[15:]
    time.strptime(stamp, "%Y%m%d-%H%M%S")
    assert name == "-train-small-7"
    assert sorted(p.name for p in run.path.iterdir()) == ["config.json", "run.json"]
    record = json.loads((run.path / "run.json").read_text())
    assert record["room"] == "mpo"
    assert (record["verb"], record["preset"], record["seed"]) == ("train", "small", 7)
    assert record["status"] == "running"
    assert {"argv", "git", "versions", "machine", "started", "updated"} <= set(record)
    assert record["versions"]["numpy"] == np.__version__
    assert run.config == {"steps": 3, "rate": 0.5, "bound": "inf"}
    for folder in ("plots", "media", "checkpoints"):
        assert getattr(run, folder) == run.path / folder
        assert (run.path / folder).is_dir()


def test_log_and_finish(tmp_path):
    run = Run.create("mpo", "train", None, root=tmp_path, seed=np.int64(3))  # type: ignore[arg-type]
    record = run.log(1, loss=np.float32(0.5), gap=math.nan)
    run.log(2, loss=0.25)
    assert record.loss == 0.5
    assert [r.step for r in run.metrics] == [1, 2]
    assert math.isnan(run.metrics[0].gap)
    assert run.results == {"measured": {}, "published": {}, "units": {}}
    assert run.finish({"gap": 0.1, "bound": math.inf}) == run.path / "results.json"
    assert run.status == "done"
    assert run.results["measured"] == {"gap": 0.1, "bound": math.inf}
    assert Run.open(run.path).info == run.info
    assert run.info.seconds >= 0.0


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ({}, {"measured": {}, "published": {}, "units": {}}),
        ({"a": 1}, {"measured": {"a": 1}, "published": {}, "units": {}}),
        (
            {"measured": {"a": 1}, "units": {"a": "s"}},
            {"measured": {"a": 1}, "published": {}, "units": {"a": "s"}},
        ),
        (
            {"measured": 3, "other": 4},
            {"measured": {"measured": 3, "other": 4}, "published": {}, "units": {}},
        ),
    ],
)
def test_forms_of_results(given, whole, tmp_path):
    run = Run.create("mpo", "train", {"a": 1}, root=tmp_path)
    run.finish(given)
    assert json.loads((run.path / "results.json").read_text()) == whole


def test_runs_of_the_same_second_do_not_collide(tmp_path, monkeypatch):
    class Frozen(module.datetime):
        @classmethod
        def now(cls, tz=None):
            return module.datetime(2026, 1, 2, 3, 4, 5, tzinfo=tz)

    monkeypatch.setattr(module, "datetime", Frozen)
    paths = [Run.create("rat", "train", None, root=tmp_path).path for _ in range(3)]
    assert [p.name for p in paths] == [f"20260102-030405-train-tiny-0{n}" for n in ("", ".2", ".3")]
    assert len({info.path for info in list_runs(tmp_path)}) == 3


def test_folder_may_be_new_or_empty(tmp_path):
    new = Run.create("rat", "train", Settings(), folder=tmp_path / "a" / "b")
    assert new.path == tmp_path / "a" / "b"
    (tmp_path / "empty").mkdir()
    assert Run.create("rat", "train", None, folder=tmp_path / "empty").status == "running"
    left = tmp_path / "left"
    left.mkdir()
    (left / ".run.json.0123.part").touch()  # of a process killed in its first write
    assert Run.create("rat", "train", None, folder=left).status == "running"


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_an_ended_run_of_the_same_configuration_is_continued(status, tmp_path):
    run = Run.create("rat", "train", Settings(), folder=tmp_path / "run", seed=2)
    run.log(1, loss=1.0)
    run.log(2, loss=0.5)
    run.mark(status, "why")
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    seconds = Run.open(run.path).info.seconds
    again = Run.create("rat", "train", Settings(), folder=run.path, seed=2)
    assert not again.joined
    assert again.info.note == ""
    assert (again.status, again.record["started"]) == ("running", run.record["started"])
    assert [r.step for r in again.metrics] == [1, 2]
    assert again.rewind(1) == 1
    again.log(2, loss=0.25)
    assert [r.loss for r in again.metrics] == [1.0, 0.25]
    again.finish({"loss": 0.25})
    assert again.info.seconds >= seconds


def test_a_run_killed_before_its_configuration_was_written_is_continued(tmp_path):
    run = Run.create("rat", "train", Settings(), folder=tmp_path / "run")
    edit(run.path, process=dead_process())
    (run.path / "config.json").unlink()
    again = Run.create("rat", "train", Settings(), folder=run.path)
    assert again.config["steps"] == 3


def test_a_loop_joins_the_run_of_its_own_process(tmp_path):
    run = Run.create("rat", "demo", Settings(), folder=tmp_path / "run")
    run.log(1, loss=1.0)
    joined = Run.create("rat", "train", None, folder=run.path)
    assert joined.joined
    assert not run.joined
    joined.log(2, loss=0.5)
    assert [r.step for r in run.metrics] == [1, 2]
    assert run.info.verb == "demo"


@pytest.mark.parametrize(
    ("room", "seed", "config"), [("mpo", 0, None), ("rat", 5, None), ("rat", 0, {"other": 1})]
)
def test_something_else_does_not_join_the_run_of_its_own_process(tmp_path, room, seed, config):
    run = Run.create("rat", "demo", Settings(), folder=tmp_path / "run")
    with pytest.raises(InvalidInput, match="holds a run"):
        Run.create(room, "train", config, seed=seed, folder=run.path)


@pytest.mark.parametrize(
    "odd", [{"process": {"a": 1}}, {"process": [5]}, {"started": 5}, {"seconds": None}]
)
def test_a_record_with_odd_fields_is_broken_and_hides_no_other(tmp_path, odd):
    good = Run.create("rat", "demo", None, root=tmp_path)
    bad = Run.create("rat", "demo", None, root=tmp_path)
    edit(bad.path, **odd)
    status = {info.path: info.status for info in list_runs(tmp_path)}
    assert status[good.path] == "running"
    assert status[bad.path] == "broken"


def refuse_something_else(folder):
    (folder / "run.json").unlink()


def refuse_finished(folder):
    Run.open(folder).finish({})


def refuse_newer(folder):
    edit(folder, format=2)


def refuse_other_process(folder):
    import psutil

    edit(
        folder, status="running", process=[os.getppid(), psutil.Process(os.getppid()).create_time()]
    )


def refuse_broken(folder):
    (folder / "run.json").write_text('{"format": 1')


def refuse_no_record(folder):
    (folder / "run.json").write_text("[1]")


def refuse_lacking(folder):
    (folder / "run.json").write_text('{"format": 1, "room": "rat"}')


def refuse_broken_config(folder):
    (folder / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (refuse_something_else, "is not empty and holds no run; name a new or empty folder"),
        (refuse_finished, "holds a finished run; name a new folder or remove it"),
        (refuse_newer, "written by a newer equipoise (run format 2, this one reads up to 1); upd"),
        (refuse_other_process, f"is in use by process {os.getppid()}"),
        (refuse_broken, "run.json cannot be read: "),
        (refuse_no_record, "run.json is not a run record"),
        (refuse_lacking, "run.json lacks verb, preset, seed, status"),
        (refuse_broken_config, "config.json cannot be read: "),
    ],
)
def test_refused_folders_stay_as_they_are(spoil, message, tmp_path):
    run = Run.create("rat", "train", Settings(), folder=tmp_path / "run")
    run.log(1, loss=1.0)
    run.mark("interrupted")
    spoil(run.path)
    before = contents(run.path)
    with pytest.raises(InvalidInput) as caught:
        Run.create("rat", "train", Settings(), folder=run.path)
    assert message in str(caught.value)
    assert str(run.path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(run.path) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"room": "mpo"}, "holds a run of room 'rat', not 'mpo'; use a new one"),
        ({"verb": "attack"}, "holds a run of verb 'train', not 'attack'; use a new one"),
        ({"seed": 1}, "holds a run of seed 0, not 1; use a new one"),
        ({"config": Settings(rate=0.25)}, "holds a run with rate = 0.5, not 0.25; name a new fol"),
        ({"config": Settings(bound=1.0)}, "holds a run with bound = 'inf', not 1.0; name a new"),
        ({"config": None}, "holds a run with steps = 3, not None; name a new folder"),
    ],
)
def test_a_run_of_something_else_is_not_continued(changes, message, tmp_path):
    arguments = {"room": "rat", "verb": "train", "config": Settings(), "seed": 0}
    run = Run.create(**arguments, folder=tmp_path / "run")
    run.mark("interrupted")
    before = contents(run.path)
    with pytest.raises(InvalidInput) as caught:
        Run.create(**(arguments | changes), folder=run.path)
    assert message in str(caught.value)
    assert contents(run.path) == before


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInput, match="is a file; name a new or empty folder"):
        Run.create("rat", "train", None, folder=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(MissingData, match=r"no run at .*: it has no run\.json"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("error", "status", "note"),
    [
        (ZeroDivisionError("by nought"), "failed", "ZeroDivisionError: by nought"),
        (KeyboardInterrupt(), "interrupted", ""),
        (SystemExit(3), "interrupted", ""),
        (GeneratorExit(), "interrupted", ""),
    ],
)
def test_with_records_how_work_ended(error, status, note, tmp_path):
    run = Run.create("rat", "train", None, root=tmp_path)
    with pytest.raises(type(error)), run:
        raise error
    assert (run.status, run.info.note) == (status, note)


def test_with_keeps_a_finished_run_done(tmp_path):
    run = Run.create("rat", "train", None, root=tmp_path)
    run.finish({"a": 1})
    with pytest.raises(ValueError, match="after"), run:
        raise ValueError("after")
    assert run.status == "done"


def test_kill_during_a_run_then_listed_and_continued(tmp_path):
    script = textwrap.dedent(
        """
        import sys, time
        from equipoise.core.runs import Run
        with Run.create("rat", "train", {"steps": 9}, folder=sys.argv[1]) as run:
            for step in range(len(run.metrics) + 1, 10):
                run.log(step, loss=1 / step)
                print(step, flush=True)
                time.sleep(0.3 if len(sys.argv) == 2 else 0)
            run.finish({"steps": step})
        """
    )
    folder = tmp_path / "runs" / "rat" / "one"
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        assert process.stdout.readline() == "2\n"
        assert Run.open(folder).status == "running"
        with pytest.raises(InvalidInput, match=f"is in use by process {process.pid}"):
            Run.create("rat", "train", {"steps": 9}, folder=folder)
        process.send_signal(signal.SIGKILL)
    (info,) = list_runs(tmp_path / "runs")
    assert (info.path, info.status) == (folder, "interrupted")
    done = subprocess.run([*command, "fast"], check=True, capture_output=True, text=True)
    assert "1\n" not in done.stdout, "it went on where it was"
    run = Run.open(folder)
    assert run.status == "done"
    assert [r.step for r in run.metrics] == list(range(1, 10))
    assert [r.loss for r in run.metrics] == [1 / step for step in range(1, 10)]


def test_list_is_newest_first_and_shows_broken_folders(tmp_path):
    paths = [Run.create(room, "train", None, root=tmp_path).path for room in ("rat", "mpo", "rat")]
    for path, started in zip(paths, ("2026-01-03", "2026-01-01", "2026-01-02"), strict=True):
        edit(path, started=f"{started}T00:00:00.000+00:00")
    broken = tmp_path / "mpo" / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    (tmp_path / "mpo" / "no-run").mkdir()
    odd = Run.create("aaa", "train", None, root=tmp_path).path
    edit(odd, seconds="long")
    found = list_runs(tmp_path)
    assert [info.path for info in found] == [paths[0], paths[2], paths[1], broken, odd]
    assert [info.status for info in found] == ["running"] * 3 + ["broken"] * 2
    found.pop()
    assert (found[-1].room, found[-1].seconds) == ("mpo", 0.0)
    assert "cannot be read" in found[-1].note
    assert list_runs(tmp_path / "absent") == []


def test_find_run(tmp_path):
    first = Run.create("rat", "train", None, root=tmp_path).path
    second = Run.create("mpo", "solve", None, root=tmp_path).path
    edit(second, started="2999-01-01T00:00:00.000+00:00")
    assert find_run(first) == first
    assert find_run(first.name, tmp_path) == first
    assert find_run("latest", tmp_path) == second
    with pytest.raises(MissingData) as caught:
        find_run(second.name[:-1] + "1", tmp_path)
    assert f"did you mean {second.name!r}? `equipoise runs list` shows all" in str(caught.value)
    with pytest.raises(MissingData, match="no run 'latest' here; `equipoise runs list` shows all"):
        find_run("latest", tmp_path / "absent")


def test_compare_runs(tmp_path):
    one = Run.create("rat", "train", Settings(), root=tmp_path)
    two = Run.create("rat", "train", Settings(rate=0.25), root=tmp_path, seed=1)
    one.finish({"gap": 0.5, "only": 1})
    two.finish({"gap": 0.25, "new": 2})
    answer = compare_runs(one.path, two.path)
    assert answer.config == {"rate": (0.5, 0.25)}
    assert answer.measured == {"gap": (0.5, 0.25), "only": (1, None), "new": (None, 2)}
    assert (answer.first.seed, answer.second.seed) == (0, 1)


@pytest.mark.parametrize(
    ("program", "line", "kept"),
    [
        ("/usr/bin/equipoise", ["stream-aligner", "demo", "--seed", "1"], True),
        ("/x/equipoise/__main__.py", ["--json", "stream-aligner", "demo"], True),
        ("equipoise", ["demo"], True),
        ("equipoise", ["tour"], False),
        ("/usr/bin/pytest", ["stream-aligner", "demo"], False),
    ],
)
def test_only_the_line_that_asked_for_the_run_is_recorded(
    program, line, kept, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "argv", [program, *line])
    run = Run.create("stream_aligner", "demo", None, root=tmp_path)
    assert run.record["argv"] == (line if kept else [])


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", ""])
def test_a_name_that_cannot_stand_in_a_folder_is_refused(tmp_path, name):
    with pytest.raises(InvalidInput, match="cannot stand in a run's folder name"):
        Run.create("room", name, {}, root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_of_two_processes_gets_a_folder(tmp_path):
    code = (
        "import sys, time, pathlib\n"
        "from equipoise.core.runs import Run\n"
        "go = pathlib.Path(sys.argv[1])\n"
        "while not go.exists(): pass\n"
        "try:\n"
        "    Run.create('rat', 'demo', {'a': 1}, folder=sys.argv[2]); print('got')\n"
        "except Exception as error:\n"
        "    print(error)\n"
        "sys.stdout.flush(); time.sleep(3)\n"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "go"), str(tmp_path / "run")]
    both = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    time.sleep(2)
    (tmp_path / "go").touch()
    said = sorted(process.communicate(timeout=60)[0].strip() for process in both)
    assert said.count("got") == 1
    assert any("is in use by process" in text for text in said)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"run.json", "config.json"}
