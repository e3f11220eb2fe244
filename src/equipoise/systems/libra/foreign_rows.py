"""What both readers of foreign logs share: the row they make, and the metrics they choose from."""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, TypeVar

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import TaskResult
from equipoise.evaluation.reading import located
from equipoise.evaluation.results import shown

NO_DIMENSION = "no dimension given: counted as safety (a map says otherwise)"


def number_in_range(value: object) -> float | None:
    """Return a number in [0, 1] as a float, anything else as None; truth values are 1 and 0."""
    if isinstance(value, (bool, int, float)) and 0.0 <= value <= 1.0:
        return float(value)
    return None


def plain_number(value: object) -> float | None:
    """Return a number as a float (infinite where it is too large for one), anything else as None.

    >>> plain_number(-(10**400)), plain_number(True)
    (-inf, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf


def usable_error(value: object) -> float | None:
    """Return a standard error that is a finite number >= 0, anything else as None."""
    error = plain_number(value)
    return error if error is not None and 0.0 <= error < inf else None


Shape = TypeVar("Shape", dict[str, Any], list[Any])


def part(path: Path, owner: Mapping[str, Any], key: str, kind: type[Shape]) -> Shape:
    """Return the object or list under `key`, an empty one where it is absent or null.

    Raises:
        InvalidInput: something else stands there; names the file.
    """
    value = owner.get(key)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        wanted = "an object" if kind is dict else "a list"
        raise InvalidInput(f"{path}: {key} is {shown(value)}; it must be {wanted}")
    return value


def objects(path: Path, owner: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the list of objects under `key`; an entry that is none is refused by its number."""
    entries = part(path, owner, key, list)
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise InvalidInput(f"{path}: {key}, entry {number} is {shown(entry)}; not an object")
    return entries


def no_metric(path: Path, task: str, metric: str | None, choices: Iterable[str]) -> InvalidInput:
    """Build the error for a metric that a file does not hold."""
    wanted = f"has no metric {metric!r}" if metric else "has no metric"
    return InvalidInput(f"{path}: {task} {wanted}; choices: {', '.join(choices) or '(none)'}")


def foreign_row(
    path: Path,
    model: str,
    task: str,
    score: float | None,
    *,
    items: Mapping[str, Sequence[float | None]] | None = None,
    n: int | None = None,
    standard_error: float | None = None,
    version: Any = "",
    notes: Iterable[str] = (),
) -> TaskResult:
    """Return the result row of one foreign task.

    Args:
        path: the file, kept as `source`.
        model: name of the model.
        task: name of the task.
        score: in [0, 1]; None to take the mean over items.
        items: id -> its values (several where it was asked several times; they are averaged).
        n: number of items where they are not listed.
        standard_error: of the score; from the items where not given.
        version: of the task.
        notes: shown on the board.
    """
    scores = {item: _mean(values) for item, values in sorted((items or {}).items())}
    known = [value for value in scores.values() if value is not None]
    if score is None and known:
        score = fmean(known)
    if standard_error is None and len(known) > 1:
        standard_error = stdev(known) / len(known) ** 0.5
    with located(f"{path}, {task}"):
        return TaskResult(
            model=model,
            task=task,
            score=score,
            n=len(known) if scores else n,
            standard_error=standard_error,
            item_ids=tuple(scores),
            scores=tuple(scores.values()),
            clusters=tuple(scores),
            task_version="" if version is None else str(version),
            source=str(path),
            notes=(*notes, NO_DIMENSION),
        )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
