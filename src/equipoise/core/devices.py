"""Names of compute devices, checked without loading a framework."""

import re

from equipoise.core.errors import unknown_name

DEVICES = ("cpu", "cuda", "mps")


def check_device(name: str) -> str:
    """Return `name` if it is `cpu`, `cuda`, `cuda:N` or `mps`; else name the nearest.

    Raises:
        InvalidInput: any other name.
    """
    if name in DEVICES or re.fullmatch(r"cuda:\d+", name):
        return name
    raise unknown_name("device", name, DEVICES)
