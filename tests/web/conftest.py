"""A folder of runs good and bad, and the studio over it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from equipoise.core.runs import Run
from equipoise.report import Report
from equipoise.web import create_app

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of runs, empty."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def studio(root: Path) -> TestClient:
    """A client of the studio."""
    return TestClient(create_app(root), follow_redirects=False)


@pytest.fixture
def make_run(root: Path) -> Callable[..., Path]:
    """Return a function that writes a finished run and returns its folder."""

    def make(
        room: str = "libra",
        verb: str = "demo",
        seed: int = 0,
        *,
        config: Mapping[str, Any] = {},
        measured: Mapping[str, Any] = {},
        **record: Any,
    ) -> Path:
        config = {"steps": 3, "inner": {"rate": 0.5}} | dict(config)
        with Run.create(room, verb, config, seed=seed, root=root) as run:
            for step in range(1, 4):
                run.log(step, loss=(seed + 1) / step, inner={"kl": step * 0.1}, note="words")
            usual = {"accuracy": 0.5 + seed, "nested": {"a": seed}, "board": [{"x": 1}]}
            run.finish(usual | dict(measured))
        edit(run.path, record)
        return run.path

    return make


def edit(folder: Path, changes: Mapping[str, Any]) -> None:
    """Change fields of a run's record."""
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | dict(changes)))


@pytest.fixture
def bad_runs(root: Path, make_run: Callable[..., Path]) -> dict[str, Path]:
    """Run folders that cannot be read, each for a reason of its own."""
    broken = {
        "text": "{half",
        "list": "[]",
        "empty": "",
        "lacking": '{"format": 1}',
        "newer": '{"format": 99}',
        "binary": "\udcff",
    }
    found = {}
    for name, text in broken.items():
        folder = root / "libra" / f"bad-{name}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(text, errors="surrogateescape")
        found[name] = folder
    wrong: dict[str, dict[str, Any]] = {
        "started": {"started": 5},
        "process": {"status": "running", "process": [1]},
        "process-text": {"status": "running", "process": {"a": 1}},
        "seconds": {"seconds": "long"},
        "room": {"room": None},
    }
    for name, changes in wrong.items():
        found[name] = make_run()
        edit(found[name], changes)
    return found


@pytest.fixture
def tour(make_run: Callable[..., Path]) -> Path:
    """A tour's run folder, whose report links to one of a room inside it."""
    folder = make_run("tour", "tour")
    inner = Report("Inner", "the room's own")
    inner.save(folder / "rooms" / "libra")
    report = Report("A tour", EVIL)
    report.link("Libra", "rooms/libra/report.html")
    report.save(folder)
    return folder
