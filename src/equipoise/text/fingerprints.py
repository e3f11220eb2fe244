"""What tells one set of weights from another, for cache keys."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from equipoise.core import store
from equipoise.core.files import sha256_file


def model_identity(name: str, files: Iterable[Path]) -> str:
    """Return a SHA-256 that changes with the weights: a stored model's own, else of `files`."""
    for artifact in store.available():
        if artifact.name == name:
            return artifact.sha256
    digest = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        status = path.stat()
        digest.update(f"{path.name}:{_file(path, status.st_size, status.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=256)
def _file(path: Path, _size: int, _changed: int) -> str:
    return sha256_file(path)
