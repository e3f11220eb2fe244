"""Alternating least squares: each half-step by hand, and agreement with variable projection."""

import numpy as np
import pytest

from equipoise.systems.rflaf import Basis, reduced_objective
from equipoise.systems.rflaf.alternating import alternate
from equipoise.systems.rflaf.lifted_problem import LiftedProblem
from equipoise.systems.rflaf.row_problem import RowProblem
from equipoise.systems.rflaf.varpro import descend

RNG = np.random.default_rng(3)
Z = RNG.normal(size=(110, 6))
Y = np.c_[np.sin(2 * Z[:, 0]) + Z[:, 1], np.abs(Z[:, 2])] + 0.2 * RNG.normal(size=(110, 2))
WEIGHT = RNG.uniform(0.5, 2, 110)
BASIS = Basis.uniform(7)
START = {r: np.random.default_rng(r + 20).normal(size=(r, 7)) for r in (1, 2)}


def problem(**changes):
    return RowProblem(Z, None, Y, WEIGHT, BASIS, exact=True, **changes)


def lifted(**changes):
    b, w = BASIS.values(Z).reshape(110, -1), WEIGHT[:, None]
    sums = ((b * w).T @ b, b.T @ (Y * w), WEIGHT @ b, WEIGHT @ Y, WEIGHT @ Y**2)
    return LiftedProblem(*sums, WEIGHT.sum(), BASIS, **changes)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("make", [problem, lifted])
def test_one_iteration_is_two_ridges_by_hand(by_hand, rank, intercept, make):
    alpha, smooth = 1e-2, 2e-2
    p = by_hand.penalty(7, alpha, smooth)
    options = {"alpha": alpha, "smooth": smooth, "sample_weight": WEIGHT}
    end = alternate(make(fit_intercept=intercept), START[rank], alpha, smooth, max_iter=1, tol=0.0)
    # readout step at the orthonormal start
    a = np.linalg.qr(START[rank].T)[0].T
    first = reduced_objective(a, Z, Y, BASIS, fit_intercept=intercept, **options)
    # activation step: unknowns A, features sum_m V[m,r,k] B_i(z_m), one row for each (row, output)
    v = first.readout
    share = WEIGHT / WEIGHT.sum()
    psi = np.einsum("nmi,mrk->nkri", BASIS.values(Z), v).reshape(110, 2, -1)
    target = Y
    if intercept:
        psi, target = psi - np.tensordot(share, psi, axes=1), Y - share @ Y
    flat, root = psi.reshape(220, -1), np.sqrt(np.repeat(share, 2))
    system = np.kron(np.einsum("mrk,mqk->rq", v, v), p)
    coef, _, value = by_hand.ridge(
        flat * root[:, None], target.ravel() * root, system / 220, intercept=False
    )
    assert end.history[0] == pytest.approx(first.value, rel=1e-9)
    assert end.history[1] == pytest.approx(220 * value, rel=1e-8)
    second = reduced_objective(
        coef.reshape(rank, 7), Z, Y, BASIS, fit_intercept=intercept, **options
    )
    assert end.history[2] == pytest.approx(second.value, rel=1e-8)
    # the same row space
    np.testing.assert_allclose(
        end.coef.T @ end.coef,
        (lambda q: q @ q.T)(np.linalg.qr(coef.reshape(rank, 7).T)[0]),
        atol=1e-6,
    )


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("make", [problem, lifted])
def test_half_steps_never_increase_on_either_engine(rank, make):
    history = np.array(alternate(make(), START[rank], 1e-3, 1e-3, max_iter=60, tol=0.0).history)
    assert len(history) > 40
    assert np.all(np.diff(history) <= 1e-12 * history[:-1])


@pytest.mark.parametrize("rank", [1, 2])
def test_it_ends_where_variable_projection_ends(rank):
    slow = alternate(problem(), START[rank], 3e-2, 3e-2, max_iter=2000, tol=1e-12)
    fast = descend(problem(), slow.coef, 3e-2, 3e-2, max_iter=200, tol=0.0)
    assert fast.value <= slow.value
    assert fast.value == pytest.approx(slow.value, rel=1e-5)
    assert np.abs(slow.evaluation.gradient).max() < 1e-3 * slow.value


def test_an_optimum_is_kept():
    best = descend(problem(), START[1], 1e-2, 1e-2, max_iter=300, tol=0.0)
    again = alternate(problem(), best.coef, 1e-2, 1e-2, max_iter=5, tol=0.0)
    assert again.value == pytest.approx(best.value, rel=1e-8)
    assert abs(again.coef[0] @ best.coef[0]) > 1 - 1e-6


def test_a_single_function_leaves_nothing_to_alternate():
    one = RowProblem(Z, None, Y, WEIGHT, Basis.uniform(1), exact=True)
    end = alternate(one, np.array([[5.0]]), 1e-2, 0.0, max_iter=20, tol=1e-12)
    assert end.coef.ravel() == pytest.approx([1.0])
    value = reduced_objective([1.0], Z, Y, Basis.uniform(1), alpha=1e-2, sample_weight=WEIGHT).value
    assert end.value == pytest.approx(value, rel=1e-12)


def test_iterations_are_counted_not_half_steps():
    from equipoise.systems.rflaf import RFLAFRegressor

    model = RFLAFRegressor(
        12, 7, solver="als", alpha=1e-3, smooth=0.0, n_starts=1, max_iter=6, random_state=0
    ).fit(Z[:, :2], Y)
    assert model.objective_history_.size == 1 + 2 * model.n_iter_
