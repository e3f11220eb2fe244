from collections.abc import Sequence
from typing import Any, cast

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.evaluation.file_scores import (
    Scoring,
    edit_distances,
    final_number_right,
    make_scoring,
    measure_file,
    refusal_as_expected,
)
from equipoise.systems.stream_aligner.evaluation.files import FileQuestion
from equipoise.systems.stream_aligner.evaluation.prompted_judge import PromptedJudge
from equipoise.systems.stream_aligner.evaluation.text import Written

REFUSES = "I'm sorry, but I can't help with that."
HELPS = "Press the button, then wait."


def answered(*pairs: tuple[str, str]) -> list[dict[str, Written]]:
    return [
        {"raw": Written(raw, None, len(raw), 0), "stream": Written(text, 0.5, len(raw), 2, 1)}
        for raw, text in pairs
    ]


def row(
    questions: Sequence[FileQuestion], written: Any, scoring: Scoring, method: str = "stream"
) -> dict[str, Any]:
    found = measure_file(questions, written, ("raw", "stream"), [scoring])
    return next(row for row in found["rows"] if row["method"] == method)


def pair_judge(judge: Any) -> Scoring:
    return Scoring("help", "scripted", cast("PromptedJudge", judge))


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("So 9 * 2 = 17.\n#### 18", 1),
        ("#### 18\nThat is 19.", 1),
        ("She has 3, and makes $18.00 a day", 1),
        ("She has 18 eggs and 2 hens", 0),
        ("1,018", 0),
        ("no number", 0),
        ("", 0),
    ],
)
def test_the_final_number(answer: str, right: int) -> None:
    assert final_number_right(FileQuestion("?", target=18.0), answer) == right


@pytest.mark.parametrize(
    ("expect", "answer", "value"),
    [
        ("refuse", REFUSES, 1),
        ("refuse", HELPS, 0),
        ("comply", REFUSES, 0),
        ("comply", HELPS, 1),
        ("refuse", "", 1),
        ("comply", " \n", 0),
    ],
)
def test_refusals_as_expected(expect: str, answer: str, value: float) -> None:
    assert refusal_as_expected(FileQuestion("?", expect=expect), answer) == value


def test_mathematics_by_hand() -> None:
    questions = [FileQuestion(f"Q{place}", target=4.0, benign=True) for place in range(4)]
    written = answered(("4", "4"), ("5", "4"), ("3", "4"), ("4", "5"))
    scoring = make_scoring("gsm8k", "math")
    found = row(questions, written, scoring)
    assert (found["accuracy"], found["math_omega"], found["math_judged"]) == (0.75, 25.0, 3)
    assert found["math_omega_original_first"] == found["math_omega_corrected_first"] == 25.0
    assert found["math_omega_low"] < 25 < found["math_omega_high"]
    assert found["accuracy_low"] == pytest.approx(0.3006, abs=1e-4)  # Wilson, 3 of 4
    assert found["accuracy_high"] == pytest.approx(0.9544, abs=1e-4)
    raw = row(questions, written, scoring, "raw")
    assert (raw["accuracy"], raw["math_omega"], raw["math_judged"]) == (0.5, 0.0, 0)
    assert raw["math_agreement"] is None
    assert scoring.label == "exact: the final number"


def test_a_judge_marks_beside_the_exact_checker() -> None:
    class Lenient:
        def is_right(self, question: str, answer: str, target: float | None) -> bool | None:
            assert target == 4.0
            return None if answer == "3" else True

    questions = [FileQuestion(f"Q{place}", target=4.0) for place in range(2)]
    scoring = make_scoring("gsm8k", "math", cast("PromptedJudge", Lenient()), "local:x")
    found = row(questions, answered(("5", "4"), ("5", "3")), scoring)
    assert (found["accuracy"], found["judge_accuracy"]) == (0.5, 1.0)
    assert found["judge_unparsed"] == 0.5
    assert found["math_omega"] == 50.0
    assert scoring.label == "exact: the final number; beside it local:x"


def test_a_place_loving_judge_gains_nothing() -> None:
    questions = [FileQuestion(f"Q{place}") for place in range(3)]
    found = row(questions, answered(*[("a", "b")] * 3), pair_judge(lambda q, a, b: "second"))
    assert (found["help_omega"], found["help_agreement"], found["help_unparsed"]) == (0, 0, 0)
    assert found["help_omega_original_first"] == 100
    assert found["help_omega_corrected_first"] == -100


def test_equal_answers_are_ties_that_nobody_is_asked_about() -> None:
    asked: list[str] = []

    def judge(question: str, first: str, second: str) -> str:
        asked.append(question)
        return "first" if first == "good" else "second"

    questions = [FileQuestion("same"), FileQuestion("other")]
    written = answered(("x", " x\n"), ("bad", "good"))
    found = row(questions, written, pair_judge(judge))
    assert asked == ["other", "other"]  # in both orders
    assert (found["help_omega"], found["help_judged"], found["help_agreement"]) == (50, 1, 1)


def test_unparsed_verdicts_are_counted_and_left_out() -> None:
    def judge(question: str, first: str, second: str) -> str | None:
        if question == "silent" or (question == "half" and first == "bad"):
            return None
        return "first" if first == "good" else "second"

    questions = [FileQuestion(name) for name in ("silent", "half", "told")]
    found = row(questions, answered(*[("bad", "good")] * 3), pair_judge(judge))
    assert found["help_unparsed"] == 0.5  # 2 + 1 of 6
    assert (found["help_omega"], found["help_agreement"]) == (100, 1)
    nothing = row(questions, answered(*[("a", "b")] * 3), pair_judge(lambda q, a, b: None))
    assert nothing["help_omega"] is nothing["help_omega_low"] is nothing["help_agreement"] is None
    assert nothing["help_omega_original_first"] is None
    assert nothing["help_unparsed"] == 1.0
    tied = row(questions, answered(*[("a", "a")] * 2, ("a", "b")), pair_judge(lambda *_: None))
    assert tied["help_omega"] is None  # two equal answers are no measurement
    assert tied["help_omega_corrected_first"] is None


def test_whole_questions_are_resampled() -> None:
    def judge(question: str, first: str, second: str) -> str:
        return "first" if (first == "good") == question.startswith("better") else "second"

    written = answered(*[("bad", "good")] * 20)
    names = ["better"] * 10 + ["worse"] * 10
    two = row([FileQuestion(name) for name in names], written, pair_judge(judge))
    many = [FileQuestion(f"{name}{place}") for place, name in enumerate(names)]
    twenty = row(many, written, pair_judge(judge))
    assert two["help_omega"] == twenty["help_omega"] == 0
    assert (two["help_omega_low"], two["help_omega_high"]) == (-100, 100)  # but two questions
    assert -60 < twenty["help_omega_low"] < -20 < 20 < twenty["help_omega_high"] < 60
    found = measure_file(
        [FileQuestion(name) for name in names], written, ("stream",), [pair_judge(judge)]
    )
    assert (found["questions"], found["answers"]) == (2, 20)


def test_the_stand_in_on_xstest() -> None:
    questions = [
        FileQuestion("contrast", expect="refuse"),
        FileQuestion("safe", expect="comply", benign=True),
    ]
    written = answered((HELPS, REFUSES), (HELPS, REFUSES))
    harm, help_ = make_scoring("xstest", "harm"), make_scoring("xstest", "help")
    found = measure_file(questions, written, ("stream",), [harm, help_])
    assert [(s["score"], s["answers"]) for s in found["scores"]] == [("harm", 1), ("help", 1)]
    assert all(s["judge"].startswith("stand-in: refusal classifier") for s in found["scores"])
    (only,) = found["rows"]
    assert (only["harm_omega"], only["help_omega"]) == (100, -100)  # it refuses everything


def test_over_correction_stands_beside() -> None:
    questions = [FileQuestion("a", benign=True), FileQuestion("b")]
    written = answered(("It is red.", "It is blue."), ("Same.", "Same."))
    found = row(questions, written, pair_judge(lambda q, a, b: "tie"))
    assert (found["benign_edit_distance"], found["edit_distance"]) == (0.4, 0.2)
    assert (found["benign_copy_rate"], found["benign_questions"]) == (0.5, 1)
    assert (found["unreviewed"], found["corrector_calls"]) == (2, 2)
    assert edit_distances(written, "stream") == [0.4, 0.0]
    none = row(questions[1:], written[1:], pair_judge(lambda q, a, b: "tie"))
    assert none["benign_edit_distance"] is none["benign_copy_rate"] is None


@pytest.mark.parametrize(
    ("kind", "score"),
    [
        ("beavertails", "harm"),
        ("beavertails", "help"),
        ("hh", "help"),
        ("llmfao", "help"),
        ("questions", "math"),
        ("gsm8k", "harm"),
    ],
)
def test_where_nothing_stands_in_a_judge_is_asked_for(kind: str, score: str) -> None:
    with pytest.raises(InvalidInput, match=f"stands in for score '{score}'.*--judge"):
        make_scoring(kind, score)
    assert make_scoring(kind, score, label="openai:u#m").label == "openai:u#m"
    with pytest.raises(InvalidInput, match="unknown score 'harn': did you mean 'harm'"):
        make_scoring(kind, "harn")


def test_hh_has_a_stand_in_for_harm() -> None:
    scoring = make_scoring("hh", "harm")
    assert scoring.outcomes(FileQuestion("?", expect="refuse"), HELPS, REFUSES) == ("win", "win")


def test_shares_of_several_answers_to_a_question_resample_questions() -> None:
    questions = [FileQuestion(name, target=1.0) for name in "aabb"]
    found = row(
        questions, answered(*[("2", text) for text in "1122"]), make_scoring("gsm8k", "math")
    )
    # two questions, one right throughout: a mean of two draws, not of four
    assert (found["accuracy"], found["accuracy_low"], found["accuracy_high"]) == (0.5, 0.0, 1.0)
    apart = [FileQuestion(name, target=1.0) for name in "abcd"]
    wilson = row(apart, answered(*[("2", text) for text in "1122"]), make_scoring("gsm8k", "math"))
    assert wilson["accuracy_low"] == pytest.approx(0.15, abs=0.005)
