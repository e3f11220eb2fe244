"""Read the logs of inspect_ai: one JSON file, or an `.eval` archive."""

import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import TaskResult
from equipoise.systems.libra.foreign_rows import (
    foreign_row,
    no_metric,
    number_in_range,
    objects,
    part,
    plain_number,
    usable_error,
)

LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
"""Correct, incorrect, partial, no answer."""
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, KeyError, ValueError,
    RecursionError,
    NotImplementedError,  # a way of packing that Python does not know
    RuntimeError,  # encrypted
)  # fmt: skip


def read_inspect(path: Path, *, metric: str | None, allow_unfinished: bool) -> TaskResult:
    """Return the row of one log: the first score's accuracy, else mean, else its first metric.

    Samples give item scores (letters C, I, P, N or numbers), epochs of one id averaged.

    Raises:
        InvalidInput: a broken file, a status other than `success`, or no such metric.
    """
    header, samples = _archive(path) if path.suffix == ".eval" else _log(path)
    info, status = part(path, header, "eval", dict), header.get("status")
    model, task = (str(info.get(key) or "") for key in ("model", "task"))
    if not model.strip() or not task.strip():
        raise InvalidInput(f"{path} is no inspect log: it names no model and task")
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
    count = part(path, header, "results", dict).get("completed_samples")
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
    scores = objects(path, part(path, header, "results", dict), "scores")
    if not scores:
        if metric is not None:
            raise no_metric(path, task, metric, ())
        return "", "mean of samples", None, None
    held = [part(path, score, "metrics", dict) for score in scores]
    place = next((place for place, metrics in enumerate(held) if metric in metrics), 0)
    first, metrics = scores[place], held[place]
    usual = ("accuracy", "mean") if metric is None else (metric,)
    key = next((name for name in usual if name in metrics), None)
    if key is None and metric is None:
        key = next(iter(metrics), None)
    value = _number(metrics.get(key)) if key is not None else None
    if key is None or value is None:
        raise no_metric(path, task, metric, metrics)
    error = usable_error(_number(metrics.get("stderr")))
    return str(first.get("name", "")), key, value, error


def _number(metric: Any) -> float | None:
    return plain_number(metric.get("value") if isinstance(metric, Mapping) else metric)


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


def _log(path: Path) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    try:
        header = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from None
    if not isinstance(header, Mapping):
        raise InvalidInput(f"{path} is no inspect log: it must be one JSON object")
    return header, objects(path, header, "samples")


def _archive(path: Path) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            header = json.loads(archive.read("header.json")) if "header.json" in names else None
            members = sorted(n for n in names if n.startswith("samples/") and n.endswith(".json"))
            samples = [json.loads(archive.read(name)) for name in members]
    except _UNREADABLE as error:
        raise InvalidInput(f"{path} is truncated or no .eval archive: {error}") from None
    if header is None:
        raise InvalidInput(f"{path} holds no header.json: an unfinished log, or no inspect log")
    if not isinstance(header, Mapping):
        raise InvalidInput(f"{path}: header.json must be one JSON object, got {header!r:.60}")
    return header, objects(path, {"samples": samples}, "samples")
