"""Who reviews in which method of an evaluation, and what is refused."""

from typing import Any

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import Correction
from equipoise.systems.stream_aligner.correctors import identity
from equipoise.systems.stream_aligner.evaluation.methods import (
    Reviewers,
    aligner_of,
    answer_by,
    check_methods,
    shown_text,
)

TEXT = "One is. Two is.\n\nThree is."


def upstream(question: str, prefix: str) -> list[str]:
    return [TEXT[len(prefix) :]]


class OfSentences:
    """Writes capitals, drops sentences with Two; notes what it was shown."""

    style = "stream"

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []

    def __call__(self, question: str, prefix: str, sentence: str) -> Correction | str:
        self.shown.append((prefix, sentence))
        return Correction("", "drop") if "Two" in sentence else sentence.upper()


def test_a_corrector_of_sentences_reviews_a_finished_answer_sentence_by_sentence() -> None:
    corrector = OfSentences()
    answer = answer_by("aligner", "q", upstream, Reviewers(corrector), identity)
    assert answer.text == "ONE IS.\n\nTHREE IS."
    assert (answer.upstream_calls, answer.corrector_calls) == (1, 1)
    assert corrector.shown == [("", "One is."), ("ONE IS.", "Two is."), ("ONE IS.", "Three is.")]


def test_a_stop_ends_it() -> None:
    class Stops(OfSentences):
        def __call__(self, question: str, prefix: str, sentence: str) -> Correction:
            return Correction("End.", "stop")

    assert aligner_of(Stops())("q", "", "One. Two.") == Correction("End.")


def test_others_are_given_the_whole_and_a_trained_aligner_is_preferred() -> None:
    def loud(question: str, prefix: str, sentence: str) -> str:
        return sentence.upper()

    assert aligner_of(loud) is loud
    chosen = Reviewers(OfSentences(), aligner=loud, prompted=identity)
    assert chosen.of("aligner", identity) is loud
    assert chosen.of("prompted", loud) is identity
    assert chosen.of("oracle", loud) is loud
    assert isinstance(chosen.of("stream", loud), OfSentences)


def test_what_is_shown_by_method() -> None:
    corrector = OfSentences()
    raw = answer_by("raw", "q", upstream, Reviewers(corrector), identity)
    assert (shown_text("raw", raw), corrector.shown) == (TEXT, [])
    afterwards = answer_by("post-hoc", "q", upstream, Reviewers(corrector), identity)
    assert afterwards.text == TEXT
    assert shown_text("post-hoc", afterwards) == "ONE IS.\n\nTHREE IS."
    assert [prefix for prefix, _ in corrector.shown] == ["", "One is.", "One is. Two is."]


@pytest.mark.parametrize(
    ("methods", "questions", "reviewers", "said"),
    [
        (["streem"], ["q"], Reviewers(identity), "did you mean 'stream'"),
        (["stream"], [], Reviewers(identity), "no questions"),
        (["prompted"], ["q"], Reviewers(identity), "name it by --prompted"),
    ],
)
def test_refusals(methods: Any, questions: Any, reviewers: Reviewers, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_methods(methods, ("raw", "stream", "prompted"), questions, reviewers)


def test_a_corrector_of_whole_answers_reviews_no_sentence() -> None:
    whole = OfSentences()
    whole.style = "aligner"
    known = ("raw", "aligner", "post-hoc", "stream", "oracle")
    check_methods(["raw", "aligner", "oracle"], known, ["q"], Reviewers(whole))
    for method in ("post-hoc", "stream"):
        with pytest.raises(InvalidInput, match=f"method '{method}' single sentences"):
            check_methods(["raw", method], known, ["q"], Reviewers(whole))
