"""Files never half-written, lines read one at a time, one canonical spelling of JSON."""

import dataclasses
import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class JsonlProblem:
    """A line that holds no JSON value: why, and the beginning of its text."""

    reason: str
    text: str


def write_atomic(path: str | Path, data: str | bytes) -> Path:
    """Write `data` (text as UTF-8) to `path` so that readers see the old file or the new one.

    The bytes go to a temporary file beside `path`, are flushed to disk, then renamed over it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # half of a surrogate pair, which an endpoint's JSON can hold, becomes its escape, as in JSON
    payload = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.part"
    try:
        with open(temporary, "xb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def canonical_json(value: object) -> str:
    """Return the one JSON spelling of `value`: sorted keys, no blanks, UTF-8, NaN refused.

    >>> canonical_json({"b": 1, "a": "é"})
    '{"a":"é","b":1}'
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def to_json(value: Any) -> Any:
    """Return `value` as strict JSON data: NumPy becomes plain, a dataclass a mapping of its fields.

    Infinite and undefined numbers are spelt `"NaN"`, `"Infinity"`, `"-Infinity"`; `from_json`
    turns them back.
    """
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, dict) or hasattr(value, "keys"):
        return {str(key): to_json(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((to_json(item) for item in value), key=repr)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    to_list = getattr(value, "tolist", None)  # NumPy arrays and scalars, torch tensors
    return str(value) if to_list is None else to_json(to_list())


_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def from_json(value: Any) -> Any:
    """Undo the spelling of non-finite numbers that `to_json` uses."""
    if isinstance(value, str):
        return _NON_FINITE.get(value, value)
    if isinstance(value, dict):
        return {key: from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return value


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal, reading it in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def iter_jsonl(path: str | Path) -> Iterator[tuple[int, Any]]:
    """Yield `(line, value)` of each non-empty line, from 1; a bad line yields a `JsonlProblem`.

    One line is held in memory at a time. A UTF-8 byte-order mark at the start is skipped.
    """
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                yield number, JsonlProblem(f"not UTF-8 ({error.reason})", repr(raw[:80]))
                continue
            if not text.strip():
                continue
            try:
                yield number, json.loads(text)
            except (ValueError, RecursionError) as error:
                yield number, JsonlProblem(f"not JSON ({error})", text.strip()[:80])
