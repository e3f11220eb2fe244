"""Read a TOML file whose every key is known, and say where a bad value stands."""

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput, unknown_name


@contextmanager
def located(where: object) -> Iterator[None]:
    """Put `where` in front of the message of an `InvalidInput` raised inside."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from None


def read_toml(file: Path, keys: Sequence[str], required: Sequence[str]) -> dict[str, Any]:
    """Return the table in `file`.

    Raises:
        InvalidInput: the file is not TOML, has a key outside `keys` (the nearest is named), or
            lacks one of `required`.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file} is not TOML: {error}") from None
    for key in table:
        if key not in keys:
            raise unknown_name(f"key in {file}", key, keys)
    for key in required:
        if key not in table:
            raise InvalidInput(f"{file} lacks {key!r}; needed are {', '.join(required)}")
    return table
