"""A toy room, the only one installed, and the command line run in this process or another."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import equipoise.systems
from equipoise.core.planned import planned
from equipoise.core.rooms import rooms

INIT = '''
from equipoise.core.rooms import Room

ROOM = Room(
    name="toy_room",
    title="A toy",
    paper="On toys",
    bibtex="""
@misc{toy,
  title = {On toys}
}
""",
    presets=("tiny", "small"),
    verbs={
        "train": "equipoise.systems.toy_room.commands:train",
        "fail": "equipoise.systems.toy_room.commands:fail",
        "say": "equipoise.systems.toy_room.commands:say",
    },
    config="equipoise.systems.toy_room.config:ToyConfig",
    note="a toy, reconstructed",
)
'''
CONFIG = """
from dataclasses import dataclass
from typing import ClassVar

from equipoise.core.config import Config


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    more_rate: float = 0.0


@dataclass(frozen=True)
class ToyConfig(Config):
    steps: int = 3
    pause: float = 0.0
    inner: Inner = Inner()
    PRESETS: ClassVar = {"tiny": {}, "small": {"steps": 5}}
"""
COMMANDS = '''
import os
import time
from pathlib import Path

from equipoise.core import errors
from equipoise.core.config import load_config
from equipoise.core.console import note
from equipoise.core.runs import Run

from .config import ToyConfig


def train(*, preset: str = "tiny", seed: int = 0, out: Path | None = None, **changes: str) -> dict:
    """Train
    a toy.

    Args:
        preset: tiny or small.
        seed: of nothing.
        out: run folder.
        changes: fields of the configuration.
    """
    config = load_config(ToyConfig, overrides=changes, preset=preset)
    with Run.create("toy_room", "train", config, preset=preset, seed=seed, folder=out) as run:
        for step in range(len(run.metrics) + 1, config.steps + 1):
            run.log(step, loss=(config.inner.rate + config.inner.more_rate) / step)
            note(f"step {step}")
            if os.environ.get("TOY_STOP") == str(step):
                raise {"interrupt": KeyboardInterrupt, "fail": RuntimeError}[os.environ["TOY_HOW"]]
            time.sleep(config.pause)
        results = {"loss": run.metrics[-1].loss, "steps": len(run.metrics)}
        run.finish(results)
    return {"run": str(run.path), **results}


def fail(kind: str) -> None:
    """Fail in one of several ways.

    Args:
        kind: the way.
    """
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "bug":
        raise KeyError("two\\nlines")
    if kind == "silent":
        raise RuntimeError
    raise getattr(errors, kind)("what was given,\\n  what to do")


def say(*words: str, loud: bool = False) -> dict:
    """Say words."""
    return {"words": list(words), "loud": loud, "nan": float("nan"), "where": Path("x")}
'''


@dataclass
class Outcome:
    """What one command line gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def toy_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the toy room alone and work in an empty folder with an empty cache."""
    package = tmp_path / "systems" / "toy_room"
    package.mkdir(parents=True)
    for name, text in {"__init__": INIT, "config": CONFIG, "commands": COMMANDS}.items():
        (package / f"{name}.py").write_text(text)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(equipoise.systems, "__path__", [str(package.parent)])
    for found in (rooms, planned):
        found.cache_clear()
    yield tmp_path / "work"
    for found in (rooms, planned):
        found.cache_clear()
    for name in [n for n in sys.modules if n.startswith("equipoise.systems.toy_room")]:
        del sys.modules[name]
    if hasattr(equipoise.systems, "toy_room"):
        delattr(equipoise.systems, "toy_room")


@pytest.fixture
def call(toy_room: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line in this process."""
    from equipoise.cli import main

    def call(*arguments: str) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        out, err = capsys.readouterr()
        return Outcome(int(str(caught.value.code)), out, err)

    return call


@pytest.fixture
def spawn(toy_room: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a command line in a process of its own, which sees the toy room as well."""
    script = textwrap.dedent(
        f"""
        import sys
        import equipoise.systems
        equipoise.systems.__path__ = [{str(toy_room.parent / "systems")!r}]
        sys.argv[0] = "equipoise"
        from equipoise.cli import main
        main()
        """
    )

    def spawn(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return spawn
