"""The scorers `exact`, `number` and `yes_no`: tables of replies with what they are worth."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import Item, Score, get_scorer
from equipoise.evaluation.answers import bare, read_number, yes_or_no


@pytest.mark.parametrize(
    ("reply", "target", "value"),
    [
        ("Paris", "paris", 1),
        ("  Paris. ", "Paris", 1),
        ("**Paris**", "Paris", 1),
        ("“Paris!”", "Paris", 1),
        ("`Paris`", "Paris", 1),
        ("New  York", "New York", 1),
        ("New\nYork", "new york", 1),
        ("Ｐａｒｉｓ", "Paris", 1),
        ("STRASSE", "Straße", 1),
        ("Lyon", ["Paris", "Lyon"], 1),
        ("Nice", ["Paris", "Lyon"], 0),
        ("Paris, France", "Paris", 0),
        ("It is Paris", "Paris", 0),
        ("-5", "5", 0),
        ("-5", "−5", 0),
        ("5", 5, 1),
        ("C++", "C", 0),
        ("?", "?", 1),
    ],
)
def test_exact(reply, target, value):
    assert get_scorer("exact").score(reply, {"target": target}).value == value


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_a_text_equals_itself_however_it_is_wrapped(text):
    scorer = get_scorer("exact")
    assert scorer.score(text, Item("i", target=text)).value == 1.0
    assert scorer.score(f"  {text}\n", Item("i", target=text)).value == 1.0


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_folding_twice_changes_nothing(text):
    assert bare(bare(text)) == bare(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("18", 18),
        ("Janet sells 9 eggs for 2 each. #### 18", 18),
        ("#### 5 apples, out of 7", 5),
        ("#### 3\nNo wait.\n#### 4", 4),
        ("#### none, so 6", 6),
        ("#### nothing here", None),
        ("The answer is 12. I checked it 3 times.", 12),
        ("The answer is twelve", None),
        ("x = 3, so the answer is 4 (out of 9)", 4),
        ("The answer is 4, since 2 + 2 = 5 - 1", 5),
        ("2 + 3 = 5", 5),
        ("There are 3 boxes with 4 jars and 12 jars in all.", 12),
        ("1,234", 1234),
        ("1,234,567.5", 1234567.5),
        ("12,34,567", 1234567),
        ("1, 2, 3", 3),
        ("1,2,3", 3),
        ("$5.50", 5.5),
        ("$ 7", 7),
        ("-$5", -5),
        ("$-5", -5),
        ("€3", 3),
        ("£1,000", 1000),
        ("12%", 12),
        ("It costs 40.", 40),
        ("3/4", 0.75),
        ("answer is -3/4", -0.75),
        ("= 10 / 4", 2.5),
        ("1/0", None),
        ("-5", -5),
        ("−5", -5),
        ("10-3", 3),
        ("10 - 3", 3),
        ("(5)", 5),
        ("5)", 5),
        ("**42**", 42),
        (".5", 0.5),
        ("1e3", 1000),
        ("2.5E-2", 0.025),
        ("CO2", 2),
        ("no digits", None),
        ("", None),
        ("٤٢", 42),
        ("9" * 400, None),
    ],
)
def test_the_number_that_a_reply_gives(text, number):
    assert read_number(text) == (None if number is None else pytest.approx(number))


@pytest.mark.parametrize(
    ("reply", "target", "value", "label"),
    [
        ("The answer is 18.", 18, 1, "correct"),
        ("18.0000001", 18, 1, "correct"),
        ("18.001", 18, 0, "incorrect"),
        ("1000000.5", 1_000_000, 1, "correct"),
        ("1000002", 1_000_000, 0, "incorrect"),
        ("0.0000005", 0, 1, "correct"),
        ("70,000", "She pays 2*35,000.\n#### 70,000", 1, "correct"),
        ("three", 3, 0, "unparsed"),
        ("-3", 3, 0, "incorrect"),
        ("0.75", "3/4", 1, "correct"),
    ],
)
def test_number(reply, target, value, label):
    score = get_scorer("number").score(reply, {"target": target})
    assert (score.value, score.label) == (value, label)


@given(st.integers(-(10**9), 10**9))
def test_every_whole_number_is_read_back(number):
    for text in (str(number), f"{number:,}", f"The answer is {number}.", f"#### {number:,}"):
        assert read_number(text) == number


@given(st.integers(-10_000, 10_000), st.integers(1, 999))
def test_every_fraction_is_read_back(above, below):
    assert read_number(f"= {above}/{below}") == pytest.approx(above / below)


@pytest.mark.parametrize("target", ["no number", True, float("nan"), ["3"], {"a": 1}])
def test_number_needs_a_number_as_target(target):
    with pytest.raises(InvalidInput, match="holds no number"):
        get_scorer("number").score("3", {"target": target})


@pytest.mark.parametrize(
    ("reply", "target", "value", "label"),
    [
        ("Yes.", "yes", 1, "correct"),
        ("No, it does not. Yes?", "no", 1, "correct"),
        ("yesterday I said no", "no", 1, "correct"),
        ("Nothing known", "no", 0, "unparsed"),
        ("**YES**", True, 1, "correct"),
        ("no", False, 1, "correct"),
        ("no", "Yes", 0, "incorrect"),
        ("Perhaps", "yes", 0, "unparsed"),
    ],
)
def test_yes_no(reply, target, value, label):
    score = get_scorer("yes_no").score(reply, {"target": target})
    assert (score.value, score.label) == (value, label)


def test_yes_no_target():
    assert yes_or_no(" Yes. ") == "yes"
    assert yes_or_no("maybe") is None
    with pytest.raises(InvalidInput, match="'maybe' is neither yes nor no"):
        get_scorer("yes_no").score("yes", {"target": "maybe"})


@pytest.mark.parametrize("reply", ["", "  ", "\n\t"])
@pytest.mark.parametrize("name", ["exact", "number", "yes_no"])
def test_empty_replies_have_no_value(name, reply):
    target = {"exact": "a", "number": 1, "yes_no": "yes"}[name]
    assert get_scorer(name).score(reply, {"target": target}) == Score(None, "empty")
