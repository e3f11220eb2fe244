"""The audit log: what was proposed, what was shown, why; one JSON line a segment.

Lines are appended and flushed one by one and rotated by size: `FILE` is the newest, `FILE.1` the
one before it. Two kinds of line stand in it: segments (with a `verdict`) and what became of a
request (with an `event`, such as `upstream_lost`).
"""

import contextlib
import json
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput, MissingData, RunFailed
from equipoise.core.files import JsonlProblem, iter_jsonl
from equipoise.systems.stream_aligner.audit.events import SEGMENT_VERDICTS, SegmentEvent, is_late

TEXTS = ("question", "leading", "original", "corrected")
"""Fields of a segment that hold words of people and models."""

_PROBE = b" " * 4096 + b"\n"  # readers pass over blank lines, should one ever stay


class AuditLog:
    """Appends audit lines to a file; may be used from several threads.

    A file that another program moved away is begun anew. Only its owner may read a new file.
    """

    def __init__(
        self, path: str | Path, *, redact: bool = False, max_bytes: int = 50_000_000, keep: int = 5
    ) -> None:
        """Open the file, which is made where it is missing.

        Args:
            path: the file; what it holds stays.
            redact: store the SHA-256 of texts and their lengths instead of the texts. Short texts
                can be found again by whoever tries them all.
            max_bytes: a file that would grow beyond is rotated first.
            keep: how many older files stay.

        Raises:
            RunFailed: the file cannot be written.
        """
        for name, value in (("max_bytes", max_bytes), ("keep", keep)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInput(f"{name} is {value!r}; it must be an integer >= 1")
        self.path = Path(path)
        self.redact = redact
        self.max_bytes = max_bytes
        self.keep = keep
        self._lock = threading.RLock()
        self._file: int | None = None
        self._failed = False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._open()
            _end_last_line(self.path, self._file)
        except OSError as error:
            self.close()
            reason = error.strerror or str(error)
            raise RunFailed(f"the audit file {self.path} cannot be written: {reason}") from None

    def write(self, event: SegmentEvent) -> None:
        """Append a segment's line.

        Raises:
            OSError: it could not be written, e.g. since the disk is full; nothing of it stays.
        """
        record = event.record()
        self.write_request(redacted(record) if self.redact else record)

    def write_request(self, record: Mapping[str, Any]) -> None:
        """Append a line about a whole request: at least `time`, `request_id` and `event`.

        Raises:
            OSError: it could not be written.
        """
        text = json.dumps(record, ensure_ascii=False, default=str) + "\n"
        line = text.encode("utf-8", "backslashreplace")
        with self._lock:
            self._failed = True  # until it is in the file
            self._append(line)
            self._failed = False

    def writable(self) -> bool:
        """Return whether the next line can be written; after a failure this is tried out."""
        with self._lock:
            if self._file is None:
                return False
            if self._failed:
                with contextlib.suppress(OSError):
                    self._append(_PROBE, keep=False)
                    self._failed = False
            return not self._failed

    def close(self) -> None:
        """Close the file; nothing can be written any more."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def __enter__(self) -> "AuditLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _append(self, line: bytes, *, keep: bool = True) -> None:
        """Write bytes whole or not at all."""
        if self._file is None:
            raise OSError(f"the audit file {self.path} is closed")
        size = self._ready(len(line))
        try:
            left = memoryview(line)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            keep = False
            raise
        finally:
            if not keep:
                with contextlib.suppress(OSError):  # a device cannot be cut
                    os.ftruncate(self._file, size)

    def _ready(self, more: int) -> int:
        """Have a file with room for `more` bytes open; return its size."""
        assert self._file is not None
        state = os.fstat(self._file)
        if not stat.S_ISREG(state.st_mode):
            return 0
        full = state.st_size > 0 and state.st_size + more > self.max_bytes
        moved = _inode(self.path) != state.st_ino
        if full and not moved:
            self._rotate()
        if full or moved:
            fresh = self._open()
            os.close(self._file)
            self._file = fresh
            return os.fstat(fresh).st_size
        return state.st_size

    def _rotate(self) -> None:
        for number in range(self.keep, 0, -1):
            newer = _numbered(self.path, number - 1) if number > 1 else self.path
            if newer.exists():
                os.replace(newer, _numbered(self.path, number))


def _end_last_line(path: Path, file: int) -> None:
    """End a line whose writer was killed, lest the next one be glued to it."""
    state = os.fstat(file)
    if stat.S_ISREG(state.st_mode) and state.st_size:
        with open(path, "rb") as whole:
            whole.seek(-1, os.SEEK_END)
            if whole.read(1) != b"\n":
                os.write(file, b"\n")


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def redacted(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a segment's line with hashes for its texts; `chars` holds their lengths.

    Of the difference only lengths stay, of a note only that it says the corrector came too late.

    >>> redacted({"original": "abc", "diff": [["insert", "", "abc"]]})["diff"]
    [['insert', 0, 3]]
    """
    found = dict(record)
    texts = {name: str(record.get(name, "")) for name in TEXTS}
    found |= {name: _digest(text) for name, text in texts.items()}
    found["diff"] = [[kind, len(a), len(b)] for kind, a, b in record.get("diff", [])]
    if not is_late(str(found.get("note", ""))):
        found.pop("note", None)
    return found | {"chars": {name: len(text) for name, text in texts.items()}, "redacted": True}


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True)
class SkippedLine:
    """A line that is no audit line, and why."""

    file: str
    line: int
    reason: str


class AuditFile:
    """The lines of an audit log, oldest first, rotated files included; iterating reads them.

    Attributes:
        path: the newest file.
        skipped: lines found broken or foreign by the last iteration.
        shown: the first twenty of them.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.skipped = 0
        self.shown: list[SkippedLine] = []

    def files(self) -> list[Path]:
        """Return the files there are, oldest first."""
        older = [
            (int(number), found)
            for found in self.path.parent.glob(f"{_escaped(self.path.name)}.*")
            if (number := found.name[len(self.path.name) + 1 :]).isascii() and number.isdecimal()
        ]
        return [found for _, found in sorted(older, reverse=True)] + [self.path]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.skipped, self.shown = 0, []
        for path in self.files():
            for number, value in iter_jsonl(path):
                if isinstance(value, JsonlProblem):
                    reason = value.reason
                else:
                    reason = line_problem(value)
                    if not reason:
                        yield value
                        continue
                self.skipped += 1
                if len(self.shown) < 20:
                    self.shown.append(SkippedLine(path.name, number, reason))


def _escaped(name: str) -> str:
    """Return a file name for `glob`, in which some characters mean something."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def read_audit(path: str | Path) -> AuditFile:
    """Return the audit log at `path`; what is no line of one is skipped and counted.

    Raises:
        MissingData: there is no such file.
        InvalidInput: it cannot be read.
    """
    try:
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        raise MissingData(f"no audit file {str(path)!r}; check the path") from None
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    return AuditFile(path)


def is_segment(record: Mapping[str, Any]) -> bool:
    """Return whether an audit line is about a segment, not about a whole request."""
    return "verdict" in record


def line_problem(value: Any) -> str:
    """Return why a JSON value is no line of an audit log, empty where it is one."""
    if not isinstance(value, dict):
        return "no JSON object"
    if not isinstance(value.get("request_id"), str):
        return "no 'request_id'"
    if not is_segment(value):
        return "" if isinstance(value.get("event"), str) else "neither a 'verdict' nor an 'event'"
    if value["verdict"] not in SEGMENT_VERDICTS:
        return f"verdict {str(value['verdict'])[:40]!r} is none of {', '.join(SEGMENT_VERDICTS)}"
    for name in ("original", "corrected"):
        if not isinstance(value.get(name), str):
            return f"{name!r} is not text"
    for name, kinds in _OPTIONAL.items():
        if not isinstance(value.get(name, kinds[0]()), kinds):
            return f"{name!r} is {type(value[name]).__name__}"
    return ""


_OPTIONAL: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("question", "leading", "note", "model", "policy", "key_name"), (str,)),
    **dict.fromkeys(("time", "corrector_ms"), (float, int)),
    **dict.fromkeys(("round", "prefix_chars"), (int,)),
    "diff": (list,),
}
"""Field of a segment's line that may be missing -> the types that it may have."""
