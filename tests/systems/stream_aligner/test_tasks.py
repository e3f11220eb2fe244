import pytest

from equipoise.systems.stream_aligner import align
from equipoise.systems.stream_aligner.arithmetic import final_result
from equipoise.systems.stream_aligner.tasks import (
    HOUSE_RULES,
    OPEN_QUESTIONS,
    SumQuestion,
    house_corrector,
    sum_questions,
    worked_examples,
    worked_sum,
)


def test_sum_questions() -> None:
    found = sum_questions(5, 4, seed=3)
    assert found == sum_questions(5, 4, seed=3) != sum_questions(5, 4, seed=4)
    assert all(len(q.numbers) == 4 and all(10 <= n < 100 for n in q.numbers) for q in found)
    question = SumQuestion((10, 20, 30))
    assert (question.text, question.total) == ("Add 10, 20 and 30.", 60)
    ((asked, worked),) = worked_examples(5)
    assert asked == "Add 31, 45, 12, 26 and 32."
    assert final_result(worked) == 146
    with pytest.raises(ValueError, match="expected >= 0 and >= 2"):
        sum_questions(1, 1, seed=0)


def test_right_answers_pass_the_house_corrector_untouched() -> None:
    for question in sum_questions(10, 4, seed=0):
        text = worked_sum(question.numbers)
        answer = align("q", lambda q, p, t=text: [t[len(p) :]], house_corrector(), speculate=True)
        assert answer.text == text
        assert final_result(text) == question.total


def test_the_house_style_changes_what_it_says() -> None:
    review = house_corrector()
    assert review("", "", "It is a really unique way in order to win.").text == (  # type: ignore[union-attr]
        "It is a unique way to win."
    )
    assert review("", "", "As an AI I cannot.").verdict == "drop"  # type: ignore[union-attr]
    assert len(HOUSE_RULES) == 5
    assert len(set(OPEN_QUESTIONS)) == len(OPEN_QUESTIONS) == 20
