"""Configuration of the tour."""

from dataclasses import dataclass
from typing import ClassVar

from equipoise.core.config import Config
from equipoise.core.errors import InvalidInput


@dataclass(frozen=True)
class TourConfig(Config):
    """How much the tour does.

    Attributes:
        limit: items of each shipped task.
        user_limit: items of each file the user gives.
        max_tokens: tokens of one answer.
        replicates: bootstrap replicates of the board.
        demos: run the demo of every room, too.
    """

    PRESETS: ClassVar = {
        "tiny": {},
        "small": {"limit": 1000, "user_limit": 50, "max_tokens": 160},
        "paper": {"limit": 1000, "user_limit": 1000, "max_tokens": 256},
    }

    limit: int = 8
    user_limit: int = 4
    max_tokens: int = 64
    replicates: int = 1000
    demos: bool = True

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("user_limit", 1), ("max_tokens", 1), ("replicates", 0)):
            if getattr(self, name) < least:
                raise InvalidInput(f"{name} is {getattr(self, name)}; it must be at least {least}")
