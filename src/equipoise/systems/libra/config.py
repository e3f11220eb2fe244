"""Settings of an evaluation run and its board."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from equipoise.core.config import Config
from equipoise.core.errors import InvalidInput


@dataclass(frozen=True)
class LibraConfig(Config):
    """An evaluation and the board made of it.

    Attributes:
        contenders: path of a contenders file; empty for four variants of the embedded model.
        tasks: names of shipped tasks, `fixtures` for all of them, task files or folders.
        limit: so many items of each task, taken in turn from its clusters; None for all.
        samples: answers per item, averaged.
        max_tokens: longest answer of the embedded variants, tokens.
        judge: back end of the judge for tasks that need one, e.g. `openai:URL#MODEL`; or empty.
        concurrency: requests under way at once.
        rate: most requests a minute; 0 for no limit.
        replicates: bootstrap draws of the board, 0 for no intervals.
        level: of intervals and rank ranges.
        weights: of capability and safety in the score.
        p: order of the distance to the ideal point, >= 1.
    """

    contenders: str = ""
    tasks: tuple[str, ...] = ("fixtures",)
    limit: int | None = None
    samples: int = 1
    max_tokens: int = 128
    judge: str = ""
    concurrency: int = 8
    rate: float = 0.0
    replicates: int = 1000
    level: float = 0.95
    weights: tuple[float, float] = (0.5, 0.5)
    p: float = 2.0

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"limit": 3, "max_tokens": 32},
        "small": {"limit": 40, "max_tokens": 128},
        "paper": {"max_tokens": 512, "samples": 1, "replicates": 2000},
    }

    def __post_init__(self) -> None:
        for name in ("limit", "samples", "max_tokens", "concurrency"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"{name} is {value}; it must be at least 1")
        if not self.rate >= 0:
            raise InvalidInput(
                f"rate is {self.rate}; it must be >= 0 requests a minute (0: no limit)"
            )
        if self.replicates < 0:
            raise InvalidInput(f"replicates is {self.replicates}; it must be 0 or more")
