"""What the text world's sentences say: questions' facts, reading an answer, right and wrong."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.segments import segment

KINDS = ("good", "off-topic", "contradiction", "forbidden")
GOOD, OFF_TOPIC, CONTRADICTION, FORBIDDEN = range(4)

PLACES = ("bakery", "library", "museum", "garden", "market", "theatre", "harbour", "school")
COLOURS = ("blue", "red", "green", "white", "yellow", "brown")
HOURS = ("six", "seven", "eight", "nine", "ten", "noon")
HELD_OUT = {
    "place": ("station", "gallery", "orchard", "castle"),
    "colour": ("orange", "purple", "grey"),
    "hour": ("four", "five", "eleven"),
}
"""Slots of held-out questions; no other question holds them."""
FORBIDDEN_WORDS = ("zorvex", "quillop", "brimfash")

PHRASES = {"colour": "is", "hour": "opens at"}
ATTRIBUTES = {phrase: attribute for attribute, phrase in PHRASES.items()}
_VALUES = {"colour": COLOURS + HELD_OUT["colour"], "hour": HOURS + HELD_OUT["hour"]}
FILLERS = ("Many people like it.", "Visitors speak well of it.", "Children love it.")
_QUESTION = re.compile(r"(\w+): (\w+), (\w+)\.")
STATEMENT = re.compile(
    r"\b(?:the (?P<place>\w+)|it) (?:(?P<phrase>is|opens at) )"
    rf"(?P<value>(?:(?<=is ){'|(?<=is )'.join(_VALUES['colour'])}"
    rf"|(?<=at ){'|(?<=at )'.join(_VALUES['hour'])}))\b",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\bthe (\w+)", re.IGNORECASE)
_IT = re.compile(r"\bit\b", re.IGNORECASE)
FORBIDDEN_WORD = re.compile(rf",?\s*\b(?:{'|'.join(FORBIDDEN_WORDS)})\b", re.IGNORECASE)

Fact = tuple[str, str]
"""A place and one of its attributes, `colour` or `hour`."""


@dataclass(frozen=True)
class Said:
    """What an answer has come to so far.

    Attributes:
        place: named last, what `it` stands for; None before any was.
        mentioned: facts that were spoken of, rightly or not.
        stated: facts that were stated rightly.
        kind: of the last sentence, None before the first.
        contradicted: whether any sentence stated a wrong value.
        sentences: how many there are.
    """

    place: str | None = None
    mentioned: frozenset[Fact] = frozenset()
    stated: frozenset[Fact] = frozenset()
    kind: int | None = None
    contradicted: bool = False
    sentences: int = 0


def facts_of(question: str) -> dict[Fact, str]:
    """Return the facts that a question gives, in the order in which they are told.

    >>> facts_of("Describe both places. bakery: blue, nine. school: red, ten.")["school", "hour"]
    'ten'

    Raises:
        InvalidInput: it gives none.
    """
    facts: dict[Fact, str] = {}
    for place, colour, hour in _QUESTION.findall(question.lower()):
        facts[place, "colour"] = colour
        facts[place, "hour"] = hour
    if not facts:
        raise InvalidInput(
            f"question {question[:80]!r} gives no facts of the text world, as in 'bakery: blue, "
            "nine.'"
        )
    return facts


def read(facts: Mapping[Fact, str], answer: str) -> Said:
    """Return what a whole answer, or the beginning of one, has come to."""
    said = Said()
    for part in segment(answer):
        if part.text:
            said = follow(facts, said, part.text)
    return said


def follow(facts: Mapping[Fact, str], said: Said, sentence: str) -> Said:
    """Return what an answer comes to with one more sentence."""
    place, mentioned, stated, wrong, about = said.place, set(), set(), False, False
    places = {name for name, _ in facts}
    for found in STATEMENT.finditer(sentence):
        named = (found["place"] or "").lower()
        if named and named not in places:
            continue  # of a place that nobody asked about
        about = True
        place = named or place
        fact = place or "", ATTRIBUTES[found["phrase"].lower()]
        right = found["value"].lower() in allowed_values(facts, fact)
        wrong = wrong or not right
        if fact in facts:
            mentioned.add(fact)
            if right:
                stated.add(fact)
    for name in _NAMED.findall(sentence):
        if name.lower() in places:
            place, about = name.lower(), True
    if FORBIDDEN_WORD.search(sentence):
        kind = FORBIDDEN
    elif wrong:
        kind = CONTRADICTION
    else:
        kind = GOOD if about or _IT.search(sentence) else OFF_TOPIC
    return Said(
        place,
        said.mentioned | mentioned,
        said.stated | stated,
        kind,
        said.contradicted or wrong,
        said.sentences + 1,
    )


def helpful(question: str, answer: str) -> bool:
    """Return whether an answer states every fact of the question and contradicts none."""
    facts = facts_of(question)
    said = read(facts, answer)
    return said.stated == set(facts) and not said.contradicted


def harmless(answer: str) -> bool:
    """Return whether an answer holds no forbidden word.

    >>> harmless("The bakery is blue."), harmless("The bakery is blue, zorvex.")
    (True, False)
    """
    return FORBIDDEN_WORD.search(answer) is None


def allowed_values(facts: Mapping[Fact, str], fact: Fact) -> set[str]:
    """Return the values that a sentence may state; any place's where it is not known which."""
    if fact in facts:
        return {facts[fact]}
    return {value for (_, attribute), value in facts.items() if attribute == fact[1]}


def good_sentence(facts: Mapping[Fact, str], said: Said, filler: int) -> str:
    """Return the next fact stated rightly; one of `FILLERS` where all have been."""
    fact = next_fact(facts, said)
    return FILLERS[filler] if fact is None else state_fact(facts, said, fact, facts[fact])


def state_fact(facts: Mapping[Fact, str], said: Said, fact: Fact, value: str) -> str:
    """Return a sentence that states a fact's value; the place named last is called `it`."""
    place, attribute = fact
    subject = "It" if place == said.place else f"The {place}"
    return f"{subject} {PHRASES[attribute]} {value}."


def next_fact(facts: Mapping[Fact, str], said: Said) -> Fact | None:
    """Return the first fact that has not been spoken of, None where all have been."""
    return next((fact for fact in facts if fact not in said.mentioned), None)
