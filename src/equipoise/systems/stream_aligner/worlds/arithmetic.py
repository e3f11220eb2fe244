"""The arithmetic world in text: questions, an upstream that slips, and its exact oracle.

An answer adds the question's numbers one by one, `3 + 5 = 8. 8 + 2 = 10.` Each stated result is
wrong with a fixed probability, and the next sentence builds on what stands in the prefix. Errors
only ever add, so a wrong sum never becomes right by accident: `objective.arithmetic_accuracy` is
exact.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner.arithmetic import correct_sums, stated_sums
from equipoise.systems.stream_aligner.correction import Correction
from equipoise.systems.stream_aligner.tasks import SumQuestion

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class ArithmeticWorld:
    """Running sums and an upstream that gets some of them wrong.

    Attributes:
        steps: additions, one sentence each.
        largest: numbers are drawn from 1 to this.
        error_rate: probability that a stated result is wrong.
        seed: of the slips. They depend on question and prefix alone, so an answer is the same
            however often, and in whatever order, the upstream is asked.
    """

    steps: int = 8
    largest: int = 9
    error_rate: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.largest < 1:
            raise InvalidInput(f"steps {self.steps}, largest {self.largest}: both must be >= 1")
        if not 0 <= self.error_rate <= 1:
            raise InvalidInput(f"error_rate is {self.error_rate!r}; it must lie in [0, 1]")

    def questions(self, count: int, seed: int) -> list[str]:
        """Return `count` questions."""
        rng = stream(seed, "arithmetic world")
        drawn = rng.integers(1, self.largest + 1, size=(count, self.steps + 1))
        return [SumQuestion(tuple(map(int, row))).text for row in drawn]

    def upstream(self, question: str, prefix: str) -> Iterator[str]:
        """Continue a running sum, slipping at the world's rate."""
        numbers = numbers_of(question)
        written = list(stated_sums(prefix))
        total = int(written[-1].stated) if written else numbers[0]
        for number in numbers[len(written) + 1 :]:
            rng = stream(self.seed, "slips", question, prefix)
            slip = int(rng.integers(1, 10)) if rng.random() < self.error_rate else 0
            sentence = f"{' ' if prefix else ''}{total} + {number} = {total + number + slip}."
            yield sentence
            prefix += sentence
            total += number + slip


def numbers_of(question: str) -> tuple[int, ...]:
    """Return the numbers that a question asks to add.

    >>> numbers_of("Add 3, 5 and 2.")
    (3, 5, 2)
    """
    found = tuple(int(number) for number in _NUMBER.findall(question))
    if len(found) < 2:
        raise InvalidInput(f"question {question[:80]!r} is no running sum: it needs two numbers")
    return found


def running_sum(numbers: tuple[int, ...]) -> str:
    """Return the right answer.

    >>> running_sum((3, 5, 2))
    '3 + 5 = 8. 8 + 2 = 10.'
    """
    total, sentences = numbers[0], []
    for number in numbers[1:]:
        sentences.append(f"{total} + {number} = {total + number}.")
        total += number
    return " ".join(sentences)


def oracle(question: str, prefix: str, sentence: str) -> Correction:
    """Correct exactly: one sentence's result, or a whole answer from its question.

    A text of several sums is a whole answer; its early errors are followed through, which
    correcting each sentence alone cannot do.
    """
    if prefix or len(list(stated_sums(sentence))) < 2:
        return correct_sums(question, prefix, sentence)
    return Correction(running_sum(numbers_of(question)))


def is_right(question: str, answer: str) -> bool:
    """Return whether the last sum that an answer states is the sum of all numbers asked for."""
    stated = list(stated_sums(answer))
    return bool(stated) and stated[-1].stated == sum(numbers_of(question))
