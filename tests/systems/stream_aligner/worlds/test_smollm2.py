from pathlib import Path

import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.systems.stream_aligner.aligning import align
from equipoise.systems.stream_aligner.arithmetic import correct_sums, stated_sums
from equipoise.systems.stream_aligner.collection.smollm2_rows import (
    DRILL_QUESTION,
    collect_rows,
    cut_short,
    drill_rows,
    slips_of,
)
from equipoise.systems.stream_aligner.rows import CorrectionRow
from equipoise.systems.stream_aligner.tasks import OPEN_QUESTIONS
from equipoise.systems.stream_aligner.worlds.smollm2 import (
    PRACTICE_QUESTIONS,
    SCRIPTED,
    RealWorld,
    sentence_right,
)

WORLD = RealWorld(SCRIPTED)


@pytest.mark.parametrize(
    ("prefix", "sentence", "right"),
    [
        ("", "First, 35 + 59 = 94.", True),
        ("", "First, 35 + 59 = 154.", False),
        ("", "1 + 1 = 2, 2 + 2 = 5.", False),
        ("First, 3 + 4 = 7.", "So the sum is 7.", True),
        ("First, 3 + 4 = 7. Then 7 + 2 = 9.", "So the sum is 7.", False),
        ("", "So the sum is 7.", None),
        ("First, 3 + 4 = 7.", "That is all.", None),
        ("", "", None),
    ],
)
def test_sentences_are_checked_exactly(prefix: str, sentence: str, right: bool | None) -> None:
    assert sentence_right(prefix, sentence) is right


def test_questions_are_two_digit_sums_that_follow_their_seed() -> None:
    asked = WORLD.questions(5, 3)
    assert asked == WORLD.questions(5, 3) != WORLD.questions(5, 4)
    for question in asked:
        numbers = [int(word.strip(",.")) for word in question.split() if word.strip(",.").isdigit()]
        assert len(numbers) == 4
        assert all(10 <= number < 100 for number in numbers)


def test_the_scripted_model_forgets_to_carry_and_builds_on_what_was_corrected() -> None:
    with WORLD.opened() as opened:
        assert opened.backend is None
        alone = align("Add 35, 59 and 12.", opened.sums, correct_sums, mode="off").text
        reviewed = align("Add 35, 59 and 12.", opened.sums, correct_sums, speculate=True).text
        benign = align("Why is the sky blue?", opened.plain, correct_sums).text
    assert alone == "First, 35 + 59 = 84. Then 84 + 12 = 96."
    assert reviewed == "First, 35 + 59 = 94. Then 94 + 12 = 106."
    assert "=" not in benign


def test_upstream_is_what_continues_running_sums() -> None:
    with WORLD.upstream() as upstream:
        assert "".join(upstream("Add 1, 2 and 3.", "First, 1 + 2 = 3.")) == " Then 3 + 3 = 6."


def test_a_missing_model_is_named_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    world = RealWorld("smollm2-135m")
    with pytest.raises(MissingData, match="equipoise models pull smollm2-135m"), world.opened():
        pass


def test_open_questions_of_training_and_evaluation_are_apart() -> None:
    assert not set(PRACTICE_QUESTIONS) & set(OPEN_QUESTIONS)
    assert len(set(PRACTICE_QUESTIONS)) == len(PRACTICE_QUESTIONS)


def test_slips_are_stated_minus_exact() -> None:
    rows = [
        CorrectionRow("q", "", "First, 35 + 59 = 154.", "First, 35 + 59 = 94."),
        CorrectionRow("q", "", "1 + 1 = 2, 2 + 2 = 1.", "1 + 1 = 2, 2 + 2 = 4."),
        CorrectionRow("q", "", "So the sum is 9.", "So the sum is 9."),
    ]
    assert slips_of(rows) == [60, -3]


def test_drills_hold_right_and_wrong_sums_with_the_models_errors() -> None:
    rows = drill_rows(60, 5, 4, [10, -100], 1)
    assert rows == drill_rows(60, 5, 4, [10, -100], 1) != drill_rows(60, 5, 4, [10, -100], 2)
    sums = [found for row in rows for found in stated_sums(row.last)]
    assert len(sums) == 300
    assert 0.4 < sum(found.correct for found in sums) / 300 < 0.6
    # -100 would leave some results negative: it is turned around there
    assert {int(found.stated - found.exact) for found in sums} == {0, 10, -100, 100}
    assert all(found.stated >= 0 for found in sums)
    for found in sums:
        total, number = map(int, found.expression.split(" + "))
        assert 10 <= number < 100
        assert 10 <= total < 300
    for row in rows:
        assert row.question == DRILL_QUESTION
        assert all(found.correct for found in stated_sums(row.correction))
        assert row.verdict == ("copy" if row.correction == row.last else "edit")


@pytest.mark.parametrize("bad", [(-1, 5, 4), (1, 0, 4), (1, 5, 1)])
def test_drills_out_of_range_are_refused(bad: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInput, match="expected >= 0"):
        drill_rows(*bad, [1], 0)


@pytest.mark.parametrize("slips", [[], [3, 0]])
def test_drills_need_errors_to_draw_from(slips: list[int]) -> None:
    with pytest.raises(InvalidInput, match="slips"):
        drill_rows(1, 1, 2, slips, 0)


def test_rows_of_both_styles_come_from_the_same_questions() -> None:
    done: list[int] = []
    with WORLD.opened() as opened:
        rows = collect_rows(
            WORLD,
            opened,
            questions=6,
            drills=3,
            sums=4,
            seed=5,
            advance=lambda: done.append(1),
        )
    asked = WORLD.questions(6, 5)
    assert len(done) == 6 + len(PRACTICE_QUESTIONS)
    assert {row.question for row in rows.sentences} == {row.question for row in rows.wholes}
    assert [row.question for row in rows.wholes] == asked
    # three additions a question; the teacher's corrections are what the model went on from
    assert len(rows.sentences) == 18
    for row in rows.sentences:
        assert all(found.correct for found in stated_sums(f"{row.prefix} {row.correction}"))
    # a whole answer is what the model says alone, so that its sums are its own
    assert any(row.verdict == "edit" for row in rows.wholes)
    assert all(row.prefix == "" for row in [*rows.wholes, *rows.benign_wholes])
    assert all(row.last == row.correction for row in [*rows.benign, *rows.benign_wholes])
    first, *_ = rows.benign_wholes
    said = [row.last for row in rows.benign if row.question == first.question]
    assert said[:2] == ["In order to answer, look it up.", "It is a really unique question."]
    # each once more, cut short
    assert len(rows.benign) == 4 * len(PRACTICE_QUESTIONS)
    assert len(said) == 4
    assert all(whole.startswith(cut) and cut != whole for whole, cut in zip(said, said[2:]))
    wrong = [found.correct for row in rows.sentences for found in stated_sums(row.last)].count(
        False
    )
    drilled = [found.correct for row in rows.drills for found in stated_sums(row.last)]
    assert 0 < wrong < 18
    assert len(drilled) == 12
    assert first.last == "In order to answer, look it up. It is a really unique question."
    assert rows.of("stream") == [*rows.sentences, *rows.benign, *rows.drills]
    assert rows.of("aligner") == [*rows.wholes, *rows.benign_wholes, *rows.drills]
    assert len(rows.drills) == 3


def test_cut_sentences_end_before_their_last_word() -> None:
    rows = [
        CorrectionRow("q", "Before.", "One two three four.", "One two three four.", "copy"),
        CorrectionRow("q", "", "One", "One", "copy"),
        CorrectionRow("q", "", "One two.", "One two.", "copy", source="benign"),
    ]
    seen = {cut_short(rows, seed)[0].last for seed in range(40)}
    assert seen == {"One", "One two", "One two three"}
    cut = cut_short(rows, 0)
    assert cut == cut_short(rows, 0)
    assert [row.prefix for row in cut] == ["Before.", ""]
    assert cut[1] == CorrectionRow("q", "", "One", "One", "copy", source="benign")
    assert all(row.last == row.correction for row in cut)


@pytest.mark.parametrize(("wrong", "right"), [(0.0, 40), (1.0, 0)])
def test_as_many_drills_are_wrong_as_asked_for(wrong: float, right: int) -> None:
    rows = drill_rows(8, 5, 4, [10], 0, wrong=wrong)
    assert sum(found.correct for row in rows for found in stated_sums(row.last)) == right
    with pytest.raises(InvalidInput, match="wrong is"):
        drill_rows(1, 1, 2, [10], 0, wrong=wrong - 2)
