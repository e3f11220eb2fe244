"""Any run folder as one page: its blocks, results, curves, plots, media, configuration, facts."""

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from equipoise.core.errors import EquipoiseError, MissingData
from equipoise.core.files import JsonlProblem, from_json, iter_jsonl, write_atomic
from equipoise.core.rooms import find_room
from equipoise.core.runs import Run
from equipoise.report.blocks import block_html
from equipoise.report.curves import curves_html, numeric_series
from equipoise.report.media import TYPES, kind_of
from equipoise.report.page import page_html
from equipoise.report.results import results_html
from equipoise.report.tables import heading, table_html

_MADE_HERE = '<meta name="generator" content="equipoise">'


def render_run(folder: str | Path) -> Path:
    """Write the `report.html` of a run folder from what lies in it, and return its path.

    Raises:
        MissingData: there is no such folder.
    """
    folder = Path(folder)
    return write_atomic(folder / "report.html", run_html(folder))


def complete_report(folder: str | Path) -> Path:
    """Add to the page that a verb saved what the run has come to since, and return its path.

    A page that a verb made without `Report`, and that so cannot be made again, is left as it is.
    """
    page = Path(folder) / "report.html"
    foreign = page.exists() and not page.with_name("report.json").exists()
    foreign = foreign and _MADE_HERE not in page.read_text(encoding="utf-8", errors="replace")
    return page if foreign else render_run(folder)


def run_html(folder: str | Path) -> str:
    """Return the page of a run folder; a broken or missing part is named on it, never fatal.

    Raises:
        MissingData: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingData(f"there is no run folder {folder}; `equipoise runs list` shows all")
    problems: list[str] = []
    record, status = _record(folder, problems)
    saved = _mapping(folder / "report.json", problems, required=False)
    blocks = saved.get("blocks")
    blocks = (
        [block for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    )
    title, eyebrow = _title(record, folder)
    results = _mapping(folder / "results.json", problems, required=status == "done")
    config = _mapping(folder / "config.json", problems, required=False)
    curves = _curves(folder / "metrics.jsonl", problems)
    shown = {str(block.get("file")) for block in blocks}
    after = [
        _part("Results", results_html(results)),
        # whoever chose what to show has chosen the curves too
        _folded("Curves", curves) if blocks else _part("Curves", curves),
        _part("Plots", _plots(folder, shown)),
        _part("Media", _media(folder, shown)),
        _details("Configuration", _flat(config)),
        _details("How it was run", _flat(record, leave_out=_ON_TOP)),
    ]
    notes = [f'<p class="problem">{escape(problem)}</p>' for problem in problems]
    return page_html(
        str(saved.get("title") or title),
        str(saved.get("lead") or ""),
        blocks,
        folder,
        eyebrow=eyebrow,
        facts=_facts(record),
        status=status,
        after=notes + after,
    )


_ON_TOP = ("format", "room", "verb", "preset", "seed", "status", "note", "process")


def _record(folder: Path, problems: list[str]) -> tuple[dict[str, Any], str]:
    """Return `run.json` as far as it can be read, and the run's state."""
    try:
        run = Run.open(folder)
        status: str = run.status
    except (EquipoiseError, ValueError, TypeError, LookupError) as error:
        problems.append(str(error))
        return _mapping(folder / "run.json", [], required=False), "broken"
    if run.record.get("note"):
        problems.append(f"This run is {status}: {run.record['note']}")
    return run.record, status


def _mapping(path: Path, problems: list[str], *, required: bool) -> dict[str, Any]:
    """Return the JSON object in a file; one that is absent or broken is empty and noted."""
    if not path.exists():
        if required:
            problems.append(f"{path.name} is missing.")
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{path.name} cannot be read: {error}")
        return {}
    if not isinstance(value, dict):
        problems.append(f"{path.name} holds no JSON object.")
        return {}
    return from_json(value)


def _title(record: Mapping[str, Any], folder: Path) -> tuple[str, str]:
    room, verb = str(record.get("room", "")), str(record.get("verb", ""))
    eyebrow = " · ".join(part for part in (room.replace("_", "-"), verb) if part)
    if not room:
        return folder.name, eyebrow
    try:
        return find_room(room).title, eyebrow
    except EquipoiseError:
        return f"{heading(room)}: {verb}", eyebrow


def _facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [
        (heading(key), str(record[key]))
        for key in ("preset", "seed")
        if record.get(key) not in (None, "")
    ]
    if isinstance(record.get("seconds"), (int, float)):
        facts.append(("Time", duration(record["seconds"])))
    if record.get("started"):
        facts.append(
            ("Started", str(record["started"]).replace("T", " ").replace("+00:00", " UTC"))
        )
    return facts


def duration(seconds: float) -> str:
    """Return a length of time as people say it.

    >>> duration(3.21), duration(75), duration(7265)
    ('3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _curves(path: Path, problems: list[str]) -> str:
    if not path.exists():
        return ""
    records: list[Mapping[str, Any]] = []
    broken: list[int] = []
    try:
        for number, value in iter_jsonl(path):
            if isinstance(value, JsonlProblem) or not isinstance(value, dict):
                broken.append(number)
            else:
                records.append(from_json(value))
    except OSError as error:
        problems.append(f"{path.name} cannot be read: {error}")
    if broken:
        lines = ", ".join(map(str, broken[:5])) + (", …" if len(broken) > 5 else "")
        problems.append(f"{path.name}: {len(broken)} unreadable line(s) left out (line {lines}).")
    return curves_html(numeric_series(records))


def _files(folder: Path, name: str, shown: set[str]) -> list[str]:
    """Return the files under a sub-folder that no block shows yet, relative to the run."""
    return [
        path.relative_to(folder).as_posix()
        for path in sorted((folder / name).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
        if path.relative_to(folder).as_posix() not in shown
    ]


def _plots(folder: Path, shown: set[str]) -> str:
    parts = []
    for file in _files(folder, "plots", shown):
        caption = heading(Path(file).stem.replace("-", " "))
        if file.lower().endswith(".svg"):
            parts.append(block_html({"type": "figure", "file": file, "caption": caption}, folder))
        elif Path(file).suffix.lower() in TYPES:
            parts.append(_media_block(file, caption, folder))
    return "".join(parts)


def _media(folder: Path, shown: set[str]) -> str:
    known = [f for f in _files(folder, "media", shown) if Path(f).suffix.lower() in TYPES]
    return "".join(_media_block(file, Path(file).name, folder) for file in known)


def _media_block(file: str, caption: str, folder: Path) -> str:
    block = {"type": "media", "file": file, "kind": kind_of(file), "caption": caption}
    return block_html(block, folder)


def _flat(value: Mapping[str, Any], before: str = "", leave_out: tuple[str, ...] = ()) -> Any:
    rows: list[dict[str, Any]] = []
    for key, item in value.items():
        if not before and key in leave_out:
            continue
        if isinstance(item, Mapping) and item:
            rows += _flat(item, f"{before}{key}.")
        else:
            # a text, so that settings are shown as they were written, not rounded
            text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
            rows.append({"name": f"{before}{key}", "value": text})
    return rows


def _part(title: str, content: str) -> str:
    return block_html({"type": "section", "title": title}, Path()) + content if content else ""


def _details(title: str, rows: list[dict[str, Any]]) -> str:
    return _folded(title, table_html(rows) if rows else "")


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>" if content else ""
