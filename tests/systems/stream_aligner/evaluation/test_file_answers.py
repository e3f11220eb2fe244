import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.correction import Correction
from equipoise.systems.stream_aligner.correctors import identity
from equipoise.systems.stream_aligner.evaluation.file_answers import (
    DEFAULT_METHODS,
    answer_file,
    check_methods,
    chosen_questions,
)
from equipoise.systems.stream_aligner.evaluation.files import EvaluationFile, FileQuestion
from equipoise.systems.stream_aligner.evaluation.text import Written

STORED = "It is bad. Then on.\n"


def counting(question: str, prefix: str) -> Iterator[str]:
    """Go on as the prefix has it: a bad start has a bad end."""
    if not prefix:
        yield " It is bad."
        prefix = "bad"
    yield " All bad." if "bad" in prefix else " All well."


def mend(question: str, prefix: str, sentence: str) -> str:
    return sentence.replace("It is bad", "It is good")


def texts(found: dict[str, Written]) -> dict[str, str]:
    return {method: written.text for method, written in found.items()}


def test_only_the_stream_goes_on_from_its_corrections(tmp_path: Path) -> None:
    asked = [FileQuestion("Why?")]
    (found,) = answer_file(
        asked, counting, {"corrector": mend}, DEFAULT_METHODS, tmp_path / "a.jsonl"
    )
    assert texts(found) == {
        "raw": " It is bad. All bad.",
        "aligner": " It is good. All bad.",
        "post-hoc": " It is good. All bad.",
        "stream": " It is good. All well.",
    }
    assert found["raw"].copied is None
    assert found["aligner"].copied == 0.0
    assert found["post-hoc"].copied == found["stream"].copied == 0.5
    assert (found["aligner"].corrector_calls, found["stream"].corrector_calls) == (1, 2)


def test_a_stored_answer_cannot_go_on_from_a_correction(tmp_path: Path) -> None:
    asked = [FileQuestion("Why?", STORED)]
    drop = {"corrector": lambda q, p, s: "" if "bad" in s else s}
    (found,) = answer_file(asked, None, drop, DEFAULT_METHODS, tmp_path / "a.jsonl")
    assert found["stream"] == found["post-hoc"]
    assert found["stream"].text.strip() == "Then on."
    assert found["raw"].text == STORED
    (alone,) = answer_file(asked, None, drop, ("stream",), tmp_path / "b.jsonl")
    assert alone["stream"] == found["stream"]


def test_identity_leaves_everything_as_it_was(tmp_path: Path) -> None:
    long = "".join(f"Sentence number {place}. " for place in range(300))
    asked = [FileQuestion("Why?", long), FileQuestion("Why?", "```\ncode. here\n```\nEnd")]
    for found in answer_file(
        asked, None, {"corrector": identity}, DEFAULT_METHODS, tmp_path / "a.jsonl"
    ):
        for method in DEFAULT_METHODS:
            assert found[method].text.strip() == found["raw"].text.strip()
            assert found[method].copied in (None, 1.0)
            assert found[method].unreviewed == 0


def test_methods_have_correctors_of_their_own(tmp_path: Path) -> None:
    correctors = {
        "corrector": identity,
        "aligner": lambda q, p, s: "ALIGNED.",
        "prompted": lambda q, p, s: s.upper(),
    }
    methods = ("aligner", "stream", "prompted")
    for upstream, name in ((None, "stored.jsonl"), (counting, "live.jsonl")):
        (found,) = answer_file(
            [FileQuestion("Why?", "One. Two.")], upstream, correctors, methods, tmp_path / name
        )
        assert found["aligner"].text.strip() == "ALIGNED."
        assert found["stream"].text == found["raw"].text
        shouted = " IT IS BAD. ALL WELL." if upstream else "ONE. TWO."  # no "bad" to go on from
        assert found["prompted"].text == shouted


def test_a_failing_corrector_is_counted(tmp_path: Path) -> None:
    def fail(question: str, prefix: str, sentence: str) -> Correction:
        raise ValueError("broken")

    asked = [FileQuestion("Why?", "One. Two.")]
    (found,) = answer_file(asked, counting, {"corrector": fail}, DEFAULT_METHODS, tmp_path / "a")
    assert found["post-hoc"].unreviewed == 2
    assert found["stream"].unreviewed == found["aligner"].unreviewed == 1
    assert found["stream"].text == ""  # it fails closed


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    asked = [FileQuestion(f"Why {place}?") for place in range(3)]
    calls: list[str] = []

    def upstream(question: str, prefix: str) -> Iterator[str]:
        calls.append(question)
        if len(calls) == limit:
            raise KeyboardInterrupt
        yield f" {question}"

    whole, out, limit = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl", 0
    expected = answer_file(asked, upstream, {"corrector": identity}, ("stream",), whole)
    calls.clear()
    limit = 3
    with pytest.raises(KeyboardInterrupt):
        answer_file(asked, upstream, {"corrector": identity}, ("stream",), out)
    with out.open("a") as file:
        file.write('{"question": "Why 1?", "ans')
    calls, limit = [], 0
    advanced: list[int] = []
    found = answer_file(
        asked,
        upstream,
        {"corrector": identity},
        ("stream",),
        out,
        advance=lambda: advanced.append(1),
    )
    assert found == expected
    assert out.read_bytes() == whole.read_bytes()
    assert set(calls) == {"Why 1?", "Why 2?"}
    assert len(advanced) == 3


def test_answers_to_other_questions_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    answer_file([FileQuestion("Why?", "So.")], None, {"corrector": identity}, ("raw",), out)
    assert json.loads(out.read_text())["answers"]["raw"]["text"] == "So."
    with pytest.raises(InvalidInput, match="line 1 answers another question"):
        answer_file([FileQuestion("How?", "So.")], None, {"corrector": identity}, ("raw",), out)


def test_methods_are_checked() -> None:
    correctors = {"corrector": identity}
    with pytest.raises(InvalidInput, match="unknown method 'steam': did you mean 'stream'"):
        check_methods(["steam"], correctors)
    with pytest.raises(InvalidInput, match="no method is named"):
        check_methods([], correctors)
    with pytest.raises(InvalidInput, match="name it by --prompted"):
        check_methods(["prompted"], correctors)

    class Whole:
        style = "aligner"

        def __call__(self, question: str, prefix: str, sentence: str) -> str:
            return sentence

    check_methods(["raw", "aligner"], {"corrector": Whole()})
    with pytest.raises(InvalidInput, match="style 'aligner'"):
        check_methods(["stream"], {"corrector": Whole()})


def test_which_questions_are_chosen() -> None:
    stored = tuple(FileQuestion(f"Q{place // 2}", f"A{place}") for place in range(20))
    file = EvaluationFile("llmfao", (*stored, FileQuestion("Q0", " \n")))
    assert chosen_questions(file, replayed=True) == list(stored)
    asked = chosen_questions(file, replayed=False)
    assert [question.question for question in asked] == [f"Q{place}" for place in range(10)]
    some = chosen_questions(file, replayed=True, limit=5, seed=1)
    assert len(some) == len(set(some)) == 5
    assert [stored.index(one) for one in some] == sorted(stored.index(one) for one in some)
    assert some == chosen_questions(file, replayed=True, limit=5, seed=1)
    assert some != chosen_questions(file, replayed=True, limit=5, seed=2)
    assert chosen_questions(file, replayed=True, limit=99) == list(stored)


def test_nothing_to_choose_from() -> None:
    file = EvaluationFile("questions", (FileQuestion("Q"),))
    with pytest.raises(InvalidInput, match="limit is 0; it must be >= 1"):
        chosen_questions(file, replayed=False, limit=0)
    with pytest.raises(InvalidInput, match="no answers to review; name a model by --upstream"):
        chosen_questions(file, replayed=True)
