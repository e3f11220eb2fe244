"""Step records and the JSON-lines file that holds them; adapters for two dashboards."""

import json
import operator
import os
import time
from collections.abc import Iterator, Mapping
from numbers import Real
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from equipoise.core.errors import InvalidInput
from equipoise.core.extras import is_present
from equipoise.core.files import from_json, iter_jsonl, to_json, write_atomic


class StepRecord(Mapping[str, Any]):
    """One step of a loop: a read-only mapping whose keys also read as attributes.

    >>> record = StepRecord(3, loss=0.5)
    >>> record.step, record["loss"], record.loss
    (3, 0.5, 0.5)
    """

    __slots__ = ("_values",)
    _values: dict[str, Any]

    def __init__(self, /, step: int, **values: Any) -> None:
        try:
            step = operator.index(step)  # NumPy's integers become plain ones
        except TypeError:
            raise InvalidInput(f"step is {step!r}; it must be a whole number") from None
        object.__setattr__(self, "_values", {"step": step, **values})

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_values":
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(
                f"this step record has no {name!r}; it has {', '.join(self._values)}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"step records are read-only; cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"step records are read-only; cannot delete {name!r}")

    def __hash__(self) -> int:
        return hash(self._values["step"])

    def __repr__(self) -> str:
        inside = ", ".join(f"{key}={value!r}" for key, value in self._values.items())
        return f"StepRecord({inside.removeprefix('step=')})"

    def __reduce__(self) -> tuple[Any, ...]:
        rest = {key: value for key, value in self._values.items() if key != "step"}
        return _restore, (self._values["step"], rest)


def _restore(step: int, values: dict[str, Any]) -> StepRecord:
    return StepRecord(step, **values)


class MetricsFile:
    """Appends step records to a JSON-lines file, one flushed line each."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._whole = False  # whether the file is known to end with a whole line

    def append(self, record: StepRecord) -> None:
        """Write one record; the line is complete on disk or, after a crash, dropped when read."""
        line = json.dumps(to_json(record), ensure_ascii=False, allow_nan=False) + "\n"
        with open(self.path, "ab") as file:
            if not self._whole and file.tell() and not _ends_a_line(self.path):
                line = "\n" + line  # a killed process left half a line
            self._whole = False  # until it is written: the disk may be full
            file.write(line.encode("utf-8"))
        self._whole = True

    def keep_until(self, step: int | None) -> int:
        """Drop broken lines and the records after `step` (None: keep all); return how many remain.

        A loop that continues from a checkpoint calls this, so that no step stands twice.
        """
        records = [r for r in read_metrics(self.path) if step is None or r["step"] <= step]
        lines = [json.dumps(to_json(r), ensure_ascii=False) + "\n" for r in records]
        if self.path.exists() or lines:
            write_atomic(self.path, "".join(lines))
        return len(records)


def _ends_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_metrics(path: str | Path) -> list[StepRecord]:
    """Return the records of a `metrics.jsonl`; missing file: none; a broken line is left out."""
    if not Path(path).exists():
        return []
    records: list[StepRecord] = []
    for _, value in iter_jsonl(path):
        if isinstance(value, dict) and isinstance(value.get("step"), int):
            records.append(StepRecord(**from_json(value)))
    return records


class Timer:
    """Adds up wall-clock seconds by name: `with timer("forward"):`; see `seconds`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[tuple[str, float]] = []

    def __call__(self, name: str) -> Self:
        """Name the span that the next `with` opens."""
        self._open.append((name, 0.0))
        return self

    def __enter__(self) -> Self:
        name, _ = self._open.pop()
        self._open.append((name, time.perf_counter()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        name, start = self._open.pop()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def _scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the numeric values of a record, nested mappings joined with `/`."""
    found: dict[str, float] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= {f"{key}/{inner}": number for inner, number in _scalars(value).items()}
        elif isinstance(value, Real) and key != "step":
            found[key] = float(value)
    return found


class TensorBoardWriter:
    """Forwards step records to TensorBoard event files, where `tensorboard` is installed.

    Raises:
        MissingExtra: TensorBoard is absent.
    """

    def __init__(self, folder: str | Path) -> None:
        from equipoise.core.extras import require

        require("tensorboard", "dev")
        proto = require("tensorboard.compat.proto.summary_pb2", "dev")
        events = require("tensorboard.compat.proto.event_pb2", "dev")
        writer = require("tensorboard.summary.writer.event_file_writer", "dev")
        self._summary, self._event = proto.Summary, events.Event
        self._writer = writer.EventFileWriter(str(folder))

    def append(self, record: StepRecord) -> None:
        """Write the record's numbers."""
        values = [
            self._summary.Value(tag=tag, simple_value=value)
            for tag, value in _scalars(record).items()
        ]
        event = self._event(
            wall_time=time.time(), step=record["step"], summary=self._summary(value=values)
        )
        self._writer.add_event(event)

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()


class TrackioWriter:
    """Forwards step records to trackio, where it is installed.

    Raises:
        MissingExtra: trackio is absent.
    """

    def __init__(self, project: str, name: str, config: Mapping[str, Any] | None = None) -> None:
        from equipoise.core.errors import MissingExtra

        if not is_present("trackio"):
            raise MissingExtra(
                "this needs trackio, which is not installed; run: pip install trackio"
            )
        import importlib

        trackio = importlib.import_module("trackio")
        self._run = trackio.init(project=project, name=name, config=dict(config or {}))

    def append(self, record: StepRecord) -> None:
        """Write the record's numbers."""
        self._run.log(_scalars(record), step=record["step"])

    def close(self) -> None:
        """End the trackio run."""
        self._run.finish()
