"""Evaluation on the sentence world: the contagious chain in words, beside its closed form."""

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner import Correction, align, induction
from equipoise.systems.stream_aligner.correctors import identity
from equipoise.systems.stream_aligner.evaluation.methods import Reviewers
from equipoise.systems.stream_aligner.evaluation.sentence import (
    BAD,
    GOOD,
    SpokenWorld,
    evaluate_sentence,
    is_bad,
    oracle,
)

pytestmark = pytest.mark.standard
WORLD = SpokenWorld(4, 3)
QUESTIONS = WORLD.questions(600, 5)


def overlooking(question, prefix, sentence):
    """Repairs nine bad sentences in ten, drawn by what it is shown."""
    lucky = stream(1, question, prefix, sentence).random() < 0.9
    return GOOD if sentence == BAD and lucky else sentence


def rows_of(found):
    return {row["method"]: row for row in found["rows"]}


def test_an_answer_is_the_same_however_often_it_is_asked_and_whole():
    question = QUESTIONS[0]
    text = "".join(WORLD.upstream(question, ""))
    assert text == "".join(WORLD.upstream(question, ""))
    assert len(list(is_bad(text))) == 4
    begun = text[: len(GOOD)] if text.startswith(GOOD) else text[: len(BAD)]
    assert begun + "".join(WORLD.upstream(question, begun)) == text
    assert align(question, WORLD.upstream, identity, speculate=True).text == text


def test_reading_and_the_oracle():
    assert list(is_bad(f"{GOOD} {BAD}\n{GOOD}")) == [False, True, False]
    assert oracle("", "", BAD) == Correction(GOOD)
    assert oracle("", "", f"{BAD} {GOOD} {BAD}").text == f"{GOOD} {GOOD} {GOOD}"


def test_marginals_agree_with_the_closed_form_of_the_known_answer():
    """P(bad first) 0.3, after good 0.2, after bad 0.7, repair 0.9: stream 0.03, 0.0215, ..."""
    found = evaluate_sentence(WORLD, QUESTIONS, Reviewers(overlooking))
    rows = rows_of(found)
    assert found["break_rate"] == 0.0
    assert found["fix_rate"] == pytest.approx(0.9, abs=0.05)
    exact = induction(
        WORLD.table.initial,
        WORLD.table.transition,
        [[1, 0], [found["fix_rate"], 1 - found["fix_rate"]]],
        bad=(1,),
        steps=4,
    )
    for method, name in (("raw", "raw"), ("post-hoc", "post_hoc"), ("stream", "stream")):
        marginals = getattr(exact, name)[:, 1]
        errors = (marginals * (1 - marginals) / len(QUESTIONS)) ** 0.5
        assert (abs(rows[method]["bad_by_sentence"] - marginals) <= 4 * errors).all(), method
        assert rows[method]["bad_mass_closed_form"] == pytest.approx(marginals.mean())
        assert rows[method]["bad_mass_low"] <= rows[method]["bad_mass"]
        assert rows[method]["bad_mass"] <= rows[method]["bad_mass_high"]
    assert rows["oracle"]["bad_mass"] == 0.0
    assert rows["oracle"]["clean"] == 1.0
    # whole answers as one sentence are neither GOOD nor BAD to this corrector: nothing is repaired
    assert rows["aligner"]["bad_mass"] == rows["raw"]["bad_mass"]
    assert found["gain"] == rows["post-hoc"]["bad_mass"] / rows["stream"]["bad_mass"]


def test_a_corrector_of_whole_answers_and_one_that_spoils():
    def worse(question, prefix, sentence):
        return BAD

    found = evaluate_sentence(
        WORLD,
        QUESTIONS[:40],
        Reviewers(worse, aligner=oracle),
        methods=["raw", "aligner", "stream"],
    )
    rows = rows_of(found)
    assert rows["aligner"]["clean"] == 1.0
    assert (rows["stream"]["bad_mass"], found["fix_rate"], found["break_rate"]) == (1.0, 0.0, 1.0)
    assert found["gain"] is None


def test_a_dropped_sentence_is_not_bad():
    def drops(question, prefix, sentence):
        return Correction("", "drop") if sentence == BAD else sentence

    found = evaluate_sentence(WORLD, QUESTIONS[:40], Reviewers(drops), methods=["post-hoc"])
    assert rows_of(found)["post-hoc"]["bad_mass"] == 0.0
    assert found["break_rate"] is None
    assert "bad_mass_closed_form" not in found["rows"][0]


def test_what_cannot_be_evaluated_is_refused():
    with pytest.raises(InvalidInput, match="stream"):
        evaluate_sentence(WORLD, QUESTIONS, Reviewers(identity), methods=["streem"])
    with pytest.raises(InvalidInput, match="no questions"):
        evaluate_sentence(WORLD, [], Reviewers(identity))
    with pytest.raises(InvalidInput, match="prompted"):
        evaluate_sentence(WORLD, QUESTIONS, Reviewers(identity), methods=["prompted"])
