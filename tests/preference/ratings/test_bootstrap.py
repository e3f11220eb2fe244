"""Bootstrap, rank sets, overlap ranks."""

import numpy as np
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import bootstrap as bootstrap_module
from equipoise.preference.ratings import (
    bootstrap_bradley_terry,
    count_battles,
    counts_from_matrix,
    fit_bradley_terry,
    overlap_ranks,
    rank_sets,
)


def simulate(k, n, seed, ties=0.2):
    rng = np.random.default_rng(seed)
    t = rng.normal(0, 0.7, k)
    a = rng.integers(0, k, n)
    b = (a + rng.integers(1, k, n)) % k
    won = rng.random(n) < 1 / (1 + np.exp(t[b] - t[a]))
    outcome = np.where(rng.random(n) < ties, 2, np.where(won, 0, 1))
    return count_battles(a, b, outcome, models=[f"m{i}" for i in range(k)]), t - t.mean()


@pytest.mark.parametrize("scheme", ["multinomial", "poisson"])
@pytest.mark.parametrize("tie_model", ["half", "drop", "davidson", "rao_kupper"])
def test_spread_agrees_with_the_sandwich(scheme, tie_model):
    counts, _ = simulate(8, 4000, 0)
    samples = bootstrap_bradley_terry(
        counts, replicates=600, scheme=scheme, tie_model=tie_model, seed=3
    )
    assert samples.log_strength.shape == (600, 8)
    np.testing.assert_allclose(samples.log_strength.mean(axis=1), 0, atol=1e-9)
    fit = fit_bradley_terry(counts, tie_model=tie_model)
    ratio = samples.log_strength.std(axis=0, ddof=1) / fit.standard_error
    assert 0.95 < np.median(ratio) < 1.05
    np.testing.assert_allclose(samples.log_strength.mean(axis=0), fit.log_strength, atol=0.02)
    low, high = samples.interval(0.95)
    assert ((low < fit.rating) & (fit.rating < high)).all()


def test_replicates_solve_their_own_equations():
    counts, _ = simulate(6, 500, 1)
    samples = bootstrap_bradley_terry(counts, replicates=20, seed=5)
    blocks = bootstrap_module._resample(counts, 20, 5, "multinomial")
    drawn = next(blocks)
    for row in range(20):
        table = type(counts)(
            counts.models,
            counts.pairs,
            np.column_stack([drawn.first[row], drawn.second[row]]),
            drawn.tied[row],
        )
        assert table.battles == counts.battles
        refit = fit_bradley_terry(table)
        np.testing.assert_allclose(samples.log_strength[row], refit.log_strength, atol=1e-4)


def test_equal_seeds_give_equal_samples_whatever_the_blocks(monkeypatch):
    counts, _ = simulate(5, 300, 2)
    one = bootstrap_bradley_terry(counts, replicates=50, seed=1)
    monkeypatch.setattr(bootstrap_module, "BLOCK_BYTES", 10_000)
    two = bootstrap_bradley_terry(counts, replicates=50, seed=1)
    np.testing.assert_allclose(one.log_strength, two.log_strength, atol=1e-10)
    other = bootstrap_bradley_terry(counts, replicates=50, seed=2)
    assert not np.allclose(one.log_strength, other.log_strength)


@pytest.mark.parametrize("scheme", ["multinomial", "poisson"])
def test_few_ties_cost_no_replicate_that_has_some(scheme):
    counts = counts_from_matrix([[0, 30], [20, 0]], ties=[[0, 3], [3, 0]])
    for replicates in (5, 200):
        samples = bootstrap_bradley_terry(
            counts, replicates=replicates, tie_model="rao_kupper", seed=0, scheme=scheme
        )
        drawn = next(bootstrap_module._resample(counts, replicates, 0, scheme))
        for row, strength in enumerate(samples.log_strength):
            wins, ties = [drawn.first[row], drawn.second[row]], drawn.tied[row]
            table = type(counts)(counts.models, counts.pairs, np.array(wins), ties)
            refit = fit_bradley_terry(table, tie_model="rao_kupper")
            np.testing.assert_allclose(strength, refit.log_strength, atol=1e-5)


def test_a_step_of_many_ends_inside_the_model_and_none_solved_is_no_error(monkeypatch):
    counts = counts_from_matrix([[0, 30], [20, 0]], ties=[[0, 3], [3, 0]])
    options = {"replicates": 60, "tie_model": "rao_kupper", "seed": 0}
    together = bootstrap_bradley_terry(counts, **options)
    monkeypatch.setattr(bootstrap_module, "STEPS", 0)
    alone = bootstrap_bradley_terry(counts, **options)
    np.testing.assert_allclose(alone.log_strength, together.log_strength, atol=1e-5)


@pytest.mark.parametrize("tie_model", ["davidson", "rao_kupper"])
def test_replicates_without_a_largest_tie_parameter_are_undetermined(tie_model):
    counts = counts_from_matrix([[0, 4], [1, 0]], ties=[[0, 3], [3, 0]])
    samples = bootstrap_bradley_terry(counts, replicates=200, tie_model=tie_model).log_strength
    drawn = next(bootstrap_module._resample(counts, 200, 0, "multinomial"))
    endless = (drawn.tied > 0) & ((drawn.first == 0) != (drawn.second == 0))
    assert 0.2 < endless.mean() < 0.5
    assert np.isnan(samples[endless[:, 0]]).all()


def test_unbounded_replicates_hold_infinity():
    counts = counts_from_matrix([[0, 6, 1], [6, 0, 8], [0, 7, 0]], models=["x", "y", "z"])
    samples = bootstrap_bradley_terry(counts, replicates=400, seed=0).log_strength
    # "z" beats only "y"; "x" lost to "y" only: some tables lose one of these and some do not
    assert np.isfinite(samples).all(axis=1).mean() > 0.9
    thin = counts_from_matrix([[0, 1, 0], [9, 0, 9], [0, 9, 0]], models=["x", "y", "z"])
    samples = bootstrap_bradley_terry(thin, replicates=400, seed=0)
    lost = np.isneginf(samples.log_strength[:, 0])
    assert 0.25 < lost.mean() < 0.5  # a cell of one game is left out with chance 1/e
    assert np.isfinite(samples.log_strength[:, 1:]).all()
    low, high = samples.interval(0.95)
    assert low[0] == -np.inf
    assert np.isfinite(high).all()
    assert np.isfinite(low[1:]).all()
    finite = samples.log_strength[lost][:, 1:]
    fit = fit_bradley_terry(thin)  # those that stay keep their mean
    np.testing.assert_allclose(finite.mean(axis=1), fit.log_strength[1:].mean(), atol=1e-9)


def test_models_unrated_in_the_fit_are_infinite_in_all_replicates():
    counts = counts_from_matrix([[0, 40, 40], [0, 0, 30], [0, 20, 0]])
    samples = bootstrap_bradley_terry(counts, replicates=50)
    assert np.isposinf(samples.log_strength[:, 0]).all()
    assert np.isfinite(samples.log_strength[:, 1:]).all()
    sets = rank_sets(samples)
    assert (sets.best[0], sets.worst[0]) == (1, 1)


def test_a_league_that_falls_apart_is_undetermined():
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[1, 0] = wins[2, 3] = wins[3, 2] = 20
    wins[1, 0] = 25
    ties = np.zeros((4, 4))
    ties[1, 2] = ties[2, 1] = 1
    samples = bootstrap_bradley_terry(counts_from_matrix(wins, ties=ties), replicates=200)
    undetermined = np.isnan(samples.log_strength)
    assert 0.2 < undetermined.any(axis=1).mean() < 0.55
    assert (undetermined.sum(axis=1)[undetermined.any(axis=1)] == 2).all()


def test_anchor_prior_and_leagues():
    counts, _ = simulate(5, 300, 4)
    free = bootstrap_bradley_terry(counts, replicates=30, seed=1)
    anchored = bootstrap_bradley_terry(
        counts, replicates=30, seed=1, anchor="m2", anchor_rating=1200
    )
    assert (anchored.log_strength[:, 2] == 0).all()
    shifted = free.log_strength - free.log_strength[:, [2]]
    np.testing.assert_allclose(anchored.log_strength, shifted, atol=1e-12)
    assert anchored.interval()[0][2] == 1200
    one, two = rank_sets(free), rank_sets(anchored)
    assert np.array_equal(one.best, two.best)
    assert np.array_equal(one.worst, two.worst)
    lonely = counts_from_matrix([[0, 5], [0, 0]])
    with_prior = bootstrap_bradley_terry(lonely, replicates=30, prior=1.0)
    assert np.isfinite(with_prior.log_strength).all()


def test_empty_and_bad_options():
    empty = bootstrap_bradley_terry(count_battles([], [], [], models=["x", "y"]), replicates=3)
    assert np.isnan(empty.log_strength).all()
    counts, _ = simulate(4, 50, 0)
    with pytest.raises(InvalidInput, match="unknown scheme 'poison': did you mean 'poisson'"):
        bootstrap_bradley_terry(counts, scheme="poison")
    for replicates in (0, 2.5, True, "9"):
        with pytest.raises(InvalidInput, match=f"^replicates is {replicates!r}; it must be an int"):
            bootstrap_bradley_terry(counts, replicates=replicates)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"^anchor_rating is nan; it must be a finite number$"):
        bootstrap_bradley_terry(counts, anchor_rating=float("nan"))
    with pytest.raises(InvalidInput, match="unknown model"):
        bootstrap_bradley_terry(counts, anchor="zzz")


def test_more_models_than_the_dense_limit(monkeypatch):
    counts, _ = simulate(6, 600, 3)
    dense = bootstrap_bradley_terry(counts, replicates=10)
    monkeypatch.setattr(bootstrap_module, "DENSE_LIMIT", 3)
    alone = bootstrap_bradley_terry(counts, replicates=10)
    np.testing.assert_allclose(alone.log_strength, dense.log_strength, atol=1e-4)


def test_rank_sets_contain_the_true_rank():
    held = 0
    for seed in range(60):
        counts, truth = simulate(6, 400, 100 + seed, ties=0.0)
        sets = rank_sets(fit_bradley_terry(counts))
        rank = 1 + (truth[None, :] > truth[:, None]).sum(axis=1)
        held += int(((sets.best <= rank) & (rank <= sets.worst)).sum())
    assert held / 360 >= 0.95


def test_rank_sets_narrow_with_games():
    wins = np.array([[0.0, 6, 6], [4, 0, 5], [4, 5, 0]])
    few = rank_sets(fit_bradley_terry(counts_from_matrix(wins)))
    assert few.best.tolist() == [1, 1, 1]
    assert few.worst.tolist() == [3, 3, 3]
    many = rank_sets(fit_bradley_terry(counts_from_matrix(100 * wins)))
    assert many.best.tolist() == [1, 2, 2]
    assert many.worst.tolist() == [1, 3, 3]


def test_overlap_ranks():
    assert overlap_ranks([3, 1, 0], [4, 3.5, 0.5]).tolist() == [1, 1, 3]
    assert overlap_ranks([0, np.nan, 2], [1, np.nan, 3]).tolist() == [2, 1, 1]
    with pytest.raises(InvalidInput, match="row 0: low"):
        overlap_ranks([2.0], [1.0])
    with pytest.raises(InvalidInput, match="alike"):
        overlap_ranks([2.0], [1.0, 2.0])
