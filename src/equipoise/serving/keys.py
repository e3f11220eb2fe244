"""Bearer keys of a server: a file of SHA-256 digests, rates, and requests at once for each key.

The file is a JSON list of `{"name", "sha256", "requests_per_minute", "max_concurrent",
"upstream_key_env"}`, the last three optional; it is read again when it changes. A key itself is
kept nowhere: what a client sends is hashed, and digests are compared in constant time.
"""

import hashlib
import hmac
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput, RunFailed, unknown_name
from equipoise.core.limits import TokenBucket

_FIELDS = ("name", "sha256", "requests_per_minute", "max_concurrent", "upstream_key_env")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class KeyEntry:
    """What a key may do.

    Attributes:
        name: what logs call it.
        sha256: digest of the key, lower-case hexadecimal.
        requests_per_minute: None for no limit.
        max_concurrent: requests open at once; None for no limit.
        upstream_key_env: environment variable whose key is sent upstream for this one.
    """

    name: str
    sha256: str
    requests_per_minute: float | None = None
    max_concurrent: int | None = None
    upstream_key_env: str | None = None


class RateExceeded(RunFailed):
    """A key asks more than it may; `retry_after` are the seconds to wait."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Grant:
    """A known key while the server runs: its entry, its rate and its open requests."""

    def __init__(self, entry: KeyEntry) -> None:
        self.entry = entry
        self.open = 0
        rate = entry.requests_per_minute
        self._bucket = None if rate is None else TokenBucket(rate, 60.0)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count one request for the length of a `with` block.

        Raises:
            RateExceeded: one request too many, in a minute or at once.
        """
        most = self.entry.max_concurrent
        if most is not None and self.open >= most:
            raise RateExceeded(f"key {self.entry.name!r} has {most} requests open already", 1.0)
        wait = 0.0 if self._bucket is None else self._bucket.try_acquire()
        if wait > 0:
            raise RateExceeded(
                f"key {self.entry.name!r} may send {self.entry.requests_per_minute:g} requests a "
                f"minute; try again in {math.ceil(wait)} s",
                wait,
            )
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


class KeyRing:
    """The keys that a server knows; one without any asks for none.

    Args:
        path: file of keys, or None.
        key: one further key that may do everything, e.g. from the environment; named `default`.

    Raises:
        InvalidInput: the file cannot be used (the entry's number is named).
    """

    def __init__(self, path: Path | None = None, key: str | None = None) -> None:
        self._path = path
        single = () if key is None else (KeyEntry("default", digest_of(key)),)
        self._single = tuple(Grant(entry) for entry in single)
        self._grants: tuple[Grant, ...] = ()
        self._open = Grant(KeyEntry("", ""))
        self._seen: tuple[int, int, int] | None = None
        if path is not None:
            self.reload()

    @property
    def asks(self) -> bool:
        """Whether requests need a key."""
        return self._path is not None or bool(self._single)

    def reload(self) -> None:
        """Read the file again; a key whose entry is the same keeps its counts.

        Raises:
            InvalidInput: the file cannot be used; the keys read before stay.
        """
        if self._path is None:
            return
        self._seen = _stamp(self._path)
        known = {grant.entry: grant for grant in self._grants}
        entries = read_keys(self._path)
        self._grants = tuple(known.get(entry) or Grant(entry) for entry in entries)

    def changed(self) -> bool:
        """Return whether the file is another than the one read last."""
        return self._path is not None and _stamp(self._path) != self._seen

    def knows_digest(self, digest: str) -> bool:
        """Return whether a key with this SHA-256 is known."""
        return any(grant.entry.sha256 == digest for grant in (*self._single, *self._grants))

    def find(self, given: str | None) -> Grant | None:
        """Return what a bearer key may do, None where it is missing or unknown."""
        if not self.asks:
            return self._open
        digest = digest_of(given or "")
        found = None
        for grant in (*self._single, *self._grants):  # all of them, so that time tells nothing
            if hmac.compare_digest(grant.entry.sha256, digest) and given:
                found = grant
        return found


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the key of an `Authorization: Bearer` header, None where there is none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() or None if scheme.lower() == "bearer" else None


def read_keys(path: Path) -> tuple[KeyEntry, ...]:
    """Read a file of keys.

    Raises:
        InvalidInput: no such file, not a JSON list, or a bad entry (its number is named).
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"keys file {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InvalidInput(f"keys file {path} is not JSON: {error}") from None
    if not isinstance(entries, list):
        raise InvalidInput(f"keys file {path}: expected a list, got {type(entries).__name__}")
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(_read_entry(entry))
        except InvalidInput as error:
            raise InvalidInput(f"keys file {path}, entry {number}: {error}") from None
    names = [entry.name for entry in found]
    if len(set(names)) < len(names):
        raise InvalidInput(f"keys file {path}: a name stands there twice")
    return tuple(found)


def _read_entry(entry: Any) -> KeyEntry:
    if not isinstance(entry, dict):
        raise InvalidInput(f"expected an object, got {type(entry).__name__}")
    for field in entry:
        if field not in _FIELDS:
            raise unknown_name("field", field, _FIELDS)
    name, digest = entry.get("name"), entry.get("sha256")
    if not isinstance(name, str) or not name:
        raise InvalidInput("'name' must be text and not empty")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest.lower()):
        raise InvalidInput("'sha256' must be the 64 hexadecimal digits of the key's SHA-256")
    rate, most, variable = (entry.get(field) for field in _FIELDS[2:])
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float)):
        raise InvalidInput(f"'requests_per_minute' is {rate!r}; it must be a number > 0")
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise InvalidInput(f"'requests_per_minute' is {rate!r}; it must be a number > 0")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise InvalidInput(f"'max_concurrent' is {most!r}; it must be an integer >= 1")
    if variable is not None and not isinstance(variable, str):
        raise InvalidInput("'upstream_key_env' must be the name of an environment variable")
    return KeyEntry(name, digest.lower(), rate, most, variable)


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key, in hexadecimal, as a file of keys holds it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
