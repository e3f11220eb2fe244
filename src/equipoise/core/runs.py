"""Run folders: what was asked for, on what machine, what came out; resumable, listed, compared.

Layout: `runs/<room>/<time>-<verb>-<preset>-<seed>/` with `run.json`, `config.json`,
`metrics.jsonl`, `results.json`, `report.html`, `plots/`, `media/`, `checkpoints/`.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from equipoise.core.config import diff_configs, to_plain
from equipoise.core.errors import InvalidInput, MissingData
from equipoise.core.files import from_json, to_json, write_atomic
from equipoise.core.metrics import MetricsFile, StepRecord, read_metrics
from equipoise.core.provenance import (
    command_line,
    git_revision,
    is_alive,
    machine,
    package_versions,
    this_process,
)

FORMAT = 1
Status = Literal["running", "done", "failed", "interrupted", "broken"]


@dataclass(frozen=True)
class RunInfo:
    """A run folder at a glance; `seconds` is the time worked on it, over all its sessions."""

    path: Path
    room: str
    verb: str
    preset: str
    seed: int
    status: Status
    seconds: float
    started: str = ""
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side: what differed in the configuration, and each measured number."""

    first: RunInfo
    second: RunInfo
    config: dict[str, tuple[Any, Any]]
    measured: dict[str, tuple[Any, Any]]


class Run:
    """One run folder, open for writing. Use it as `with run:` so that a failure is recorded.

    Attributes:
        path: the folder.
        record: what `run.json` holds.
        joined: a verb of this process had already started the run; that verb finishes it.
    """

    def __init__(self, path: Path, record: dict[str, Any], *, joined: bool = False) -> None:
        self.path = path
        self.record = record
        self.joined = joined
        self._metrics = MetricsFile(path / "metrics.jsonl")
        self._opened = time.monotonic()

    @classmethod
    def create(
        cls,
        room: str,
        verb: str,
        config: Any,
        *,
        preset: str = "tiny",
        seed: int = 0,
        root: str | Path = "runs",
        folder: str | Path | None = None,
    ) -> Self:
        """Start a run in a new folder under `root`, or in `folder`.

        `folder` may be new, empty, or hold an interrupted or failed run of the same room, verb,
        seed and configuration, which is then continued. A run that this process is working on is
        joined: a verb starts the run, the loop that it calls with `out=run.path` logs into it.

        Raises:
            InvalidInput: `folder` holds something else, a finished run, or one still running.
        """
        for kind, name in (("room", room), ("verb", verb), ("preset", preset)):
            if not name or name != Path(name).name or name.startswith("."):
                raise InvalidInput(f"{kind} {name!r} cannot stand in a run's folder name")
        plain = _plain_config(config)
        if folder is None:
            name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{verb}-{preset}-{seed}"
            return cls._begin(_new_folder(Path(root) / room, name), room, verb, preset, seed, plain)
        path = Path(folder)
        with _claim(path):  # two processes may be given one folder in the same instant
            if _holds_something(path):
                return cls._continue(path, room, verb, plain, seed)
            path.mkdir(parents=True, exist_ok=True)
            return cls._begin(path, room, verb, preset, seed, plain)

    @classmethod
    def _begin(
        cls, path: Path, room: str, verb: str, preset: str, seed: int, config: dict[str, Any]
    ) -> Self:
        record = {
            "format": FORMAT,
            "room": room,
            "verb": verb,
            "preset": preset,
            "seed": int(seed),
            "argv": command_line(room, verb),
            "cwd": str(Path.cwd()),
            "started": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "seconds": 0.0,
            "git": git_revision(),
            "versions": package_versions(),
            "machine": machine(),
        }
        run = cls(path, record)
        run._save("running")  # first, so that a run killed here is known as one
        run._save_config(config)
        return run

    @classmethod
    def _continue(cls, path: Path, room: str, verb: str, config: Any, seed: int) -> Self:
        if not (path / "run.json").exists():
            raise InvalidInput(f"{path} is not empty and holds no run; name a new or empty folder")
        info, record = _info(path), _read_record(path)
        joined = info.status == "running" and record["process"][0] == os.getpid()
        ours = {"room": room, "seed": seed} | ({} if joined else {"verb": verb})
        for name, value in ours.items():
            if record[name] != value:
                raise InvalidInput(
                    f"{path} holds a run of {name} {record[name]!r}, not {value!r}; use a new one"
                )
        run = cls(path, record, joined=joined)
        if joined and config == {}:
            return run
        if info.status == "done":
            raise InvalidInput(f"{path} holds a finished run; name a new folder or remove it")
        if info.status == "running" and not joined:
            raise InvalidInput(f"{path} is in use by process {record['process'][0]}")
        if not (path / "config.json").exists():  # killed before it was written
            run._save_config(config)
        difference = diff_configs(run.config, config)
        if difference:
            field, (old, new) = next(iter(difference.items()))
            raise InvalidInput(
                f"{path} holds a run with {field} = {old!r}, not {new!r}; name a new folder"
            )
        if joined:
            return run
        run._metrics.keep_until(None)
        run._save("running")
        return run

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open an existing run folder to read it or add to it.

        Raises:
            MissingData: no run there.
            InvalidInput: its `run.json` is broken, or of a newer version of this package.
        """
        return cls(Path(path), _read_record(Path(path)))

    @property
    def info(self) -> RunInfo:
        """The run at a glance."""
        return _info(self.path)

    @property
    def status(self) -> Status:
        """`running`, `done`, `failed` or `interrupted`; a dead process's run is interrupted."""
        return _info(self.path).status

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as saved, plain data."""
        return _read_json(self.path / "config.json")

    @property
    def metrics(self) -> list[StepRecord]:
        """All step records so far."""
        return read_metrics(self.path / "metrics.jsonl")

    @property
    def results(self) -> dict[str, Any]:
        """`{"measured", "published", "units"}`, empty mappings where the run has not finished."""
        if not (self.path / "results.json").exists():
            return {"measured": {}, "published": {}, "units": {}}
        return from_json(_read_json(self.path / "results.json"))

    @property
    def plots(self) -> Path:
        """Folder of the run's plots."""
        return self._folder("plots")

    @property
    def media(self) -> Path:
        """Folder of the run's pictures, videos and sounds."""
        return self._folder("media")

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's checkpoints, one folder each."""
        return self._folder("checkpoints")

    def log(self, step: int, **metrics: Any) -> StepRecord:
        """Append one step record to `metrics.jsonl` and return it."""
        record = StepRecord(step, **metrics)
        self._metrics.append(record)
        return record

    def rewind(self, step: int | None) -> int:
        """Drop the records after `step`, where a loop continues; return how many remain."""
        return self._metrics.keep_until(step)

    def finish(self, results: Mapping[str, Any]) -> Path:
        """Write `results.json` and mark the run done.

        Args:
            results: `{"measured": {...}, "published": {...}, "units": {...}}`, or the measured
                values alone.
        """
        parts = ("measured", "published", "units")
        if "measured" in results and set(results) <= set(parts):
            whole = {part: dict(results.get(part, {})) for part in parts}
        else:
            whole = {"measured": dict(results), "published": {}, "units": {}}
        text = json.dumps(to_json(whole), indent=1, ensure_ascii=False) + "\n"
        path = write_atomic(self.path / "results.json", text)
        self._save("done")
        return path

    def mark(self, status: Literal["failed", "interrupted"], note: str = "") -> None:
        """Record that work on the run ended early, and why."""
        self._save(status, note)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or self.record["status"] == "done":
            return
        if issubclass(kind, Exception):
            self.mark("failed", f"{kind.__name__}: {error}")
        else:
            self.mark("interrupted")

    def _folder(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        return folder

    def _save_config(self, plain: dict[str, Any]) -> None:
        text = json.dumps(plain, indent=1, ensure_ascii=False) + "\n"
        write_atomic(self.path / "config.json", text)

    def _save(self, status: Status, note: str = "") -> None:
        now = time.monotonic()
        self.record["seconds"] = round(self.record["seconds"] + now - self._opened, 3)
        self._opened = now
        self.record |= {"status": status, "note": note, "process": this_process()}
        self.record["updated"] = datetime.now(UTC).isoformat(timespec="seconds")
        text = json.dumps(self.record, indent=1, ensure_ascii=False) + "\n"
        write_atomic(self.path / "run.json", text)


def list_runs(root: str | Path = "runs") -> list[RunInfo]:
    """Return the runs under `root`, newest first; a folder that cannot be read is `broken`."""
    found = [info_of(path.parent) for path in Path(root).glob("*/*/run.json")]
    return sorted(found, key=lambda info: (info.started, str(info.path)), reverse=True)


def info_of(folder: Path) -> RunInfo:
    """Return a run at a glance, `broken` with the reason in its note where it cannot be read."""
    try:
        info = _info(folder)
        texts = (info.room, info.verb, info.preset, info.status, info.started, info.note)
        if not all(isinstance(text, str) for text in texts):
            raise InvalidInput(f"{folder / 'run.json'} holds a field of the wrong kind")
        return info
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = str(error) or type(error).__name__
        return RunInfo(folder, folder.parent.name, "", "", 0, "broken", 0.0, note=reason)


def find_run(name: str | Path, root: str | Path = "runs") -> Path:
    """Return the folder that `name` means: a path, a folder name under `root`, or `latest`.

    Raises:
        MissingData: no such run; the nearest name is given.
    """
    from equipoise.core.errors import nearest

    if (Path(name) / "run.json").exists():
        return Path(name)
    known = [info.path for info in list_runs(root)]
    if str(name) == "latest" and known:
        return known[0]
    matches = [path for path in known if path.name == str(name)]
    if matches:
        return matches[0]
    close = nearest(Path(name).name, [path.name for path in known])
    hint = f"; did you mean {close!r}?" if close else ";"
    raise MissingData(f"no run {str(name)!r} here{hint} `equipoise runs list` shows all")


def compare_runs(first: str | Path, second: str | Path) -> Comparison:
    """Compare two run folders: configuration fields that differ, measured values side by side."""
    a, b = Run.open(first), Run.open(second)
    left, right = a.results["measured"], b.results["measured"]
    names = list(left) + [name for name in right if name not in left]
    measured = {name: (left.get(name), right.get(name)) for name in names}
    return Comparison(a.info, b.info, diff_configs(a.config, b.config), measured)


def _plain_config(config: Any) -> dict[str, Any]:
    if config is None:
        return {}
    # through JSON, so that what is compared on resuming is what was written
    plain = dict(config) if isinstance(config, Mapping) else to_plain(config)
    return json.loads(json.dumps(to_json(plain), ensure_ascii=False))


def _holds_something(folder: Path) -> bool:
    """Return whether a folder is there and not empty; what a killed write left does not count."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is a file; name a new or empty folder")
    names = [entry.name for entry in folder.iterdir()]
    return any(not (n.startswith(".run.json.") and n.endswith(".part")) for n in names)


def _claim(folder: Path) -> Any:
    """Return a lock on a run folder; it lies elsewhere, so that the folder holds the run alone."""
    from filelock import FileLock

    name = hashlib.sha256(f"{Path.home()}|{folder.resolve()}".encode()).hexdigest()[:24]
    return FileLock(Path(tempfile.gettempdir()) / f"equipoise-{name}.lock")


def _new_folder(parent: Path, name: str) -> Path:
    """Create a folder that was not there: two runs of one second get different names."""
    parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, 10_000):
        path = parent / (name if number == 1 else f"{name}.{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise InvalidInput(f"ten thousand runs named {name} stand in {parent}; remove some")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None


def _read_record(path: Path) -> dict[str, Any]:
    if not (path / "run.json").exists():
        raise MissingData(f"no run at {path}: it has no run.json")
    record = _read_json(path / "run.json")
    version = record.get("format") if isinstance(record, dict) else None
    if not isinstance(version, int):
        raise InvalidInput(f"{path / 'run.json'} is not a run record")
    if version > FORMAT:
        raise InvalidInput(
            f"{path} was written by a newer equipoise (run format {version}, this one reads up to "
            f"{FORMAT}); update equipoise to open it"
        )
    missing = [k for k in ("room", "verb", "preset", "seed", "status") if k not in record]
    if missing:
        raise InvalidInput(f"{path / 'run.json'} lacks {', '.join(missing)}")
    return record


def _info(path: Path) -> RunInfo:
    record = _read_record(path)
    status = record["status"]
    if status == "running" and not is_alive(record.get("process")):
        status = "interrupted"
    return RunInfo(
        path=path,
        room=record["room"],
        verb=record["verb"],
        preset=record["preset"],
        seed=record["seed"],
        status=status,
        seconds=float(record.get("seconds", 0.0)),
        started=record.get("started", ""),
        note=record.get("note", ""),
    )
