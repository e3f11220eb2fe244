"""`equipoise runs`: list, show, compare, resume."""

import os
from pathlib import Path
from typing import Any

from equipoise.core.console import note
from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.planned import planned
from equipoise.core.rooms import rooms
from equipoise.core.runs import Run, RunInfo, compare_runs, find_run, list_runs

_STATUSES = ("running", "done", "failed", "interrupted", "broken")


def _row(info: RunInfo) -> dict[str, Any]:
    return {
        "path": str(info.path),
        "room": info.room,
        "verb": info.verb,
        "preset": info.preset,
        "seed": info.seed,
        "status": info.status,
        "seconds": info.seconds,
    }


def list_(*, root: Path = Path("runs"), room: str = "", status: str = "") -> dict[str, Any]:
    """List the runs, newest first.

    Args:
        root: folder of the runs.
        room: only this room's.
        status: only those running, done, failed, interrupted or broken.
    """
    if status and status not in _STATUSES:
        raise unknown_name("status", status, _STATUSES)
    wanted = room.replace("-", "_")
    infos = list_runs(root)
    known = {*rooms(), *planned(), *(info.room for info in infos)}
    if wanted and wanted not in known:
        raise unknown_name("room", room, sorted(name.replace("_", "-") for name in known))
    found = [
        info
        for info in infos
        if (not wanted or info.room == wanted) and (not status or info.status == status)
    ]
    for info in found:
        if info.status == "broken":
            note(f"{info.path}: {info.note}")
    return {"runs": [_row(info) for info in found]}


def show_(run: str, /, *, root: Path = Path("runs"), open: bool = False) -> dict[str, Any]:
    """Show one run: its record and results; its report is brought up to date.

    Args:
        run: folder, folder name, or `latest`.
        root: folder of the runs.
        open: open the report in the browser.
    """
    folder = find_run(run, root)
    one = Run.open(folder)
    from equipoise.report import complete_report

    report, record = folder / "report.html", folder / "run.json"
    if not report.exists() or report.stat().st_mtime_ns < record.stat().st_mtime_ns:
        report = complete_report(folder)
    if open:
        import webbrowser

        webbrowser.open(report.resolve().as_uri())
    results = {name: part for name, part in one.results.items() if part}
    return _row(one.info) | {"results": results, "report": str(report)}


def compare_(first: str, second: str, /, *, root: Path = Path("runs")) -> dict[str, Any]:
    """Compare two runs: configuration fields that differ, measured values side by side.

    Args:
        first: a run.
        second: another run.
        root: folder of the runs.
    """
    answer = compare_runs(find_run(first, root), find_run(second, root))
    return {
        "first": _row(answer.first),
        "second": _row(answer.second),
        "config": {name: list(pair) for name, pair in answer.config.items()},
        "measured": {name: list(pair) for name, pair in answer.measured.items()},
    }


def resume_(run: str, /, *, root: Path = Path("runs")) -> Any:
    """Continue an interrupted run with the line that started it.

    Args:
        run: folder, folder name, or `latest`.
        root: folder of the runs.
    """
    folder = find_run(run, root).resolve()
    one = Run.open(folder)
    if one.status == "done":
        raise InvalidInput(f"{folder} is finished; `equipoise runs show` shows it")
    line = one.record.get("argv") or []
    if not line:
        raise InvalidInput(f"{folder} was not started from a command line; call its function again")
    from equipoise.cli import dispatch

    cwd = one.record.get("cwd")
    if cwd and Path(cwd).is_dir():
        os.chdir(cwd)  # the line may name files relative to where it was given
    return dispatch([*without_out(line), "--out", str(folder)])


def without_out(line: list[str]) -> list[str]:
    """Return a command line without `--out FOLDER` and without the options of the launcher."""
    kept: list[str] = []
    skip = False
    for token in line:
        if skip:
            skip = False
        elif token == "--out":  # noqa: S105
            skip = True
        elif not token.startswith("--out=") and token not in ("--json", "--debug"):
            kept.append(token)
    return kept
