"""Starts, alpha, smooth and rank: GCV and leave-one-out by hand, and what is kept of several."""

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.rflaf import Basis, RFLAFRegressor, leave_one_out, reduced_objective
from equipoise.systems.rflaf.choosing import Search, fit_activation, starting_points
from equipoise.systems.rflaf.ridge import SMOOTH_RATIOS, penalty_matrix
from equipoise.systems.rflaf.row_problem import RowProblem

X, Y = make_friedman1(140, n_features=5, noise=0.7, random_state=3)
SMALL = {"n_components": 14, "n_basis": 7, "random_state": 0, "n_starts": 2, "max_iter": 40}


def regressor(**changes):
    return RFLAFRegressor(**(SMALL | changes))


def problem(n=100, seed=0, n_basis=7):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 6))
    y = np.sin(2 * z[:, :1]) * z[:, 1:2] + 0.2 * rng.normal(size=(n, 1))
    return RowProblem(z, None, y, np.ones(n), Basis.uniform(n_basis), exact=True)


@pytest.mark.parametrize("engine", ["data", "lifted"])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_reported_gcv_is_that_of_the_reported_model(by_hand, engine, rank, weighted):
    weight = np.random.default_rng(1).uniform(0.5, 2, 140) if weighted else None
    m = regressor(engine=engine, rank=rank).fit(X, Y, weight)
    # whitened features have the penalty alpha * identity, which `leave_one_out` knows
    a = m.activation_coef_
    inner = a @ by_hand.penalty(7, 1.0, m.smooth_ / m.alpha_) @ a.T
    white = np.linalg.inv(np.linalg.cholesky(inner)).T
    phi = by_hand.model_features(m, X).reshape(140, -1, rank) @ white
    found = leave_one_out(phi.reshape(140, -1), Y, m.alpha_, sample_weight=weight)
    assert m.gcv_ == pytest.approx(found.gcv, rel=1e-4)
    assert found.dof < 0.9 * (140 if weight is None else weight.sum())


@pytest.mark.parametrize("criterion", ["gcv", "loo"])
def test_the_chosen_alpha_beats_its_neighbours(by_hand, criterion):
    m = regressor(alpha=criterion, smooth=0.0, engine="data").fit(X, Y)
    phi = by_hand.model_features(m, X)

    def score(alpha):
        out = leave_one_out(phi, Y, alpha)
        return out.gcv if criterion == "gcv" else out.mse

    # the activation moves once more after alpha was chosen: neighbours some grid steps away
    for factor in (1e-3, 0.03, 30.0, 1e3):
        assert score(m.alpha_) < 1.01 * score(m.alpha_ * factor)


def test_noise_alone_gets_a_strong_penalty_and_a_clean_signal_a_weak_one():
    def penalty(m):
        a = m.activation_coef_
        return float(np.trace(a @ penalty_matrix(7, m.alpha_, m.smooth_) @ a.T))

    draws = [np.random.default_rng(seed).normal(size=140) for seed in range(7)]
    strong = [regressor().fit(X, noise) for noise in draws]
    weak = regressor().fit(X, np.sin(X[:, 0]))
    assert np.median([penalty(m) for m in strong]) > 1000 * penalty(weak)
    assert np.mean([np.std(m.predict(X)) for m in strong]) < 0.25
    assert weak.score(X, np.sin(X[:, 0])) > 0.99


def test_smooth_is_one_of_six_multiples_of_alpha():
    found = [regressor(random_state=s).fit(X, Y) for s in range(3)]
    for m in found:
        assert np.isclose(m.smooth_ / m.alpha_, SMOOTH_RATIOS).any()
    forced = regressor(smooth=0.0).fit(X, Y)
    assert forced.smooth_ == 0
    # choosing smooth too cannot be much worse by the criterion it is chosen by
    assert found[0].gcv_ < 1.02 * forced.gcv_


def test_a_smoothness_penalty_flattens_the_activation():
    bends = []
    for smooth in (0.0, 1e-2, 1.0, 100.0):
        a = regressor(alpha=1e-3, smooth=smooth, n_basis=15).fit(X, Y).activation_coef_[0]
        bends.append(np.linalg.norm(np.diff(a, n=2)))
    assert bends[0] > bends[1] > bends[2] > bends[3]


def test_rank_auto_keeps_the_rank_of_least_gcv():
    alone = [regressor(rank=r).fit(X, Y) for r in (1, 2, 3, 4)]
    best = min(alone, key=lambda m: m.gcv_)
    auto = regressor(rank="auto").fit(X, Y)
    assert auto.gcv_ == pytest.approx(best.gcv_, rel=1e-9)
    np.testing.assert_allclose(auto.predict(X), best.predict(X))
    assert regressor(rank="auto", n_basis=2).fit(X, Y).activation_coef_.shape[0] <= 2


def test_starts_are_one_spectral_and_the_rest_drawn():
    p = problem()
    points = starting_points(p, Search(n_starts=4, seed=5), 2)
    assert [a.shape for a in points] == [(2, 7)] * 4
    np.testing.assert_allclose(points[0] @ points[0].T, np.eye(2), atol=1e-10)
    longer = starting_points(p, Search(n_starts=6, seed=5), 2)
    for one, other in zip(points, longer):
        np.testing.assert_array_equal(one, other)
    other_seed = starting_points(p, Search(n_starts=4, seed=6), 2)
    np.testing.assert_array_equal(other_seed[0], points[0])
    assert not np.allclose(other_seed[1], points[1])


def test_without_lifted_ridge_every_start_is_drawn():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(30, 700))  # 700 * 9 > 6000
    wide = RowProblem(z, None, z[:, :1], np.ones(30), Basis.uniform(9), exact=True)
    points = starting_points(wide, Search(n_starts=2, seed=0), 1)
    assert len(points) == 2
    assert np.abs(np.linalg.norm(np.vstack(points), axis=1) - 1).min() > 1e-6


@pytest.mark.parametrize("solver", ["varpro", "als"])
def test_the_kept_start_is_the_best_and_goes_on_from_there(solver):
    search = Search(solver=solver, alpha=1e-3, smooth=0.0, n_starts=6, seed=1)
    found = fit_activation(problem(), search)
    assert len(found.starts) == 6
    assert found.objective <= min(found.starts) * (1 + 1e-9)
    assert np.all(np.diff(found.history) <= 1e-12 * found.history[0])
    assert found.history[-1] == pytest.approx(found.objective, rel=1e-9)
    one = fit_activation(problem(), Search(solver=solver, alpha=1e-3, smooth=0.0, n_starts=1))
    assert found.objective <= one.objective * (1 + 1e-3)


def test_solvers_and_engines_reach_one_objective():
    options = {"alpha": 1e-2, "smooth": 1e-2, "n_starts": 4, "tol": 1e-10}
    values = [
        regressor(solver=s, engine=e, max_iter=1500 if s == "als" else 300, **options)
        .fit(X, Y)
        .objective_
        for s, e in (("varpro", "data"), ("varpro", "lifted"), ("als", "data"), ("als", "lifted"))
    ]
    assert max(values) < min(values) * (1 + 1e-4)


def test_the_end_is_stationary_for_the_reduced_objective():
    m = regressor(alpha=1e-2, smooth=1e-2, tol=1e-12, max_iter=300).fit(X, Y)
    z = ((X - m.offset_) / m.scale_) @ m.random_weights_
    out = reduced_objective(m.activation_coef_, z, Y, m.basis_, alpha=1e-2, smooth=1e-2)
    assert out.value == pytest.approx(m.objective_, rel=1e-6)
    assert np.abs(out.gradient).max() < 1e-5 * out.value


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_of_starts_in_different_valleys_the_deepest_is_kept(seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 12)) / 2
    basis = Basis.uniform(13)
    y = basis.values(z) @ rng.normal(size=13) @ rng.normal(size=12)
    rows = RowProblem(z, None, y[:, None], np.ones(300), basis, exact=True)
    search = Search(alpha=1e-6, smooth=0.0, n_starts=8, max_iter=4, seed=seed)
    found = fit_activation(rows, search)
    assert max(found.starts) > 1.2 * min(found.starts)
    # where the deepest one stood when starts were compared is on the way that was kept
    assert np.isclose(found.history, min(found.starts), rtol=1e-12).any()
    assert found.objective <= min(found.starts) * (1 + 1e-9)


def test_threads_change_nothing():
    one, two = (regressor(n_jobs=jobs, n_starts=4).fit(X, Y) for jobs in (None, 2))
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    np.testing.assert_array_equal(one.start_objectives_, two.start_objectives_)


def test_a_search_without_any_finite_start_names_alpha():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(20, 3))
    huge = RowProblem(z, None, np.full((20, 1), 1e200) * z[:, :1], np.ones(20), Basis.uniform(5))
    with (
        np.errstate(all="ignore"),
        pytest.raises(RunFailed, match=r"finite objective at alpha = 0\.1"),
    ):
        fit_activation(huge, Search(alpha=0.1, smooth=0.0, n_starts=2))


def test_verbose_says_what_the_starts_reached(capsys):
    regressor(verbose=1, n_starts=3).fit(X, Y)
    said = "".join(capsys.readouterr())
    assert "objective of the starts" in said
    assert said.count(",") >= 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": np.nan}, "alpha is nan"),
        ({"alpha": True}, "alpha is True"),
        ({"smooth": "loo"}, "unknown smooth 'loo'"),
        ({"rank": 0}, "rank is 0"),
        ({"rank": 1.5}, "rank is 1.5"),
        ({"rank": "full"}, "unknown rank 'full'"),
        ({"n_starts": 0}, "n_starts is 0"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"tol": np.inf}, "tol is inf"),
        ({"activation_rows": 0}, "activation_rows is 0"),
        ({"width": "1"}, "width is '1'"),
        ({"span": 2.0}, "span is 2.0"),
        ({"solver_options": [1]}, "solver_options is"),
        ({"solver_options": {"chunk_bytes": 0}}, "chunk_bytes"),
        ({"n_components": 2.0}, "n_components is 2.0"),
    ],
)
def test_wrong_parameters_are_refused_in_one_line(changes, words):
    with pytest.raises(InvalidInput, match=words) as refused:
        regressor(**changes).fit(X, Y)
    assert "\n" not in str(refused.value)
