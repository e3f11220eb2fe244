"""A prior is a set of drawn games against one more player; weights are repeated battles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import (
    PairCounts,
    bootstrap_bradley_terry,
    count_battles,
    counts_from_matrix,
    fit_bradley_terry,
    pair_gain,
)

tables = st.lists(st.integers(0, 5), min_size=16, max_size=16).map(
    lambda cells: np.array(cells).reshape(4, 4) * (1 - np.eye(4))
)


def _with_a_virtual_opponent(counts: PairCounts, prior: float) -> PairCounts:
    k = len(counts.models)
    drawn = PairCounts(
        (*counts.models, "virtual"),
        np.column_stack([np.arange(k), np.full(k, k)]),
        np.full((k, 2), prior / 2),
        np.zeros(k),
    )
    return drawn.merge(counts)


@given(tables, st.sampled_from([0.3, 1.0, 7.5]), st.sampled_from(["sandwich", "information"]))
def test_a_prior_equals_games_against_one_more_player(wins, prior, covariance):
    counts = counts_from_matrix(wins)
    fit = fit_bradley_terry(counts, prior=prior, covariance=covariance)
    extended = fit_bradley_terry(
        _with_a_virtual_opponent(counts, prior), anchor="virtual", covariance=covariance
    )
    t = extended.log_strength[:4]
    np.testing.assert_allclose(fit.log_strength, t - t.mean(), atol=1e-9)
    centre = np.eye(4) - 1 / 4
    block = np.asarray(extended.covariance)[:4, :4]
    np.testing.assert_allclose(fit.covariance, centre @ block @ centre, atol=1e-9)


def test_an_anchor_under_a_prior_stands_at_its_rating_in_every_replicate():
    counts = counts_from_matrix([[0, 4, 0], [0, 0, 0], [0, 0, 0]], models=["x", "y", "lone"])
    fit = fit_bradley_terry(counts, prior=1.0, anchor="lone", anchor_rating=1200)
    assert fit.rating[2] == 1200
    assert fit.standard_error[2] == 0
    samples = bootstrap_bradley_terry(counts, prior=1.0, anchor="lone", replicates=20)
    assert not samples.log_strength[:, 2].any()
    np.testing.assert_allclose(
        samples.log_strength[0], fit.log_strength, atol=1e-4
    )  # one cell: every replicate is the table itself


def test_gain_under_a_prior_is_the_fall_of_the_trace_of_the_pinned_inverse():
    counts = counts_from_matrix([[0, 4, 1], [2, 0, 3], [0, 5, 0]])
    fit = fit_bradley_terry(counts, prior=2.0)
    gain = pair_gain(fit)
    before = np.trace(np.linalg.inv(fit.information))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        p = fit.win_probability(str(i), str(j))
        r = np.eye(3)[i] - np.eye(3)[j]
        after = np.trace(np.linalg.inv(fit.information + p * (1 - p) * np.outer(r, r)))
        assert gain[i, j] == pytest.approx(before - after, rel=1e-9)


rows = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(1, 3),
        st.sampled_from(["a", "b", "tie", "both_bad"]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=25,
)


@given(rows)
def test_whole_weights_are_repeated_rows(drawn):
    a = [f"m{x}" for x, *_ in drawn]
    b = [f"m{(x + step) % 4}" for x, step, *_ in drawn]
    outcome = [result for _, _, result, _ in drawn]
    weights = [times for *_, times in drawn]
    models = [f"m{k}" for k in range(4)]
    weighted = count_battles(a, b, outcome, models=models, weights=weights)
    repeated = [
        [entry for entry, times in zip(column, weights) for _ in range(times)]
        for column in (a, b, outcome)
    ]
    plain = count_battles(repeated[0], repeated[1], repeated[2], models=models)
    for name in ("pairs", "wins", "ties", "both_bad", "games"):
        assert np.array_equal(getattr(weighted, name), getattr(plain, name))


@given(tables, st.sampled_from([0.25, 3.0, 1e4]))
def test_scaling_all_weights_scales_only_the_errors(wins, factor):
    fit = fit_bradley_terry(counts_from_matrix(wins))
    scaled = fit_bradley_terry(counts_from_matrix(factor * wins))
    assert scaled.status == fit.status
    np.testing.assert_allclose(scaled.log_strength, fit.log_strength, atol=1e-8)
    np.testing.assert_allclose(
        scaled.standard_error * np.sqrt(factor), fit.standard_error, rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("prior", [float("nan"), float("inf"), -0.5, "x", None])
def test_a_prior_that_is_no_number_of_games_is_refused(prior):
    counts = counts_from_matrix([[0, 1], [1, 0]])
    for call in (fit_bradley_terry, bootstrap_bradley_terry):
        with pytest.raises(InvalidInput, match=r"^prior is .*finite number >= 0$"):
            call(counts, prior=prior)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (([[0, 1], [0, 1]], [[1, 0], [1, 0]], [0, 0]), "a pair stands twice"),
        (([[0, 2]], [[1, 0]], [0]), r"positions i < j below 2"),
        (([[-1, 1]], [[1, 0]], [0]), r"positions i < j below 2"),
        (([[0, 1]], [[-1, 0]], [0]), ">= 0"),
        (([[0, 1]], [[1, 0]], [np.inf]), "finite"),
        (([[0, 1]], [["one", "two"]], [0]), "wins is .*numbers"),
        (([[0.5, 1.7]], [[1, 0]], [0]), "positions i < j below 2, whole numbers"),
        (([[0, np.nan]], [[1, 0]], [0]), "positions i < j below 2, whole numbers"),
        (([[0, 1]], [[1, 0, 2]], [0]), "wins must hold two numbers a pair, got 3"),
        (([0, 1, 1], [[1, 0]], [0]), "pairs must hold two numbers a pair, got 3"),
        (([[0, 1]], [[1, 0]], [0], [5]), r"both_bad\[0\] is 5; it is part of ties\[0\], 0"),
    ],
)
def test_counts_that_cannot_be_are_refused(fields, message):
    with pytest.raises(InvalidInput, match=message):
        PairCounts(("x", "y"), *fields)
