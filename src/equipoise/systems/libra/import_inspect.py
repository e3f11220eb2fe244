"""Read the logs of inspect_ai: one JSON file, or an `.eval` archive."""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import TaskResult
from equipoise.systems.libra.foreign_rows import foreign_row, no_metric, number_in_range

LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""Correct, incorrect, partial, no answer."""


def read_inspect(path: Path, *, metric: str | None, allow_unfinished: bool) -> TaskResult:
    """Return the row of one log: the first score's accuracy, else mean, else its first metric.

    Samples give item scores (letters C, I, P, N or numbers), epochs of one id averaged.

    Raises:
        InvalidInput: a broken file, a status other than `success`, or no such metric.
    """
    header, samples = _archive(path) if path.suffix == ".eval" else _log(path)
    info = header.get("eval")
    if not isinstance(info, Mapping) or not info.get("model") or not info.get("task"):
        raise InvalidInput(f"{path} is no inspect log: it names no model and task")
    model, task, status = str(info["model"]), str(info["task"]), header.get("status")
    if status != "success" and not allow_unfinished:
        raise InvalidInput(
            f"{path} has status {status!r}; only finished logs (success) count unless allowed"
        )
    score, key, value, error = _aggregate(path, task, header, metric)
    items: dict[str, list[float | None]] = {}
    for sample in samples:
        found = _sample_value(sample, score)
        items.setdefault(str(sample.get("id")), []).append(found)
    notes = [f"metric {score}/{key}" if score else f"metric {key}"]
    if status != "success":
        notes.append(f"the log's status is {status}")
    usable = number_in_range(value)
    if value is not None and usable is None:
        notes.append(f"{key} = {value:g} lies outside [0, 1] and is no score")
    results = header.get("results")
    count = results.get("completed_samples") if isinstance(results, Mapping) else None
    return foreign_row(
        path,
        model,
        task,
        usable,
        items=items if usable is not None or value is None else None,
        n=count if isinstance(count, int) else None,
        standard_error=error if usable is not None else None,
        version=info.get("task_version"),
        notes=notes,
    )


def _aggregate(
    path: Path, task: str, header: Mapping[str, Any], metric: str | None
) -> tuple[str, str, float | None, float | None]:
    """Return (score name, metric name, value, standard error) of the log's results."""
    results = header.get("results")
    scores = results.get("scores") if isinstance(results, Mapping) else None
    if not scores:
        if metric is not None:
            raise no_metric(path, task, metric, ())
        return "", "mean of samples", None, None
    first = next((s for s in scores if metric in (s.get("metrics") or {})), scores[0])
    metrics: Mapping[str, Any] = first.get("metrics") or {}
    usual = ("accuracy", "mean") if metric is None else (metric,)
    key = next((name for name in usual if name in metrics), None)
    if key is None and metric is None:
        key = next(iter(metrics), None)
    value = _number(metrics.get(key)) if key is not None else None
    if key is None or value is None:
        raise no_metric(path, task, metric, metrics)
    error = _number(metrics.get("stderr"))
    usable = error if error is not None and error >= 0 else None
    return str(first.get("name", "")), key, value, usable


def _number(metric: Any) -> float | None:
    value = metric.get("value") if isinstance(metric, Mapping) else metric
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def _sample_value(sample: Mapping[str, Any], name: str) -> float | None:
    """Return one sample's value under the score `name` (else its first), None where none."""
    scores = sample.get("scores")
    if not isinstance(scores, Mapping) or not scores:
        return None
    score = scores.get(name, next(iter(scores.values())))
    value = score.get("value") if isinstance(score, Mapping) else score
    if isinstance(value, str):
        return LETTERS.get(value)
    return number_in_range(value)


def _log(path: Path) -> tuple[Mapping[str, Any], Iterator[Mapping[str, Any]]]:
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from None
    if not isinstance(header, Mapping):
        raise InvalidInput(f"{path} is no inspect log: it must be one JSON object")
    return header, iter([s for s in header.get("samples") or [] if isinstance(s, Mapping)])


def _archive(path: Path) -> tuple[Mapping[str, Any], Iterator[Mapping[str, Any]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "header.json" not in names:
                raise InvalidInput(
                    f"{path} holds no header.json: an unfinished log, or no inspect log"
                )
            header = json.loads(archive.read("header.json"))
            members = sorted(n for n in names if n.startswith("samples/") and n.endswith(".json"))
            samples = [json.loads(archive.read(name)) for name in members]
    except (zipfile.BadZipFile, zlib.error, EOFError, json.JSONDecodeError, KeyError) as error:
        raise InvalidInput(f"{path} is truncated or no .eval archive: {error}") from None
    return header, iter([sample for sample in samples if isinstance(sample, Mapping)])
