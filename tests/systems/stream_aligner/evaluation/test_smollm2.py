import math
from collections.abc import Iterator

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.aligning import align
from equipoise.systems.stream_aligner.arithmetic import correct_sums
from equipoise.systems.stream_aligner.correction import Correction
from equipoise.systems.stream_aligner.correctors import identity
from equipoise.systems.stream_aligner.evaluation.methods import Reviewers
from equipoise.systems.stream_aligner.evaluation.smollm2 import (
    Answers,
    answer_real,
    edit_verdicts,
    evaluate_smollm2,
    measure_real,
    shown_text,
)
from equipoise.systems.stream_aligner.loop import Step
from equipoise.systems.stream_aligner.segments import Segment
from equipoise.systems.stream_aligner.worlds.smollm2 import SCRIPTED, Opened, RealWorld

WORLD = RealWorld(SCRIPTED)
EASY = "Add 11, 12 and 13."  # nothing to carry
HARD = "Add 35, 59 and 12."  # alone: 35 + 59 = 84, then 84 + 12 = 96
PLAIN = ("Why is the sky blue?",)


def _row(found: dict, method: str) -> dict:
    return next(row for row in found["rows"] if row["method"] == method)


def test_methods_on_answers_known_by_hand() -> None:
    done: list[int] = []
    found = evaluate_smollm2(
        WORLD, [EASY, HARD], Reviewers(correct_sums), plain=PLAIN, advance=lambda: done.append(1)
    )
    assert len(done) == 10
    # post-hoc mends each sum where it stands: 84 + 12 = 96 is right and the end still wrong
    expected = {"raw": (1, 3), "post-hoc": (1, 4), "aligner": (1, 4), "stream": (2, 4)}
    for method, (right, stated) in {**expected, "oracle": (2, 4)}.items():
        row = _row(found, method)
        assert (row["right"], row["stated_right"]) == (right, stated)
        assert (row["answers"], row["stated"], row["failed"]) == (2, 4, 0)
        assert row["accuracy"] == right / 2
        assert row["stated_share"] == stated / 4
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
    assert (found["wrong_proposals"], found["right_proposals"]) == (1, 3)
    assert (found["fix_rate"], found["break_rate"]) == (1.0, 0.0)
    assert (found["edit_precision"], found["edits"]) == (1.0, 1)
    assert (found["copy_rate"], found["benign_sentences"]) == (1.0, 2)
    assert found["edit_distances"] == [0.0, 0.0]


def test_a_corrector_that_changes_benign_text_and_breaks_sums_is_seen() -> None:
    def meddler(question: str, prefix: str, sentence: str) -> str:
        return sentence.replace("36", "37").replace("unique", "rare")

    found = evaluate_smollm2(WORLD, [EASY], Reviewers(meddler), methods=["stream"], plain=PLAIN)
    assert found["edit_precision"] == 0.0
    assert found["edits"] == 1
    assert found["break_rate"] == 0.5
    assert math.isnan(found["fix_rate"])
    assert found["copy_rate"] == 0.5
    # `It is a really unique question.`: 6 of 31 characters
    assert found["edit_distances"] == [0.0, pytest.approx(6 / 31)]


def _step(prefix: str, proposed: str, text: str, verdict: str) -> Step:
    return Step(prefix, Segment("", proposed), text, verdict)


def test_edits_are_judged_by_what_they_leave() -> None:
    before = "First, 3 + 4 = 7."
    steps = [
        _step("", "3 + 4 = 8.", "3 + 4 = 7.", "edit"),  # wrong made right
        _step("", "3 + 4 = 7.", "So 3 + 4 = 7.", "edit"),  # right left right
        _step("", "3 + 4 = 7.", "3 + 4 = 8.", "edit"),  # right made wrong
        _step("", "3 + 4 = 8.", "3 + 4 = 9.", "edit"),  # wrong left wrong
        _step(before, "So the sum is 8.", "So the sum is 7.", "edit"),
        _step(before, "So the sum is 7.", "So the sum is 8.", "edit"),
        _step("", "That is all.", "This is all.", "edit"),  # nothing to check: not good
        _step("", "3 + 4 = 8.", "", "drop"),
        _step("", "3 + 4 = 8.", "3 + 4 = 8.", "copy"),
        _step("", "3 + 4 = 8.", "3 + 4 = 8.", "unreviewed"),
    ]
    assert edit_verdicts(steps) == [True, True, False, False, True, False, False, False]


def test_prompted_answers_only_the_first_questions() -> None:
    found = evaluate_smollm2(
        WORLD,
        [EASY, HARD],
        Reviewers(correct_sums, prompted=identity),
        methods=["raw", "prompted"],
        prompted_questions=1,
    )
    assert [row["answers"] for row in found["rows"]] == [2, 1]
    assert _row(found, "prompted")["right"] == 1
    assert "copy_rate" not in found  # nothing was streamed


def test_failed_corrections_are_counted_and_end_the_answer() -> None:
    def fails(question: str, prefix: str, sentence: str) -> Correction:
        raise RuntimeError("no")

    found = evaluate_smollm2(WORLD, [EASY], Reviewers(fails), methods=["stream"], plain=())
    row = _row(found, "stream")
    assert (row["failed"], row["right"], row["stated"], row["stated_share"]) == (1, 0, 0, 0.0)
    assert math.isnan(found["edit_precision"])
    assert found["edit_distances"] == []


def test_a_running_model_is_used_and_left_running() -> None:
    asked: list[str] = []

    def counting(question: str, prefix: str) -> Iterator[str]:
        asked.append(question)
        yield "1 + 1 = 2."

    opened = Opened(counting, counting)
    found = evaluate_smollm2(
        RealWorld("no such model"),
        ["Add 1 and 1."],
        Reviewers(correct_sums),
        methods=["raw", "stream"],
        plain=PLAIN,
        opened=opened,
    )
    assert [row["right"] for row in found["rows"]] == [1, 1]
    assert asked == ["Add 1 and 1.", "Add 1 and 1.", *PLAIN]


def test_pooled_answers_are_measured_as_one() -> None:
    with WORLD.opened() as opened:
        both = answer_real(
            opened, [EASY, HARD], Reviewers(correct_sums), methods=["raw", "stream"], plain=PLAIN
        )
        parts = [
            answer_real(
                opened, [one], Reviewers(correct_sums), methods=["raw", "stream"], plain=PLAIN
            )
            for one in (EASY, HARD)
        ]
    pooled = parts[0].pooled(parts[1])
    assert pooled.sums == both.sums
    assert len(pooled.benign) == 2
    assert measure_real(Answers(pooled.sums, both.benign)) == measure_real(both)


def test_what_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(InvalidInput, match="streem"):
        evaluate_smollm2(WORLD, [EASY], Reviewers(correct_sums), methods=["streem"])
    with pytest.raises(InvalidInput, match="no questions"):
        evaluate_smollm2(WORLD, [], Reviewers(correct_sums))
    with pytest.raises(InvalidInput, match="--prompted"):
        evaluate_smollm2(WORLD, [EASY], Reviewers(correct_sums), methods=["prompted"])


def test_post_hoc_shows_each_sentence_corrected_where_it_stands() -> None:
    with WORLD.opened() as opened:
        answer = align(HARD, opened.sums, correct_sums, mode="detect")
    assert shown_text("raw", answer) == "First, 35 + 59 = 84. Then 84 + 12 = 96."
    assert shown_text("post-hoc", answer) == "First, 35 + 59 = 94. Then 84 + 12 = 96."


def test_dropped_sentences_are_not_shown_and_state_nothing() -> None:
    def drops(question: str, prefix: str, sentence: str) -> str:
        return "" if "84" in sentence else sentence

    found = evaluate_smollm2(
        WORLD, [HARD], Reviewers(drops), methods=["post-hoc", "stream"], plain=()
    )
    assert [(row["stated"], row["right"]) for row in found["rows"]] == [(0, 0), (0, 0)]
    assert found["edit_precision"] == 0.0
    assert found["edits"] == 2  # asked again once, then the answer ends


def test_a_corrector_of_whole_answers_does_not_stream() -> None:
    class Whole:
        style = "aligner"

        def __call__(self, question: str, prefix: str, sentence: str) -> str:
            return sentence

    with pytest.raises(InvalidInput, match="reviews whole answers"):
        evaluate_smollm2(WORLD, [EASY], Reviewers(Whole()), methods=["stream"])
    found = evaluate_smollm2(WORLD, [EASY], Reviewers(Whole()), methods=["aligner"])
    assert _row(found, "aligner")["right"] == 1
