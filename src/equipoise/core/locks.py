"""One process at a time: a lock file, and a word to whoever has to wait for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from equipoise.core.console import note


@contextmanager
def held(path: Path, waiting: str) -> Iterator[None]:
    """Hold the lock file at `path`; say `waiting` before waiting for a process that has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        note(waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
