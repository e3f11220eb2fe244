"""Which letter a reply answers, rule by rule, and what is never an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import get_scorer
from equipoise.evaluation.choice import read_choice, target_letter

METALS = ["oak", "copper", "a tree", "9"]


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        # the last "answer is" / "answer:" followed by a letter
        ("The answer is B", "B"),
        ("The answer is (B).", "B"),
        ("the answer is b.", "B"),
        ("Answer: C", "C"),
        ("answer: (c)", "C"),
        ("**Answer:** B", "B"),
        ("Answer: **B**", "B"),
        ("Answer: _B_", "B"),
        ("The answer is _B_.", "B"),
        ("The answer is 'B'.", "B"),
        ("The answer is <B>", "B"),
        (r"The answer is $\boxed{B}$.", "B"),
        (r"Answer: \(\text{B}\)", "B"),
        ("The answer is 'B' or I'm wrong", "B"),
        ("The correct answer is option D.", "D"),
        ("The answer is A because it grows.", "A"),
        ("At first the answer is A. No: the answer is B.", "B"),
        ("The answer is B, not A.", "B"),
        ("The answer is A) oak", "A"),
        ("The answer is B copper", "B"),
        # a capital straight after it is the letter, whatever follows
        ("The answer is A with high confidence.", "A"),
        ("The answer is A but B is close", "A"),
        ("The answer is A not C", "A"),
        ("The answer is A so I choose it", "A"),
        ("The answer is A where it grows", "A"),
        ("The answer is A given the facts", "A"),
        ("The answer is A by elimination", "A"),
        ("The answer is A again", "A"),
        ("Answer: A based on the text", "A"),
        ("The answer is A tree", "C"),
        # a letter that is a word of the sentence
        ("The answer is a tree", "C"),
        ("The answer is a matter of taste", None),
        ("The answer is I think unclear", None),
        # a letter that is not among the choices
        ("The answer is F", None),
        # a reply that is one letter
        ("B", "B"),
        ("b", "B"),
        ("(d)", "D"),
        ("[A].", "A"),
        ("**C**", "C"),
        ("( C )", "C"),
        (r"\boxed{C}", "C"),
        ("E", None),
        # the only line that opens with a letter
        ("B) copper conducts", "B"),
        ("(B) it conducts", "B"),
        ("B. It conducts", "B"),
        ("I think so:\nB) it conducts", "B"),
        ("A) grows\nB) conducts", None),
        ("A.I. is not a metal", None),
        # the only choice whose whole text occurs
        ("It must be copper!", "B"),
        ("COPPER", "B"),
        ("Copper or oak, who knows", None),
        ("19", None),
        ("It is 9", "D"),
        ("coppery", None),
        # a capital letter inside prose is never a choice
        ("A lot of things conduct. Amongst them, vitamin C does not.", None),
        ("I like A. B is good as well", None),
        ("Plan B it is", None),
    ],
)
def test_read_choice(reply, letter):
    assert read_choice(reply, METALS) == letter


def test_the_ninth_letter_is_an_answer_and_the_speaker_is_not():
    choices = [f"text {number}" for number in range(10)]
    assert read_choice("The answer is I with high confidence", choices) == "I"
    assert read_choice("The answer is I think unclear", choices) is None


def test_a_verbose_reply_with_a_capital_a_does_not_answer_a():
    item = {"choices": ["red", "green", "blue", "grey"], "target": "A"}
    reply = (
        "A colour like this is hard to name. Many people would hesitate between several of them."
    )
    score = get_scorer("choice").score(reply, item)
    assert (score.value, score.label) == (0.0, "unparsed")


@pytest.mark.parametrize(
    ("target", "letter"),
    [("B", "B"), ("b", "B"), ("(B)", "B"), ("copper", "B"), (" Copper. ", "B"), (1, "B"),
     ("1", "B"),
     (0, "A"), ("9", "D"), (4, None), ("E", None), ("zinc", None), (True, None)],
)  # fmt: skip
def test_target_letter(target, letter):
    assert target_letter(target, METALS) == letter


def test_scores_and_labels():
    scorer = get_scorer("choice")
    item = {"choices": METALS, "target": "copper"}
    assert scorer.score("B", item).value == 1.0
    assert scorer.score("A", item).label == "incorrect"
    assert scorer.score("A", item).detail == "A"
    assert scorer.score("no idea", item).label == "unparsed"
    assert scorer.score(" ", item).value is None


@given(st.integers(2, 26), st.data())
def test_every_letter_is_read_in_every_form(count, data):
    place = data.draw(st.integers(0, count - 1))
    choices = [f"text number {n} of the list" for n in range(count)]
    letter = chr(ord("A") + place)
    for reply in (letter, f"({letter})", f"The answer is {letter}.", f"Answer: {letter}",
                  f"{letter}) because", choices[place]):  # fmt: skip
        assert read_choice(reply, choices) == letter


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text):
    assert read_choice(text, METALS) in (None, "A", "B", "C", "D")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"choices": ["a"], "target": "A"}, "1 choices; allowed are 2 to 26"),
        ({"choices": [str(n) for n in range(27)], "target": "A"}, "27 choices"),
        ({"choices": METALS, "target": "E"}, "'E' is neither a letter up to D nor one of the"),
        ({"choices": METALS}, "'choice' needs target in each item"),
        ({"target": "A"}, "'choice' needs choices in each item"),
    ],
)
def test_bad_items(item, message):
    with pytest.raises(InvalidInput, match=message):
        get_scorer("choice").score("A", item)
