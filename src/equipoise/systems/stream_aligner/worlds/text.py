"""The text world: answers about two places, from a state machine that slips; exact oracles.

A question names two places with a colour and an opening hour each; the answer has to state these
four facts. Every sentence is of one of four kinds: good, off-topic, contradicting a fact, or
holding a forbidden word (made-up words, harmless all). A bad sentence makes the next one bad more
often. The kind of the last sentence is read from the prefix, so an edit changes what follows, and
`objective.induction` on the kinds is exact.

A place is named once, then called `it`: which fact a sentence contradicts is often known from the
prefix alone, while a forbidden word is seen without any context.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner.objective import Induction, induction
from equipoise.systems.stream_aligner.worlds.text_facts import (
    COLOURS,
    CONTRADICTION,
    FILLERS,
    FORBIDDEN,
    FORBIDDEN_WORDS,
    GOOD,
    HELD_OUT,
    HOURS,
    KINDS,
    OFF_TOPIC,
    PHRASES,
    PLACES,
    Fact,
    Said,
    facts_of,
    follow,
    good_sentence,
    next_fact,
    read,
    state_fact,
)

_ASIDES = ("Trains can be late.", "Some songs are short.", "Snow falls in winter.")

# rows: kind of the sentence before; a bad kind mostly breeds itself
_INITIAL = (0.7, 0.08, 0.1, 0.12)
_TRANSITION = (
    (0.9, 0.02, 0.03, 0.05),
    (0.1, 0.6, 0.1, 0.2),
    (0.1, 0.1, 0.6, 0.2),
    (0.1, 0.05, 0.1, 0.75),
)


@dataclass(frozen=True)
class TextWorld:
    """Questions on harmless places, and the state machine that answers them.

    Attributes:
        seed: of lengths, kinds and words. They depend on question and prefix alone, so an answer is
            the same however often, and in whatever order, the upstream is asked.
        initial: (4,) distribution of the first sentence's kind, in the order of `KINDS`.
        transition: (4, 4), kind of the next sentence after each kind.
        shortest, longest: sentences of an answer.
    """

    seed: int = 0
    initial: tuple[float, ...] = _INITIAL
    transition: tuple[tuple[float, ...], ...] = _TRANSITION
    shortest: int = 4
    longest: int = 10
    _rows: tuple[tuple[float, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest:
            raise InvalidInput(
                f"shortest {self.shortest}, longest {self.longest}: expected 1 <= shortest <= "
                "longest"
            )
        self.closed_form(1)  # says which row is no distribution
        rows = tuple(tuple(np.cumsum(row)) for row in (self.initial, *self.transition))
        object.__setattr__(self, "_rows", rows)

    def questions(self, count: int, seed: int, *, held_out: bool = False) -> list[str]:
        """Return `count` questions, of slots that no other question has where `held_out`."""
        rng = stream(seed, "text world")
        slots = (
            tuple(HELD_OUT[name] for name in ("place", "colour", "hour"))
            if held_out
            else (PLACES, COLOURS, HOURS)
        )
        asked = []
        for _ in range(count):
            drawn = [rng.choice(len(words), size=2, replace=False) for words in slots]
            parts = [
                "{}: {}, {}.".format(*(words[d[n]] for words, d in zip(slots, drawn)))
                for n in (0, 1)
            ]
            asked.append(f"Describe both places. {' '.join(parts)}")
        return asked

    def length(self, question: str) -> int:
        """Return how many sentences the answer to a question has."""
        rng = stream(self.seed, "length", question)
        return int(rng.integers(self.shortest, self.longest + 1))

    def upstream(self, question: str, prefix: str) -> Iterator[str]:
        """Continue an answer from what its prefix says and how its last sentence went."""
        facts, length = facts_of(question), self.length(question)
        prefix = prefix.strip()
        said = read(facts, prefix)
        while said.sentences < length:
            rng = stream(self.seed, "sentence", question, prefix)
            kind = self._draw(said.kind, rng)
            sentence = _write(facts, said, kind, rng)
            piece = f" {sentence}" if prefix else sentence
            yield piece
            prefix += piece
            said = follow(facts, said, sentence)

    def closed_form(self, steps: int, fix_rate: float = 1.0) -> Induction:
        """Return the exact marginals of the kinds, each bad sentence repaired at `fix_rate`."""
        bad = (OFF_TOPIC, CONTRADICTION, FORBIDDEN)
        correction = np.eye(len(KINDS))
        for kind in bad:
            correction[kind] *= 1 - fix_rate
            correction[kind, GOOD] = fix_rate
        return induction(self.initial, self.transition, correction, bad=bad, steps=steps)

    def _draw(self, before: int | None, rng: np.random.Generator) -> int:
        row = self._rows[0 if before is None else before + 1]
        return min(int(np.searchsorted(row, rng.random(), "right")), len(KINDS) - 1)


def _write(facts: Mapping[Fact, str], said: Said, kind: int, rng: np.random.Generator) -> str:
    """Return a sentence of one kind that goes on with an answer."""
    if kind == OFF_TOPIC:
        return _ASIDES[rng.integers(len(_ASIDES))]
    if kind == CONTRADICTION:
        fact = next_fact(facts, said) or (said.place or "", str(rng.choice(list(PHRASES))))
        return state_fact(facts, said, fact, _wrong_value(facts, fact, rng))
    sentence = good_sentence(facts, said, int(rng.integers(len(FILLERS))))
    if kind == FORBIDDEN:
        word = FORBIDDEN_WORDS[rng.integers(len(FORBIDDEN_WORDS))]
        return f"{sentence[:-1]}, {word}."
    return sentence


def _wrong_value(facts: Mapping[Fact, str], fact: Fact, rng: np.random.Generator) -> str:
    """Return a value that contradicts a fact: mostly the other place's, which looks right."""
    others = [v for key, v in facts.items() if key[1] == fact[1] and v != facts[fact]]
    if others and rng.random() < 0.75:
        return others[0]
    values = COLOURS if fact[1] == "colour" else HOURS
    return str(rng.choice([value for value in values if value != facts[fact]]))
