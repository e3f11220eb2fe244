"""The balanced score, its gradient, normalisation and the macro-average against known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import (
    MacroAverage,
    balanced_gradient,
    balanced_score,
    macro_average,
    normalise_scores,
)

unit = st.floats(0.0, 1.0, allow_subnormal=False)
pairs = st.tuples(unit, unit)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.9, 0.9), 0.9),
        ((1.0, 0.8), 0.8585786),
        ((1.0, 0.0), 0.2928932),
        ((0.5, 0.5), 0.5),
        ((1.0, 1.0), 1.0),
        ((0.0, 0.0), 0.0),
    ],
)
def test_published_form(scores, expected):
    assert balanced_score(scores) == pytest.approx(expected, abs=5e-8)


def test_equal_averages_are_told_apart():
    table = [[1.0, 0.8], [0.9, 0.9]]
    assert balanced_score(table, p=1) == pytest.approx([0.9, 0.9])
    first, second = balanced_score(table)
    assert first < second


def test_identity_and_bounds_on_random_points():
    s = np.random.default_rng(0).random((100_000, 2))
    u = balanced_score(s)
    mean, gap = s.mean(axis=1), s[:, 0] - s[:, 1]
    assert np.abs((1 - u) ** 2 - ((1 - mean) ** 2 + gap**2 / 4)).max() <= 1e-12
    assert (u >= s.min(axis=1) - 1e-12).all()
    assert (u <= mean + 1e-12).all()


@given(pairs, pairs, st.floats(0, 1))
def test_concave_and_rising(first, second, share):
    a, b = np.asarray(first), np.asarray(second)
    mixed = balanced_score(share * a + (1 - share) * b)
    assert mixed >= share * balanced_score(a) + (1 - share) * balanced_score(b) - 1e-12
    assert balanced_score(np.maximum(a, b)) >= balanced_score(a) - 1e-12


@given(st.lists(unit, min_size=1, max_size=5), st.floats(1, 50))
def test_order_of_components_does_not_matter(scores, p):
    assert balanced_score(scores, p=p) == pytest.approx(balanced_score(scores[::-1], p=p))


@given(st.lists(unit, min_size=2, max_size=4), st.floats(1, 20), st.floats(1, 20))
def test_a_higher_norm_is_stricter(scores, p, q):
    low, high = sorted((p, q))
    assert balanced_score(scores, p=high) <= balanced_score(scores, p=low) + 1e-9


def test_the_worst_component_counts_alone_at_infinity():
    assert balanced_score([0.9, 0.4, 0.7], p=np.inf) == pytest.approx(0.4)
    assert balanced_score([0.9, 0.4], weights=[1, 0], p=np.inf) == pytest.approx(0.9)
    assert balanced_score([0.9, 0.4], p=5000) == pytest.approx(0.4, abs=1e-3)


def test_weights_are_normalised_and_zero_leaves_a_component_out():
    assert balanced_score([0.3, 0.8], weights=[2, 6]) == balanced_score([0.3, 0.8], weights=[1, 3])
    assert balanced_score([0.3, 0.8], weights=[0, 5]) == pytest.approx(0.8)


def test_shapes():
    assert balanced_score(np.full((4, 3, 2), 0.5)).shape == (4, 3)
    assert balanced_score([0.5]).shape == ()
    assert balanced_gradient(np.full((4, 3, 2), 0.5)).shape == (4, 3, 2)
    assert balanced_score(np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([0.5, 1.2], {}, r"score 1\.2 at position \(1,\) lies outside \[0, 1\]"),
        ([[0.5, 0.5], [np.nan, 0.1]], {}, r"score nan at position \(1, 0\)"),
        ([0.5, -0.1], {}, "outside"),
        ([0.5, 0.5], {"p": 0.5}, "p is 0.5; it must be at least 1"),
        ([0.5, 0.5], {"p": float("nan")}, "at least 1"),
        ([0.5, 0.5], {"weights": [1.0]}, r"weights have shape \(1,\); needed are 2"),
        ([0.5, 0.5], {"weights": [1.0, -1.0]}, "each must be a number >= 0"),
        ([0.5, 0.5], {"weights": [0.0, 0.0]}, "one of them positive"),
        ([0.5, 0.5], {"weights": [np.nan, 1.0]}, "each must be a number"),
        ([], {}, "last axis"),
        (0.5, {}, "last axis"),
        ([[0.5], [0.5, 0.1]], {}, "scores is .*; it must hold numbers, in rows of equal length"),
        (["good", "bad"], {}, r"scores is \['good', 'bad'\]; it must hold numbers"),
        ([0.5, 0.5], {"weights": ["a", "b"]}, r"weights is \['a', 'b'\]; it must hold numbers"),
        ([0.5, 0.5], {"p": "2"}, "p is '2'; it must be at least 1"),
        ([0.5, 0.5], {"p": None}, "p is None; it must be at least 1"),
    ],
)
@pytest.mark.parametrize("function", [balanced_score, balanced_gradient])
def test_bad_input(function, scores, options, message):
    with pytest.raises(InvalidInput, match=message):
        function(scores, **options)


def test_gradient_known_answers():
    assert balanced_gradient([0.9, 0.9]) == pytest.approx([0.5, 0.5])
    assert balanced_gradient([1.0, 0.8]) == pytest.approx([0.0, 0.7071068], abs=5e-8)
    assert np.isnan(balanced_gradient([1.0, 1.0])).all()
    assert balanced_gradient([1.0, 1.0], p=1) == pytest.approx([0.5, 0.5])


@given(
    st.lists(st.floats(0.05, 0.95), min_size=2, max_size=4),
    st.floats(1.0, 6.0),
    st.lists(st.floats(0.1, 2.0), min_size=4, max_size=4),
)
def test_gradient_is_the_slope(scores, p, weights):
    shares = weights[: len(scores)]
    gradient = balanced_gradient(scores, weights=shares, p=p)
    step = 1e-6
    for k in range(len(scores)):
        up, down = np.array(scores), np.array(scores)
        up[k] += step
        down[k] -= step
        slope = balanced_score(up, weights=shares, p=p) - balanced_score(down, weights=shares, p=p)
        assert gradient[k] == pytest.approx(slope / (2 * step), abs=1e-5)


def test_gradient_at_infinity_belongs_to_the_worst():
    assert balanced_gradient([0.9, 0.4], p=np.inf).tolist() == [0.0, 1.0]
    assert np.isnan(balanced_gradient([0.4, 0.4], p=np.inf)).all()


def test_gradient_without_weight_is_zero():
    assert balanced_gradient([0.2, 0.7], weights=[0, 1])[0] == 0.0


def test_min_max_and_anchors():
    assert normalise_scores([1100, 1200, 1250, 1300]).tolist() == [0.0, 0.5, 0.75, 1.0]
    assert normalise_scores([700, 900, 1300], low=800, high=1200).tolist() == [0.0, 0.25, 1.0]
    assert normalise_scores([5.0], low=0, high=10).tolist() == [0.5]


def test_rank_reversal_under_min_max_and_none_with_anchors():
    # A is rated 1200 with safety .9, B 1250 with .8; the others are 1100 and 1300, then 500 joins.
    def balanced(ratings, **anchors):
        capability = normalise_scores(ratings, **anchors)
        return balanced_score(np.stack([capability[:2], [0.9, 0.8]], axis=-1))

    before, after = balanced([1200, 1250, 1100, 1300]), balanced([1200, 1250, 1100, 1300, 500])
    assert before == pytest.approx([0.63944, 0.77361], abs=1e-5)
    assert after == pytest.approx([0.88681, 0.85183], abs=1e-5)
    fixed = {"low": 800, "high": 1400}
    assert np.array_equal(
        balanced([1200, 1250], **fixed), balanced([1200, 1250, 1100, 1300, 500], **fixed)
    )


@pytest.mark.parametrize(
    ("values", "anchors", "message"),
    [
        ([1.0, 1.0], {}, "all values equal 1.0: min-max cannot place them; give anchors"),
        ([3.0], {}, "give anchors low and high"),
        ([1.0, 2.0], {"low": 0}, "give both of them or neither"),
        ([1.0, 2.0], {"high": 0}, "give both of them or neither"),
        ([1.0, 2.0], {"low": 2, "high": 2}, "low must be below high"),
        ([1.0, 2.0], {"low": 3, "high": 2}, "low must be below high"),
        ([1.0, 2.0], {"low": 0, "high": np.inf}, "low must be below high"),
        ([1.0, np.nan], {}, "finite"),
        ([], {}, "finite"),
        ([[1.0, 2.0]], {}, "list of finite numbers"),
    ],
)
def test_normalise_bad_input(values, anchors, message):
    with pytest.raises(InvalidInput, match=message):
        normalise_scores(values, **anchors)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_anchored_values_keep_their_order_and_range(values):
    scaled = normalise_scores(values, low=-100, high=100)
    assert ((scaled >= 0) & (scaled <= 1)).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(scaled[order]) >= 0).all()


CATEGORIES: tuple[str, ...] = ("direct", "adversarial", "over_sensitive", "hierarchy")


@pytest.mark.parametrize(
    ("model", "vector", "safety"),
    [
        ("GPT-4o", (0.91853, 0.80694, 0.85, 0.89737), 0.8682),
        ("GPT-4 1106", (0.92606, 0.85556, 0.85, 0.80987), 0.8604),
        ("Claude 3.5 Haiku", (0.93598, 0.87917, 0.875, 0.7125), 0.8507),
        ("GPT-3.5-turbo-0613", (0.85653, 0.65417, 0.85, 0.70987), 0.7676),
        ("Llama-3-8B", (0.85165, 0.85556, 0.5, 0.6), 0.7018),
        ("o3-mini", (0.89983, 0.86806, 0.45, 0.8875), 0.7763),
    ],
)
def test_published_safety_scores(model, vector, safety):
    scores = dict(zip(CATEGORIES, vector))
    average = macro_average(scores, {name: name for name in CATEGORIES})
    assert average.overall == pytest.approx(safety, abs=5e-5), model


def test_categories_weigh_equally_however_many_tasks_they_have():
    scores = {"a1": 1.0, "a2": 1.0, "a3": 1.0, "b": 0.0}
    average = macro_average(scores, {"a1": "a", "a2": "a", "a3": "a", "b": "b"})
    assert average == MacroAverage(0.5, {"a": 1.0, "b": 0.0}, {"a": 3, "b": 1}, ())


def test_gaps_are_skipped_and_listed():
    scores = {"a": 0.8, "b": None, "c": "N/A", "d": 0.4}
    average = macro_average(scores, {"a": "x", "b": "x", "c": "z", "d": "y", "unused": "y"})
    assert average.overall == pytest.approx(0.6)
    assert average.by_category == {"x": 0.8, "y": 0.4}
    assert average.tasks == {"x": 1, "y": 1}
    assert average.missing == ("b", "c")


def test_nothing_scored_has_no_average():
    assert macro_average({"a": None}, {"a": "x"}) == MacroAverage(None, {}, {}, ("a",))
    assert macro_average({}, {}).overall is None


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ({"a": None}, {"missing": "raise"}, "no score for a; run them"),
        ({"a": 1.5}, {}, r"score of a is 1\.5; allowed: \[0, 1\]"),
        ({"a": float("nan")}, {}, "score of a is nan"),
        ({"a": True}, {}, "score of a is True"),
        ({"a": "0.5"}, {}, "score of a is '0.5'"),
        ({"aa": 0.5}, {}, "unknown task in the category map 'aa': did you mean 'a'"),
        ({"a": 0.5}, {"missing": "rise"}, "did you mean 'raise'"),
    ],
)
def test_macro_average_bad_input(scores, options, message):
    with pytest.raises(InvalidInput, match=message):
        macro_average(scores, {"a": "x"}, **options)


@given(st.dictionaries(st.sampled_from("abcdef"), unit, min_size=1), st.randoms())
def test_order_of_tasks_does_not_matter(scores, random):
    categories = {name: "xyz"[ord(name) % 3] for name in "abcdef"}
    shuffled = list(scores.items())
    random.shuffle(shuffled)
    first = macro_average(scores, categories).overall
    assert macro_average(dict(shuffled), categories).overall == pytest.approx(first)


def test_huge_weights_and_anchors_do_not_overflow():
    score = balanced_score([0.2, 0.4], weights=[1e308, 1e308])
    assert score == balanced_score([0.2, 0.4])
    assert normalise_scores([-1e308, 0.0, 1e308]).tolist() == [0.0, 0.5, 1.0]
