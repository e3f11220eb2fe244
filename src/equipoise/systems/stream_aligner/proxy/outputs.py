"""What an answer of the proxy gives out, in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Opened:
    """The upstream has begun to answer; no text has been decided yet."""


@dataclass(frozen=True)
class Shown:
    """Text that has been decided and is final."""

    text: str


@dataclass(frozen=True)
class Passed:
    """Fields of a delta that are passed on: tool calls, or reasoning where that is wished."""

    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Finished:
    """The end of an answer: why, the usage, and the `equipoise` object."""

    reason: str
    usage: Mapping[str, int]
    report: Mapping[str, Any]


Output = Opened | Shown | Passed | Finished
