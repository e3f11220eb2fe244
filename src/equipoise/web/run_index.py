"""The run folders under one root, found anew at every request and safe to ask for by name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from equipoise.core.errors import MissingData, nearest
from equipoise.core.runs import RunInfo, list_runs


@dataclass(frozen=True)
class RunIndex:
    """Looks into `root` whenever it is asked; nothing is remembered between two calls."""

    root: Path

    def runs(self, room: str = "", status: str = "") -> list[RunInfo]:
        """Return the runs, newest first, of one room and one status where given."""
        return [
            info
            for info in list_runs(self.root)
            if room in ("", info.room) and status in ("", info.status)
        ]

    def latest(self) -> dict[str, RunInfo]:
        """Return each room's newest run, by the room's name."""
        found: dict[str, RunInfo] = {}
        for info in self.runs():
            found.setdefault(info.room, info)
        return found

    def folder(self, room: str, name: str) -> Path:
        """Return a run's folder.

        Raises:
            MissingData: there is none of that name under the root; the nearest is named.
        """
        path = self.root / room / name
        plain = all(part not in ("", ".", "..") and "/" not in part for part in (room, name))
        if plain and (path / "run.json").is_file():
            resolved = path.resolve()
            if resolved.is_relative_to(self.root.resolve()):
                return path
        close = nearest(name, [info.path.name for info in self.runs() if info.room == room])
        hint = f" Did you mean {close}?" if close else ""
        raise MissingData(f"There is no run {room}/{name}.{hint}")

    def info(self, folder: Path) -> RunInfo:
        """Return a run at a glance; one that cannot be read is `broken`, its note says why."""
        for info in self.runs():
            if info.path == folder:
                return info
        raise MissingData(f"There is no run {run_id(folder)}.")

    def file(self, folder: Path, relative: str) -> Path:
        """Return a file of a run folder.

        Raises:
            MissingData: there is none, it is hidden, or it lies outside the folder.
        """
        path = folder / relative
        hidden = any(part.startswith(".") for part in Path(relative).parts)
        if not hidden and "\0" not in relative and path.is_file():
            resolved = path.resolve()
            if resolved.is_relative_to(folder.resolve()):
                return resolved
        raise MissingData(f"There is no file {relative} in this run.")


def run_id(folder: Path) -> str:
    """Return the name of a run in addresses: `room/folder`."""
    return f"{folder.parent.name}/{folder.name}"


def as_json(info: RunInfo) -> dict[str, Any]:
    """Return a run as the command line's `runs list` gives it, with its name and page here."""
    return {
        "id": run_id(info.path),
        "href": f"/runs/{quote(run_id(info.path), errors='surrogateescape')}",
        "path": str(info.path),
        "room": str(info.room),
        "verb": str(info.verb),
        "preset": str(info.preset),
        "seed": info.seed,
        "status": info.status,
        "seconds": info.seconds,
        "started": str(info.started),
        "note": str(info.note),
    }


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; nothing where it is absent or broken."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
