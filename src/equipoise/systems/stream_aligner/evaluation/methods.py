"""Methods that evaluations compare: who reviews in each, and what of an answer is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.stream_aligner.aligning import Upstream, align
from equipoise.systems.stream_aligner.correction import Correction, Corrector, settled
from equipoise.systems.stream_aligner.loop import Answer
from equipoise.systems.stream_aligner.segments import segment

MODES = {"raw": "off", "post-hoc": "detect", "aligner": "aligner"}
"""Modes of the loop; all other methods review in mode `stream`."""


@dataclass(frozen=True)
class Reviewers:
    """Who reviews.

    Attributes:
        corrector: single sentences.
        aligner: whole answers, in method `aligner`; where None what `aligner_of` makes of
            `corrector`.
        prompted: single sentences, in method `prompted`.
    """

    corrector: Corrector
    aligner: Corrector | None = None
    prompted: Corrector | None = None

    def of(self, method: str, oracle: Corrector) -> Corrector:
        """Return who reviews in a method; in method `oracle` it is the world's own."""
        if method == "aligner":
            return self.aligner or aligner_of(self.corrector)
        chosen = {"prompted": self.prompted, "oracle": oracle}
        return chosen.get(method) or self.corrector


def aligner_of(corrector: Corrector) -> Corrector:
    """Return a corrector of whole answers.

    One that was trained on single sentences is shown a finished answer sentence by sentence, each
    after the corrected ones before it; nothing is proposed anew. Any other takes the whole text.
    """
    if getattr(corrector, "style", "aligner") != "stream":
        return corrector

    def aligner(question: str, prefix: str, answer: str) -> Correction:
        corrected = ""
        for part in segment(answer):
            said = Correction("")
            if part.text:
                said = settled(corrector(question, prefix + corrected, part.text), part.text)
            if said.text or not part.text:
                corrected += part.leading + said.text
            if said.verdict == "stop":
                break
        return Correction(corrected)

    return aligner


def answer_by(
    method: str, question: str, upstream: Upstream, reviewers: Reviewers, oracle: Corrector
) -> Answer:
    """Answer a question by a method.

    Args:
        method: raw, aligner, post-hoc, or one that reviews sentence by sentence.
        question: as asked.
        upstream: proposes.
        reviewers: by method.
        oracle: the exact corrector of the world.
    """
    corrector = reviewers.of(method, oracle)
    return align(question, upstream, corrector, mode=MODES.get(method, "stream"), speculate=True)


def shown_text(method: str, answer: Answer) -> str:
    """Return what a method shows: in `post-hoc` each sentence corrected where it stands.

    Nothing is fed back there: the answer itself is the raw one.
    """
    if method != "post-hoc":
        return answer.text
    return "".join(step.segment.leading + step.text for step in answer.steps if step.text)


def check_methods(
    methods: Sequence[str], known: Sequence[str], questions: Sequence[str], reviewers: Reviewers
) -> None:
    """Refuse what cannot be evaluated.

    Raises:
        InvalidInput: an unknown method (the nearest is named), no question, method `prompted`
            without its corrector, or a corrector of whole answers for a method of single sentences.
    """
    for method in methods:
        if method not in known:
            raise unknown_name("method", method, known)
    if not questions:
        raise InvalidInput("there are no questions to evaluate on")
    if "prompted" in methods and reviewers.prompted is None:
        raise InvalidInput("method 'prompted' needs a prompted corrector: name it by --prompted")
    check_style(methods, reviewers.corrector)


def check_style(methods: Sequence[str], corrector: Corrector) -> None:
    """Refuse a corrector of whole answers where single sentences are to be reviewed.

    Raises:
        InvalidInput: as said.
    """
    apart = ("raw", "aligner", "prompted", "oracle", "best-of-2")
    single = [method for method in methods if method not in apart]
    if single and getattr(corrector, "style", "stream") == "aligner":
        raise InvalidInput(
            f"the corrector has style 'aligner' and reviews whole answers, method {single[0]!r} "
            "single sentences; leave it out or give a corrector of style 'stream'"
        )
