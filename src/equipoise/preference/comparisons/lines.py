"""JSON lines of a plain or gzip file: one line in memory at a time, problems with their number."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from equipoise.core.errors import InvalidInput, MissingData

MAX_LINE_BYTES = 64 * 2**20
_SHOWN = 1000
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CONSTANT = re.compile(rb"NaN|Infinity")
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Line:
    """One non-empty line: its number from 1, its text (cut to 1,000 characters), and the object.

    `problem` says why `value` is None where the line holds no JSON; otherwise it is empty.
    """

    number: int
    raw: bytes
    value: Any = None
    problem: str = ""

    @property
    def is_json(self) -> bool:
        """Whether the line holds no NaN or Infinity, which Python reads but JSON has not."""
        if not _CONSTANT.search(self.raw):
            return True
        try:
            json.dumps(self.value, allow_nan=False)
        except ValueError:
            return False
        return True

    @property
    def text(self) -> str:
        """The line as text, without its end, at most 1,000 characters."""
        return self.raw[: 4 * _SHOWN].decode("utf-8", "replace").rstrip("\r\n")[:_SHOWN]


def open_lines(path: str | Path) -> BinaryIO:
    """Open a file for reading bytes; gzip is recognised by its content, whatever the name.

    Raises:
        MissingData: there is no such file.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115  the caller closes it
    except FileNotFoundError:
        raise MissingData(f"no file {str(path)!r}; check the path") from None
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror}") from None
    magic = file.read(2)
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if magic == _GZIP_MAGIC else file


def iter_lines(path: str | Path) -> Iterator[Line]:
    """Yield the non-empty lines of a JSON-lines file; nothing but a missing file is raised.

    A byte-order mark at the start is skipped. A line longer than 64 MiB is passed over without
    being held. A damaged gzip stream ends the file with a problem.
    """
    with open_lines(path) as file:
        number = 0
        while True:
            number += 1
            try:
                raw = file.readline(MAX_LINE_BYTES + 1)
                if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                    _skip_line(file)
                    yield Line(number, raw[:_SHOWN], problem="line is longer than 64 MiB")
                    continue
            except (EOFError, OSError, zlib.error) as error:
                yield Line(number, b"", problem=f"gzip data is damaged or cut short ({error})")
                return
            if not raw:
                return
            if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                raw = raw[3:]
            if raw and not raw.isspace():
                yield _parse(number, raw)


def _skip_line(file: BinaryIO) -> None:
    while (piece := file.readline(2**20)) and not piece.endswith(b"\n"):
        pass


def _parse(number: int, raw: bytes) -> Line:
    try:
        value = json.loads(raw.rstrip(b"\r\n").decode("utf-8"))
        if _SURROGATE.search(raw):  # an unpaired \udXXX passes json.loads
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        return Line(number, raw, problem=f"not UTF-8 ({error.reason} at byte {error.start})")
    except UnicodeEncodeError:
        return Line(number, raw, problem="not Unicode text (an unpaired surrogate)")
    except json.JSONDecodeError as error:
        fault = error.msg.removesuffix(" at").removesuffix(" starting")
        return Line(number, raw, problem=f"not JSON ({fault} at character {error.colno})")
    except (RecursionError, ValueError) as error:
        return Line(number, raw, problem=f"not readable JSON ({error})")
    return Line(number, raw, value)
