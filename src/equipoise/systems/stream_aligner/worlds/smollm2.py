"""The real world: a small language model adds numbers in free text, and its sums are checked.

Questions ask for the sum of a few two-digit numbers, one worked example shows the wording, and one
sentence states one addition: `First, 35 + 59 = 154. Then 154 + 37 = 521.` A wrong sentence poisons
the rest. What the model says to open questions is benign: a corrector should leave it alone.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from equipoise.core.extras import require
from equipoise.systems.stream_aligner.aligning import Upstream
from equipoise.systems.stream_aligner.arithmetic import stated_sums
from equipoise.systems.stream_aligner.tasks import (
    SumQuestion,
    slipping_upstream,
    sum_questions,
    worked_examples,
)
from equipoise.systems.stream_aligner.upstreams import upstream_from_backend
from equipoise.systems.stream_aligner.worlds.arithmetic import numbers_of

if TYPE_CHECKING:
    from equipoise.text import Backend

SCRIPTED = "scripted"
"""Model name of the demonstration's stand-in, which forgets to carry."""

PRACTICE_QUESTIONS = (
    "Why do birds sing in the morning?",
    "How do I boil an egg?",
    "What is a good hobby for a rainy day?",
    "Why does ice float on water?",
    "How can I keep bread fresh?",
    "What should I bring to a picnic?",
    "How does a sailing boat move?",
    "What is the difference between a hill and a mountain?",
    "How do I wrap a present?",
    "Why do onions make people cry?",
    "How can I learn a few words of a new language?",
    "What makes thunder?",
    "How do I sharpen a pencil?",
    "Why do dogs wag their tails?",
    "What is a lighthouse for?",
    "How do I plant a tree?",
    "Why are there seasons?",
    "How can I get up early?",
    "What is a limerick?",
    "How do I clean a wooden table?",
)
"""Open questions to learn copying from; none of them is among `tasks.OPEN_QUESTIONS`."""

_TOTAL = re.compile(r"So the sum is (\d+)\.")


@dataclass(frozen=True)
class Opened:
    """The model, asked in two ways.

    Attributes:
        sums: continues a running sum; the worked example stands before the question.
        plain: continues an answer to any other question.
        backend: the model itself, None where it is scripted.
    """

    sums: Upstream
    plain: Upstream
    backend: "Backend | None" = None


@dataclass(frozen=True)
class RealWorld:
    """Running sums of two-digit numbers, answered by a real model.

    Attributes:
        model: stored GGUF model or path of one, or `scripted`.
        numbers: to add in each question.
        max_tokens: longest answer.
        device: where the model computes.
    """

    model: str = "smollm2-135m"
    numbers: int = 4
    max_tokens: int = 120
    device: str = "auto"

    def questions(self, count: int, seed: int) -> list[str]:
        """Return `count` questions."""
        return [question.text for question in sum_questions(count, self.numbers, seed)]

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """Start the model for the length of a `with` block; greedy, on half of the cores.

        Raises:
            MissingData: the model is not stored here; the message says how to get it.
            MissingExtra: llama.cpp is not installed.
        """
        if self.model == SCRIPTED:
            yield Opened(_scripted, _scripted)
            return
        from equipoise.text import load_backend

        require("xllamacpp", "text")
        threads = max(1, (os.cpu_count() or 2) // 2)
        spec = f"llamacpp:{self.model}"
        with load_backend(spec, threads=threads, device=self.device) as backend:
            yield Opened(
                sums=upstream_from_backend(
                    backend, examples=worked_examples(self.numbers), max_tokens=self.max_tokens
                ),
                plain=upstream_from_backend(backend, max_tokens=self.max_tokens),
                backend=backend,
            )

    @contextmanager
    def upstream(self) -> Iterator[Upstream]:
        """Start the model and yield only what continues running sums; raises as `opened` does."""
        with self.opened() as opened:
            yield opened.sums


def _scripted(question: str, prefix: str) -> Iterator[str]:
    known = [SumQuestion(numbers_of(question))] if question.startswith("Add ") else []
    yield from slipping_upstream(known)(question, prefix)


def sentence_right(prefix: str, sentence: str) -> bool | None:
    """Whether a sentence is right by exact arithmetic, None where it states nothing to check.

    Its sums must be exact; `So the sum is 9.` must state the result of the last sum before it.

    >>> sentence_right("Then 4 + 5 = 9.", "So the sum is 8."), sentence_right("", "1 + 1 = 2.")
    (False, True)
    """
    sums = list(stated_sums(sentence))
    if sums:
        return all(found.correct for found in sums)
    total, before = _TOTAL.search(sentence), list(stated_sums(prefix))
    if total is None or not before:
        return None
    return int(total[1]) == before[-1].stated
