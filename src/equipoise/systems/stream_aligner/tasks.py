"""Benign questions for the demonstration: running sums that can be checked, and ordinary ones."""

from collections.abc import Iterator
from dataclasses import dataclass

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner.aligning import Upstream
from equipoise.systems.stream_aligner.arithmetic import correct_sums, stated_sums
from equipoise.systems.stream_aligner.correction import Corrector
from equipoise.systems.stream_aligner.correctors import chain
from equipoise.systems.stream_aligner.rules import make_rules

OPEN_QUESTIONS = (
    "Why do leaves change their colour in autumn?",
    "How do I keep a houseplant alive?",
    "What is a good way to learn the names of new colleagues?",
    "Why is the sky blue?",
    "How can I make tea for four people?",
    "What should I pack for a walk in the hills?",
    "How does a bicycle stay upright?",
    "What is the difference between a lake and a pond?",
    "How do I fold a paper plane?",
    "Why does bread rise?",
    "How can I remember a shopping list?",
    "What makes a rainbow?",
    "How do I tune a guitar?",
    "Why do cats purr?",
    "What is a leap year?",
    "How do I plant tomatoes?",
    "Why does the moon change its shape?",
    "How can I sleep better?",
    "What is a haiku?",
    "How do I clean a window without streaks?",
)

HOUSE_RULES = (
    {"find": r"\b(very|really) unique\b", "replace": "unique", "ignore_case": True},
    {"find": r"\bin order to\b", "replace": "to"},
    {"find": r"\bIt'?s important to note that (\w)", "replace": r"Note that \1"},
    {"find": r"\bvery, very\b", "replace": "very", "ignore_case": True},
    {"find": r"\bAs an AI\b.*", "verdict": "drop"},
)
"""A small, harmless house style; stands for whatever an operator wants to see enforced."""

EXAMPLE_NUMBERS = (31, 45, 12, 26)


@dataclass(frozen=True)
class SumQuestion:
    """Numbers to add up, one addition per sentence."""

    numbers: tuple[int, ...]

    @property
    def text(self) -> str:
        """The question as the model is asked."""
        *first, last = map(str, self.numbers)
        return f"Add {', '.join(first)} and {last}."

    @property
    def total(self) -> int:
        """The right answer."""
        return sum(self.numbers)


def sum_questions(count: int, numbers: int, seed: int) -> list[SumQuestion]:
    """Return `count` questions of `numbers` two-digit numbers each."""
    if count < 0 or numbers < 2:
        raise InvalidInput(f"{count} questions of {numbers} numbers: expected >= 0 and >= 2")
    rng = stream(seed, "sum questions")
    return [
        SumQuestion(tuple(int(value) for value in rng.integers(10, 100, size=numbers)))
        for _ in range(count)
    ]


def worked_sum(numbers: tuple[int, ...]) -> str:
    """Return a right answer, in the form that the worked example shows to a model.

    >>> worked_sum((1, 2, 3))
    'First, 1 + 2 = 3. Then 3 + 3 = 6. So the sum is 6.'
    """
    total, parts = numbers[0], []
    for number in numbers[1:]:
        parts.append(f"{'Then' if parts else 'First,'} {total} + {number} = {total + number}.")
        total += number
    return " ".join([*parts, f"So the sum is {total}."])


def worked_examples(numbers: int) -> list[tuple[str, str]]:
    """Return the one worked example of a question with so many numbers."""
    values = tuple(EXAMPLE_NUMBERS[i % len(EXAMPLE_NUMBERS)] + i // 4 for i in range(numbers))
    return [(SumQuestion(values).text, worked_sum(values))]


def house_corrector() -> Corrector:
    """Return exact arithmetic followed by the house style."""
    return chain(correct_sums, make_rules(HOUSE_RULES))


def slipping_upstream(sums: list[SumQuestion]) -> Upstream:
    """Return an upstream that adds as a small model does: forgets to carry, and builds on it."""
    numbers = {question.text: question.numbers for question in sums}

    def upstream(question: str, prefix: str) -> Iterator[str]:
        if question not in numbers:
            text = "In order to answer, look it up. It is a really unique question."
            yield text[len(prefix) :] if text.startswith(prefix) else " That is all."
            return
        written = list(stated_sums(prefix))
        first, *rest = numbers[question]
        total = int(written[-1].stated) if written else first
        for place, number in enumerate(rest[len(written) :], len(written)):
            slip = 10 if total % 10 + number % 10 > 9 else 0
            lead = " Then" if place else "First,"
            yield f"{lead} {total} + {number} = {total + number - slip}."
            total += number - slip

    return upstream
