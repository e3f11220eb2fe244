"""Entries of a user's file: JSON lines, one JSON array or a table of commas, plain or gzip.

Every entry comes with the number of the line where it begins. A broken one carries its problem
instead of a value; the others are used, unless too many are broken.
"""

import csv
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.preference.comparisons.lines import Line, iter_lines, open_lines

MOST_BROKEN = 0.01
"""Share of broken lines beyond which a file is refused."""

MAX_BYTES = 256 * 2**20
"""Most bytes, unpacked, of a file that is held in memory as a whole."""

MAX_ENTRIES = 1_000_000
"""Most entries of such a file: short ones take a hundred times their bytes."""

_MIB = MAX_BYTES // 2**20
_DAMAGED = (EOFError, OSError, zlib.error)


def iter_entries(path: str | Path) -> Iterator[Line]:
    """Yield the entries of a file of JSON lines or of one JSON array.

    Raises:
        MissingData: there is no such file.
        InvalidInput: an array that is no JSON; after its fault nothing in it can be trusted.
    """
    if not begins(path, b"["):
        yield from iter_lines(path)
        return
    with open_lines(path) as file:
        try:
            raw = file.read(MAX_BYTES + 1)
            text = raw.decode("utf-8-sig")
        except (*_DAMAGED, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path} is no JSON array: {error}") from None
    if len(raw) > MAX_BYTES:
        raise InvalidInput(f"{path} is an array of more than {_MIB} MiB; write it as JSON lines")
    yield from _array_entries(path, text)


def iter_table(path: str | Path) -> Iterator[Line]:
    """Yield the rows of a table of commas (CSV), each a mapping of its header to its cells."""
    header: list[str] = []
    with open_lines(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        table = csv.reader(text, strict=True)
        while True:
            number = table.line_num + 1
            try:
                cells = next(table, None)
            except csv.Error as error:
                yield Line(number, b"", problem=f"not CSV ({error})")
                continue
            except _DAMAGED as error:
                yield Line(number, b"", problem=f"gzip data is damaged or cut short ({error})")
                return
            if cells is None:
                return
            if header and any(cells):
                yield _row(number, header, cells)
            header = header or [cell.strip() for cell in cells]


def begins(path: str | Path, mark: bytes) -> bool:
    """Whether a file's first character that is no blank is one of `mark`."""
    _check_kind(path)
    with open_lines(path) as file:
        try:
            head = file.read(4096)
        except _DAMAGED:
            return False  # the line reader says what is wrong
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return bool(first) and first in mark


def check_size(path: str | Path) -> None:
    """Refuse a file of more than `MAX_BYTES`, unpacked.

    No more than that is ever unpacked, so that a small file that unpacks without end is refused.
    """
    _check_kind(path)
    left = MAX_BYTES
    with open_lines(path) as file:
        try:
            while piece := file.read(2**20):
                left -= len(piece)
                if left < 0:
                    raise InvalidInput(
                        f"{path} holds more than {_MIB} MiB, unpacked; give a part of it"
                    )
        except _DAMAGED:
            return  # the line reader says what is wrong


def bounded(path: str | Path, lines: Iterator[Line]) -> Iterator[Line]:
    """Yield the entries of a file that is held in memory as a whole; refuse too many."""
    for count, line in enumerate(lines):
        if count == MAX_ENTRIES:
            raise InvalidInput(f"{path} holds more than {MAX_ENTRIES:,} entries; give a part of it")
        yield line


def check_broken(
    path: str | Path, broken: Sequence[tuple[int, str]], total: int, *, keep_going: bool = False
) -> None:
    """Refuse a file of which more than 1 % is broken, unless told to keep going.

    Args:
        path: named in the refusal.
        broken: `(line, reason)` of each.
        total: entries of the file, broken ones included.
        keep_going: use what is good however much is broken.
    """
    if broken and not keep_going and len(broken) > MOST_BROKEN * total:
        raise InvalidInput(
            f"{path}: {len(broken)} of {total} lines are broken ({listed(broken)}); "
            f"at most {MOST_BROKEN:.0%} may be, --keep-going uses the others"
        )


def listed(broken: Sequence[tuple[int, str]]) -> str:
    """Return the first three broken lines in words."""
    named = "; ".join(f"line {number}: {reason}" for number, reason in broken[:3])
    return named + ("; ..." if len(broken) > 3 else "")


def _check_kind(path: str | Path) -> None:
    """Refuse a pipe: what is read to tell a file's form is read again for its entries."""
    place = Path(path)
    if place.exists() and not (place.is_file() or place.is_dir()):
        raise InvalidInput(f"{path} cannot be read twice; write it to a file, and name that")


def _row(number: int, header: list[str], cells: list[str]) -> Line:
    if len(cells) != len(header):
        problem = f"has {len(cells)} columns, the header has {len(header)}"
        return Line(number, b"", problem=problem)
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return Line(number, b"", problem="not UTF-8")
    return Line(number, b"", dict(zip(header, cells)))


def _array_entries(path: str | Path, text: str) -> Iterator[Line]:
    """Yield the entries of a JSON array.

    Raises:
        InvalidInput: it is no JSON, after which nothing in it can be trusted.
    """
    decode = json.JSONDecoder().raw_decode
    place = _skip(text, text.index("[") + 1)
    line, counted = 1 + text.count("\n", 0, place), place
    try:
        while text[place : place + 1] != "]":
            line, counted = line + text.count("\n", counted, place), place
            value, place = decode(text, place)
            yield _checked(line, value)
            place = _skip(text, place)
            if text[place : place + 1] == ",":
                place = _skip(text, place + 1)
                if text[place : place + 1] == "]":
                    raise json.JSONDecodeError("Expecting value", text, place)
            elif text[place : place + 1] != "]":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, place)
        if text[place + 1 :].strip():
            raise json.JSONDecodeError("Extra data", text, place + 1)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is no JSON array: {error}") from None


def _checked(number: int, value: Any) -> Line:
    try:
        raw = json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return Line(number, b"", problem="not Unicode text (an unpaired surrogate)")
    return Line(number, raw, value)


def _skip(text: str, place: int) -> int:
    """Return the next place that is no blank."""
    while text[place : place + 1].isspace():
        place += 1
    return place
