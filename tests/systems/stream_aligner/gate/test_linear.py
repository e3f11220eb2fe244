import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.gate.features import BUCKETS, DENSE, layer_of, text_features
from equipoise.systems.stream_aligner.gate.linear import (
    CopyGate,
    allowed_rank,
    chance_of_misses,
    conformal_threshold,
    fit_states,
    fit_text,
    smallest_calibration,
)


@pytest.mark.parametrize(
    ("bad", "budget", "rank"),
    [(99, 0.01, 1), (98, 0.01, 0), (0, 0.5, 0), (1, 0.5, 1), (199, 0.01, 2), (198, 0.01, 1)],
)
def test_rank_is_the_floor_of_budget_times_n_plus_one(bad: int, budget: float, rank: int) -> None:
    assert allowed_rank(bad, budget) == rank


def test_decimals_of_a_budget_are_exact() -> None:
    # 0.29 * 100 is 28.999999999999996 in binary
    assert allowed_rank(99, 0.29) == 29
    assert smallest_calibration(0.07) == math.ceil(100 / 7) - 1 == 14
    for budget in (0.01, 0.02, 0.05, 0.07, 0.29, 0.5):
        needed = smallest_calibration(budget)
        assert allowed_rank(needed, budget) >= 1
        assert allowed_rank(needed - 1, budget) == 0


def test_threshold_by_hand() -> None:
    scores = np.arange(1.0, 200.0)  # 199 bad ones: k = 2, the second largest
    assert conformal_threshold(scores, 0.01) == 198.0
    assert (scores > 198.0).sum() == 1
    assert conformal_threshold(scores[:98], 0.01) == math.inf
    assert conformal_threshold(scores[:99], 0.01) == 99.0
    assert conformal_threshold([], 0.5) == math.inf
    # ties at the top: none of them may skip
    assert conformal_threshold([1.0, 2.0, 2.0, 2.0], 0.4) == 2.0


def test_chance_of_misses_is_that_of_the_draws() -> None:
    rng = np.random.default_rng(2)
    missed = []
    for _ in range(4000):
        drawn = rng.normal(size=60 + 30)
        missed.append(int((drawn[60:] > conformal_threshold(drawn[:60], 0.05)).sum()))
    for most in (1, 2, 4):
        told = chance_of_misses(most, 30, 60, 0.05)
        assert np.mean(np.array(missed) >= most) == pytest.approx(told, abs=0.03)
    assert chance_of_misses(0, 30, 60, 0.05) == 1.0
    assert chance_of_misses(1, 1, 199, 0.02) == pytest.approx(4 / 200)
    assert (chance_of_misses(0, 5, 9, 0.01), chance_of_misses(1, 5, 9, 0.01)) == (1.0, 0.0)
    with pytest.raises(InvalidInput, match="missed is 3 of 2"):
        chance_of_misses(3, 2, 99, 0.01)


def test_smallest_threshold_that_keeps_the_bound() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=150)
    threshold, rank = conformal_threshold(scores, 0.05), allowed_rank(150, 0.05)
    assert (scores > threshold).sum() == rank - 1
    below = scores[scores < threshold].max()
    assert (scores > below).sum() == rank


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=40),
    st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9]),
)
def test_no_draw_of_exchangeable_scores_exceeds_the_budget(
    values: list[int], budget: float
) -> None:
    # each of n + 1 scores takes its turn as the fresh one: that mean is the probability
    scores = np.array(values, dtype=np.float64)
    missed = [
        scores[place] > conformal_threshold(np.delete(scores, place), budget)
        for place in range(len(scores))
    ]
    assert np.mean(missed) <= budget


@pytest.mark.parametrize("decimals", [1, 12])
def test_mean_miss_rate_over_many_draws_keeps_the_budget(decimals: int) -> None:
    rng, budget, bad = np.random.default_rng(1), 0.02, 149
    misses = []
    for _ in range(4000):
        drawn = np.round(rng.normal(size=bad + 50), decimals)
        threshold = conformal_threshold(drawn[:bad], budget)
        misses.append((drawn[bad:] > threshold).mean())
    error = np.std(misses) / len(misses) ** 0.5
    assert np.mean(misses) <= budget + 3 * error
    if decimals == 12:  # without ties the bound is k / (n + 1) itself
        assert np.mean(misses) == pytest.approx(
            allowed_rank(bad, budget) / (bad + 1), abs=4 * error
        )


def test_bad_budgets_and_scores_are_refused() -> None:
    for budget in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(InvalidInput, match="strictly between 0 and 1"):
            conformal_threshold([1.0], budget)
    with pytest.raises(InvalidInput, match="nan"):
        conformal_threshold([1.0, math.nan], 0.5)
    with pytest.raises(InvalidInput, match=">= 0"):
        allowed_rank(-1, 0.5)


@pytest.mark.parametrize("features", ["", "layer", "layer:", "layer:-1", "layer:x", "texts"])
def test_unknown_features_are_refused(features: str) -> None:
    with pytest.raises(InvalidInput, match="write text, or layer:K"):
        layer_of(features)


def test_overlap_is_what_it_says() -> None:
    starts, columns, values = text_features(
        [("The red door. A blue sky.", "It is red.", "red sky zorvex")]
    )
    assert starts.tolist() == [0, len(columns)]
    dense = values[columns >= BUCKETS] * DENSE**0.5
    # two of three words in the question, one in the prefix, one in neither; not said before;
    # three of 23; and the two do not stand in one sentence
    assert dense == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0, 3 / 23, 0])
    _, columns, values = text_features([("The red door. A blue sky.", "It is red.", "It is red.")])
    dense = values[columns >= BUCKETS] * DENSE**0.5
    assert dense[3] == 1
    assert dense[5] == 0  # the full stop is in no sentence of the question


def test_groups_of_features_have_length_one_at_most() -> None:
    sentences = [("q", "p", "word " * 200), ("", "", ""), ("é 漢", "\ud800", "a. \x00")]
    starts, columns, values = text_features(sentences)
    assert (columns >= 0).all()
    assert columns.max() < BUCKETS + DENSE
    for start, end in pairwise(starts):
        assert (values[start:end] ** 2).sum() <= 3 + 1e-9
    again = text_features(sentences)
    assert (columns == again[1]).all()
    assert (values == again[2]).all()
    with pytest.raises(InvalidInput, match="no sentence"):
        text_features([])


def test_a_gate_on_text_learns_a_bad_word() -> None:
    good = [("q", "p", f"The {word} is fine.") for word in ("door", "sky", "sea", "hill", "car")]
    bad = [(q, p, s.replace("fine", "zorvex")) for q, p, s in good]
    weights, bias = fit_text([*good, *bad], [True] * 5 + [False] * 5)
    gate = CopyGate("text", weights, bias, threshold=0.0)
    scores = gate.score_texts([("q", "p", "The moon is fine."), ("q", "p", "The moon is zorvex.")])
    assert scores[0] > 0 > scores[1]
    assert [gate.is_sure(score) for score in scores] == [True, False]
    assert gate.score_texts(good[:1])[0] == gate.score_texts([*bad, *good])[5]
    assert not gate.is_sure(0.0)  # a score at the threshold does not skip


def test_a_layers_standardisation_is_folded_in() -> None:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(200, 3)) * [1.0, 100.0, 0.0] + [5.0, -40.0, 7.0]
    copies = states[:, 0] > 5
    gate = CopyGate("layer:1", *fit_states(states, list(copies)))
    assert ((gate.score_states(states) > 0) == copies).mean() > 0.95
    shifted = CopyGate("layer:1", *fit_states(states + 3, list(copies)))
    assert shifted.score_states(states + 3) == pytest.approx(gate.score_states(states), abs=2e-3)
    with pytest.raises(InvalidInput, match=r"expected \(N, 3\)"):
        gate.score_states(np.zeros((2, 4)))


def test_too_few_rows_of_a_kind_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two copies and two others at least, got 1"):
        fit_text([("", "", "a"), ("", "", "b"), ("", "", "c")], [True, True, False])


def made(**changes: object) -> CopyGate:
    weights = np.random.default_rng(0).normal(size=4)
    fields = {"features": "layer:1", "weights": weights, "bias": 0.25, "threshold": 1.5}
    return CopyGate(**(fields | changes))  # pyright: ignore[reportArgumentType]


def test_impossible_gates_are_refused() -> None:
    with pytest.raises(InvalidInput, match="a gate on text has weights"):
        made(features="text")
    with pytest.raises(InvalidInput, match="finite numbers"):
        made(weights=np.array([math.nan]))
    with pytest.raises(InvalidInput, match="strictly between"):
        made(budget=2.0)


@pytest.mark.standard
def test_a_gate_on_text_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, numpy as np\n"
        "from equipoise.systems.stream_aligner.gate.linear import CopyGate\n"
        "from equipoise.systems.stream_aligner.gate.features import BUCKETS, DENSE\n"
        "gate = CopyGate('text', np.ones(BUCKETS + DENSE), 0.0)\n"
        "assert np.isfinite(gate.score_texts([('q', 'p', 's')])).all()\n"
        "assert not {'torch', 'sklearn'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
