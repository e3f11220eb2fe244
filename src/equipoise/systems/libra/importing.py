"""Results that people already have: result rows, the published matrix, two frameworks' logs."""

import csv
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from math import isfinite, nan
from pathlib import Path
from typing import Any

from equipoise.core.console import note
from equipoise.core.errors import InvalidInput, nearest, unknown_name
from equipoise.core.files import JsonlProblem, iter_jsonl
from equipoise.evaluation import TaskResult, read_results
from equipoise.evaluation.reading import located
from equipoise.systems.libra.board_inputs import matrix_rows
from equipoise.systems.libra.foreign_rows import NO_DIMENSION
from equipoise.systems.libra.import_inspect import read_inspect
from equipoise.systems.libra.import_lm_eval import read_lm_eval, read_lm_eval_samples
from equipoise.systems.libra.summary import SOURCE

CAPABILITY_COLUMNS = ("capability", "rating", "elo")
FORMATS = ("auto", "rows", "matrix", "lm_eval", "lm_eval_samples", "inspect")


def import_results(
    path: str | Path,
    *,
    format: str = "auto",
    metric: str | None = None,
    allow_unfinished: bool = False,
) -> list[TaskResult]:
    """Read result rows from a file of this package, a matrix or another framework's log.

    Args:
        path: result rows (JSONL), a matrix `{model: {task: number or "N/A"}}` (JSON),
            lm-evaluation-harness `results*.json` or `samples_*.jsonl`, inspect_ai `.json` or
            `.eval`.
        format: one of `FORMATS`; `auto` looks at the file.
        metric: which metric counts; by default the framework's usual one.
        allow_unfinished: take an inspect log whose status is not `success`, with a note.

    Returns:
        Rows whose `source` is the path. Foreign tasks have the default dimension `safety` until a
        map says otherwise (`apply_map`), and a note says so.

    Raises:
        InvalidInput: a file that cannot be read, or lacks the metric (the choices are named).
    """
    path = Path(path)
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    if not path.is_file():
        raise InvalidInput(f"results file {path} does not exist")
    kind = _detect(path) if format == "auto" else format
    if kind == "rows":
        rows = _listed_rows(path) if path.suffix == ".json" else read_results(path)
        # A row names the file that it was first read from, but a program only until it is read.
        return [
            replace(row, source=str(path)) if row.source in ("", SOURCE) else row for row in rows
        ]
    if kind == "matrix":
        with located(path):
            return [replace(row, source=str(path)) for row in matrix_rows(_matrix(path))]
    if kind == "inspect":
        return [read_inspect(path, metric=metric, allow_unfinished=allow_unfinished)]
    if kind == "lm_eval_samples":
        return [read_lm_eval_samples(path, metric=metric)]
    return read_lm_eval(path, _json(path), metric=metric)


def _listed_rows(path: Path) -> list[TaskResult]:
    """Read the rows of a JSON list."""
    content = _json(path)
    if not isinstance(content, list):
        raise InvalidInput(f"{path} must hold a list of result rows, got {type(content).__name__}")
    rows = []
    for number, row in enumerate(content, start=1):
        with located(f"{path}, row {number}"):
            if not isinstance(row, Mapping):
                raise InvalidInput(f"a result row is an object, got {row!r:.80}")
            rows.append(TaskResult.from_json(row))
    return rows


def _detect(path: Path) -> str:
    """Tell a file's format by its suffix and first content."""
    if path.suffix == ".eval":
        return "inspect"
    if path.suffix == ".jsonl":
        first = next((row for _, row in iter_jsonl(path)), None)
        if isinstance(first, JsonlProblem):
            raise InvalidInput(f"{path} is not JSONL: {first.reason}")
        return "lm_eval_samples" if isinstance(first, Mapping) and "doc_id" in first else "rows"
    if path.suffix != ".json":
        raise InvalidInput(f"{path} ends in {path.suffix!r}; results end in .json, .jsonl or .eval")
    content = _json(path)
    if isinstance(content, list):
        return "rows"
    if isinstance(content, Mapping) and {"eval", "status"} <= set(content):
        return "inspect"
    if isinstance(content, Mapping) and isinstance(content.get("results"), Mapping):
        return "lm_eval"
    return "matrix"


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from None


def _matrix(path: Path) -> Mapping[str, Mapping[str, Any]]:
    content = _json(path)
    if not isinstance(content, Mapping):
        raise InvalidInput("it is no matrix; it must be {model: {task: number or N/A}}")
    return content


def apply_map(results: Sequence[TaskResult], path: str | Path) -> list[TaskResult]:
    """Give rows the dimension and category that a map file says.

    Args:
        results: rows.
        path: TOML with one table per task name (or pattern such as `"mmlu_*"`; the first that fits
            counts), each with `dimension` and `category`, both optional.

    Raises:
        InvalidInput: a file that cannot be read, or an unknown key (the nearest is named).

    A table that fits no task is said on standard error, with the nearest task.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidInput(f"map file {path} does not exist") from None
    except OSError as error:
        raise InvalidInput(f"map file {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not TOML: {error}") from None
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise InvalidInput(f"{path}: {name} must be a table with dimension and category")
        for key in table:
            if key not in ("dimension", "category"):
                raise unknown_name(f"key of {name!r} in {path}", key, ("dimension", "category"))
    tasks = sorted({row.task for row in results})
    for name in tables:
        if tasks and not any(fnmatchcase(task, name) for task in tasks):
            close = nearest(name, tasks)
            hint = f"; did you mean {close!r}?" if close else ""
            note(f"{path}: [{name}] fits none of the {len(tasks)} tasks{hint}")
    mapped = []
    for row in results:
        table = next((t for name, t in tables.items() if fnmatchcase(row.task, name)), {})
        mapped.append(_mapped(row, table, path))
    return mapped


def _mapped(row: TaskResult, table: Mapping[str, Any], path: str | Path) -> TaskResult:
    notes = row.notes
    if "dimension" in table:
        notes = tuple(line for line in notes if line != NO_DIMENSION)
    try:
        return replace(row, **table, notes=notes)
    except InvalidInput as error:
        raise InvalidInput(f"{path}, {row.task!r}: {error}") from None


def read_capability(path: Path) -> dict[str, float]:
    """Read a CSV of model and number: columns `model` and `capability`, `rating` or `elo`.

    Raises:
        InvalidInput: missing columns, a model twice, or a cell that is no number; names the line.
    """
    if not path.is_file():
        raise InvalidInput(f"capability file {path} does not exist")
    found: dict[str, float] = {}
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            columns = reader.fieldnames or []
            value = next((name for name in CAPABILITY_COLUMNS if name in columns), None)
            if "model" not in columns or value is None:
                raise InvalidInput(
                    f"it has columns {', '.join(columns) or '(none)'}; it needs `model` and "
                    "`capability` (or `rating`, `elo`)"
                )
            for row in reader:
                model, number = _capability(row, value)
                if model in found:
                    raise InvalidInput(f"{model!r} stands twice")
                found[model] = number
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{path} is not UTF-8 ({error.reason})") from None
        except (InvalidInput, csv.Error) as error:
            raise InvalidInput(f"{path}, line {max(1, reader.line_num)}: {error}") from None
    return found


def _capability(row: Mapping[str | Any, Any], column: str) -> tuple[str, float]:
    """Return the model and the number of one line."""
    model, text = row["model"], row[column]
    if not model or not model.strip():
        raise InvalidInput("the line names no model")
    if None in row:
        raise InvalidInput("the line has more cells than the header")
    try:
        number = float(text)
    except (TypeError, ValueError):
        number = nan
    if not isfinite(number):
        raise InvalidInput(f"{column} is {text!r}, not a number")
    return model, number
