"""Replies and verdicts by content: what was asked once is never asked again, even after kill -9.

One SQLite file in write-ahead mode. Every entry is committed before its caller hears of it, so a
process that dies loses at most the request that was under way.
"""

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.core.files import canonical_json

SCHEMA = 1


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


def verdict_key(reply: str, task_hash: str, item_id: str, scorer: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a verdict's origin.

    The item's id stands in it beside what the specification lists, because two items of a task may
    ask the same question and want different answers.

    Args:
        reply: reply key.
        task_hash: hash of the task with all its items.
        item_id: the item within the task.
        scorer: canonical description: name, version, options, and the identity of a judge (with
            its rubric's hash) where it asks one.
    """
    origin = [reply, task_hash, item_id, dict(scorer)]
    return digest(origin)


class Cache:
    """One `cache.db`: key -> JSON object, for replies and for verdicts."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Autocommit: each entry is a transaction. A killed process loses none of them under
            # synchronous=NORMAL; a power cut may lose the last ones, which are then asked again.
            self._db = sqlite3.connect(self.path, isolation_level=None, timeout=30.0)
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
            self._db.execute(f"PRAGMA user_version={SCHEMA}")
        except sqlite3.DatabaseError as error:
            raise InvalidInput(
                f"{self.path} is no cache of this package ({error}); move it away"
            ) from None

    def reply(self, key: str) -> dict[str, Any] | None:
        """Return the stored reply of a request, or None."""
        return self._get("SELECT value FROM replies WHERE key = ?", key)

    def verdict(self, key: str) -> dict[str, Any] | None:
        """Return the stored verdict, or None."""
        return self._get("SELECT value FROM verdicts WHERE key = ?", key)

    def put_reply(self, key: str, value: Mapping[str, Any]) -> None:
        """Store a reply; on return it survives the end of the process."""
        self._put("INSERT OR REPLACE INTO replies VALUES (?, ?)", key, value)

    def put_verdict(self, key: str, value: Mapping[str, Any]) -> None:
        """Store a verdict; on return it survives the end of the process."""
        self._put("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", key, value)

    def count(self) -> dict[str, int]:
        """Return how many replies and verdicts are stored."""
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

    def _get(self, statement: str, key: str) -> dict[str, Any] | None:
        row = self._db.execute(statement, (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def _put(self, statement: str, key: str, value: Mapping[str, Any]) -> None:
        try:
            self._db.execute(statement, (key, canonical_json(dict(value))))
        except sqlite3.OperationalError as error:
            raise RunFailed(
                f"{self.path} cannot be written ({error}); what it holds is kept, free space and "
                "run the same line again"
            ) from None
