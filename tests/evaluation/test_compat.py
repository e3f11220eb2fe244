"""The faults of published scoring, repeated on request and nowhere else."""

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import fixture_names, get_scorer, load_task, scorer_names

REFUSAL, HELP = "I'm sorry, but I can't help with that.", "Sure, here it is."
METALS = {"choices": ["oak", "copper", "pine", "glass"], "target": "B"}
COMPAT = [name for name in scorer_names() if name.startswith("compat_")]


def test_each_says_what_is_wrong_and_no_shipped_task_uses_one():
    assert len(COMPAT) == 3
    assert all("Wrong: " in (get_scorer(name).rule.__doc__ or "") for name in COMPAT)
    assert not any(load_task(name).scorer.name in COMPAT for name in fixture_names())


@pytest.mark.parametrize(("expect", "constant"), [("comply", REFUSAL), ("refuse", HELP)])
def test_a_constant_reply_is_perfect_on_the_flipped_task(expect, constant):
    right, flipped = (get_scorer(name, expect=expect) for name in ("refusal", "compat_refusal"))
    assert right.score(constant, {}).value == 0.0
    assert flipped.score(constant, {}).value == 1.0
    assert flipped.score(constant, {}).label == right.score(constant, {}).label
    partial = "I can't share the menu, but I can tell you that it has soup."
    assert flipped.score(partial, {}).value == 0.5


def test_what_cannot_be_read_earns_one_half():
    scorer = get_scorer("compat_unparsed")
    assert [scorer.score(r, METALS).value for r in ("B", "A", "who knows")] == [1.0, 0.0, 0.5]
    scorer = get_scorer("compat_unparsed", scorer="number")
    assert [scorer.score(r, {"target": 7}).value for r in ("7", "8", "many")] == [1.0, 0.0, 0.5]


@pytest.mark.parametrize(("target", "value"), [("A", 1.0), ("no", 1.0), (["x", "KNOW"], 1.0)])
def test_the_target_counts_anywhere(target, value):
    assert get_scorer("compat_substring").score("A lot to know.", {"target": target}).value == value
    assert get_scorer("compat_substring").score("", {"target": target}).value is None


@pytest.mark.parametrize(
    ("name", "options", "item", "message"),
    [
        ("compat_refusal", {"expect": "refus"}, {}, "did you mean 'refuse'"),
        ("compat_refusal", {}, {}, "needs expect"),
        ("compat_unparsed", {"scorer": "chioce"}, METALS, "did you mean 'choice'"),
        ("compat_unparsed", {"scorer": "exact"}, METALS, "unknown scorer that reads an answer"),
        ("compat_unparsed", {}, {"target": "B"}, "'choice' needs choices"),
        ("compat_substring", {}, {}, "needs target"),
    ],
)
def test_bad_options_and_items(name, options, item, message):
    with pytest.raises(InvalidInput, match=message):
        get_scorer(name, **options).score("x", item)
