"""Read what lm-evaluation-harness writes: aggregated results, and the samples of one task."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.core.files import JsonlProblem, iter_jsonl
from equipoise.evaluation import TaskResult
from equipoise.systems.libra.foreign_rows import (
    foreign_row,
    no_metric,
    number_in_range,
    part,
    plain_number,
    usable_error,
)

PREFERRED = ("acc_norm", "acc", "exact_match")
_STAMP = re.compile(r"_\d{4}-\d{2}-\d{2}T[0-9.:-]+$")


def read_lm_eval(path: Path, content: Any, *, metric: str | None) -> list[TaskResult]:
    """Return one row per task of a `results*.json`; groups of tasks are skipped.

    A metric is written `name,filter` there; `metric` may give either that or the name. Without it
    acc_norm, acc, exact_match are tried, then the first. Where lower is better the score is
    1 - value.

    Raises:
        InvalidInput: not such a file, or a task without the metric.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("results"), Mapping):
        raise InvalidInput(f"{path} holds no `results` of lm-evaluation-harness")
    model = _model_name(content) or path.parent.name or path.stem
    subtasks = part(path, content, "group_subtasks", dict)
    groups = set(part(path, content, "groups", dict))
    groups |= {name for name, inner in subtasks.items() if inner}
    return [
        _task_row(path, content, model, task, values, metric)
        for task, values in content["results"].items()
        if task not in groups and isinstance(values, Mapping)
    ]


def _task_row(
    path: Path,
    content: Mapping[str, Any],
    model: str,
    task: str,
    values: Mapping[str, Any],
    metric: str | None,
) -> TaskResult:
    numbers = {
        key: number
        for key, value in values.items()
        if "," in key and "_stderr" not in key and (number := plain_number(value)) is not None
    }
    key = _choose(numbers, metric)
    if key is None:
        raise no_metric(path, task, metric, numbers)
    name, _, rest = key.partition(",")
    value = number_in_range(numbers[key])
    notes = [f"metric {key}"]
    rising = _get(content, "higher_is_better", task, name)
    if value is None:
        notes.append(f"{key} = {numbers[key]:g} lies outside [0, 1] and is no score")
    elif rising is False:
        value = 1.0 - value
        notes.append(f"lower {name} is better: score is 1 - {name}")
    error = usable_error(values.get(f"{name}_stderr,{rest}"))
    count = _get(content, "n-samples", task, "effective")
    return foreign_row(
        path,
        model,
        task,
        value,
        n=count if isinstance(count, int) else None,
        standard_error=error if value is not None else None,
        version=_get(content, "versions", task),
        notes=notes,
    )


def _choose(numbers: Mapping[str, Any], metric: str | None) -> str | None:
    """Return the key `name,filter` that counts, or None."""
    for wanted in PREFERRED if metric is None else (metric,):
        for key in numbers:
            if key == wanted or key.partition(",")[0] == wanted:
                return key
    return next(iter(numbers), None) if metric is None else None


def _get(content: Mapping[str, Any], *keys: str) -> Any:
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _model_name(content: Mapping[str, Any]) -> str | None:
    name = content.get("model_name") or _get(content, "config", "model")
    return name if isinstance(name, str) and name.strip() else None


def read_lm_eval_samples(path: Path, *, metric: str | None) -> TaskResult:
    """Return the row of one task from its `samples_TASK_TIME.jsonl`, item by item.

    The model's name stands in the `results_TIME.json` beside it; without that the folder's name is
    taken. Of several filters the first (or that of `metric`) counts.

    Raises:
        InvalidInput: a line that is no sample, or no such metric.
    """
    rows: list[Mapping[str, Any]] = []
    for line, row in iter_jsonl(path):
        if isinstance(row, JsonlProblem):
            raise InvalidInput(f"{path}, line {line}: {row.reason}: {row.text}")
        if not isinstance(row, Mapping) or "doc_id" not in row:
            raise InvalidInput(f"{path}, line {line}: a sample has a doc_id, got {row!r:.80}")
        listed = part(path, row, "metrics", list)
        if not all(isinstance(name, str) for name in listed):
            raise InvalidInput(f"{path}, line {line}: metrics must be names, got {listed!r:.80}")
        rows.append(row)
    if not rows:
        raise InvalidInput(f"{path} holds no sample")
    task = _STAMP.sub("", path.stem).removeprefix("samples_")
    results = _beside(path)
    names = {
        f"{name},{row.get('filter', 'none')}": None
        for row in rows
        for name in row.get("metrics") or _metrics(row)
    }
    key = _choose(names, metric)
    if key is None:
        raise no_metric(path, task, metric, names)
    name, _, chosen = key.partition(",")
    flip = _get(results, "higher_is_better", task, name) is False
    items: dict[str, list[float | None]] = {}
    for row in rows:
        if row.get("filter", "none") == chosen:
            value = number_in_range(row.get(name))
            value = 1.0 - value if flip and value is not None else value
            items.setdefault(_padded(row["doc_id"]), []).append(value)
    notes = [f"metric {key}"] + ([f"lower {name} is better: score is 1 - {name}"] if flip else [])
    model = _model_name(results) or path.parent.name or "unknown"
    version = _get(results, "versions", task)
    return foreign_row(path, model, task, None, items=items, version=version, notes=notes)


def _metrics(row: Mapping[str, Any]) -> list[str]:
    """Return the names of a sample's own numbers, for older files that do not list them."""
    return [k for k, v in row.items() if k != "doc_id" and number_in_range(v) is not None]


def _padded(doc_id: Any) -> str:
    """Return an id that sorts like the number it is."""
    return f"{doc_id:06d}" if isinstance(doc_id, int) else str(doc_id)


def _beside(path: Path) -> Mapping[str, Any]:
    """Return the aggregated results of the same run, or nothing."""
    stamp = _STAMP.search(path.stem)
    file = path.parent / f"results{stamp.group()}.json" if stamp else None
    if file is None or not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, Mapping) else {}
