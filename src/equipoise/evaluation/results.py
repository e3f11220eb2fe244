"""Result rows: how every room's numbers reach the board, and the file they travel in."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.files import JsonlProblem, iter_jsonl, write_atomic
from equipoise.evaluation.reading import located
from equipoise.evaluation.task_file import DIMENSIONS, MAX_MISSING

_MOST_ITEMS = 2**53  # what a float counts exactly
_TEXTS = ("model", "task", "category", "task_version", "task_hash", "judge", "split", "source")
_REQUIRED = ("model", "task", "score")
_OPTIONAL = ("classes", "max_missing")


@dataclass(frozen=True)
class TaskResult:
    """What one model scored on one task (specification 2.1).

    Attributes:
        model: name of the contender.
        task: name of the task.
        score: in [0, 1], higher better; None where no item could be scored.
        dimension: `capability` or `safety`.
        category: group that the macro-average takes it into.
        n: number of items with a score; counted where `scores` are given.
        standard_error: of `score`, by clusters where there are any.
        item_ids: ids in the order of `scores`.
        scores: per item, None where missing.
        clusters: per item; items of one cluster are resampled together.
        missing: number of items without a score; at least the gaps among `scores`.
        task_version: of the task.
        task_hash: of the task and its items.
        judge: id of the judge, empty for a rule.
        split: `public` or `private`, empty where unknown.
        source: file or program that the row came from.
        notes: remarks for the reader. A board's report shows them beside the row that they belong
            to; a leak of a canary also stands among the remarks on the model.
        classes: per item its target class where the score is the mean over class means, else empty.
        max_missing: share of items that may be missing, None for the usual 5 %.

    Raises:
        InvalidInput: a value of the wrong kind or outside its range; names the field.
    """

    model: str
    task: str
    score: float | None
    dimension: str = "safety"
    category: str = "uncategorised"
    n: int | None = None
    standard_error: float | None = None
    item_ids: tuple[str, ...] = ()
    scores: tuple[float | None, ...] = ()
    clusters: tuple[str, ...] = ()
    missing: int = 0
    task_version: str = ""
    task_hash: str = ""
    judge: str = ""
    split: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    max_missing: float | None = None

    def __post_init__(self) -> None:
        for name in ("score", "standard_error", "n", "missing", "max_missing"):  # NumPy's too
            object.__setattr__(self, name, _plain(getattr(self, name)))
        if isinstance(self.scores, tuple):
            object.__setattr__(self, "scores", tuple(_plain(value) for value in self.scores))
        _check(self)
        if self.scores:
            n, missing = _counted(self)
            object.__setattr__(self, "n", n)
            object.__setattr__(self, "missing", missing)

    def incomplete(self, max_missing: float | None = None) -> bool:
        """Say whether more than `max_missing` (else the row's own) of its items have no score."""
        own = MAX_MISSING if self.max_missing is None else self.max_missing
        allowed = own if max_missing is None else max_missing
        total = (self.n or 0) + self.missing
        return self.score is None or (total > 0 and self.missing > allowed * total)

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON data; `classes` and `max_missing` only where they say anything."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {key: list(v) if isinstance(v, tuple) else v for key, v in row.items()}
        return {k: v for k, v in plain.items() if k not in _OPTIONAL or v not in ([], None)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "TaskResult":
        """Build a row from JSON data; only `model`, `task` and `score` are required.

        Keys that are not part of a row are left out, but one that looks like a misspelt field is
        refused: a lost `dimension` would turn a capability into a safety score.

        Raises:
            InvalidInput: a required key is absent, a key is misspelt, or a value is wrong.
        """
        known = [f.name for f in fields(cls)]
        for key in _REQUIRED:
            if key not in row:
                raise InvalidInput(f"result row lacks {key!r}; it needs {', '.join(_REQUIRED)}")
        for key in row:
            if key not in known and get_close_matches(str(key), known, n=1, cutoff=0.8):
                raise unknown_name("key of a result row", key, known)
        values: dict[str, Any] = {key: row[key] for key in known if key in row}
        # null means "not known" for every optional field, as if the key were absent.
        values = {k: v for k, v in values.items() if v is not None or k == "score"}
        for key in ("item_ids", "clusters", "classes"):
            if isinstance(values.get(key), list):
                values[key] = tuple(str(value) for value in values[key])
        if isinstance(values.get("notes"), str):
            values["notes"] = [values["notes"]] if values["notes"] else []
        for key in ("scores", "notes"):
            if isinstance(values.get(key), list):
                values[key] = tuple(values[key])
        return cls(**values)


def _check(row: TaskResult) -> None:
    for name in _TEXTS:
        value = getattr(row, name)
        if not isinstance(value, str) or (
            name in ("model", "task", "category") and not value.strip()
        ):
            raise InvalidInput(f"{name} is {value!r}; it must be a text that is not empty")
    if row.dimension not in DIMENSIONS:
        raise unknown_name("dimension", row.dimension, DIMENSIONS)
    _check_score("score", row.score)
    error = row.standard_error
    if error is not None and not (_is_number(error) and error >= 0):
        raise InvalidInput(f"standard_error is {shown(error)}; allowed: a number >= 0, or null")
    for name in ("n", "missing"):
        count = getattr(row, name)
        if name == "n" and count is None:
            continue
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise InvalidInput(f"{name} is {shown(count)}; allowed: a whole number >= 0")
        if count > _MOST_ITEMS:
            raise InvalidInput(f"{name} is {shown(count)}; allowed: at most {_MOST_ITEMS}")
    share = row.max_missing
    if share is not None and not (_is_number(share) and 0.0 <= share <= 1.0):
        raise InvalidInput(f"max_missing is {shown(share)}; allowed: a share in [0, 1], or null")
    _check_lists(row)


def _check_lists(row: TaskResult) -> None:
    for name in ("item_ids", "clusters", "classes", "notes"):
        values = getattr(row, name)
        if not isinstance(values, tuple) or not all(isinstance(value, str) for value in values):
            raise InvalidInput(f"{name} must be a list of texts, got {values!r:.80}")
    if not isinstance(row.scores, tuple):
        raise InvalidInput(f"scores must be a list of numbers, got {row.scores!r:.80}")
    for place, value in enumerate(row.scores):
        _check_score(f"scores[{place}]", value)
    for name in ("item_ids", "clusters", "classes"):
        count = len(getattr(row, name))
        if count and count != len(row.scores):
            raise InvalidInput(
                f"{count} {name} for {len(row.scores)} scores; needed is one for each"
            )
    if len(set(row.item_ids)) != len(row.item_ids):
        twice = next(i for i in row.item_ids if row.item_ids.count(i) > 1)
        raise InvalidInput(f"item id {twice!r} occurs twice in one row")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.number) else value


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max


def shown(value: object) -> str:
    """Return a value as an error shows it: its spelling, cut where that is long.

    >>> shown(10**400)[-3:]
    '...'
    """
    try:
        text = repr(value)
    except ValueError:  # Python spells no integer of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _counted(row: TaskResult) -> tuple[int, int]:
    """Return how many items of a row have a score and how many lack one."""
    known = sum(score is not None for score in row.scores)
    gaps = len(row.scores) - known
    if row.n not in (None, known):
        raise InvalidInput(f"n is {row.n}, but {known} of the scores are numbers")
    if 0 < row.missing < gaps:
        raise InvalidInput(f"missing is {row.missing}, but {gaps} of the scores are null")
    return known, max(row.missing, gaps)


def _check_score(name: str, value: object) -> None:
    if value is not None and not (_is_number(value) and 0.0 <= value <= 1.0):  # type: ignore[operator]
        raise InvalidInput(f"{name} is {shown(value)}; allowed: a number in [0, 1], or null")


def read_results(path: str | Path) -> list[TaskResult]:
    """Read result rows from a JSONL file.

    Raises:
        InvalidInput: the file does not exist, or a line is no valid row; names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInput(f"results file {path} does not exist")
    results: list[TaskResult] = []
    for line, row in iter_jsonl(path):
        if isinstance(row, JsonlProblem):
            raise InvalidInput(f"{path}, line {line}: {row.reason}: {row.text}")
        if not isinstance(row, Mapping):
            raise InvalidInput(f"{path}, line {line}: a result row is an object, got {row!r:.80}")
        with located(f"{path}, line {line}"):
            results.append(TaskResult.from_json(row))
    return results


def write_results(path: str | Path, results: Iterable[TaskResult]) -> Path:
    """Write result rows as JSONL in one atomic step, in the order given."""
    rows: Sequence[str] = [
        json.dumps(result.to_json(), ensure_ascii=False, allow_nan=False) for result in results
    ]
    return write_atomic(path, "".join(f"{row}\n" for row in rows))
