"""What enters a board: rows checked, duplicates refused, incomplete tasks out, gaps listed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, cast

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.evaluation import TaskResult
from equipoise.systems.libra.summary import LEAK


@dataclass(frozen=True)
class BoardInputs:
    """Checked rows and what must be said about them.

    Attributes:
        models: names with at least one score, sorted.
        results: the rows that count, sorted by model, then task.
        skipped: `{"model", "reason"}` for models without any score.
        missing: model -> tasks that others have and it lacks.
        notes: model -> marks for its row.
        warnings: marks for the whole board.
    """

    models: tuple[str, ...]
    results: tuple[TaskResult, ...]
    skipped: tuple[dict[str, str], ...]
    missing: Mapping[str, list[str]]
    notes: Mapping[str, list[str]]
    warnings: tuple[str, ...]


@cache
def compat_categories() -> dict[str, str]:
    """Return the published map from task to category: 57 tasks in four categories."""
    text = files("equipoise.systems.libra").joinpath("data/compat_categories.json").read_text()
    return {task: category for category, tasks in json.loads(text).items() for task in tasks}


def collect(
    results: Iterable[TaskResult | Mapping[str, Any]] | Mapping[str, Mapping[str, Any]],
    *,
    compat: bool = False,
    allow_incomplete: bool = False,
    prefer: str | None = None,
) -> BoardInputs:
    """Check rows (or a matrix `{model: {task: number or "N/A"}}`) and sort out which count.

    Args:
        results: rows, mappings with a row's keys, or a matrix.
        compat: take categories from the published map and leave out tasks that it lacks.
        allow_incomplete: keep tasks with too many of their items missing, marked (more than 5 %,
            or than the row's own `max_missing`).
        prefer: `first` or `last` of duplicate rows; None refuses them.

    Raises:
        InvalidInput: a row that cannot be read, two rows for one model and task, or one task under
            two dimensions or categories.
    """
    if prefer not in (None, "first", "last"):
        raise unknown_name("prefer", prefer, ["first", "last"])
    if isinstance(results, Mapping):
        matrix = cast("Mapping[str, Mapping[str, Any]]", results)
        rows, names = matrix_rows(matrix), set(matrix)
    else:
        rows = [_as_result(row, place) for place, row in enumerate(results)]
        names = {row.model for row in rows}
    if not names:
        raise InvalidInput("no result row was given: there is nothing to rank")
    present = _without_duplicates(rows, prefer)
    warnings: list[str] = []
    if compat:
        present, warnings = _by_published_map(present)
    warnings += _disagreements(present)
    notes: dict[str, list[str]] = {}
    kept = []
    for row in present:
        for line in row.notes:
            if line.startswith(LEAK):
                notes.setdefault(row.model, []).append(f"{row.task}: {line}")
        if row.incomplete():
            stays = allow_incomplete and row.score is not None
            notes.setdefault(row.model, []).append(_incomplete_note(row, stays))
        if not row.incomplete() or (allow_incomplete and row.score is not None):
            kept.append(row)
    kept.sort(key=lambda row: (row.model, row.task))
    models = tuple(sorted({row.model for row in kept}))
    skipped = tuple(
        {"model": name, "reason": "; ".join(notes.get(name, ["no task has a value"]))}
        for name in sorted(names - set(models))
    )
    # A gap is a gap to what this board asks: every task that any model has, incomplete ones too.
    tasks = {row.task for row in present}
    missing = {
        model: sorted(tasks - {row.task for row in kept if row.model == model}) for model in models
    }
    return BoardInputs(models, tuple(kept), skipped, missing, notes, tuple(warnings))


def _incomplete_note(row: TaskResult, stays: bool) -> str:
    total = int(row.n or 0) + row.missing
    gap = f"{row.missing} of {total} items missing" if total else "no score"
    return f"{row.task}: {gap}" + (" (incomplete)" if stays else " (incomplete, left out)")


def matrix_rows(matrix: Mapping[str, Mapping[str, Any]]) -> list[TaskResult]:
    """Turn `{model: {task: number or "N/A"}}` into rows; gaps have no score."""
    rows = []
    for model, tasks in matrix.items():
        if not isinstance(tasks, Mapping):
            raise InvalidInput(
                f"matrix entry {model!r} is {type(tasks).__name__}; it must map tasks to numbers"
            )
        for task, value in tasks.items():
            score = None if value == "N/A" else value
            row = {"model": model, "task": task, "score": score}
            row["category"] = compat_categories().get(task, "uncategorised")
            rows.append(_as_result(row, len(rows)))
    return rows


def _as_result(row: TaskResult | Mapping[str, Any], place: int) -> TaskResult:
    if isinstance(row, TaskResult):
        return row
    if not isinstance(row, Mapping):
        raise InvalidInput(f"result row {place + 1} is {type(row).__name__}; it must be an object")
    try:
        return TaskResult.from_json(row)
    except InvalidInput as error:
        who = f" ({row['model']!r}, {row['task']!r})" if {"model", "task"} <= set(row) else ""
        raise InvalidInput(f"result row {place + 1}{who}: {error}") from None


def _without_duplicates(rows: Sequence[TaskResult], prefer: str | None) -> list[TaskResult]:
    seen: dict[tuple[str, str], TaskResult] = {}
    for row in rows:
        key = (row.model, row.task)
        if key in seen and prefer is None:
            first, second = (str(r.source or "?") for r in (seen[key], row))
            sources = (
                f"from {first!r} and {second!r}" if first != second else f"both from {first!r}"
            )
            raise InvalidInput(
                f"two rows for model {row.model!r} and task {row.task!r}, {sources}; "
                "leave one out or say --prefer last"
            )
        if key not in seen or prefer == "last":
            seen[key] = row
    return list(seen.values())


def _disagreements(rows: Sequence[TaskResult]) -> list[str]:
    """Warn of tasks whose content differs between rows; refuse those that count differently."""
    first: dict[str, TaskResult] = {}
    hashed: dict[str, TaskResult] = {}
    warnings: dict[str, str] = {}
    for row in rows:
        known = first.setdefault(row.task, row)
        for name in ("dimension", "category"):
            if getattr(known, name) != getattr(row, name):
                raise InvalidInput(
                    f"task {row.task!r} has {name} {_told(known, name)} and {_told(row, name)}; "
                    "one task counts the same for all models (a map can say how)"
                )
        if row.task_hash:
            known = hashed.setdefault(row.task, row)
            if known.task_hash != row.task_hash and row.task not in warnings:
                warnings[row.task] = (
                    f"task {row.task!r} is not the same for all: hash "
                    f"{_told(known, 'task_hash')} and {_told(row, 'task_hash')}"
                )
    return [warnings[task] for task in sorted(warnings)]


def _told(row: TaskResult, name: str) -> str:
    """Return a field's value with the model and the source that say so."""
    value = getattr(row, name)
    shown = value[:12] if name == "task_hash" else repr(value)
    return f"{shown} for {row.model!r} (from {str(row.source or '?')!r})"


def _by_published_map(rows: Sequence[TaskResult]) -> tuple[list[TaskResult], list[str]]:
    """Give every safety row its published category; other tasks are named and left out."""
    known = compat_categories()
    kept, unknown = [], set()
    for row in rows:
        if row.dimension == "capability":
            kept.append(row)
        elif row.task in known:
            kept.append(replace(row, category=known[row.task]))
        else:
            unknown.add(row.task)
    if not unknown:
        return kept, []
    return kept, [f"left out, not in the published category map: {', '.join(sorted(unknown))}"]
