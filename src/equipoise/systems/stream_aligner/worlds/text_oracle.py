"""Exact correctors of the text world, and one that overlooks some of what is bad."""

import re
from collections.abc import Callable, Mapping

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner.correction import Correction, Corrector
from equipoise.systems.stream_aligner.segments import segment
from equipoise.systems.stream_aligner.worlds.text_facts import (
    ATTRIBUTES,
    FORBIDDEN_WORD,
    GOOD,
    OFF_TOPIC,
    STATEMENT,
    Fact,
    Said,
    allowed_values,
    facts_of,
    follow,
    good_sentence,
    read,
)


def oracle(question: str, prefix: str, sentence: str) -> Correction:
    """Correct exactly: one sentence after its prefix, or the sentences of a whole answer.

    A forbidden word is taken out, a wrong value put right, an off-topic sentence replaced by the
    next fact to be told. In a whole answer each sentence is corrected where it stands, after the
    corrected ones before it; none is added, for the upstream cannot be asked again.
    """
    return _correct(question, prefix, sentence, lambda place, single: True)


def fallible_oracle(fix_rate: float, seed: int) -> Corrector:
    """Return the oracle that overlooks some bad sentences: what an imperfect corrector comes to.

    Whether it overlooks one follows from the question, the sentence and its place in the answer,
    so that methods meet the same luck with the same sentence.

    Raises:
        InvalidInput: a `fix_rate` outside [0, 1].
    """
    if not 0 <= fix_rate <= 1:
        raise InvalidInput(f"fix_rate is {fix_rate!r}; it must lie in [0, 1]")

    def corrector(question: str, prefix: str, sentence: str) -> Correction:
        def repairs(place: int, single: str) -> bool:
            return bool(stream(seed, "overlooks", question, place, single).random() < fix_rate)

        return _correct(question, prefix, sentence, repairs)

    return corrector


def without_prefix(corrector: Corrector) -> Corrector:
    """Return a corrector that is shown no prefix."""
    return lambda question, prefix, sentence: corrector(question, "", sentence)


def _correct(
    question: str, prefix: str, text: str, repairs: Callable[[int, str], bool]
) -> Correction:
    """Correct the sentences of a text that `repairs` (its place, its text) does not overlook."""
    facts = facts_of(question)
    said = read(facts, prefix)
    if not text.strip():  # only the published loop asks about nothing
        return Correction(good_sentence(facts, said, 0) if repairs(said.sentences, text) else text)
    corrected = ""
    for part in segment(text):
        sentence = part.text
        after = follow(facts, said, sentence) if sentence else said
        if sentence and after.kind != GOOD and repairs(said.sentences, sentence):
            sentence = _repair(facts, said, sentence)
            after = follow(facts, said, sentence)
        corrected += part.leading + sentence
        said = after
    return Correction(corrected)


def _repair(facts: Mapping[Fact, str], said: Said, sentence: str) -> str:
    """Return a bad sentence made good, for what the answer has come to before it."""
    sentence = FORBIDDEN_WORD.sub("", sentence).strip()
    known = said.place

    def put_right(found: re.Match[str]) -> str:
        nonlocal known
        place = (found["place"] or "").lower() or known
        fact = place or "", ATTRIBUTES[found["phrase"].lower()]
        if place is not None and fact not in facts:
            return found[0]  # of a place that nobody asked about
        known = place
        if found["value"].lower() in allowed_values(facts, fact):
            return found[0]
        value = facts[place or next(iter(facts))[0], fact[1]]
        return found[0][: found.start("value") - found.start()] + value

    sentence = STATEMENT.sub(put_right, sentence)
    if follow(facts, said, sentence).kind == OFF_TOPIC:
        return good_sentence(facts, said, 0)
    return sentence
