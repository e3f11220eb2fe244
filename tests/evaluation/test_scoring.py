"""Scorers by name: options, versions, resources, and what every one of them promises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import Item, Score, Scorer, get_scorer, scorer_names

ITEM = Item(
    "i",
    ({"role": "user", "content": "q"},),
    target="yes",
    choices=("yes", "no"),
    secrets=("tulip",),
    expect="comply",
)
PURE = [name for name in scorer_names() if name not in ("judge", "reward", "number")]


def test_the_names_of_the_specification():
    assert scorer_names() == (
        "exact", "choice", "number", "yes_no", "secret", "json_label", "regex", "refusal", "judge",
        "reward", "compat_refusal", "compat_unparsed", "compat_substring",
    )  # fmt: skip


@pytest.mark.parametrize("name", scorer_names())
def test_every_scorer_says_what_it_is(name):
    scorer = get_scorer(name)
    assert isinstance(scorer, Scorer)
    assert scorer.describe() == {"name": name, "version": scorer.version, "options": {}}
    assert scorer.version


@pytest.mark.parametrize("name", PURE)
@pytest.mark.parametrize("reply", ["", " \n"])
def test_an_empty_reply_has_no_value(name, reply):
    assert get_scorer(name).score(reply, ITEM) == Score(None, "empty")


@given(st.sampled_from(PURE), st.text(min_size=1).filter(lambda text: text.strip()))
def test_every_reply_gets_a_value_and_always_the_same(name, reply):
    scorer = get_scorer(name)
    score = scorer.score(reply, ITEM)
    assert score.value is not None
    assert 0.0 <= score.value <= 1.0
    assert scorer.score(reply, ITEM) == score


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("exakt", "unknown scorer 'exakt': did you mean 'exact'"),
        ("zzz", "unknown scorer 'zzz'. Valid"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(InvalidInput, match=message):
        get_scorer(name)


def test_unknown_options():
    with pytest.raises(
        InvalidInput, match="option of scorer 'refusal' 'expct': did you mean 'expect'"
    ):
        get_scorer("refusal", expct="comply")
    with pytest.raises(InvalidInput, match="option of scorer 'exact' 'x'"):
        get_scorer("exact", x=1)


def test_options_are_part_of_the_description():
    scorer = get_scorer("regex", pattern="a", absent=True)
    assert scorer.describe()["options"] == {"pattern": "a", "absent": True}
    assert get_scorer("regex", pattern="a") != scorer
    assert get_scorer("regex", pattern="a", absent=True) == scorer


def test_a_scorer_is_taken_as_it_is():
    scorer = get_scorer("regex", pattern="a")
    assert get_scorer(scorer) == scorer
    assert get_scorer(scorer, absent=True).options == {"pattern": "a", "absent": True}


def test_what_a_file_cannot_hold_is_bound_later_and_named_in_the_description():
    scorer = get_scorer("reward", threshold=1.0)
    with pytest.raises(InvalidInput, match="has no reward"):
        scorer.score("x", ITEM)
    bound = scorer.bound(reward=lambda prompts, responses: [1.0] * len(prompts), judge="unused")
    assert bound.score("x", ITEM).value == pytest.approx(0.5)
    assert scorer.describe()["options"] == bound.describe()["options"] == {"threshold": 1.0}
    assert "resources" not in scorer.describe()
    assert set(bound.describe()["resources"]) == {"reward"}
    assert get_scorer("exact").bound(reward=None) == get_scorer("exact")


def test_rows_may_be_given_instead_of_items():
    assert get_scorer("exact").score("Yes.", {"target": "yes"}) == get_scorer("exact").score(
        "Yes.", ITEM
    )


@pytest.mark.parametrize("reply", [None, 3, b"yes"])
def test_a_reply_is_a_text(reply):
    with pytest.raises(InvalidInput, match="a reply is a text, got"):
        get_scorer("exact").score(reply, ITEM)


def test_constant_yes_is_half_right_over_balanced_classes():
    scorer = get_scorer("yes_no")
    targets = ["yes"] * 3 + ["no"] * 9
    values = [scorer.score("Yes.", {"target": target}).value == 1.0 for target in targets]
    by_class = [sum(values[:3]) / 3, sum(values[3:]) / 9]
    assert sum(by_class) / 2 == 0.5
