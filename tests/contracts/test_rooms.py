"""What every room promises; a room added later is held to this without a new test."""

import dataclasses
import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.config import Config, config_fields, dump_config, load_config
from equipoise.core.errors import MissingData
from equipoise.core.files import JsonlProblem, iter_jsonl
from equipoise.core.rooms import Room, load, rooms
from equipoise.core.store import path_of

ROOMS = list(rooms().values())
VERBS = [(room, verb) for room in ROOMS for verb in room.verbs]
each_room = pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.slug)


def verb_id(value: Any) -> str:
    return value.slug if isinstance(value, Room) else str(value)


each_verb = pytest.mark.parametrize(("room", "verb"), VERBS, ids=verb_id)


@each_room
def test_record_is_plain_strings(room):
    for name in ("name", "title", "paper", "bibtex", "config", "note"):
        assert isinstance(getattr(room, name), str)
    assert room.title
    assert room.paper
    assert re.search(r"@\w+\{\w+,", room.bibtex), "bibtex holds no entry"
    assert all(isinstance(text, str) for pair in room.verbs.items() for text in pair)
    assert "demo" in room.verbs
    assert room.name == importlib.import_module(f"equipoise.systems.{room.name}").ROOM.name


@each_room
def test_room_has_the_files_every_room_has(room, root):
    folder = root / "src" / "equipoise" / "systems" / room.name
    for name in ("README.md", "__init__.py", "config.py", "commands.py"):
        assert (folder / name).is_file(), f"{room.name} lacks {name}"
    assert (root / "docs" / "rooms" / f"{room.slug}.md").is_file(), "no page in the documents"
    assert (root / "tests" / "systems" / room.name).is_dir(), "no tests"


@each_room
def test_public_surface_is_small_and_holds_the_record(room):
    package = importlib.import_module(f"equipoise.systems.{room.name}")
    assert "ROOM" in package.__all__
    assert len(package.__all__) <= 30
    assert room.config.split(":")[1] in package.__all__


@each_room
def test_importing_the_room_loads_nothing_heavy(room):
    code = (
        f"import sys, equipoise.systems.{room.name}\n"
        "heavy = {'torch', 'jax', 'transformers', 'mujoco', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, f"loads {done.stderr.strip()}"


@each_room
def test_verbs_module_loads_no_torch(room):
    modules = sorted({target.partition(":")[0] for target in room.verbs.values()})
    code = f"import sys, {', '.join(modules)}\nsys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@each_verb
def test_verb_is_a_documented_function(room, verb):
    function = room.verb(verb)
    assert inspect.isfunction(function)
    text = inspect.getdoc(function) or ""
    assert text, "no docstring, so no help"
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            assert re.search(rf"^\s+\**{name}( \(.*\))?:", text, re.M), f"no help for --{name}"


@each_room
def test_presets_and_configuration(room):
    cls = load(room.config)
    assert issubclass(cls, Config)
    assert dataclasses.is_dataclass(cls)
    assert set(room.presets) == set(cls.PRESETS)
    assert "tiny" in room.presets
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(cls(), dataclasses.fields(cls)[0].name, None)


@each_room
@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_configuration_round_trip(room, suffix, tmp_path):
    cls = load(room.config)
    for preset in room.presets:
        config = cls.preset(preset)
        path = dump_config(config, tmp_path / f"config{suffix}")
        assert load_config(cls, path) == config


def changed_text(value: Any, hint: Any) -> str:
    """Return the command-line text of a value other than `value` that fits the field."""
    options = [o for o in getattr(hint, "__args__", ()) if isinstance(o, str) and o != value]
    if options:
        return options[0]
    if isinstance(value, bool):
        return str(not value).lower()
    if isinstance(value, (int, float)):
        return repr(value + 1)
    if isinstance(value, tuple) and value:
        return ",".join(repr(v + 1) if isinstance(v, (int, float)) else f"{v}x" for v in value)
    numeric = not isinstance(value, str) and any(kind in str(hint) for kind in ("int", "float"))
    return "3" if numeric else "other"


@each_room
def test_every_config_field_is_reachable_from_the_command_line(room):
    from equipoise.cli import build_app, nested

    cls = load(room.config)
    taking = [
        verb
        for verb in room.verbs
        if any(
            p.kind is inspect.Parameter.VAR_KEYWORD
            for p in inspect.signature(room.verb(verb)).parameters.values()
        )
    ]
    assert taking, "no verb takes the fields of the configuration"
    verb = "train" if "train" in taking else taking[0]
    default = cls()
    parameters = inspect.signature(room.verb(verb)).parameters
    named = set(parameters)
    required = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    for field, hint in config_fields(cls).items():
        value = default
        for part in field.split("."):
            value = getattr(value, part)
        text = changed_text(value, hint)
        option = "--" + field.replace("_", "-")
        given = ["any" for name in required if name != field]
        tokens = [room.slug, verb, *given, *(nested(token) for token in (option, text))]
        _, bound, _ = build_app().parse_args(tokens, exit_on_error=False, print_error=False)
        if field in named:
            assert field in bound.arguments
            continue
        changes = bound.arguments["changes"]
        config = load_config(cls, overrides=changes)
        reached: Any = config
        for part in field.split("."):
            reached = getattr(reached, part)
        assert reached != value, f"{option} {text} changed nothing"


@each_room
def test_unknown_field_and_preset_name_the_nearest(room, tmp_path):
    cls = load(room.config)
    field = next(iter(config_fields(cls)))
    for line in (["--preset", "tinyy"], [f"--{field}x", "1"]):
        done = run_cli([room.slug, "demo", *line, "--out", str(tmp_path / "run")], tmp_path)
        assert done.returncode == 2, done.stderr
        message = done.stderr.strip().splitlines()[-1]
        assert ("tiny" if line[0] == "--preset" else field) in message
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "run" / "run.json").exists()


def cli_environment(cache: Path) -> dict[str, str]:
    """Return an environment without pulled models: demos then run on scripted stand-ins."""
    return {
        **os.environ,
        "EQUIPOISE_CACHE": str(cache),
        "PIP_NO_INDEX": "1",
        "OMP_NUM_THREADS": "1",
    }


def run_cli(line: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "equipoise", *line],
        cwd=folder,
        env=cli_environment(folder / "cache"),
        capture_output=True,
        text=True,
        timeout=240,
    )


def steady(record: Any) -> Any:
    """Return a record without what may differ between two equal runs: times, paths, machine."""
    if isinstance(record, dict):
        return {
            key: steady(value)
            for key, value in record.items()
            if not re.search(r"second|time|_ms$|_s$|run$|path|report|bytes", str(key))
        }
    return [steady(item) for item in record] if isinstance(record, list) else record


def outcome(run: Path) -> tuple[list[Any], Any]:
    """Return the metrics and results of a run folder, times left out."""
    path = run / "metrics.jsonl"
    rows = [value for _, value in iter_jsonl(path)] if path.exists() else []
    assert not any(isinstance(row, JsonlProblem) for row in rows)
    return [steady(row) for row in rows], steady(json.loads((run / "results.json").read_text()))


@pytest.mark.standard
@each_room
def test_same_seed_same_metrics_and_resumed_equals_uninterrupted(room, tmp_path):
    line = [room.slug, "demo", "--preset", "tiny", "--seed", "3", "--json", "--out"]
    first = run_cli([*line, "first"], tmp_path)
    assert first.returncode == 0, first.stderr
    keys = json.loads(first.stdout.splitlines()[-1])
    assert (tmp_path / keys["run"]).resolve() == (tmp_path / "first").resolve()
    assert (tmp_path / "first" / "report.html").stat().st_size > 1000
    second = run_cli([*line, "second"], tmp_path)
    assert second.returncode == 0, second.stderr
    assert outcome(tmp_path / "first") == outcome(tmp_path / "second")

    interrupted = 0
    for file in ("metrics.jsonl", "run.json"):  # a demo may end with its first metrics
        name = f"killed-at-{file}"
        killed = subprocess.Popen(
            [sys.executable, "-m", "equipoise", *line, name],
            cwd=tmp_path,
            env=cli_environment(tmp_path / "cache"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(tmp_path / name / file, killed)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        if (tmp_path / name / "results.json").exists():
            continue
        interrupted += 1
        again = run_cli([*line, name], tmp_path)
        assert again.returncode == 0, again.stderr
        assert outcome(tmp_path / name) == outcome(tmp_path / "first")
    assert interrupted, "no run could be interrupted before its end"


def records(run: Path) -> dict[str, list[Any]]:
    """Return every record that a run wrote, answers included, by file."""
    return {
        path.name: [steady(value) for _, value in iter_jsonl(path)] for path in run.glob("*.jsonl")
    }


@pytest.mark.standard
@each_room
def test_same_seed_same_records_on_stored_models_however_busy_the_machine(room, tmp_path):
    try:
        path_of("smollm2-135m")
    except MissingData as error:
        pytest.skip(str(error))
    line = [sys.executable, "-m", "equipoise", room.slug, "demo", "--preset", "tiny", "--out"]
    runs = []
    for name, head_start in (("first", 2.0), ("second", 0.0)):  # each disturbs the other elsewhere
        runs.append(
            subprocess.Popen(
                [*line, name],
                cwd=tmp_path,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        time.sleep(head_start)
    for run in runs:
        _, said = run.communicate(timeout=500)
        assert run.returncode == 0, said
    assert outcome(tmp_path / "first") == outcome(tmp_path / "second")
    assert records(tmp_path / "first") == records(tmp_path / "second")


def wait_for(file: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a run has written something into `file`, or has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and file.stat().st_size > 0:
            return
        time.sleep(0.005)
