"""Vote files: CSV or JSON lines of battles, and comparison records, read as columns."""

import csv
import io
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput, nearest
from equipoise.preference.comparisons.lines import iter_lines, open_lines
from equipoise.preference.comparisons.records import Comparison, parse_record
from equipoise.preference.ratings.coding import OUTCOMES

OUTCOME_WORDS = {name: name for name in OUTCOMES} | {
    "left": "a",
    "right": "b",
    "model_a": "a",
    "model_b": "b",
    "tie (bothbad)": "both_bad",
}
DEFAULT_BALLOT = "helpful"
_NAME_COLUMNS = (("model_a", "model_b"), ("left", "right"))
_OUTCOME_COLUMNS = ("outcome", "winner")
_FALSE = ("false", "0", "no")
_TRUE = ("true", "1", "yes", "")


@dataclass(frozen=True, eq=False)
class Votes:
    """Columns of a vote file, (N,) each.

    Attributes:
        model_a: Names of the first models.
        model_b: Of the second ones.
        outcome: "a", "b", "tie", "both_bad".
        weight: float64 >= 0.
        voter: Who voted, or None.
        time: When, as the file spells it, or None.
        skipped: Rows of this ballot that were not counted: `counted` false, or no verdict.
    """

    model_a: NDArray[np.object_]
    model_b: NDArray[np.object_]
    outcome: NDArray[np.object_]
    weight: NDArray[np.float64]
    voter: NDArray[np.object_]
    time: NDArray[np.object_]
    skipped: int


_DAMAGED = (EOFError, OSError, zlib.error)


class _Vote(NamedTuple):
    model_a: str
    model_b: str
    outcome: str
    weight: float
    voter: str | None
    time: str | None


@dataclass
class _Reader:
    """Rows in, votes out, for one ballot."""

    ballot: str
    votes: list[_Vote] = field(default_factory=list)
    skipped: int = 0

    def take(self, row: Mapping[str, Any]) -> None:
        """Add one row, or count it as skipped; raises `InvalidInput` where it is no vote."""
        is_vote = {"model_a", "model_b"} <= row.keys() or {"left", "right"} <= row.keys()
        if not is_vote and ("response_a" in row or "response" in row):
            self._take_record(row)
        elif (row.get("ballot") or DEFAULT_BALLOT) != self.ballot:
            return
        elif _counted(row.get("counted")):
            self.votes.append(_vote(row))
        else:
            self.skipped += 1

    def _take_record(self, row: Mapping[str, Any]) -> None:
        record = parse_record(row)
        if not isinstance(record, Comparison):
            self.skipped += 1
            return
        overall = record.winner if self.ballot == DEFAULT_BALLOT else None
        winner = record.winners.get(self.ballot, overall)
        first, second = record.models
        if winner is None or not first or not second or "not_counted" in record.origin.flags:
            self.skipped += 1
            return
        _check_names(first, second)
        origin = record.origin
        self.votes.append(
            _Vote(first, second, winner, record.weight, origin.annotator, origin.time)
        )


def read_votes(
    path: str | Path,
    *,
    ballot: str | None = None,
    on_bad: Callable[[int, str], object] | None = None,
) -> Votes:
    """Read votes from a CSV or JSON-lines file (also gzip), whichever of three forms it has.

    Columns `model_a, model_b, outcome` (and `ballot, weight, voter, time, counted`); columns
    `left, right, winner` (or `model_a, model_b, winner`) with the words left, right, model_a,
    model_b, tie, "tie (bothbad)"; or comparison records. Other columns are ignored.

    Args:
        path: The file.
        ballot: Which ballot to read; None is `helpful`, and rows without a ballot belong to it.
        on_bad: Called with (line, problem) for each bad row, after which reading goes on; None:
            the first bad row raises.

    Raises:
        MissingData: there is no such file.
        InvalidInput: a bad row and no `on_bad`, or columns that hold no votes.
    """
    reader = _Reader(ballot or DEFAULT_BALLOT)
    for line, row, problem in _rows(path):
        try:
            if row is None:
                raise InvalidInput(problem)
            reader.take(row)
        except InvalidInput as error:
            if on_bad is None:
                raise InvalidInput(f"{path}: line {line}: {error}") from None
            on_bad(line, str(error))
    return _columns(reader)


def votes_of_rows(rows: Iterable[Any], *, ballot: str | None = None) -> Votes:
    """Return the votes among rows in memory, by the rules of `read_votes`.

    Raises:
        InvalidInput: a row that is no vote; it is named, counted from 0.
    """
    reader = _Reader(ballot or DEFAULT_BALLOT)
    for number, row in enumerate(rows):
        try:
            if not isinstance(row, Mapping):
                raise InvalidInput(f"is {type(row).__name__}; a vote is an object")
            reader.take(row)
        except InvalidInput as error:
            raise InvalidInput(f"row {number}: {error}") from None
    return _columns(reader)


def _columns(reader: _Reader) -> Votes:
    def column(place: int, dtype: Any = object) -> NDArray[Any]:
        values = np.empty(len(reader.votes), dtype=dtype)
        values[:] = [vote[place] for vote in reader.votes]
        return values

    weight = column(3, np.float64)
    return Votes(column(0), column(1), column(2), weight, column(4), column(5), reader.skipped)


def _rows(path: str | Path) -> Iterator[tuple[int, dict[str, Any] | None, str]]:
    """Yield (line, row, problem); row is None where the line cannot be read."""
    start = b""
    with open_lines(path) as file, suppress(*_DAMAGED):  # told when read
        start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    named_lines = str(path).endswith((".jsonl", ".jsonl.gz"))
    if start[:1] == b"{" or named_lines:
        for line in iter_lines(path):
            row = line.value if isinstance(line.value, dict) else None
            yield line.number, row, line.problem or "must be a JSON object"
        return
    yield from _csv_rows(path)


def _csv_rows(path: str | Path) -> Iterator[tuple[int, dict[str, Any] | None, str]]:
    with open_lines(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        table = csv.reader(text)
        try:
            header = next(filter(None, table), None)
        except _DAMAGED as error:
            yield 1, None, f"gzip data is damaged or cut short ({error})"
            return
        if header is None:
            return
        names = [name.strip() for name in header]
        _check_header(path, table.line_num, names)
        while True:
            line = table.line_num + 1
            try:
                values = next(table, None)
            except csv.Error as error:
                yield line, None, f"not CSV ({error})"
                continue
            except _DAMAGED as error:
                yield line, None, f"gzip data is damaged or cut short ({error})"
                return
            if values is None:
                return
            if not values:
                continue
            if len(values) != len(names):
                yield line, None, f"has {len(values)} columns, the header has {len(names)}"
            elif not "".join(values).isascii() and _undecodable(values):
                yield line, None, "not UTF-8"
            else:
                yield line, dict(zip(names, values)), ""


def _undecodable(values: list[str]) -> bool:
    return any("\udc80" <= character <= "\udcff" for value in values for character in value)


def _check_header(path: str | Path, line: int, names: list[str]) -> None:
    found = any(a in names and b in names for a, b in _NAME_COLUMNS)
    if found and any(name in names for name in _OUTCOME_COLUMNS):
        return
    wanted = ("model_a", "model_b", "outcome", "left", "right", "winner")
    missing = next((n for n in names if n not in wanted and nearest(n, wanted)), None)
    hint = f"; {missing!r} looks like {nearest(missing, wanted)!r}" if missing else ""
    raise InvalidInput(
        f"{path}: line {line}: columns {', '.join(names)} hold no votes; needed: model_a, model_b, "
        f"outcome or left, right, winner{hint}"
    )


def _vote(row: Mapping[str, Any]) -> _Vote:
    for name_a, name_b in _NAME_COLUMNS:
        if name_a in row and name_b in row:
            first, second = row[name_a], row[name_b]
            break
    else:
        raise InvalidInput("has no models: needed are model_a and model_b, or left and right")
    outcome = next((row[name] for name in _OUTCOME_COLUMNS if name in row), None)
    word = OUTCOME_WORDS.get(outcome) if isinstance(outcome, str) else None
    if word is None:
        close = nearest(outcome, OUTCOME_WORDS) if isinstance(outcome, str) else None
        hint = f"; did you mean {close!r}?" if close else ""
        raise InvalidInput(f"outcome {outcome!r} is not one of {', '.join(OUTCOME_WORDS)}{hint}")
    _check_names(first, second)
    voter = row.get("voter") or row.get("worker")
    return _Vote(
        first, second, word, _weight(row.get("weight")), _text(voter), _text(row.get("time"))
    )


def _check_names(first: Any, second: Any) -> None:
    for name in (first, second):
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"model name {name!r} is not a non-empty string")
    if first == second:
        raise InvalidInput(f"{first!r} plays against itself")


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _weight(value: Any) -> float:
    if value is None or value == "":
        return 1.0
    try:
        if isinstance(value, bool):
            raise ValueError
        weight = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"weight {value!r} is not a number") from None
    if not math.isfinite(weight) or weight < 0:
        raise InvalidInput(f"weight {value!r} is not a finite number >= 0")
    return weight


def _counted(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return value is not False
    word = str(value).strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise InvalidInput(f"counted {value!r} is not true or false")
    return word not in _FALSE
