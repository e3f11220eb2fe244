import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import Correction, align, segment
from equipoise.systems.stream_aligner.worlds.text import TextWorld
from equipoise.systems.stream_aligner.worlds.text_facts import (
    COLOURS,
    CONTRADICTION,
    FORBIDDEN,
    FORBIDDEN_WORDS,
    GOOD,
    HELD_OUT,
    HOURS,
    KINDS,
    OFF_TOPIC,
    PLACES,
    Said,
    facts_of,
    follow,
    harmless,
    helpful,
    read,
)
from equipoise.systems.stream_aligner.worlds.text_oracle import (
    fallible_oracle,
    oracle,
    without_prefix,
)

QUESTION = "Describe both places. bakery: blue, nine. school: red, ten."
RIGHT = "The bakery is blue. It opens at nine. The school is red. It opens at ten."


def kinds_of(question: str, answer: str) -> list[int]:
    facts, said, kinds = facts_of(question), Said(), []
    for part in segment(answer):
        said = follow(facts, said, part.text)
        assert said.kind is not None
        kinds.append(said.kind)
    return kinds


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (RIGHT, True),
        (f"{RIGHT} Many people like it. Trains can be late.", True),
        (RIGHT.lower(), True),
        ("The school opens at ten. It is red. The bakery opens at nine. It is blue.", True),
        ("The bakery is blue. It opens at nine. The school is red.", False),  # one is missing
        (RIGHT.replace("The school is red.", "It is red."), False),  # the bakery is not
        (f"{RIGHT} It opens at nine.", False),  # the school does not
        (f"{RIGHT} The bakery is red.", False),
        (f"{RIGHT} The museum is green.", True),  # nobody asked
        (f"{RIGHT} The school is a fine place. It is open.", True),  # no colour, no hour
        (RIGHT.replace(" is blue", ", zorvex, is blue"), False),
        (RIGHT.replace("blue.", "blue, zorvex."), True),  # harmful, but all is said
        ("", False),
    ],
)
def test_helpful_on_hand_written_answers(answer: str, expected: bool) -> None:
    assert helpful(QUESTION, answer) is expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (RIGHT, True),
        ("", True),
        ("Trains can be late.", True),
        ("It is zorvex.", False),
        ("ZORVEX! It is blue.", False),
        ("The zorvexes are out.", True),  # another word
    ],
)
def test_harmless_on_hand_written_answers(answer: str, expected: bool) -> None:
    assert harmless(answer) is expected


@pytest.mark.parametrize(
    ("prefix", "sentence", "corrected"),
    [
        ("", "The bakery is blue.", "The bakery is blue."),
        ("", "The bakery is red.", "The bakery is blue."),
        ("The bakery is blue.", "It opens at ten.", "It opens at nine."),
        ("The school is red.", "It opens at ten.", "It opens at ten."),
        ("The school is red.", "It opens at nine, quillop.", "It opens at ten."),
        ("The bakery is blue.", "It opens at nine, zorvex.", "It opens at nine."),
        ("The bakery is blue.", "Snow falls in winter.", "It opens at nine."),
        ("The bakery is blue. It opens at ten.", "Snow falls in winter.", "The school is red."),
        (RIGHT, "Snow falls in winter.", "Many people like it."),
        ("The bakery is blue.", "Zorvex!", "It opens at nine."),
        ("The bakery is blue.", "", "It opens at nine."),
        ("", "It is green.", "It is blue."),  # of neither place: the first is as good a guess
        ("", "The bakery is red and it opens at ten.", "The bakery is blue and it opens at nine."),
        ("", "The museum is red.", "The bakery is blue."),
    ],
)
def test_the_oracle_on_single_sentences(prefix: str, sentence: str, corrected: str) -> None:
    assert oracle(QUESTION, prefix, sentence) == Correction(corrected)


def test_the_oracle_corrects_a_whole_answer_where_it_stands() -> None:
    raw = "The bakery is red, zorvex.  Rain fell.\nThe school is red. It opens at nine."
    fixed = "The bakery is blue.  It opens at nine.\nThe school is red. It opens at ten."
    assert oracle(QUESTION, "", raw).text == fixed
    assert helpful(QUESTION, fixed)
    # five sentences cannot hold what the sixth would have said
    wasted = "Rain fell. Rain fell. The bakery is blue. It opens at nine. The school is red."
    mended = oracle(QUESTION, "", wasted).text
    assert len(segment(mended)) == 5
    assert not helpful(QUESTION, mended)


def test_what_the_prefix_is_good_for() -> None:
    blind = without_prefix(oracle)
    prefix = "The bakery is blue."
    assert blind(QUESTION, prefix, "It opens at ten.") == Correction("It opens at ten.")
    assert blind(QUESTION, prefix, "It opens at nine, zorvex.") == Correction("It opens at nine.")
    assert blind(QUESTION, prefix, "The school is blue.") == Correction("The school is red.")


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.booleans())
def test_the_machine_writes_what_it_drew(seed: int, held_out: bool) -> None:
    world = TextWorld(seed)
    (question,) = world.questions(1, seed, held_out=held_out)
    answer = "".join(world.upstream(question, ""))
    sentences = segment(answer)
    assert 4 <= len(sentences) == world.length(question) <= 10
    kinds = kinds_of(question, answer)
    for kind in (OFF_TOPIC, CONTRADICTION, FORBIDDEN):
        sure = tuple(1.0 if place == kind else 0.0 for place in range(4))
        only = TextWorld(seed, sure, (sure,) * 4)
        text = "".join(only.upstream(question, ""))
        assert set(kinds_of(question, text)) == {kind}
        assert not helpful(question, text) or kind == FORBIDDEN
        assert harmless(text) == (kind != FORBIDDEN)
    clean = TextWorld(seed, (1, 0, 0, 0), ((1, 0, 0, 0),) * 4)
    good = "".join(clean.upstream(question, ""))
    assert helpful(question, good)
    assert harmless(good)
    assert oracle(question, "", good).text == good
    assert (kinds == [GOOD] * len(kinds)) == (oracle(question, "", answer).text == answer)


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_the_oracle_makes_every_answer_right(seed: int) -> None:
    world = TextWorld(seed)
    (question,) = world.questions(1, seed)
    answer = align(question, world.upstream, oracle)
    assert helpful(question, answer.text)
    assert harmless(answer.text)
    assert align(question, world.upstream, oracle, speculate=True).text == answer.text
    assert set(kinds_of(question, answer.text)) == {GOOD}
    raw = "".join(world.upstream(question, ""))
    whole = oracle(question, "", raw).text
    assert set(kinds_of(question, whole)) == {GOOD}
    assert len(segment(whole)) == len(segment(raw))
    assert oracle(question, "", whole).text == whole


def test_equal_seeds_agree_whatever_was_asked_before() -> None:
    world = TextWorld(3)
    first, second = world.questions(2, 0)
    alone = list(world.upstream(first, ""))
    list(world.upstream(second, ""))
    assert list(world.upstream(first, "")) == alone == list(TextWorld(3).upstream(first, ""))
    prefix = "".join(alone[:2])
    assert list(world.upstream(first, prefix)) == alone[2:]
    assert world.questions(5, 1) == TextWorld(9).questions(5, 1) != world.questions(5, 2)
    others = [list(TextWorld(seed).upstream(first, "")) for seed in range(4, 9)]
    assert any(other != alone for other in others)


def test_an_edit_changes_what_follows() -> None:
    world = TextWorld(0)
    bad_after = {"good": 0, "bad": 0}
    questions = world.questions(300, 5)
    for question in questions:
        facts = facts_of(question)
        (place, _), *_ = facts
        good = f"The {place} is {facts[place, 'colour']}."
        for name, prefix in (("good", good), ("bad", f"{good[:-1]}, zorvex.")):
            upstream = world.upstream(question, prefix)
            next_kind = follow(facts, read(facts, prefix), next(upstream).strip()).kind
            bad_after[name] += next_kind != GOOD
    # 0.1 and 0.9 by the transition
    assert abs(bad_after["good"] / 300 - 0.1) < 0.07
    assert abs(bad_after["bad"] / 300 - 0.9) < 0.07


def test_an_edit_of_the_subject_changes_what_is_told_next() -> None:
    clean = TextWorld(0, (1, 0, 0, 0), ((1, 0, 0, 0),) * 4)
    rest = "".join(clean.upstream(QUESTION, "The school is red."))
    assert rest.startswith(" The bakery is blue. It opens at nine. The school opens at ten.")


@pytest.mark.parametrize("fix_rate", [0.0, 0.6, 1.0])
def test_marginals_meet_the_closed_form(fix_rate: float) -> None:
    world = TextWorld(11)
    corrector = fallible_oracle(fix_rate, 4)
    questions = world.questions(500, 11)
    shown = np.empty((3, len(questions), 4), dtype=np.int64)
    for row, question in enumerate(questions):
        raw = "".join(world.upstream(question, ""))
        marked = align(question, world.upstream, corrector, mode="detect")
        post_hoc = "".join(step.segment.leading + step.text for step in marked.steps)
        stream = align(question, world.upstream, corrector, speculate=True).text
        for method, text in enumerate((raw, post_hoc, stream)):
            shown[method, row] = [kind != GOOD for kind in kinds_of(question, text)[:4]]
    exact = world.closed_form(4, fix_rate)
    for method, name in enumerate(("raw", "post_hoc", "stream")):
        expected = getattr(exact, name)[:, 1:].sum(axis=1)
        error = np.sqrt(np.maximum(expected * (1 - expected), 1e-9) / len(questions))
        assert (np.abs(shown[method].mean(axis=0) - expected) < 4 * error + 1e-9).all(), name


def test_the_closed_form_says_that_early_review_helps() -> None:
    exact = TextWorld().closed_form(8, 0.7)
    assert exact.gain > 2
    assert exact.clean_raw < exact.clean_post_hoc < exact.clean_stream
    assert exact.raw.shape == (8, len(KINDS))


def test_held_out_slots_are_nowhere_else() -> None:
    world = TextWorld()
    seen = " ".join(world.questions(300, 0))
    unseen = " ".join(world.questions(300, 0, held_out=True))
    slots = {word for words in HELD_OUT.values() for word in words}
    assert not any(word in seen.replace(":", "").replace(",", "").split() for word in slots)
    assert all(word in unseen for word in slots)
    assert not slots & {*PLACES, *COLOURS, *HOURS, *FORBIDDEN_WORDS}
    for question in world.questions(50, 1):
        values = list(facts_of(question).values())
        assert len(set(values)) == 4  # so that `it` matters


def test_an_oracle_that_overlooks_everything_or_nothing() -> None:
    bad = "The bakery is red, zorvex."
    assert fallible_oracle(0.0, 0)(QUESTION, "", bad) == Correction(bad)
    assert fallible_oracle(0.0, 0)(QUESTION, "", "") == Correction("")
    assert fallible_oracle(1.0, 0)(QUESTION, "", bad) == oracle(QUESTION, "", bad)
    half = [fallible_oracle(0.5, seed)(QUESTION, "", bad) for seed in range(400)]
    repaired = sum(said == Correction("The bakery is blue.") for said in half)
    assert 150 < repaired < 250
    assert fallible_oracle(0.5, 1)(QUESTION, "", bad) == half[1]


def test_bad_worlds_and_questions() -> None:
    with pytest.raises(InvalidInput, match="shortest 5, longest 4"):
        TextWorld(shortest=5, longest=4)
    with pytest.raises(InvalidInput, match="row 0 of initial"):
        TextWorld(initial=(0.5, 0.5, 0.5, 0.5))
    with pytest.raises(InvalidInput, match="row 1 of transition"):
        TextWorld(transition=((1, 0, 0, 0), (2, 0, 0, 0), (1, 0, 0, 0), (1, 0, 0, 0)))
    with pytest.raises(InvalidInput, match="gives no facts"):
        helpful("How are you?", "Fine.")
    with pytest.raises(InvalidInput, match="fix_rate is 2"):
        fallible_oracle(2, 0)
