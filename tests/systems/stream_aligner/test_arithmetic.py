from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from equipoise.systems.stream_aligner import make_corrector
from equipoise.systems.stream_aligner.arithmetic import correct_sums, final_result, stated_sums


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("So 12 + 30 = 41.", "So 12 + 30 = 42."),
        ("2 + 3 * 4 = 20", "2 + 3 * 4 = 14"),
        ("2 × 3 - 8 / 4 = 5!", "2 × 3 - 8 / 4 = 4!"),
        ("12+30=41", "12+30=42"),
        ("5 - 8 = 3", "5 - 8 = -3"),
        ("-3 + 5 = 1", "-3 + 5 = 2"),
        ("3 - -5 = 1", "3 - -5 = 8"),
        ("20 / 4 / 5 = 25", "20 / 4 / 5 = 1"),
        # number style of the operands
        ("1,500 + 600 = 2,000", "1,500 + 600 = 2,100"),
        ("1500 + 600 = 2,000", "1500 + 600 = 2100"),
        ("500 + 600 = 1,200", "500 + 600 = 1,100"),
        ("1.50 + 2.25 = 3.80", "1.50 + 2.25 = 3.75"),
        ("1.5 + 2.5 = 5", "1.5 + 2.5 = 4.0"),
        ("1.5 * 1.5 = 2", "1.5 * 1.5 = 2.25"),
        ("7 / 2 = 3", "7 / 2 = 3.5"),
        ("$12.50 + $30 = $41", "$12.50 + $30 = $42.50"),
        # several sums, each on its own
        ("12 + 30 = 41, and 41 + 1 = 43.", "12 + 30 = 42, and 41 + 1 = 42."),
        ("2 + 3 = 1 + 4 = 6", "2 + 3 = 1 + 4 = 5"),
        # surroundings
        ("**12 + 30 = 41**", "**12 + 30 = 42**"),
        ("- 12 + 30 = 41", "- 12 + 30 = 42"),
        ("x\n* 12 + 30 = 41", "x\n* 12 + 30 = 42"),
        ("3 × 4 = 11 apples (12)", "3 × 4 = 12 apples (12)"),
        ("1 + 1 = 3 - a slip", "1 + 1 = 2 - a slip"),
    ],
)
def test_wrong_results_are_replaced(sentence: str, expected: str) -> None:
    correction = correct_sums("q", "p", sentence)
    assert correction.text == expected
    assert "=" in correction.note
    assert correct_sums("q", "p", expected).text == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "So 12 + 30 = 42.",
        "1 + 1 = 2.0",
        "0.1 + 0.2 = 0.3",
        "10 / 3 = 3",  # no finite decimal
        "10 / 3 = 3.33",
        "5 / 0 = 3",
        "5 + 3 / 0 = 8",
        "2 + 3 = 1 + 4",  # the result is an expression
        "1/2 + 1/3 = 5/6",
        "(2 + 3) * 4 + 1 = 20",  # the tail of something longer
        "2^2 + 3 = 8",
        "x2 + 3 = 4",
        "x - 2 + 3 = 4",
        "x -3 + 5 = 1",
        "2 * 3 = 5x",
        "2 + 3 = 4(1 + 1)",
        "5 / 10 = 50%",
        "v1.2 + 3 = 4",
        "12 = 13",
        "1 + 1 = 3,5",
        "no sums at all",
        "",
    ],
)
def test_everything_else_is_left_alone(sentence: str) -> None:
    correction = correct_sums("q", "p", sentence)
    assert correction.text == sentence
    assert correction.note == ""


NUMBERS = st.decimals(0, 10_000, allow_nan=False, places=2) | st.integers(0, 10_000).map(Decimal)


@given(NUMBERS, st.lists(st.tuples(st.sampled_from("+-*×"), NUMBERS), min_size=1, max_size=4))
def test_any_stated_result_becomes_the_exact_one(
    first: Decimal, terms: list[tuple[str, Decimal]]
) -> None:
    expression = str(first) + "".join(f" {op} {number}" for op, number in terms)
    total, product = Decimal(0), first
    for op, number in terms:
        if op in "*×":
            product *= number
        else:
            total, product = total + product, number if op == "+" else -number
    exact = total + product
    assume(abs(exact) < Decimal(10) ** 15)
    fixed = correct_sums("", "", f"We get {expression} = 7777777.")
    stated = fixed.text.rpartition("= ")[2].removesuffix(".")
    assert Decimal(stated) == exact
    assert correct_sums("", "", fixed.text).text == fixed.text
    assert next(stated_sums(fixed.text)).correct


@given(st.text(alphabet="0123456789+-*/×=.,$% ()x\n", max_size=60))
def test_a_correction_is_stable_and_touches_results_only(text: str) -> None:
    once = correct_sums("", "", text).text
    assert correct_sums("", "", once).text == once
    assert once.count("=") == text.count("=")


def test_huge_numbers_and_long_chains_stay_cheap() -> None:
    assert correct_sums("", "", "9" * 5000 + " + 1 = 2").text.endswith("= 2")
    chain = " + ".join(["1"] * 20_000)
    assert correct_sums("", "", chain + " = 3").text.endswith("= 3")
    assert correct_sums("", "", " + ".join(["1"] * 200) + " = 3").text.endswith("= 200")


def test_by_name() -> None:
    assert make_corrector("arithmetic") is correct_sums


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1 + 1 = 2. 2 + 3 = 6.", 6), ("no sums", None), ("1 / 2 = 0.5", None), ("", None)],
)
def test_final_result(text: str, expected: int | None) -> None:
    assert final_result(text) == expected
