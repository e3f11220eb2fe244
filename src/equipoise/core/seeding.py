"""Named random streams: one seed for a run, one independent generator for each purpose in it."""

import hashlib

import numpy as np

from equipoise.core.errors import InvalidInput


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of the purpose that `names` spell under `seed`.

    The same seed and names give the same stream on every machine; different names give independent
    streams (`SeedSequence` spawn keys from SHA-256), whatever order they are asked for in.

    Raises:
        InvalidInput: a negative or non-integer seed, or a name that is neither text nor integer.

    >>> bool(stream(0, "data").random() == stream(0, "data").random())
    True
    >>> bool(stream(0, "data").random() == stream(0, "init").random())
    False
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InvalidInput(f"seed is {seed!r}; it must be an integer >= 0")
    digest = hashlib.sha256()
    for name in names:
        if isinstance(name, bool) or not isinstance(name, (str, int, np.integer)):
            raise InvalidInput(f"stream name is {name!r}; it must be text or an integer")
        part = f"{'str' if isinstance(name, str) else 'int'}:{name}".encode()
        digest.update(len(part).to_bytes(8, "big") + part)
    key = np.frombuffer(digest.digest(), dtype=">u4").astype(np.uint32)
    return np.random.default_rng(
        np.random.SeedSequence(int(seed), spawn_key=tuple(int(word) for word in key))
    )
