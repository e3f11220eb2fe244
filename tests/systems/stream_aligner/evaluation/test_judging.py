import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import Verdict
from equipoise.evaluation.judging import pair_label
from equipoise.systems.stream_aligner import compare_in_both_orders, improvement_rate, parse_verdict


def test_improvement_rate() -> None:
    assert improvement_rate(60, 20, 20) == 40
    assert improvement_rate(0, 3, 0) == -100
    for counts in ((0, 0, 0), (-1, 2, 3)):
        with pytest.raises(InvalidInput, match=r"counts must be >= 0 and not all zero"):
            improvement_rate(*counts)


def test_a_judge_with_a_favourite_place_gains_nothing() -> None:
    found = compare_in_both_orders(lambda q, a, b: "second", ["q"] * 3, ["o"] * 3, ["c"] * 3)
    assert found.improvement_by_order == (100, -100)
    assert found.improvement == 0
    assert (found.wins, found.losses, found.ties, found.unparsed) == (3, 3, 0, 0)
    assert found.agreement == 0


def test_counts_are_for_the_corrected_answer() -> None:
    def judge(question: str, first: str, second: str) -> str | None:
        if question == "silent":
            return None
        if question == "half":
            return None if first == "good" else "second"
        if first == second:
            return "tie"
        return "first" if first == "good" else "second"

    found = compare_in_both_orders(
        judge,
        ["a", "b", "c", "silent", "half"],
        ["bad", "good", "same", "bad", "bad"],
        ["good", "bad", "same", "good", "good"],
    )
    assert (found.wins, found.losses, found.ties, found.unparsed) == (3, 2, 2, 3)
    assert found.improvement_by_order == (25.0, 0.0)
    assert found.improvement == 12.5
    assert found.agreement == 1.0


def test_nothing_parsed_is_no_number() -> None:
    found = compare_in_both_orders(lambda q, a, b: None, ["q"], ["o"], ["c"])
    assert found.unparsed == 2
    assert math.isnan(found.improvement)
    assert math.isnan(found.agreement)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_consistent_judge_agrees_and_swapping_roles_flips_the_sign(
    scores: list[tuple[int, int]],
) -> None:
    def judge(question: str, first: str, second: str) -> str:
        if first == second:
            return "tie"
        return "first" if int(first) > int(second) else "second"

    questions = ["q"] * len(scores)
    left, right = [str(a) for a, _ in scores], [str(b) for _, b in scores]
    found = compare_in_both_orders(judge, questions, left, right)
    flipped = compare_in_both_orders(judge, questions, right, left)
    assert found.agreement == 1.0
    assert found.improvement_by_order[0] == found.improvement_by_order[1]
    assert found.improvement == pytest.approx(-flipped.improvement)
    assert found.wins + found.losses + found.ties == 2 * len(scores)


@pytest.mark.parametrize(
    ("questions", "answers", "judge", "message"),
    [
        (["q"], [], None, "1 questions, 1 originals, 0 corrected"),
        ([], [], None, "the lists are empty"),
        (["q"], ["c"], lambda q, a, b: "A", "unknown judge's answer 'A'"),
    ],
)
def test_bad_comparisons(questions: Any, answers: Any, judge: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        compare_in_both_orders(judge, questions, ["o"] * len(questions), answers)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("Reasons.\nBetter: [[responseA]]", "help", "first"),
        ("better: [[RESPONSEB]]", "help", "second"),
        ("Better: [[Equal]]", "help", "tie"),
        ("Better: [[responseA]] ... no. Better: [[responseB]]", "help", "second"),
        ("More harmful: [[responseA]]", "harm", "second"),
        ("more harmful: [[ responseB ]]", "harm", "first"),
        ("More harmful: [[equal]]", "harm", "tie"),
        ("So [[False]] ... [[true]]", "math", True),
        ("[[FALSE]]", "math", False),
        ("Better: responseA", "help", None),
        ("Better: [[responseC]]", "help", None),
        ("More harmful: [[responseA]]", "help", None),
        ("", "math", None),
    ],
)
def test_parse_verdict(text: str, kind: str, expected: object) -> None:
    assert parse_verdict(text, kind) == expected


def test_an_unknown_kind_of_verdict() -> None:
    with pytest.raises(InvalidInput, match="unknown kind of verdict 'maths': did you mean 'math'"):
        parse_verdict("[[true]]", "maths")


def test_a_judge_of_the_evaluation_is_taken() -> None:
    class Longest:
        def judge(self, requests: Any) -> list[Verdict]:
            first, second = requests[0].replies
            if not first or not second:
                return [Verdict(None, "")]
            value = 0.5 if len(first) == len(second) else float(len(first) > len(second))
            return [Verdict(value, pair_label(value))]

    found = compare_in_both_orders(
        Longest(), ["q"] * 4, ["a", "bbb", "c", ""], ["aa", "b", "d", "e"]
    )
    assert (found.wins, found.losses, found.ties, found.unparsed) == (2, 2, 2, 2)
    assert found.agreement == 1
