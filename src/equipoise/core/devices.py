"""Names of compute devices, checked without loading a framework."""

import re
from collections.abc import Iterable

from equipoise.core.errors import InvalidInput, unknown_name

DEVICES = ("auto", "cpu", "cuda", "mps")


def check_device(name: str) -> str:
    """Return `name` if it is `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; else name the nearest.

    Raises:
        InvalidInput: any other name.
    """
    if name in DEVICES or re.fullmatch(r"cuda:\d+", str(name)):
        return name
    raise unknown_name("device", name, DEVICES)


def absent_device(name: str, usable: Iterable[str]) -> InvalidInput:
    """Return the error for a device that exists, but not on this machine (or not in this build)."""
    return InvalidInput(
        f"device {name!r} is not on this machine; usable: {', '.join(('auto', *usable))}"
    )
