"""Configuration of the room's runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from equipoise.core.config import Config


@dataclass(frozen=True)
class StreamAlignerConfig(Config):
    """What a demonstration or reproduction runs.

    Attributes:
        model: stored GGUF model, or path of one, that answers as upstream; `scripted` for made-up
            answers that slip as a small model does.
        sum_questions: running sums that the model is asked.
        numbers: two-digit numbers to add in each.
        open_questions: ordinary questions, on which a corrector should change little.
        max_tokens: longest answer.
        worlds: random sentence worlds.
        answers: simulated answers for each world and method.
        steps: sentences of a simulated answer.
        error_rate: probability that the arithmetic world states a wrong sum.
        fix_rate: probability that its corrector repairs one.
        break_rate: probability that its corrector spoils a right one.
    """

    model: str = "smollm2-135m"
    sum_questions: int = 6
    numbers: int = 4
    open_questions: int = 2
    max_tokens: int = 120
    worlds: int = 4
    answers: int = 1000
    steps: int = 8
    error_rate: float = 0.1
    fix_rate: float = 0.9
    break_rate: float = 0.0

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {},
        "small": {"sum_questions": 24, "open_questions": 8, "worlds": 20, "answers": 4000},
        "paper": {"sum_questions": 100, "open_questions": 20, "worlds": 20, "answers": 20000},
    }
