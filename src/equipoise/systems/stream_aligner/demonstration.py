"""The demonstration: a real model adds numbers, sentence by sentence, with and without review."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equipoise.core.console import note, progress
from equipoise.core.errors import MissingData, MissingExtra
from equipoise.core.extras import is_present, require
from equipoise.core.stats import Interval, wilson_interval
from equipoise.core.store import path_of
from equipoise.systems.stream_aligner.aligning import Upstream, align
from equipoise.systems.stream_aligner.arithmetic import final_result, stated_sums
from equipoise.systems.stream_aligner.batch import correct_file
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.tasks import (
    OPEN_QUESTIONS,
    SumQuestion,
    house_corrector,
    slipping_upstream,
    sum_questions,
    worked_examples,
)
from equipoise.systems.stream_aligner.upstreams import open_upstream, scripted_upstream

if TYPE_CHECKING:
    from equipoise.core.runs import Run

METHODS = ("raw", "aligner", "stream")


@dataclass(frozen=True)
class Answered:
    """A question with its answers.

    Attributes:
        question: as asked.
        answers: `raw` (the model alone), `aligner` (its whole answer corrected once) and `stream`
            (reviewed sentence by sentence).
        steps: of the stream.
        total: the right sum, None for an ordinary question.
    """

    question: str
    answers: dict[str, str]
    steps: tuple[dict[str, Any], ...]
    total: int | None = None

    def right(self, method: str) -> bool:
        """Whether the last stated sum of an answer is the right one."""
        return final_result(self.answers[method]) == self.total


def answer_questions(
    run: "Run", config: StreamAlignerConfig, model: str, seed: int, device: str = "auto"
) -> list[Answered]:
    """Have `model` answer everything, raw and reviewed; what the run holds already is kept."""
    sums = sum_questions(config.sum_questions, config.numbers, seed)
    opens = [
        OPEN_QUESTIONS[i % len(OPEN_QUESTIONS)]
        for i in range(min(config.open_questions, len(OPEN_QUESTIONS)))
    ]
    corrector = house_corrector()
    found: list[Answered] = []
    with progress("model answers, corrector reviews", len(sums) + len(opens)) as bar:
        for name, questions in (("sums", [q.text for q in sums]), ("open", opens)):
            examples = worked_examples(config.numbers) if name == "sums" else []
            with _upstream(model, config, sums, examples, device) as upstream:
                rows = correct_file(
                    questions,
                    upstream,
                    corrector,
                    run.path / f"answers-{name}.jsonl",
                    advance=bar.advance,
                    speculate=True,
                )
            for place, row in enumerate(rows):
                whole = align(
                    row["question"],
                    scripted_upstream({row["question"]: row["original"]}.__getitem__),
                    corrector,
                    mode="aligner",
                )
                answers = {
                    "raw": row["original"],
                    "aligner": whole.text,
                    "stream": row["answer"],
                }
                total = sums[place].total if name == "sums" else None
                found.append(Answered(row["question"], answers, tuple(row["steps"]), total))
    return found


def model_at_hand(config: StreamAlignerConfig) -> str:
    """Return the configured model, or `scripted` where its weights or llama.cpp are missing."""
    try:
        if config.model != "scripted":
            if not os.path.exists(config.model):
                path_of(config.model)
            if not is_present("xllamacpp"):
                require("xllamacpp", "text")
        return config.model
    except (MissingData, MissingExtra) as error:
        note(f"scripted answers stand in for the model: {error}")
        return "scripted"


@contextmanager
def _upstream(
    model: str,
    config: StreamAlignerConfig,
    sums: list[SumQuestion],
    examples: list[tuple[str, str]],
    device: str,
) -> Iterator[Upstream]:
    if model == "scripted":
        yield slipping_upstream(sums)
        return
    # Half of the cores: two threads on two cores are slower once anything else runs beside them.
    threads = max(1, (os.cpu_count() or 2) // 2)
    with open_upstream(
        f"local:{model}",
        examples=examples,
        max_tokens=config.max_tokens,
        threads=threads,
        device=device,
    ) as upstream:
        yield upstream


def measure(found: list[Answered]) -> dict[str, Any]:
    """Return counts and intervals of the demonstration, one entry per method."""
    sums = [answered for answered in found if answered.total is not None]
    steps = [step for answered in found if answered.total is None for step in answered.steps]
    copies = sum(step["verdict"] == "copy" for step in steps)
    measured: dict[str, Any] = {}
    for method in METHODS:
        stated = [s.correct for answered in sums for s in stated_sums(answered.answers[method])]
        right = sum(answered.right(method) for answered in sums)
        measured[method] = {
            "final_right": right,
            "final_share": _share(right, len(sums)),
            "stated_right": sum(stated),
            "stated": len(stated),
        }
    return measured | {
        "questions": len(sums),
        "open_sentences": len(steps),
        "open_copy_rate": _share(copies, len(steps)),
    }


def _share(count: int, of: int) -> Interval:
    return wilson_interval(count, of) if of else Interval(float("nan"), 0.0, 1.0)
