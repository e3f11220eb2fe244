"""Files of reviewed answers below a folder, read from their end and followed as they grow."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from equipoise.systems.stream_aligner.audit.events import SegmentEvent, bounded_diff, whole
from equipoise.systems.stream_aligner.audit.log import TEXTS, is_segment, line_problem
from equipoise.systems.stream_aligner.audit.summary import shown_text

PATTERNS = ("audit*.jsonl", "stream_aligner/audit*.jsonl", "stream_aligner/*/audit*.jsonl")
ANSWERS = ("stream_aligner/*/answers*.jsonl",)
_READ_FROM_END = 4 * 2**20  # bytes of a file that a new reader is given at once


def reviewed_files(root: Path) -> list[str]:
    """Return the audit logs, then the files of `correct` and `demo`, by name below `root`.

    The newest stands first among its kind. A link that leads out of the folder is left out.
    """
    found = []
    inside = root.resolve()
    for patterns in (PATTERNS, ANSWERS):
        paths = {path for pattern in patterns for path in root.glob(pattern)}
        kept = [p for p in paths if p.is_file() and p.resolve().is_relative_to(inside)]
        found += sorted(kept, key=lambda path: (-path.stat().st_mtime_ns, str(path)))
    return [path.relative_to(root).as_posix() for path in found]


class FollowedFile:
    """Reads what a growing file gains; one that was rotated away is begun anew.

    Attributes:
        path: the file.
        skipped: lines that were no audit line and no answer.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = 0
        self._file: BinaryIO | None = None
        self._rest = b""
        self._answers = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the segments that came since the last call, as the page takes them.

        The first call begins at most 4 MiB before the end.
        """
        first = self._file is None
        if self._file is not None and self._is_moved():
            yield from self._lines(self._file)
            self.close()
        if self._file is None:
            try:
                self._file = self.path.open("rb")
            except OSError:
                return
            if first:
                self._file.seek(max(0, os.fstat(self._file.fileno()).st_size - _READ_FROM_END))
                if self._file.tell():
                    self._file.readline()
        yield from self._lines(self._file)

    def close(self) -> None:
        """Close the file; the next `read` opens it from its beginning."""
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _is_moved(self) -> bool:
        assert self._file is not None
        here = os.fstat(self._file.fileno())
        try:
            there = self.path.stat()
        except OSError:
            return False
        return there.st_ino != here.st_ino or there.st_size < self._file.tell()

    def _lines(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        while block := file.read(2**20):
            *lines, self._rest = (self._rest + block).split(b"\n")
            for line in lines:
                if line.strip():
                    yield from self._segments(line)

    def _segments(self, line: bytes) -> Iterator[dict[str, Any]]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and isinstance(value.get("steps"), list):
            self._answers += 1
            records: list[Any] = list(answer_records(value, f"{self.path.name} {self._answers}"))
        else:
            records = [value]
        for record in records:
            if line_problem(record):
                self.skipped += 1
            elif is_segment(record):
                yield page_record(record)


def page_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a segment's line as the page takes it: known fields only, its difference anew."""
    names = SegmentEvent.__dataclass_fields__
    known = {name: whole(record[name]) for name in names if name in record}
    if not record.get("redacted"):
        ops = bounded_diff(known["original"], known["corrected"])
        return known | {"diff": [[op.kind, op.original, op.corrected] for op in ops]}
    chars = record.get("chars")
    lengths = chars if isinstance(chars, dict) else {}
    counted = {name: n if isinstance(n := lengths.get(name), int) else 0 for name in TEXTS}
    return known | {"redacted": True, "chars": counted}


def answer_records(row: Mapping[str, Any], request_id: str) -> Iterator[dict[str, Any]]:
    """Yield the segments of one answer of `correct`, in the form of audit lines without times."""
    prefix = ""
    for number, step in enumerate(row["steps"]):
        record = {
            "request_id": request_id,
            "round": number,
            "question": row.get("question") or "",
            "prefix_chars": len(prefix),
            **(step if isinstance(step, dict) else {}),
        }
        if not line_problem(record):
            prefix += shown_text(record)
        yield record
