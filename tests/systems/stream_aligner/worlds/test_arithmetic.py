import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import align, arithmetic_accuracy, segment
from equipoise.systems.stream_aligner.worlds.arithmetic import (
    ArithmeticWorld,
    is_right,
    numbers_of,
    oracle,
    running_sum,
)


@given(st.integers(0, 1000), st.integers(1, 8))
def test_the_oracle_makes_every_answer_right(seed: int, steps: int) -> None:
    world = ArithmeticWorld(steps, error_rate=0.5, seed=seed)
    (question,) = world.questions(1, seed)
    answer = align(question, world.upstream, oracle)
    assert answer.text == running_sum(numbers_of(question))
    assert is_right(question, answer.text)
    assert align(question, world.upstream, oracle, speculate=True).text == answer.text
    raw = align(question, world.upstream, oracle, mode="off").text
    assert len(segment(raw)) == steps
    if steps > 1:
        assert oracle(question, "", raw).text == answer.text


def test_an_answer_is_the_same_whatever_was_asked_before() -> None:
    world = ArithmeticWorld(seed=3, error_rate=0.5)
    first, second = world.questions(2, 0)
    alone = list(world.upstream(first, ""))
    list(world.upstream(second, ""))
    assert list(world.upstream(first, "")) == alone
    prefix = "".join(alone[:3])
    assert list(world.upstream(first, prefix)) == alone[3:]
    assert list(ArithmeticWorld(seed=4, error_rate=0.5).upstream(first, "")) != alone


def test_wrong_sums_stay_wrong_at_the_worlds_rate() -> None:
    world = ArithmeticWorld(seed=1)
    questions = world.questions(1500, 1)
    right = [is_right(q, "".join(world.upstream(q, ""))) for q in questions]
    expected = arithmetic_accuracy(8, 0.1, 0.0).raw
    error = (expected * (1 - expected) / len(right)) ** 0.5
    assert abs(sum(right) / len(right) - expected) < 4 * error
    never = ArithmeticWorld(error_rate=0.0)
    assert all(is_right(q, "".join(never.upstream(q, ""))) for q in questions[:20])


def test_bad_worlds_and_questions() -> None:
    with pytest.raises(InvalidInput, match="steps 0"):
        ArithmeticWorld(0)
    with pytest.raises(InvalidInput, match="error_rate is 2"):
        ArithmeticWorld(error_rate=2)
    with pytest.raises(InvalidInput, match="no running sum"):
        numbers_of("How are you?")
    assert not is_right("Add 1 and 2.", "I do not know.")
