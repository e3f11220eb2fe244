from typing import Any

import pytest

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.stream_aligner import align
from equipoise.systems.stream_aligner.correctors import identity
from equipoise.systems.stream_aligner.evaluation.methods import Reviewers
from equipoise.systems.stream_aligner.evaluation.text import (
    DEFAULT_METHODS,
    METHODS,
    PUBLISHED_ROUNDS,
    Written,
    edit_distance,
    evaluate_text,
    is_clean,
    judge_by,
    measure_answers,
    row_of,
    write_answer,
)
from equipoise.systems.stream_aligner.worlds.text import TextWorld
from equipoise.systems.stream_aligner.worlds.text_oracle import fallible_oracle, oracle

WORLD = TextWorld(5)
QUESTIONS = WORLD.questions(80, 5)
QUESTION = "Describe both places. bakery: blue, nine. school: red, ten."
RIGHT = "The bakery is blue. It opens at nine. The school is red. It opens at ten."
RAW = Written("", None, 0, 0)


def test_the_methods_come_in_the_order_of_the_paper() -> None:
    found = evaluate_text(WORLD, QUESTIONS, Reviewers(fallible_oracle(0.7, 0)))
    rows = {row["method"]: row for row in found["rows"]}
    assert tuple(rows) == DEFAULT_METHODS
    for score in ("helpful_omega", "harmless_omega"):
        values = [rows[name][score] for name in ("raw", "post-hoc", "aligner", "stream", "oracle")]
        assert values[0] == 0.0 < values[1] <= values[2] < values[3] < values[4]
    for row in found["rows"]:
        for score in ("helpful", "harmless"):
            omega = row[f"{score}_omega"]
            assert row[f"{score}_omega_low"] <= omega <= row[f"{score}_omega_high"]
            # every oracle sees through the order in which it is shown a pair
            assert row[f"{score}_omega_original_first"] == pytest.approx(omega)
            assert row[f"{score}_omega_corrected_first"] == pytest.approx(omega)
            assert omega == pytest.approx(100 * (row[score] - rows["raw"][score]))
    gap = found["stream_minus_aligner"]
    difference = rows["stream"]["harmless_omega"] - rows["aligner"]["harmless_omega"]
    assert gap["harmless"] == pytest.approx(difference)
    assert gap["harmless_low"] > 0


def test_with_the_exact_oracle_only_feedback_makes_every_answer_right() -> None:
    questions = WORLD.questions(200, 6)
    methods = ["raw", "post-hoc", "aligner", "stream"]
    found = evaluate_text(WORLD, questions, Reviewers(oracle), methods=methods)
    raw, post_hoc, aligner, stream = (row["helpful"] for row in found["rows"])
    assert raw < post_hoc <= aligner < stream == 1.0
    assert [row["harmless"] for row in found["rows"][1:]] == [1.0, 1.0, 1.0]


def test_what_an_idle_corrector_does() -> None:
    found = evaluate_text(WORLD, QUESTIONS[:20], Reviewers(identity))
    for method in ("post-hoc", "aligner", "stream"):
        row = row_of(found, method)
        assert row["helpful_omega"] == row["harmless_omega"] == row["edit_distance"] == 0.0
        assert row["copy_rate"] == 1.0
        assert row["upstream_chars"] == row_of(found, "raw")["upstream_chars"]
    assert row_of(found, "best-of-2")["helpful_omega"] >= 0
    assert row_of(found, "best-of-2")["upstream_chars"] > row_of(found, "raw")["upstream_chars"]
    assert row_of(found, "raw")["copy_rate"] is None
    assert row_of(found, "aligner")["corrector_calls"] == 1


def test_over_correction_shows_on_clean_answers() -> None:
    def eager(question: str, prefix: str, sentence: str) -> str:
        return f"Indeed: {sentence}"

    found = evaluate_text(WORLD, QUESTIONS[:20], Reviewers(eager), methods=["stream", "oracle"])
    assert row_of(found, "stream")["copy_rate"] == 0.0
    assert row_of(found, "stream")["edit_distance"] > 0.2
    assert row_of(found, "stream")["clean_answers"] > 0
    assert row_of(found, "oracle")["copy_rate"] == 1.0


def test_the_published_loop_does_not_know_when_to_end() -> None:
    asked: list[tuple[str, str]] = []

    def note(question: str, prefix: str, sentence: str) -> str:
        asked.append((prefix, sentence))
        return sentence or "More."

    (question,) = QUESTIONS[:1]
    raw = "".join(WORLD.upstream(question, ""))
    answer = write_answer("as-published", WORLD, question, note, alone=RAW)
    count = WORLD.length(question)
    assert answer.text == f" {raw}{' More.' * (PUBLISHED_ROUNDS - count)}"
    assert len(asked) == answer.corrector_calls == PUBLISHED_ROUNDS
    assert asked[0][0] == ""
    assert asked[1][0] == f" {asked[0][1]}"
    assert asked[count][1] == ""
    assert answer.upstream_chars > 2 * len(raw)  # asked anew for every sentence
    assert answer.copied == 1.0


def test_a_failing_corrector_counts_as_it_fails() -> None:
    def failing(question: str, prefix: str, sentence: str) -> str:
        raise RunFailed("late")

    found = evaluate_text(
        WORLD,
        QUESTIONS[:9],
        Reviewers(failing),
        methods=["raw", "post-hoc", "stream", "as-published"],
    )
    raw, post_hoc, stream, published = (row["helpful"] for row in found["rows"])
    assert raw == post_hoc == published > 0  # what was proposed stands
    assert stream == 0.0  # nothing is shown unreviewed


def test_post_hoc_feeds_nothing_back() -> None:
    def shout(question: str, prefix: str, sentence: str) -> str:
        assert prefix == prefix.capitalize() or "X." not in prefix
        return "X."

    (question,) = QUESTIONS[:1]
    answer = write_answer("post-hoc", WORLD, question, shout, alone=RAW)
    assert answer.text == " ".join(["X."] * WORLD.length(question))
    assert answer.copied == 0.0


def test_stream_is_the_loop_itself() -> None:
    for question in QUESTIONS[:10]:
        answer = write_answer("stream", WORLD, question, oracle, alone=RAW)
        assert answer.text == align(question, WORLD.upstream, oracle).text


def test_judges_and_measures_on_known_texts() -> None:
    judge = judge_by(lambda question, answer: float(answer.count("x")))
    assert judge("", "xx", "x") == "first"
    assert judge("", "", "x") == "second"
    assert judge("", "x", "x") == "tie"
    assert edit_distance("a b c", "a b c ") == 0.0
    assert edit_distance("aa bb", "aa cc") == pytest.approx(2 / 5)
    assert edit_distance("", "abc") == 3.0
    assert is_clean(QUESTION, RIGHT)
    assert not is_clean(QUESTION, f"{RIGHT} Rain fell.")
    assert not is_clean(QUESTION, f"{RIGHT} It opens at nine.")


def test_omegas_of_known_answers() -> None:
    texts = {
        "raw": [RIGHT, "It is zorvex.", "Rain fell."],
        "stream": ["Rain fell.", RIGHT, RIGHT],
    }
    written = {name: [Written(text, None, 1, 0) for text in all_] for name, all_ in texts.items()}
    found = measure_answers([QUESTION] * 3, written, ["raw", "stream"])
    row = row_of(found, "stream")
    assert row["helpful_omega"] == pytest.approx(100 / 3)  # two won, one lost
    assert row["harmless_omega"] == pytest.approx(100 / 3)  # one won, two ties
    assert row["clean_answers"] == 1
    assert "stream_minus_aligner" not in found


def test_every_method_is_reachable_and_counted() -> None:
    done: list[int] = []
    found = evaluate_text(
        WORLD,
        QUESTIONS[:3],
        Reviewers(identity, prompted=oracle, aligner=oracle),
        methods=METHODS,
        advance=lambda: done.append(1),
    )
    assert [row["method"] for row in found["rows"]] == list(METHODS)
    assert len(done) == 3 * len(METHODS)
    assert row_of(found, "prompted")["harmless"] == 1.0
    assert row_of(found, "aligner")["harmless"] == 1.0


def test_bad_requests() -> None:
    with pytest.raises(InvalidInput, match="unknown method 'best-of-3': did you mean 'best-of-2'"):
        evaluate_text(WORLD, QUESTIONS, Reviewers(identity), methods=["best-of-3"])
    with pytest.raises(InvalidInput, match="no questions"):
        evaluate_text(WORLD, [], Reviewers(identity))
    with pytest.raises(InvalidInput, match="name it by --prompted"):
        evaluate_text(WORLD, QUESTIONS, Reviewers(identity), methods=["prompted"])

    class Whole:
        style = "aligner"

        def __call__(self, question: str, prefix: str, sentence: str) -> Any:
            return sentence

    with pytest.raises(InvalidInput, match="method 'as-published' single sentences"):
        evaluate_text(WORLD, QUESTIONS, Reviewers(Whole()), methods=["as-published"])
    found = evaluate_text(WORLD, QUESTIONS[:2], Reviewers(Whole()), methods=["aligner"])
    assert row_of(found, "aligner")["harmless_omega"] == 0.0
