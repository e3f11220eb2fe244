import math
from typing import Any

import pytest

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.stream_aligner import Segment, Step, align, arithmetic_accuracy
from equipoise.systems.stream_aligner.correctors import identity
from equipoise.systems.stream_aligner.evaluation.arithmetic import (
    METHODS,
    accuracy_of,
    evaluate_arithmetic,
    measure_rates,
)
from equipoise.systems.stream_aligner.evaluation.methods import Reviewers
from equipoise.systems.stream_aligner.worlds.arithmetic import ArithmeticWorld, oracle

WORLD = ArithmeticWorld(steps=5, error_rate=0.3, seed=7)
QUESTIONS = WORLD.questions(60, 7)


def step(original: str, corrected: str, verdict: str = "edit") -> Step:
    return Step("", Segment("", original), corrected, verdict)


def test_rates_of_known_steps() -> None:
    rates = measure_rates(
        [
            step("1 + 1 = 3.", "1 + 1 = 2."),  # repaired
            step("1 + 1 = 3.", "1 + 1 = 4."),
            step("1 + 1 = 3.", "1 + 1 = 3.", "copy"),
            step("1 + 1 = 3.", "2 + 2 = 4."),  # right, but another sum
            step("1 + 1 = 2.", "1 + 1 = 2.", "copy"),
            step("1 + 1 = 2.", "So 1 + 1 = 2."),
            step("1 + 1 = 2.", "1 + 1 = 5."),  # spoiled
            step("1 + 1 = 2.", "", "drop"),  # spoiled
            step("Hello.", "Hello.", "copy"),
        ]
    )
    assert (rates.wrong, rates.right) == (4, 4)
    assert (rates.fix.estimate, rates.spoil.estimate, rates.copy.estimate) == (0.25, 0.5, 0.25)
    empty = measure_rates([])
    assert math.isnan(empty.fix.estimate)
    assert (empty.fix.low, empty.fix.high) == (0.0, 1.0)


def test_methods_with_exact_and_idle_correctors() -> None:
    found = evaluate_arithmetic(WORLD, QUESTIONS, Reviewers(oracle))
    rows = {row["method"]: row for row in found["rows"]}
    assert rows["stream"]["accuracy"] == rows["oracle"]["accuracy"] == 1.0
    assert rows["aligner"]["accuracy"] == 1.0  # a whole answer rewritten from the question
    assert rows["raw"]["accuracy"] < rows["post-hoc"]["accuracy"] < 1.0
    assert (found["fix_rate"], found["break_rate"], found["copy_rate"]) == (1.0, 0.0, 1.0)
    exact = arithmetic_accuracy(5, 0.3, 1.0)
    assert rows["post-hoc"]["closed_form"] == exact.post_hoc
    assert rows["raw"]["closed_form"] == exact.raw
    assert "closed_form" not in rows["aligner"]
    for row in found["rows"]:
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
        assert row["right"] == round(row["accuracy"] * 60)

    idle = evaluate_arithmetic(WORLD, QUESTIONS, Reviewers(identity), methods=["raw", "stream"])
    assert accuracy_of(idle, "stream") == accuracy_of(idle, "raw")
    assert idle["fix_rate"] == 0.0


def test_a_corrector_with_known_rates_meets_the_closed_form() -> None:
    def half(question: str, prefix: str, sentence: str) -> Any:
        return oracle(question, prefix, sentence) if len(prefix) % 2 else sentence

    questions = WORLD.questions(400, 8)
    found = evaluate_arithmetic(WORLD, questions, Reviewers(half), methods=["stream"])
    row = found["rows"][0]
    assert 0.1 < found["fix_rate"] < 0.9
    assert abs(row["accuracy"] - row["closed_form"]) < 0.08


def test_a_failing_corrector_counts_as_it_fails() -> None:
    def failing(question: str, prefix: str, sentence: str) -> str:
        raise RunFailed("late")

    found = evaluate_arithmetic(
        WORLD, QUESTIONS[:9], Reviewers(failing), methods=["post-hoc", "stream"]
    )
    assert accuracy_of(found, "stream") == 0.0
    raw = evaluate_arithmetic(WORLD, QUESTIONS[:9], Reviewers(identity), methods=["raw"])
    assert accuracy_of(found, "post-hoc") == accuracy_of(raw, "raw")


def test_every_method_is_reachable_and_counted() -> None:
    done: list[int] = []
    found = evaluate_arithmetic(
        WORLD,
        QUESTIONS[:4],
        Reviewers(identity, aligner=oracle, prompted=oracle),
        methods=METHODS,
        advance=lambda: done.append(1),
    )
    assert [row["method"] for row in found["rows"]] == list(METHODS)
    assert len(done) == 4 * len(METHODS)
    assert accuracy_of(found, "aligner") == accuracy_of(found, "prompted") == 1.0


def test_bad_requests() -> None:
    with pytest.raises(InvalidInput, match="unknown method 'post_hocc': did you mean 'post-hoc'"):
        evaluate_arithmetic(WORLD, QUESTIONS, Reviewers(identity), methods=["post_hocc"])
    with pytest.raises(InvalidInput, match="no questions"):
        evaluate_arithmetic(WORLD, [], Reviewers(identity))
    with pytest.raises(InvalidInput, match="name it by --prompted"):
        evaluate_arithmetic(WORLD, QUESTIONS, Reviewers(identity), methods=["prompted"])

    class Whole:
        style = "aligner"

        def __call__(self, question: str, prefix: str, sentence: str) -> str:
            return sentence

    with pytest.raises(InvalidInput, match="method 'stream' single sentences"):
        evaluate_arithmetic(WORLD, QUESTIONS, Reviewers(Whole()), methods=["raw", "stream"])
    found = evaluate_arithmetic(
        WORLD, QUESTIONS[:3], Reviewers(Whole()), methods=["raw", "aligner"]
    )
    assert accuracy_of(found, "aligner") == accuracy_of(found, "raw")


def test_post_hoc_reviews_each_sentence_where_it_stands() -> None:
    asked: list[tuple[str, str]] = []

    def note(question: str, prefix: str, sentence: str) -> str:
        asked.append((prefix, sentence))
        return "X."

    evaluate_arithmetic(WORLD, QUESTIONS[:1], Reviewers(note), methods=["post-hoc"])
    raw = align(QUESTIONS[0], WORLD.upstream, identity, mode="off").text
    assert "".join(f" {sentence}" for _, sentence in asked).strip() == raw
    assert all(raw.startswith(prefix) for prefix, _ in asked)
