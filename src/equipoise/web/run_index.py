"""The run folders under one root, found anew at every request and safe to ask for by name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from equipoise.core.errors import MissingData, nearest, unknown_name
from equipoise.core.runs import RunInfo, Status, list_runs

STATUSES: tuple[str, ...] = get_args(Status)


@dataclass(frozen=True)
class RunIndex:
    """Looks into `root` whenever it is asked; nothing is remembered between two calls."""

    root: Path

    def runs(self, room: str = "", status: str = "") -> list[RunInfo]:
        """Return the runs, newest first, of one room and one status where given.

        Raises:
            InvalidInput: a status that no run can have; the nearest is named.
        """
        if status and status not in STATUSES:
            raise unknown_name("status", status, STATUSES)
        wanted = room.replace("-", "_")
        return [
            info
            for info in list_runs(self.root)
            if wanted in ("", info.room) and status in ("", str(info.status))
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
        plain = all(
            part not in ("", ".", "..") and not set(part) & set("/\\\0") for part in (room, name)
        )
        if plain and _is_file(path / "run.json") and self._holds(path):
            return path
        known = [run_id(info.path) for info in self.runs()]
        close = nearest(f"{room}/{name}", known)
        hint = f" Did you mean {close}?" if close else ""
        raise MissingData(f"There is no run {room}/{name}.{hint}")

    def _holds(self, path: Path) -> bool:
        """Return whether a folder lies under the root even when links are followed."""
        return path.resolve().is_relative_to(self.root.resolve())

    def named(self, name: str) -> Path:
        """Return the folder of the run called `room/folder`, as `folder` does."""
        room, _, folder = name.partition("/")
        return self.folder(room, folder)

    def file(self, folder: Path, relative: str) -> Path:
        """Return a file of a run folder.

        Raises:
            MissingData: there is none, it is hidden, or it lies outside the folder.
        """
        hidden = any(part.startswith(".") for part in Path(relative).parts)
        if not hidden and _is_file(folder / relative):
            resolved = (folder / relative).resolve()
            if resolved.is_relative_to(folder.resolve()):
                return resolved
        raise MissingData(f"There is no file {relative} in this run.")


def _is_file(path: Path) -> bool:
    """Return whether a file is there; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def run_id(folder: Path) -> str:
    """Return the name of a run in addresses: `room/folder`."""
    return f"{folder.parent.name}/{folder.name}"


def as_json(info: RunInfo) -> dict[str, Any]:
    """Return a run as the command line's `runs list` gives it, with its name in addresses."""
    return {
        "id": run_id(info.path),
        "path": str(info.path),
        "room": info.room,
        "verb": info.verb,
        "preset": info.preset,
        "seed": info.seed,
        "status": info.status,
        "seconds": info.seconds,
        "started": info.started,
        "note": info.note,
    }


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; nothing where it is absent or broken."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
