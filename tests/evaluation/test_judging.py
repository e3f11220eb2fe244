"""Judges without a model, the scorers that ask a judge or a reward, and pairs in both orders."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import (
    Item,
    JudgeRequest,
    RewardJudge,
    RuleJudge,
    Verdict,
    fit_reward_scale,
    get_scorer,
    judge_pairs,
    pairwise,
    position_flip_rate,
)
from equipoise.evaluation.judging import logistic, pair_label
from equipoise.evaluation.scoring import identity_of


def length_reward(prompts, responses):
    return np.asarray([float(len(response)) for response in responses])


class ScriptedJudge:
    """Gives the P(first is better) that a table of (first, second) holds; counts its calls."""

    def __init__(self, table):
        self.table, self.calls = table, 0

    def judge(self, requests):
        self.calls += 1
        values = [self.table[request.replies] for request in requests]
        return [Verdict(v, "x" if v is None else pair_label(v)) for v in values]


@pytest.mark.parametrize("replies", [(), ("a", "b", "c"), "ab"])
def test_a_request_has_one_or_two_replies(replies):
    with pytest.raises(InvalidInput, match="tuple of 1 or 2 texts"):
        JudgeRequest("q", replies)


def test_a_list_of_replies_becomes_a_tuple():
    assert JudgeRequest("q", ["a", "b"]).replies == ("a", "b")  # type: ignore[arg-type]


# ---- rules and rewards as judges


def test_rule_judge():
    judge = RuleJudge(get_scorer("number"))
    item = Item("i", target=4)
    single, better, worse, tie, empty = judge.judge(
        [
            JudgeRequest("2+2?", ("4",), item),
            JudgeRequest("2+2?", ("4", "5"), item),
            JudgeRequest("2+2?", ("5", "4"), item),
            JudgeRequest("2+2?", ("5", "6"), item),
            JudgeRequest("2+2?", ("", "4"), item),
        ]
    )
    assert (single.value, single.label, single.judge) == (1.0, "correct", "rule:number@1")
    assert [(v.value, v.label) for v in (better, worse, tie)] == [(1, "a"), (0, "b"), (0.5, "tie")]
    assert (empty.value, empty.label) == (None, "unscored")


def test_rule_judge_needs_no_item_where_the_rule_needs_none():
    judge = RuleJudge(get_scorer("refusal", expect="comply"))
    assert judge.judge([JudgeRequest("q", ("I can't help.",))])[0].value == 0.0


def test_judges_that_differ_have_different_identities():
    class Reward:
        def __call__(self, prompts, responses):
            return [0.0] * len(prompts)

    rules = [RuleJudge(get_scorer("refusal", expect=word)) for word in ("comply", "refuse")]
    assert len({rule.identity for rule in rules}) == 2
    assert rules[0].identity == 'rule:refusal@2{"options":{"expect":"comply"}}'
    named = [RewardJudge(Reward(), name=name) for name in ("one", "two")]
    assert len({judge.identity for judge in named}) == 2
    assert RewardJudge(Reward(), 0.12345678, name="one").identity != named[0].identity


def test_only_an_identity_makes_a_verdict_repeatable():
    unnamed = RewardJudge(length_reward)
    assert unnamed.identity == ""
    assert unnamed.judge([JudgeRequest("q", ("a",))])[0].judge == "RewardJudge"
    nested = RuleJudge(get_scorer("judge", judge=unnamed))
    for judge in (unnamed, nested, ScriptedJudge({})):
        assert not get_scorer("judge", judge=judge).repeatable
    assert not get_scorer("reward", reward=length_reward).repeatable
    assert get_scorer("judge", judge=RewardJudge(length_reward, name="length")).repeatable
    assert get_scorer("number").repeatable


def test_a_judge_is_asked_once_for_many_replies():
    judge = ScriptedJudge({("a",): 0.2, ("b",): 0.8})
    scores = get_scorer("judge", judge=judge).score_all(["a", " ", "b"], [Item("i")] * 3)
    assert [score.value for score in scores] == [0.2, None, 0.8]
    assert judge.calls == 1
    judge.judge = lambda requests: []  # type: ignore[method-assign]
    with pytest.raises(InvalidInput, match="0 verdicts for 1 requests"):
        get_scorer("judge", judge=judge).score("a", {})


def test_reward_judge():
    judge = RewardJudge(length_reward, threshold=2.0, scale=2.0, name="length")
    one, two = judge.judge([JudgeRequest("q", ("abcd",)), JudgeRequest("q", ("a", "abc"))])
    assert one.value == pytest.approx(1 / (1 + np.exp(-1)))
    assert two.value == pytest.approx(1 / (1 + np.exp(1)))
    assert (one.label, two.label) == ("reward", "b")
    assert one.judge == identity_of(judge) == "reward:length@2.0,2.0"
    assert judge.judge([]) == []
    assert identity_of(ScriptedJudge({})) == "ScriptedJudge"


@given(st.floats(-800, 800))
def test_logistic_is_symmetric_and_never_overflows(x):
    assert 0.0 <= logistic(x) <= 1.0
    assert logistic(x) + logistic(-x) == pytest.approx(1.0)


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan], [[1.0], [2.0]], [np.inf, 1.0]])
def test_a_reward_gives_one_finite_number_each(values):
    judge = RewardJudge(lambda prompts, responses: values)
    with pytest.raises(InvalidInput, match="one finite number each"):
        judge.judge([JudgeRequest("q", ("a", "b"))])


# ---- the scorers that ask


def test_scorer_judge():
    scorer = get_scorer("judge", judge=RewardJudge(length_reward, threshold=4.0))
    score = scorer.score("abcd", {"question": "q"})
    assert (score.value, score.label, score.detail) == (0.5, "reward", "4")
    with pytest.raises(InvalidInput, match=r"get_scorer\('judge', judge=...\)"):
        get_scorer("judge").score("abcd", {})
    silent = get_scorer("judge", judge=ScriptedJudge({("abcd",): None}))
    assert silent.score("abcd", {}).value is None


def test_scorer_reward():
    scorer = get_scorer("reward", reward=length_reward, threshold=3.0, scale=0.5)
    assert scorer.score("abcd", {}).value == pytest.approx(logistic(2.0))
    assert scorer.score(" ", {}).value is None
    assert scorer.describe()["options"] == {"threshold": 3.0, "scale": 0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 0.0}, "scale is 0.0; it must be > 0"),
        ({"scale": -1}, "scale is -1"),
        ({"threshold": float("nan")}, "threshold is nan; it must be a finite number"),
        ({"threshold": "x"}, "threshold is 'x'"),
        ({"scale": True}, "scale is True"),
    ],
)
def test_scorer_reward_bad_options(options, message):
    with pytest.raises(InvalidInput, match=message):
        get_scorer("reward", **options)


def test_the_scale_is_found_again():
    rng = np.random.default_rng(0)
    values = rng.normal(5.0, 3.0, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-(values - 4.0) / 1.5))).astype(int)
    threshold, scale = fit_reward_scale(values, labels)
    assert threshold == pytest.approx(4.0, abs=0.15)
    assert scale == pytest.approx(1.5, rel=0.05)


def test_separable_labels_still_give_a_finite_scale():
    threshold, scale = fit_reward_scale([0.0, 1.0, 2.0, 3.0], [0, 0, 1, 1])
    assert threshold == pytest.approx(1.5)
    assert 0 < scale < np.inf


@settings(max_examples=20, deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 10))
def test_the_scale_follows_a_change_of_units(shift, factor):
    values, labels = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), [0, 1, 0, 1, 1]
    threshold, scale = fit_reward_scale(values, labels)
    moved, stretched = fit_reward_scale(factor * values + shift, labels)
    assert moved == pytest.approx(factor * threshold + shift, rel=1e-3, abs=1e-3)
    assert stretched == pytest.approx(factor * scale, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        ([1.0, 2.0], [1, 1], "labels 0 and 1 both present"),
        ([1.0], [1, 0], "equally many"),
        ([1.0, 1.0], [1, 0], "not all equal"),
        ([1.0, np.nan], [1, 0], "finite"),
        ([1.0, 2.0], [1, 0], "check the sign of the reward"),
        ([], [], "equally many"),
    ],
)
def test_fit_reward_scale_bad_input(values, labels, message):
    with pytest.raises(InvalidInput, match=message):
        fit_reward_scale(values, labels)


# ---- pairs in both orders


@pytest.mark.parametrize(
    ("straight", "swapped", "value", "label", "flipped"),
    [
        (1.0, 0.0, 1.0, "a", False),
        (0.0, 1.0, 0.0, "b", False),
        (1.0, 1.0, 0.5, "tie", True),
        (0.0, 0.0, 0.5, "tie", True),
        (0.5, 0.5, 0.5, "tie", False),
        (1.0, 0.5, 0.75, "tie", False),
        (0.9, 0.2, 0.85, "a", False),
        (None, 0.0, None, "unparsed", False),
        (1.0, None, None, "unparsed", False),
    ],
)
def test_both_orders(straight, swapped, value, label, flipped):
    judge = ScriptedJudge({("x", "y"): straight, ("y", "x"): swapped})
    (pair,) = judge_pairs(judge, ["q"], ["x"], ["y"])
    assert pair.value == (None if value is None else pytest.approx(value))
    assert (pair.label, pair.flipped) == (label, flipped)
    assert [verdict.value for verdict in pair.orders] == [straight, swapped]
    assert judge.calls == 1


def test_position_flip_rate():
    table = {("x", "y"): 1.0, ("y", "x"): 1.0, ("v", "w"): 1.0, ("w", "v"): 0.0,
             ("s", "t"): None, ("t", "s"): 1.0}  # fmt: skip
    pairs = judge_pairs(ScriptedJudge(table), ["q"] * 3, ["x", "v", "s"], ["y", "w", "t"])
    assert position_flip_rate(pairs) == 0.5
    assert position_flip_rate([]) is None


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=8))
def test_a_preference_is_antisymmetric(pairs):
    source = pairwise(RewardJudge(length_reward, scale=3.0))
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    prompts = ["q"] * len(pairs)
    forward = source.probability(prompts, first, second)
    assert forward.shape == (len(pairs),)
    assert forward == pytest.approx(1 - source(prompts, second, first))
    assert source.probability(prompts, first, first) == pytest.approx(0.5)


def test_a_judge_that_always_prefers_the_first_says_nothing():
    judge = ScriptedJudge({("x", "y"): 1.0, ("y", "x"): 1.0})
    assert pairwise(judge).probability(["q"], ["x"], ["y"]).tolist() == [0.5]


def test_a_pair_without_a_verdict_counts_as_one_half():
    judge = ScriptedJudge({("x", "y"): None, ("y", "x"): 1.0})
    assert pairwise(judge)(["q"], ["x"], ["y"]).tolist() == [0.5]


def test_unequal_lengths_and_lost_verdicts():
    judge = ScriptedJudge({})
    with pytest.raises(InvalidInput, match="lengths 2, 1, 1; they must be equal"):
        judge_pairs(judge, ["q", "r"], ["x"], ["y"])
    judge.judge = lambda requests: []  # type: ignore[method-assign]
    with pytest.raises(InvalidInput, match="0 verdicts for 2 requests"):
        judge_pairs(judge, ["q"], ["x"], ["y"])
    assert judge_pairs(judge, [], [], []) == []
