"""Variable projection: J* against augmented least squares and a joint search, and its descent."""

import numpy as np
import pytest
from scipy.optimize import minimize

from equipoise.systems.rflaf import Basis, reduced_objective
from equipoise.systems.rflaf.row_problem import RowProblem
from equipoise.systems.rflaf.varpro import descend

RNG = np.random.default_rng(7)
Z = RNG.normal(size=(90, 5))
Y = np.c_[np.tanh(2 * Z[:, 0]) * Z[:, 1], np.cos(2 * Z[:, 2])] + 0.1 * RNG.normal(size=(90, 2))
WEIGHT = RNG.uniform(0.2, 3, 90)
START = {r: np.random.default_rng(r).normal(size=(r, 7)) for r in (1, 2)}


def rows_problem(y=Y, weight=WEIGHT, basis=None, **changes):
    at = Basis.uniform(7) if basis is None else basis
    return RowProblem(Z, None, y, weight, at, exact=True, **changes)


@pytest.mark.parametrize("kind", ["rbf", "bspline", "poly"])
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_reduced_objective_is_a_weighted_ridge(by_hand, kind, rank, intercept):
    basis = Basis.uniform(5, kind=kind, width=1.3)
    coef = np.random.default_rng(rank).normal(size=(rank, 5))
    out = reduced_objective(
        coef,
        Z,
        Y,
        basis,
        alpha=1e-2,
        smooth=3e-2,
        sample_weight=WEIGHT,
        fit_intercept=intercept,
    )
    inner = coef @ by_hand.penalty(5, 1e-2, 3e-2) @ coef.T
    phi = by_hand.features(basis, Z, coef)
    v, b, value = by_hand.ridge(phi, Y, np.kron(np.eye(5), inner), WEIGHT, intercept=intercept)
    assert out.value == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(out.readout.reshape(v.shape), v, atol=1e-7)
    np.testing.assert_allclose(out.intercept, b, atol=1e-7)


def test_shapes_follow_those_of_the_arguments():
    basis = Basis.uniform(4)
    one = reduced_objective(np.arange(1.0, 5), Z, Y[:, 0], basis, alpha=0.1)
    assert one.readout.shape == (5,)
    assert isinstance(one.intercept, float)
    several = reduced_objective(np.eye(4)[:2], Z, Y[:, 0], basis, alpha=0.1)
    assert several.readout.shape == (5, 2)
    both = reduced_objective(np.eye(4)[:2], Z, Y, basis, alpha=0.1)
    assert both.readout.shape == (5, 2, 2)
    assert np.shape(both.intercept) == (2,)
    column = reduced_objective(np.arange(1.0, 5), Z, Y[:, :1], basis, alpha=0.1)
    assert column.readout.shape == (5, 1)
    assert column.value == pytest.approx(one.value, rel=1e-12)


@pytest.mark.parametrize("rank", [2, 3])
def test_only_the_row_space_of_the_coefficients_matters(rank):
    rng = np.random.default_rng(rank)
    coef, turn = rng.normal(size=(rank, 7)), rng.normal(size=(rank, rank))
    basis, options = Basis.uniform(7), {"alpha": 1e-2, "smooth": 1e-2}
    plain = reduced_objective(coef, Z, Y, basis, **options)
    turned = reduced_objective(turn @ coef, Z, Y, basis, **options)
    assert turned.value == pytest.approx(plain.value, rel=1e-9)
    # the gradient has no part inside that space
    assert np.abs(plain.gradient @ coef.T).max() < 1e-9


def test_another_activation_never_raises_the_objective():
    coef = np.random.default_rng(0).normal(size=(3, 7))
    values = [
        reduced_objective(coef[:r], Z, Y, Basis.uniform(7), alpha=1e-3).value for r in (1, 2, 3)
    ]
    assert values[0] >= values[1] >= values[2]


@pytest.mark.parametrize("intercept", [True, False])
def test_weights_equal_repeats_and_the_order_of_rows_does_not_matter(intercept):
    times = np.random.default_rng(3).integers(0, 4, 90)
    basis, options = Basis.uniform(6), {"alpha": 1e-3, "fit_intercept": intercept}
    coef = np.random.default_rng(4).normal(size=6)
    weighted = reduced_objective(coef, Z, Y, basis, sample_weight=times, **options)
    order = np.random.default_rng(5).permutation(np.repeat(np.arange(90), times))
    repeated = reduced_objective(coef, Z[order], Y[order], basis, **options)
    assert weighted.value == pytest.approx(repeated.value, rel=1e-10)
    np.testing.assert_allclose(weighted.gradient, repeated.gradient, atol=1e-10)
    scaled = reduced_objective(coef, Z, Y, basis, sample_weight=1000.0 * times, **options)
    assert scaled.value == pytest.approx(weighted.value, rel=1e-12)


def test_the_extremes_of_the_penalty():
    basis, coef = Basis.uniform(6), np.random.default_rng(6).normal(size=6)
    phi = basis.values(Z) @ coef
    design = np.c_[phi, np.ones(90)]
    rest = Y - design @ np.linalg.lstsq(design, Y, rcond=None)[0]
    none = reduced_objective(coef, Z, Y, basis, alpha=0.0)
    assert none.value == pytest.approx((rest**2).sum() / 90, rel=1e-9)
    all_of_it = reduced_objective(coef, Z, Y, basis, alpha=1e12)
    assert all_of_it.value == pytest.approx(Y.var(axis=0).sum(), rel=1e-6)
    assert np.abs(all_of_it.readout).max() < 1e-9


@pytest.mark.parametrize("n_basis", [1, 2])
def test_few_functions_have_no_second_differences(n_basis):
    basis, coef = Basis.uniform(n_basis), np.ones(n_basis)
    plain = reduced_objective(coef, Z, Y, basis, alpha=1e-2)
    smoothed = reduced_objective(coef, Z, Y, basis, alpha=1e-2, smooth=5.0)
    assert smoothed.value == plain.value
    straight = np.arange(5.0)  # no second differences either
    plain = reduced_objective(straight, Z, Y, Basis.uniform(5), alpha=1e-2)
    smoothed = reduced_objective(straight, Z, Y, Basis.uniform(5), alpha=1e-2, smooth=5.0)
    assert smoothed.value == pytest.approx(plain.value, rel=1e-12)
    assert np.abs(smoothed.gradient - plain.gradient).max() < 1e-12


@pytest.mark.parametrize("rank", [1, 2])
def test_a_joint_search_over_all_unknowns_finds_nothing_better(by_hand, rank):
    basis, alpha, smooth = Basis.uniform(7), 1e-2, 1e-2
    y = Y[:, :1]
    end = descend(rows_problem(y), START[rank], alpha, smooth, max_iter=300, tol=0.0)
    p, share = by_hand.penalty(7, alpha, smooth), WEIGHT / WEIGHT.sum()
    b_values = basis.values(Z)

    def joint(x):
        a, v, b = x[: 7 * rank].reshape(rank, 7), x[7 * rank : -1].reshape(5, rank), x[-1]
        theta = v @ a
        error = np.tensordot(b_values, theta, axes=2) + b - y[:, 0]
        pull = theta @ p
        slope = np.einsum("n,nmi->mi", 2 * share * error, b_values) + 2 * pull
        gradient = [(v.T @ slope).ravel(), (slope @ a.T).ravel(), [2 * share @ error]]
        return share @ error**2 + (theta * pull).sum(), np.concatenate(gradient)

    readout = end.evaluation.readout[:, :, 0]
    bias = share @ (y[:, 0] - np.tensordot(b_values, readout @ end.coef, axes=2))
    there = np.concatenate([end.coef.ravel(), readout.ravel(), [bias]])
    value, gradient = joint(there)
    assert value == pytest.approx(end.value, rel=1e-9)
    assert np.abs(gradient).max() < 1e-6
    further = minimize(joint, there, jac=True, method="BFGS", options={"gtol": 1e-12})
    assert further.fun > end.value * (1 - 1e-7)
    # a search that knows nothing of projection, begun at the same activation, ends no lower
    afresh = np.concatenate([START[rank].ravel(), np.zeros(5 * rank), [0.0]])
    afresh[7 * rank : -1] = 0.1
    other = minimize(joint, afresh, jac=True, method="BFGS", options={"maxiter": 3000})
    assert end.value < other.fun * 1.05


@pytest.mark.parametrize("newton", [True, False])
@pytest.mark.parametrize("rank", [1, 2])
def test_every_iteration_lowers_the_objective(newton, rank):
    problem = rows_problem()
    end = descend(problem, START[rank], 1e-3, 0.0, max_iter=60, tol=1e-12, newton=newton)
    history = np.array(end.history)
    assert history[0] == pytest.approx(problem.evaluate(START[rank], 1e-3, 0.0).value)
    assert np.all(np.diff(history) <= 0)
    assert history[-1] == pytest.approx(end.value, rel=1e-13)
    assert history[-1] < 0.9 * history[0]
    np.testing.assert_allclose(end.coef @ end.coef.T, np.eye(rank), atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_newton_steps_end_where_quasi_newton_steps_end(rank):
    start = np.random.default_rng(rank).normal(size=(rank, 7))
    slow = descend(rows_problem(), start, 1e-2, 1e-2, max_iter=400, tol=0.0, newton=False)
    fast = descend(rows_problem(), slow.coef, 1e-2, 1e-2, max_iter=50, tol=0.0)
    assert np.abs(slow.evaluation.gradient).max() < 1e-5 * slow.value
    assert fast.value == pytest.approx(slow.value, rel=1e-9)
    np.testing.assert_allclose(fast.coef.T @ fast.coef, slow.coef.T @ slow.coef, atol=1e-3)


def test_iterations_are_limited_and_a_coarser_tolerance_stops_sooner():
    problem = rows_problem()
    assert len(descend(problem, START[1], 1e-4, 0.0, max_iter=3, tol=0.0).history) <= 5
    lengths = [
        len(descend(problem, START[1], 1e-4, 0.0, max_iter=300, tol=tol).history)
        for tol in (1e-2, 1e-5, 1e-10)
    ]
    assert lengths[0] <= lengths[1] <= lengths[2]
    assert lengths[0] < lengths[2]


@pytest.mark.parametrize("shape", [np.tanh, np.cos, lambda z: np.maximum(z, 0.0)])
def test_a_planted_activation_is_found(shape):
    rng = np.random.default_rng(11)
    basis, x = Basis.uniform(13), rng.normal(size=(600, 6)) / 3
    z = x @ rng.normal(size=(6, 20))
    y = shape(z) @ rng.normal(size=20)
    y = y + 0.01 * y.std() * rng.normal(size=600)
    problem = RowProblem(z, None, y[:, None], np.ones(600), basis, exact=True)
    start = np.ones((1, 13)) + rng.normal(size=(1, 13)) / 5
    end = descend(problem, start, 1e-7, 1e-7, max_iter=300, tol=1e-10)
    # it fits at least as well as the planted curve, brought into the basis
    planted = np.linalg.lstsq(basis.values(z.ravel()), shape(z.ravel()), rcond=None)[0]
    assert end.value <= problem.evaluate(planted[None], 1e-7, 1e-7).value * (1 + 1e-6)
    # twenty units of six columns determine the curve up to a factor, a constant and a slope
    grid = np.linspace(-1.5, 1.5, 101)
    line = np.c_[np.ones(101), grid]
    curves = np.c_[basis.values(grid) @ end.coef[0], shape(grid)]
    bent = curves - line @ np.linalg.lstsq(line, curves, rcond=None)[0]
    assert abs(np.corrcoef(bent.T)[0, 1]) > 0.95
