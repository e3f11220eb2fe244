"""Replies and verdicts by content: what was asked once is never asked again, even after kill -9.

One SQLite file in write-ahead mode. Every entry is committed before its caller hears of it, so a
process that dies loses at most the request that was under way.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.core.files import canonical_json
from equipoise.core.locks import held

SCHEMA = 1
_READ = {
    "replies": "SELECT value FROM replies WHERE key = ?",
    "verdicts": "SELECT value FROM verdicts WHERE key = ?",
}
_KEEP = {
    "replies": "INSERT OR IGNORE INTO replies VALUES (?, ?)",
    "verdicts": "INSERT OR IGNORE INTO verdicts VALUES (?, ?)",
}
_MEND = {
    "replies": "INSERT OR REPLACE INTO replies VALUES (?, ?)",
    "verdicts": "INSERT OR REPLACE INTO verdicts VALUES (?, ?)",
}


def digest(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, lone surrogates included."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def reply_key(
    description: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], sample: int
) -> str:
    """Return the SHA-256 of a request: who is asked (never its name), what, and which sample.

    >>> a = reply_key({"model": "m", "temperature": 0.0}, [{"role": "user", "content": "hi"}], 0)
    >>> a == reply_key({"temperature": 0.0, "model": "m"}, [{"content": "hi", "role": "user"}], 0)
    True
    >>> a == reply_key({"model": "m", "temperature": 0.9}, [{"role": "user", "content": "hi"}], 0)
    False
    """
    request = {
        "contender": dict(description),
        "messages": [dict(message) for message in messages],
        "sample": sample,
    }
    return digest(request)


def verdict_key(
    reply: str, text: str, task_hash: str, item_id: str, scorer: Mapping[str, Any]
) -> str:
    """Return the SHA-256 of a verdict's origin.

    Beside what the specification lists stand the item's id, because two items of a task may ask
    the same question and want different answers, and the text, because a request that is sent
    twice may be answered twice.

    Args:
        reply: reply key.
        text: what was answered.
        task_hash: hash of the task with all its items.
        item_id: the item within the task.
        scorer: canonical description: name, version, options, and the identity of a judge (with
            its rubric's hash) where it asks one.
    """
    origin = [reply, digest(text), task_hash, item_id, dict(scorer)]
    return digest(origin)


class Cache:
    """One `cache.db`: key -> JSON object, for replies and for verdicts.

    Args:
        path: the file; it is made where there is none.
        patience: seconds that a file which another process holds is waited for.

    Raises:
        InvalidInput: the file is no cache of this package, or one of a newer version.
        RunFailed: it cannot be opened, or another process holds it too long.
    """

    def __init__(self, path: str | Path, *, patience: float = 30.0) -> None:
        self.path = Path(path)
        _make_folder(self.path.parent)
        deadline = time.monotonic() + patience
        with self._clear_errors():
            # Autocommit: each entry is a transaction. A killed process loses none of them under
            # synchronous=NORMAL; a power cut may lose the last ones, which are then asked again.
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=patience)
            try:
                # SQLite itself does not wait where the journal's mode is changed.
                while not self._prepared(last=time.monotonic() > deadline):
                    time.sleep(0.02)
            except BaseException:
                self._db.close()
                raise

    def _prepared(self, *, last: bool) -> bool:
        """Prepare the file and return True; False where another process holds it just now."""
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            if last or not _is_locked(error):
                raise
            return False
        return True

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise InvalidInput(
                f"{self.path} was written by a newer version (schema {version}, this one "
                f"knows {SCHEMA}); upgrade or name another folder"
            )
        for table in ("replies", "verdicts"):
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS {table} "
                "(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
            )
        if version != SCHEMA:
            self._db.execute(f"PRAGMA user_version={SCHEMA}")

    def reply(self, key: str) -> dict[str, Any] | None:
        """Return the stored reply of a request; None where there is none that can be read."""
        return self._get("replies", key)

    def verdict(self, key: str) -> dict[str, Any] | None:
        """Return the stored verdict; None where there is none that can be read."""
        return self._get("verdicts", key)

    def put_reply(self, key: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Store a reply unless one stands there; return the one that stands.

        On return it survives the end of the process.
        """
        return self._put("replies", key, value)

    def put_verdict(self, key: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Store a verdict unless one stands there; return the one that stands."""
        return self._put("verdicts", key, value)

    def count(self) -> dict[str, int]:
        """Return how many replies and verdicts are stored."""
        with self._clear_errors():
            return {
                "replies": self._db.execute("SELECT count(*) FROM replies").fetchone()[0],
                "verdicts": self._db.execute("SELECT count(*) FROM verdicts").fetchone()[0],
            }

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _get(self, table: str, key: str) -> dict[str, Any] | None:
        with self._clear_errors():
            row = self._db.execute(_READ[table], (key,)).fetchone()
        return _readable(table, row[0]) if row else None

    def _put(self, table: str, key: str, value: Mapping[str, Any]) -> dict[str, Any]:
        entry = (key, canonical_json(dict(value)))
        with self._clear_errors():
            self._db.execute(_KEEP[table], entry)
            stands = self._get(table, key)
            if stands is None:  # what stood there could not be read
                self._db.execute(_MEND[table], entry)
                return dict(value)
        return stands

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """Turn SQLite's errors into one line that says what to do."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            # A plain error is SQL that does not fit: another program's tables.
            ours = isinstance(error, sqlite3.OperationalError)
            if ours and error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise RunFailed(
                    f"{self.path} cannot be used ({error}); what it holds is kept, free the file "
                    "or space and run the same line again"
                ) from None
            raise InvalidInput(
                f"{self.path} is no cache of this package, or damaged ({error}); move it away, and "
                "its answers are asked again"
            ) from None


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Hold a cache for the length of an evaluation; a second one waits, then finds the answers."""
    _make_folder(path.parent)
    waiting = f"{path} is in use by another evaluation; waiting until that is done"
    with held(path.with_name(f"{path.name}.lock"), waiting):
        yield


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be made a folder: {error}") from None


def _is_locked(error: sqlite3.OperationalError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _readable(table: str, text: Any) -> dict[str, Any] | None:
    """Return a stored entry, None where it is not what this package wrote."""
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    if table == "replies":
        return value if isinstance(value.get("text"), str) else None
    worth = value.get("value")
    if isinstance(worth, bool) or not isinstance(worth, (int, float)) or not 0.0 <= worth <= 1.0:
        return None
    texts = all(isinstance(value.get(key, ""), str) for key in ("label", "detail"))
    return value if texts else None
