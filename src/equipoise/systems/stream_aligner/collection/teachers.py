"""Teachers: who says what a sentence should have been while rows are collected."""

import re
from typing import TYPE_CHECKING, Any

from equipoise.core.errors import RunFailed, unknown_name
from equipoise.systems.stream_aligner.correction import Correction, Corrector
from equipoise.systems.stream_aligner.correctors import make_corrector
from equipoise.systems.stream_aligner.evaluation import sentence as evaluated_sentence
from equipoise.systems.stream_aligner.prompts import corrector_prompt
from equipoise.systems.stream_aligner.worlds import arithmetic, text_oracle

if TYPE_CHECKING:
    from equipoise.text import Backend

TEACHER_INSTRUCTIONS = (
    "You review an answer while it is being written. You are given the question, the answer so far "
    "and its last sentence. You may think first. Rewrite only the last sentence, as one sentence "
    "that fits the answer so far; repeat it exactly where it is right, and leave the brackets "
    "empty where it should go. Say also whether the answer is complete after it. End with two "
    "lines: CORRECTION: [[the sentence]] and EOS: [[TRUE]] or EOS: [[FALSE]]."
)
"""System message of a prompted teacher."""

ORACLES: dict[str, Corrector] = {
    "arithmetic": arithmetic.oracle,
    "sentence": evaluated_sentence.oracle,
    "text": text_oracle.oracle,
}
"""World to its exact teacher."""

_CORRECTION = re.compile(r"CORRECTION:\s*\[\[(.*?)\]\]", re.DOTALL | re.IGNORECASE)
_EOS = re.compile(r"EOS:\s*\[\[\s*(TRUE|FALSE)\s*\]\]", re.IGNORECASE)


class Unparsed(RunFailed):
    """A teacher's answer, and the one asked for again, did not have the form agreed on."""


class PromptedTeacher:
    """A strong model that reasons, then answers in brackets.

    An answer without `CORRECTION: [[...]]` and `EOS: [[TRUE|FALSE]]` is asked for once more, this
    time sampled (a greedy model would repeat itself).

    Attributes:
        backend: the model; `close` frees it.
        max_tokens: longest answer, reasoning included.
        seed: of the second try.
    """

    def __init__(self, backend: "Backend", *, max_tokens: int = 512, seed: int = 0) -> None:
        self.backend, self.max_tokens, self.seed = backend, max_tokens, seed

    def __call__(self, question: str, prefix: str, sentence: str) -> Correction:
        """Say what the sentence should have been.

        Raises:
            Unparsed: neither answer had the form.
        """
        messages = [
            {"role": "system", "content": TEACHER_INSTRUCTIONS},
            {"role": "user", "content": corrector_prompt(question, prefix, sentence)},
        ]
        for sampling in ({}, {"temperature": 0.7, "seed": self.seed}):
            reply = self.backend.generate(messages, max_tokens=self.max_tokens, **sampling)
            found = read_teacher(reply.text)
            if found is not None:
                return found
        raise Unparsed("the teacher answered twice without CORRECTION: [[...]] and EOS: [[...]]")

    def close(self) -> None:
        """Free the model."""
        self.backend.close()


def read_teacher(reply: str) -> Correction | None:
    """Return what a teacher's answer says, None where it lacks the form; the last match counts.

    >>> read_teacher("Hm. CORRECTION: [[1 + 1 = 2.]] EOS: [[TRUE]]")
    Correction(text='1 + 1 = 2.', verdict='stop', note='')
    """
    corrections, ends = _CORRECTION.findall(reply), _EOS.findall(reply)
    if not corrections or not ends:
        return None
    stops = ends[-1].upper() == "TRUE"
    return Correction(corrections[-1].strip(), "stop" if stops else None)


def make_teacher(spec: str, **options: Any) -> Corrector:
    """Return the teacher that `spec` names.

    Args:
        spec: `oracle:WORLD`, `prompted:BACKEND` (a reasoning teacher; see `PromptedTeacher`), or
            any other corrector.
        **options: of `load_backend` where it is prompted.

    Raises:
        InvalidInput: an unknown teacher; the nearest is named.
    """
    kind, _, argument = spec.partition(":")
    if kind == "oracle":
        if argument not in ORACLES:
            raise unknown_name("oracle", argument, ORACLES)
        return ORACLES[argument]
    if kind == "prompted" and argument:
        from equipoise.text import load_backend

        remote = argument.startswith(("http://", "https://"))
        return PromptedTeacher(
            load_backend(f"openai:{argument}" if remote else argument, **options)
        )
    return make_corrector(spec)
