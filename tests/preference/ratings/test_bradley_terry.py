"""The fit: known answers, existence, ties, covariance, invariances, other implementations."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import (
    connectivity,
    count_battles,
    counts_from_matrix,
    fit_bradley_terry,
    rank_sets,
)
from equipoise.preference.ratings import newton as newton_module

FOOD = (
    "P>S B<A T>P S<T B>P A<S T>B P=A S<B A>T B<S T>P S=A B>T P<B A<T B<S T>A P<T S>B "
    "A<P B<S T>A P>S S<B A<T T>P B<A S>T P<B"
)


def food():
    return [(game[0], game[2], {">": "a", "<": "b", "=": "tie"}[game[1]]) for game in FOOD.split()]


def simulate(k, n, seed, ties=0.2, spread=1.0):
    rng = np.random.default_rng(seed)
    t = rng.normal(0, spread, k)
    a = rng.integers(0, k, n)
    b = (a + rng.integers(1, k, n)) % k
    won = rng.random(n) < 1 / (1 + np.exp(t[b] - t[a]))
    outcome = np.where(rng.random(n) < ties, 2, np.where(won, 0, 1))
    return count_battles(a, b, outcome, models=[f"m{i:03d}" for i in range(k)])


def test_two_players_three_to_one():
    counts = counts_from_matrix([[0, 3], [1, 0]], models=["A", "B"])
    for kind in ("sandwich", "information"):
        fit = fit_bradley_terry(counts, covariance=kind)
        gap, error = fit.difference("A", "B")
        assert gap == pytest.approx(1.0986123, abs=1e-7)
        assert error == pytest.approx(1.1547005, abs=1e-7)
        assert fit.rating[0] - fit.rating[1] == pytest.approx(190.8485, abs=1e-4)
        assert fit.rating.mean() == pytest.approx(1000)
        assert fit.win_probability("A", "B") == pytest.approx(0.75)
        low, high = fit.interval(0.95)
        half = 1.959963984540054 * fit.standard_error * 400 / np.log(10)
        np.testing.assert_allclose((fit.rating - low, high - fit.rating), (half, half))


def test_a_tree_gives_its_odds_exactly():
    fit = fit_bradley_terry(counts_from_matrix([[0, 3, 0], [1, 0, 4], [0, 1, 0]]))
    assert fit.difference("0", "1")[0] == pytest.approx(np.log(3), abs=1e-12)
    assert fit.difference("1", "2")[0] == pytest.approx(np.log(4), abs=1e-12)


def test_rock_paper_scissors_and_all_ties_are_equal():
    cycle = fit_bradley_terry(counts_from_matrix([[0, 2, 1], [1, 0, 2], [2, 1, 0]]))
    np.testing.assert_allclose(cycle.log_strength, 0, atol=1e-12)
    assert cycle.converged
    tied = counts_from_matrix(np.zeros((3, 3)), ties=np.ones((3, 3)) - np.eye(3))
    for model in ("half", "davidson", "rao_kupper"):
        fit = fit_bradley_terry(tied, tie_model=model)
        np.testing.assert_array_equal(fit.log_strength, 0)
        assert set(fit.status.values()) == {"ok"}
    assert fit_bradley_terry(tied, tie_model="davidson").tie_parameter == np.inf
    dropped = fit_bradley_terry(tied, tie_model="drop")
    assert set(dropped.status.values()) == {"isolated"}
    assert np.isnan(dropped.rating).all()


def test_food_games():
    a, b, outcome = zip(*food())
    assert len(a) == 30
    fit = fit_bradley_terry(count_battles(a, b, outcome))
    share = np.exp(fit.log_strength) / np.exp(fit.log_strength).sum()
    expected = {"T": 0.4342898, "S": 0.1906003, "B": 0.1479767, "A": 0.1281534, "P": 0.0989798}
    for name, value in expected.items():
        assert share[fit.models.index(name)] == pytest.approx(value, abs=1e-6)


def test_two_leagues_have_no_cross_rank():
    counts = counts_from_matrix([[0, 9, 0, 0], [1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 2, 0]])
    fit = fit_bradley_terry(counts)
    assert connectivity(counts).leagues == (("0", "1"), ("2", "3"))
    assert not connectivity(counts).connected
    assert fit.league.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(fit.log_strength, [np.log(3), -np.log(3), 0, 0], atol=1e-12)
    sets = rank_sets(fit, level=0.5)
    assert sets.best.tolist() == [1, 2, 1, 1]
    assert sets.worst.tolist() == [1, 2, 2, 2]
    assert np.isnan(fit.difference("0", "2")).all()
    assert np.isnan(fit.win_probability("0", "3"))
    assert fit.covariance[0, 2] == 0


def test_statuses_above_below_undetermined_isolated():
    wins = np.zeros((7, 7))
    wins[0, 1] = wins[1, 0] = 5  # the main class
    wins[2, 0] = 3  # above
    wins[1, 3] = 2  # below
    wins[2, 4] = 1  # 4 lost to 2 only: neither
    wins[5, 2] = 1  # above, through a chain
    fit = fit_bradley_terry(counts_from_matrix(wins))
    assert list(fit.status.values()) == [
        *("ok", "ok", "above", "below", "undetermined", "above", "isolated")
    ]
    assert np.isnan(fit.log_strength[2:]).all()
    np.testing.assert_allclose(fit.log_strength[:2], 0, atol=1e-12)
    assert np.isnan(fit.covariance[2]).all()
    assert fit.games.tolist() == [13, 12, 5, 2, 1, 1, 0]
    sets = rank_sets(fit)
    assert (sets.best[2], sets.worst[2], sets.best[6], sets.worst[6]) == (1, 6, 1, 1)


def test_a_model_with_only_wins_is_above_and_the_rest_are_rated():
    with_champion = counts_from_matrix([[0, 4, 4], [0, 0, 3], [0, 1, 0]])
    fit = fit_bradley_terry(with_champion)
    assert fit.status == {"0": "above", "1": "ok", "2": "ok"}
    assert fit.difference("1", "2")[0] == pytest.approx(np.log(3))
    assert np.isnan(fit.rating[0])


def test_main_class_is_the_one_with_most_battles_then_the_smallest_name():
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[1, 0] = 1
    wins[2, 3] = wins[3, 2] = 1
    wins[0, 2] = 1
    equal = connectivity(counts_from_matrix(wins, models=["z", "y", "b", "c"]))
    assert equal.status == {"z": "above", "y": "above", "b": "ok", "c": "ok"}
    wins[0, 1] = 2
    assert connectivity(counts_from_matrix(wins, models=["z", "y", "b", "c"])).status["z"] == "ok"
    single = connectivity(counts_from_matrix([[0, 1], [0, 0]], models=["b", "a"]))
    assert single.status == {"b": "above", "a": "ok"}
    assert single.connected


def test_nothing_to_rate_is_no_error():
    none = fit_bradley_terry(count_battles([], [], []))
    assert none.models == ()
    assert none.converged
    alone = fit_bradley_terry(count_battles([], [], [], models=["x"]))
    assert alone.status == {"x": "isolated"}
    assert np.isnan(alone.rating).all()


def test_a_prior_rates_everyone_and_centres_all():
    wins = np.zeros((4, 4))
    wins[0, 1] = 5
    wins[2, 3] = 1
    fit = fit_bradley_terry(counts_from_matrix(wins), prior=2.0)
    assert set(fit.status.values()) == {"ok"}
    assert fit.log_strength.mean() == pytest.approx(0, abs=1e-12)
    assert fit.log_strength[0] > fit.log_strength[2] > fit.log_strength[3] > fit.log_strength[1]
    assert fit.league.tolist() == [0, 0, 1, 1]
    two = fit_bradley_terry(counts_from_matrix([[0, 1], [0, 0]]), prior=1.0)
    gap = two.difference("0", "1")[0]  # 1 - P(gap) = c (P(gap / 2) - 1/2)
    assert 1 / (1 + np.exp(gap)) == pytest.approx(1 / (1 + np.exp(-gap / 2)) - 0.5, abs=1e-9)
    isolated = fit_bradley_terry(count_battles([], [], [], models=["x", "y"]), prior=1.0)
    assert isolated.log_strength.tolist() == [0, 0]


def test_invariance_under_relabelling_and_doubling():
    counts = simulate(8, 400, 1)
    fit = fit_bradley_terry(counts)
    order = np.random.default_rng(0).permutation(8)
    matrix = np.zeros((8, 8))
    i, j = counts.pairs.T
    matrix[i, j], matrix[j, i] = counts.wins.T
    ties = np.zeros((8, 8))
    ties[i, j] = ties[j, i] = counts.ties
    mixed = fit_bradley_terry(
        counts_from_matrix(
            matrix[np.ix_(order, order)],
            ties=ties[np.ix_(order, order)],
            models=[counts.models[p] for p in order],
        )
    )
    np.testing.assert_allclose(mixed.log_strength, fit.log_strength[order], atol=1e-9)
    np.testing.assert_allclose(mixed.standard_error, fit.standard_error[order], atol=1e-9)
    double = fit_bradley_terry(counts.merge(counts))
    np.testing.assert_allclose(double.log_strength, fit.log_strength, atol=1e-9)
    np.testing.assert_allclose(double.standard_error, fit.standard_error / np.sqrt(2), rtol=1e-9)


@pytest.mark.parametrize("tie_model", ["half", "davidson", "rao_kupper"])
def test_the_anchor_changes_no_difference_and_no_rank_set(tie_model):
    counts = simulate(6, 300, 2)
    free = fit_bradley_terry(counts, tie_model=tie_model)
    anchored = fit_bradley_terry(counts, tie_model=tie_model, anchor="m003", anchor_rating=1500)
    assert anchored.log_strength[3] == 0
    assert anchored.rating[3] == 1500
    assert anchored.standard_error[3] == 0
    for a in counts.models:
        for b in counts.models:
            np.testing.assert_allclose(anchored.difference(a, b), free.difference(a, b), atol=1e-9)
            assert anchored.win_probability(a, b) == pytest.approx(free.win_probability(a, b))
    one, two = rank_sets(free), rank_sets(anchored)
    assert np.array_equal(one.best, two.best)
    assert np.array_equal(one.worst, two.worst)
    shift = np.eye(6) - np.outer(np.ones(6), np.eye(6)[3])
    np.testing.assert_allclose(anchored.covariance, shift @ free.covariance @ shift.T, atol=1e-12)


def test_score_equations_hold_at_the_maximum():
    counts = simulate(30, 20_000, 3)
    fit = fit_bradley_terry(counts)
    points = counts.matrix()
    gap = fit.log_strength[:, None] - fit.log_strength[None, :]
    expected = ((points + points.T) / (1 + np.exp(-gap))).sum(1)
    assert np.abs(points.sum(1) - expected).max() <= 1e-9 * counts.battles
    assert fit.residual <= 1e-9 * counts.battles
    assert fit.converged


def _reference(counts, model):
    """Minus log-likelihood written out game by game, for an independent optimiser."""
    i, j = counts.pairs.T
    first, second = counts.wins.T
    k = len(counts.models)

    def value(x):
        d = x[i] - x[j]
        if model == "half":
            first_t, second_t = first + counts.ties / 2, second + counts.ties / 2
            return (first_t * np.log1p(np.exp(-d)) + second_t * np.log1p(np.exp(d))).sum()
        if model == "davidson":
            weight = np.exp(x[k])
            total = np.exp(d / 2) + weight + np.exp(-d / 2)
            odds = np.exp(d / 2), weight, np.exp(-d / 2)
        else:
            theta = np.exp(x[k])
            p = np.exp(d) / (np.exp(d) + theta)
            q = 1 / (1 + theta * np.exp(d))
            total, odds = 1.0, (p, 1 - p - q, q)
        logs = [np.log(part / total) for part in odds]
        return -(first * logs[0] + counts.ties * logs[1] + second * logs[2]).sum()

    return value, k + (model != "half")


@pytest.mark.parametrize("model", ["half", "davidson", "rao_kupper"])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_independent_maximiser_agrees(model, seed):
    counts = simulate(6, 250, seed, ties=0.3)
    fit = fit_bradley_terry(counts, tie_model=model)
    value, size = _reference(counts, model)
    start = np.full(size, 0.1)
    found = minimize(value, start, method="BFGS", options={"gtol": 1e-9})
    t = found.x[:6] - found.x[:6].mean()
    np.testing.assert_allclose(fit.log_strength, t, atol=2e-6)
    if model != "half":
        assert fit.tie_parameter == pytest.approx(np.exp(found.x[6]), abs=5e-6)
    ours = [*fit.log_strength, np.log(fit.tie_parameter or 1)][:size]
    assert value(np.asarray(ours)) <= found.fun + 1e-9


@pytest.mark.parametrize("model", ["half", "davidson", "rao_kupper"])
def test_information_is_the_curvature(model):
    counts = simulate(4, 120, 5, ties=0.3)
    fit = fit_bradley_terry(counts, tie_model=model, covariance="information")
    value, size = _reference(counts, model)
    centre = np.zeros(size)
    centre[:4] = fit.log_strength
    if model != "half":
        centre[4] = np.log(fit.tie_parameter or 1)
    step, unit = 1e-4, np.eye(size)
    curve = np.array(
        [
            [
                (
                    value(centre + step * (u + v)) - value(centre + step * (u - v))
                    - value(centre - step * (u - v)) + value(centre - step * (u + v))
                )
                / (4 * step**2)
                for v in unit
            ]
            for u in unit
        ]
    )  # fmt: skip
    inverse = np.linalg.pinv(curve, rcond=1e-6)[:4, :4]
    np.testing.assert_allclose(fit.covariance, inverse, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(np.linalg.pinv(fit.information), fit.covariance, atol=1e-8)


def test_sandwich_is_built_from_single_games():
    counts = simulate(5, 200, 6, ties=0.25)
    fit = fit_bradley_terry(counts)
    i, j = counts.pairs.T
    gap = fit.log_strength[i] - fit.log_strength[j]
    p = 1 / (1 + np.exp(-gap))
    v, a = np.zeros((5, 5)), np.zeros((5, 5))
    for m in range(len(counts.pairs)):
        r = np.eye(5)[i[m]] - np.eye(5)[j[m]]
        games = counts.wins[m, 0] + counts.wins[m, 1] + counts.ties[m]
        squares = (
            counts.wins[m, 0] * (1 - p[m]) ** 2
            + counts.wins[m, 1] * p[m] ** 2
            + counts.ties[m] * (0.5 - p[m]) ** 2
        )
        v += squares * np.outer(r, r)
        a += games * p[m] * (1 - p[m]) * np.outer(r, r)
    inverse = np.linalg.pinv(a)
    np.testing.assert_allclose(fit.covariance, inverse @ v @ inverse, atol=1e-10)
    np.testing.assert_allclose(fit.information, a, atol=1e-10)


def test_tie_parameters_without_ties_and_where_none_is_finite():
    no_ties = counts_from_matrix([[0, 3], [1, 0]])
    for model, value in (("davidson", 0.0), ("rao_kupper", 1.0)):
        fit = fit_bradley_terry(no_ties, tie_model=model)
        assert fit.tie_parameter == value
        assert fit.difference("0", "1")[0] == pytest.approx(np.log(3))
        endless = counts_from_matrix([[0, 1], [0, 0]], ties=[[0, 1], [1, 0]])
        fit = fit_bradley_terry(endless, tie_model=model)
        assert fit.tie_parameter == np.inf
        assert set(fit.status.values()) == {"undetermined"}
        assert np.isnan(fit.rating).all()
    assert fit_bradley_terry(no_ties).tie_parameter is None
    # two wins in a cycle over one tie: a maximum exists although wins alone do not connect
    bounded = counts_from_matrix(
        [[0, 1, 0], [0, 0, 0], [1, 0, 0]], ties=[[0, 0, 0], [0, 0, 1], [0, 1, 0]]
    )
    fit = fit_bradley_terry(bounded, tie_model="davidson")
    assert fit.converged
    assert np.isfinite(fit.log_strength).all()
    assert fit.tie_parameter is not None
    assert 0 < fit.tie_parameter < np.inf


def test_drop_leaves_ties_out():
    counts = counts_from_matrix([[0, 3], [1, 0]], ties=[[0, 50], [50, 0]])
    assert fit_bradley_terry(counts, tie_model="drop").difference("0", "1")[0] == pytest.approx(
        np.log(3)
    )
    assert fit_bradley_terry(counts).difference("0", "1")[0] == pytest.approx(np.log(28 / 26))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 6).flatmap(
        lambda k: st.tuples(
            st.just(k), st.lists(st.integers(0, 3), min_size=2 * k * k, max_size=2 * k * k)
        )
    ),
    st.sampled_from(["half", "drop", "davidson", "rao_kupper"]),
    st.sampled_from([0.0, 0.5]),
)
def test_any_table_gives_a_result_without_huge_numbers(table, tie_model, prior):
    k, numbers = table
    wins = np.array(numbers[: k * k]).reshape(k, k) * (1 - np.eye(k))
    ties = np.array(numbers[k * k :]).reshape(k, k) * (1 - np.eye(k))
    counts = counts_from_matrix(wins, ties=np.triu(ties) + np.triu(ties).T)
    fit = fit_bradley_terry(counts, tie_model=tie_model, prior=prior)
    ok = np.array([fit.status[name] == "ok" for name in fit.models])
    assert np.array_equal(np.isfinite(fit.log_strength), ok)
    assert np.abs(fit.log_strength[ok]).max(initial=0) < 15
    assert fit.converged
    if prior:
        assert ok.all()
    for league in np.unique(fit.league):
        members = ok & (fit.league == league)
        if members.any() and not prior:
            assert fit.log_strength[members].mean() == pytest.approx(0, abs=1e-9)
    sets = rank_sets(fit)
    assert ((sets.best >= 1) & (sets.best <= sets.worst)).all()


def test_bad_options_are_refused():
    counts = simulate(4, 100, 0)
    with pytest.raises(InvalidInput, match="unknown tie_model 'davison': did you mean 'davidson'"):
        fit_bradley_terry(counts, tie_model="davison")
    with pytest.raises(InvalidInput, match="unknown covariance 'sandwitch'"):
        fit_bradley_terry(counts, covariance="sandwitch")
    with pytest.raises(InvalidInput, match=r"prior is -1"):
        fit_bradley_terry(counts, prior=-1)
    for rating in (float("nan"), float("-inf"), "x"):
        with pytest.raises(
            InvalidInput, match=r"^anchor_rating is .*; it must be a finite number$"
        ):
            fit_bradley_terry(counts, anchor_rating=rating)  # type: ignore[arg-type]
    for options, message in (
        ({"tolerance": float("nan")}, "tolerance is nan; it must be a finite number >= 0"),
        ({"tolerance": -1e-9}, "tolerance is -1e-09"),
        ({"max_iterations": -1}, "max_iterations is -1; it must be an integer, at least 0"),
    ):
        with pytest.raises(InvalidInput, match=message):
            fit_bradley_terry(counts, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"unknown model 'm00': did you mean"):
        fit_bradley_terry(counts, anchor="m00")
    with pytest.raises(InvalidInput, match=r"level is 1\.5"):
        fit_bradley_terry(counts).interval(1.5)
    lonely = counts_from_matrix([[0, 1, 1], [1, 0, 1], [0, 0, 0]])
    with pytest.raises(InvalidInput, match=r"anchor '2' has no rating \(status below\)"):
        fit_bradley_terry(lonely, anchor="2")


def test_no_convergence_is_said():
    counts = simulate(6, 500, 4, spread=2.0)
    with pytest.warns(RuntimeWarning, match="did not converge in 1 steps"):
        fit = fit_bradley_terry(counts, max_iterations=1)
    assert not fit.converged
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_bradley_terry(counts).converged


def test_extreme_odds_converge():
    fit = fit_bradley_terry(counts_from_matrix([[0, 10_000_000], [1, 0]]))
    assert fit.difference("0", "1")[0] == pytest.approx(np.log(1e7), rel=1e-9)


@pytest.mark.parametrize(
    "options", [{}, {"anchor": "m004"}, {"prior": 1.0}, {"tie_model": "davidson"}]
)
def test_sparse_systems_agree_with_dense_ones(monkeypatch, options):
    counts = simulate(60, 6000, 7)
    dense = fit_bradley_terry(counts, **options)
    monkeypatch.setattr(newton_module, "DENSE_LIMIT", 10)
    sparse = fit_bradley_terry(counts, **options)
    np.testing.assert_allclose(sparse.log_strength, dense.log_strength, atol=1e-7)
    assert not isinstance(sparse.covariance, np.ndarray)
    assert sparse.covariance.shape == (60, 60)
    ratio = sparse.standard_error / np.where(dense.standard_error > 0, dense.standard_error, 1)
    assert np.abs(ratio[dense.standard_error > 0] - 1).max() < 0.1
    assert abs(np.median(ratio) - 1) < 0.03
    assert (rank_sets(sparse).best >= 1).all()


@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_the_anchor_changes_no_difference_and_no_rank_set_of_a_sparse_fit(monkeypatch, prior):
    monkeypatch.setattr(newton_module, "DENSE_LIMIT", 10)
    counts = simulate(40, 4000, 3)
    free = fit_bradley_terry(counts, prior=prior)
    fit = fit_bradley_terry(counts, prior=prior, anchor="m004")
    assert fit.difference("m001", "m002") == pytest.approx(free.difference("m001", "m002"))
    for before, after in zip(vars(rank_sets(free)).values(), vars(rank_sets(fit)).values()):
        np.testing.assert_array_equal(before, after)


def test_sparse_systems_keep_leagues_and_statuses(monkeypatch):
    monkeypatch.setattr(newton_module, "DENSE_LIMIT", 1)
    wins = np.zeros((5, 5))
    wins[0, 1], wins[1, 0], wins[2, 3], wins[3, 2], wins[4, 0] = 3, 1, 4, 1, 2
    fit = fit_bradley_terry(counts_from_matrix(wins))
    assert fit.difference("0", "1")[0] == pytest.approx(np.log(3))
    assert fit.difference("2", "3")[0] == pytest.approx(np.log(4))
    assert fit.status["4"] == "above"
    assert np.isnan(fit.standard_error[4])
