"""Reading comparison files: streaming, bad records named by line and field, good ones kept."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from equipoise.core.errors import InvalidInput
from equipoise.preference.comparisons.fields import FieldProblem, shown
from equipoise.preference.comparisons.lines import Line, iter_lines, open_lines
from equipoise.preference.comparisons.records import Comparison, Rating, parse_record


@dataclass(frozen=True)
class BadRecord:
    """A line that is no usable record.

    Attributes:
        line: Number of the line, from 1.
        field: Path of the field, e.g. `response_a[0].path`; "" when the line is no JSON object.
        problem: What is wrong with it.
        text: The line itself, at most 1,000 characters.
    """

    line: int
    field: str
    problem: str
    text: str


@dataclass(frozen=True)
class ComparisonFile:
    """A whole file: its good records, its bad ones, and the folder that media paths start from."""

    records: tuple[Comparison | Rating, ...]
    bad: tuple[BadRecord, ...]
    root: Path


def iter_comparisons(
    path: str | Path, *, on_bad: Callable[[BadRecord], object] | None = None
) -> Iterator[Comparison | Rating]:
    """Yield the records of a `.jsonl` or `.jsonl.gz` file, one line in memory at a time.

    Args:
        path: The file.
        on_bad: Called with each `BadRecord`, after which reading goes on; None: the first bad
            record raises.

    Raises:
        MissingData: there is no such file (raised at once).
        InvalidInput: a bad record and no `on_bad`; names line and field.
    """
    open_lines(path).close()
    return _iterate(Path(path), on_bad)


def read_comparisons(path: str | Path, *, strict: bool = True) -> ComparisonFile:
    """Return all records of a file; `strict=False` collects bad records instead of raising."""
    bad: list[BadRecord] = []
    records = tuple(iter_comparisons(path, on_bad=None if strict else bad.append))
    return ComparisonFile(records, tuple(bad), Path(path).parent)


def _iterate(
    path: Path, on_bad: Callable[[BadRecord], object] | None
) -> Iterator[Comparison | Rating]:
    with SeenIds() as seen:
        for line in iter_lines(path):
            try:
                record = record_of(line)
                if not seen.add(record.id):
                    raise FieldProblem("id", f"{shown(record.id)} occurs twice in the file")
            except FieldProblem as problem:
                if on_bad is None:
                    raise InvalidInput(f"{path}: line {line.number}: {problem}") from None
                on_bad(BadRecord(line.number, problem.field, problem.problem, line.text))
                continue
            yield record


def record_of(line: Line) -> Comparison | Rating:
    """Return the record that a line holds; raises `FieldProblem`."""
    if line.problem:
        raise FieldProblem("", line.problem)
    record = parse_record(line.value)  # first, for it names the field
    if not line.is_json:
        raise FieldProblem("", "holds NaN or Infinity, which is no JSON")
    return record


class SeenIds:
    """The identifiers met so far, in a temporary database that leaves memory when it grows.

    Reading must not need more memory for a longer file, and a repeated id must still be found;
    SQLite's private temporary database keeps 2 MB in memory and the rest on disk.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def add(self, name: str) -> bool:
        """Return True the first time `name` is given, False every other time."""
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        done = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,))
        return done.rowcount == 1

    def __enter__(self) -> "SeenIds":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
