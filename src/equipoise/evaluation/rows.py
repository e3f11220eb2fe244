"""Read the rows of an items file, whoever wrote it: JSONL, JSON, CSV, TSV or a list of prompts."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.files import JsonlProblem, iter_jsonl

Row = Mapping[Any, Any]
QUESTION_NAMES = ("question", "prompt")
_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".txt")


def read_rows(
    path: Path, *, numbered: bool = False, question: str | None = None
) -> Iterator[tuple[int, Row]]:
    """Yield `(line, row)` for each row of `path`; the line counts from 1.

    A row that is only a text (a line of a `.txt` file, a JSON string, the one column of a table)
    becomes `{"question": text}`.

    Args:
        path: the file; its suffix says the format.
        numbered: CSV and TSV have no header line, columns are named 0, 1, ...
        question: header that the question has in this file; of a one-column table the first line
            counts as header only if it is this name, `question` or `prompt`.

    Raises:
        InvalidInput: an unknown suffix, a missing file, or a line that holds no row.
    """
    if path.suffix not in _SUFFIXES:
        raise unknown_name("kind of items file", path.suffix, _SUFFIXES)
    if not path.is_file():
        raise InvalidInput(f"items file {path} does not exist; `items` is a path beside the task")
    if path.suffix == ".jsonl":
        rows = iter_jsonl(path)
    elif path.suffix == ".json":
        rows = _json_rows(path)
    elif path.suffix == ".txt":
        rows = ((n, text.strip()) for n, text in enumerate(_text(path).splitlines(), start=1))
        rows = ((n, text) for n, text in rows if text)
    else:
        rows = _table_rows(path, numbered, question)
    for line, row in rows:
        yield line, _as_row(path, line, row)


def _as_row(path: Path, line: int, row: object) -> Row:
    if isinstance(row, JsonlProblem):
        raise InvalidInput(f"{path}, line {line}: {row.reason}: {row.text}")
    if isinstance(row, str):
        return {"question": row}
    if not isinstance(row, Mapping):
        raise InvalidInput(f"{path}, line {line}: a row is an object or a text, got {row!r:.80}")
    return row


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 ({error.reason}, byte {error.start})") from None


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        value = json.loads(_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from None
    if not isinstance(value, list):
        raise InvalidInput(f"{path} must hold a JSON list of rows, got {type(value).__name__}")
    yield from enumerate(value, start=1)


def _table_rows(path: Path, numbered: bool, question: str | None) -> Iterator[tuple[int, Any]]:
    text = _text(path)
    delimiter = "\t" if path.suffix == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if numbered:
                yield reader.line_num, dict(enumerate(cells))
            elif header is None:
                header = [cell.strip() for cell in cells]
                if len(header) == 1 and header[0] not in (*QUESTION_NAMES, question):
                    yield reader.line_num, header[0]
                    header = ["question"]
            elif len(cells) != len(header):
                raise InvalidInput(
                    f"{path}, line {reader.line_num}: {len(cells)} cells, {len(header)} columns"
                )
            else:
                yield reader.line_num, dict(zip(header, cells))
    except csv.Error as error:
        raise InvalidInput(f"{path}, line {reader.line_num}: {error}") from None
