"""The reduced objective and both engines: differences, identities, rows against moments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import Basis, reduced_objective
from equipoise.systems.rflaf.alternating import alternate
from equipoise.systems.rflaf.lifted_problem import LiftedProblem
from equipoise.systems.rflaf.row_problem import RowProblem
from equipoise.systems.rflaf.varpro import descend, hessian, orthonormal

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(120, 6))
Y = np.c_[np.sin(3 * Z[:, 0]) + 0.1 * RNG.normal(size=120), Z[:, 1] ** 2]
WEIGHT = RNG.uniform(0.5, 2, 120)
BASIS = Basis.uniform(7)


def both_problems(**changes):
    rows = RowProblem(Z, None, Y, WEIGHT, BASIS, exact=True, **changes)
    b = BASIS.values(Z).reshape(120, -1)
    w = WEIGHT[:, None]
    sums = ((b * w).T @ b, b.T @ (Y * w), WEIGHT @ b, WEIGHT @ Y, WEIGHT @ Y**2)
    return rows, LiftedProblem(*sums, WEIGHT.sum(), BASIS, **changes)


@pytest.mark.parametrize("rank", [None, 1, 2])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("intercept", [True, False])
def test_gradient_by_differences_and_homogeneity(rank, outputs, intercept):
    shape = (7,) if rank is None else (rank, 7)
    coef = np.random.default_rng(1).normal(size=shape)
    y = Y[:, 0] if outputs == 1 else Y
    options = {"alpha": 1e-2, "smooth": 1e-2, "sample_weight": WEIGHT, "fit_intercept": intercept}

    def at(c):
        return reduced_objective(c, Z, y, BASIS, **options)

    out = at(coef)
    assert out.gradient.shape == coef.shape
    # J* does not change along any move inside the row space of the coefficients
    assert abs(np.sum(out.gradient * coef)) < 1e-10
    assert at(7 * coef).value == pytest.approx(out.value, rel=1e-10)
    flat = np.empty(coef.size)
    for j in range(coef.size):
        step = np.zeros(coef.size)
        step[j] = 1e-5
        step = step.reshape(shape)
        flat[j] = (at(coef + step).value - at(coef - step).value) / 2e-5
    scale = np.abs(flat).max()
    np.testing.assert_allclose(out.gradient.ravel(), flat, rtol=1e-6, atol=1e-6 * scale)


def test_value_is_the_objective_at_its_readout():
    coef = np.random.default_rng(2).normal(size=7)
    out = reduced_objective(coef, Z, Y, BASIS, alpha=0.1, smooth=0.2, sample_weight=WEIGHT)
    phi = BASIS.values(Z) @ coef
    error = Y - phi @ out.readout - out.intercept
    d = np.diff(np.eye(7), n=2, axis=0)
    penalty = coef @ (0.1 * np.eye(7) + 0.2 * d.T @ d) @ coef * (out.readout**2).sum()
    value = (WEIGHT[:, None] * error**2).sum() / WEIGHT.sum() + penalty
    assert out.value == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(WEIGHT @ error, 0, atol=1e-9)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_rows_and_moments_agree(rank, intercept):
    a, _ = orthonormal(np.random.default_rng(rank).normal(size=(rank, 7)))
    rows, lifted = both_problems(fit_intercept=intercept)
    one, other = rows.evaluate(a, 1e-2, 1e-2), lifted.evaluate(a, 1e-2, 1e-2)
    assert one.value == pytest.approx(other.value, rel=1e-10)
    np.testing.assert_allclose(one.gradient, other.gradient, atol=1e-10)
    np.testing.assert_allclose(one.readout, other.readout, atol=1e-8)
    left, right = rows.curvature(a, one.readout), lifted.curvature(a, one.readout)
    for name in ("design_gram", "design_target", "error", "feature_design"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), atol=1e-9)
    grid = rows.path(a, 0.1).grid()
    np.testing.assert_allclose(
        rows.path(a, 0.1).gcv(grid), lifted.path(a, 0.1).gcv(grid), rtol=1e-6
    )
    np.testing.assert_allclose(rows.lifted_ridge(1e-3), lifted.lifted_ridge(1e-3), atol=1e-8)
    np.testing.assert_allclose(
        rows.intercept(a, one.readout), lifted.intercept(a, one.readout), atol=1e-9
    )
    for problem in (rows, lifted):
        same = problem.objective(a, one.readout, 1e-2, 1e-2)
        assert same == pytest.approx(one.value, rel=1e-9)


@pytest.mark.parametrize("rank", [1, 2])
def test_hessian_by_differences(rank):
    a, _ = orthonormal(np.random.default_rng(3).normal(size=(rank, 7)))
    rows, _ = both_problems()
    found = hessian(rows, a, rows.evaluate(a, 1e-2, 1e-2).readout, 1e-2, 1e-2)
    for j in range(a.size):
        step = np.zeros(a.size)
        step[j] = 1e-5
        step = step.reshape(a.shape)
        difference = (
            rows.evaluate(a + step, 1e-2, 1e-2).gradient
            - rows.evaluate(a - step, 1e-2, 1e-2).gradient
        )
        np.testing.assert_allclose(found[j], difference.ravel() / 2e-5, atol=1e-7)


def test_blocks_change_nothing():
    a, _ = orthonormal(np.random.default_rng(4).normal(size=(2, 7)))
    whole, _ = both_problems()
    small = RowProblem(Z, None, Y, WEIGHT, BASIS, exact=True, chunk_bytes=40_000)
    assert len(list(small.blocks())) > 10
    np.testing.assert_allclose(
        whole.evaluate(a, 1e-2, 0).gradient, small.evaluate(a, 1e-2, 0).gradient, atol=1e-11
    )
    readout = whole.evaluate(a, 1e-2, 0).readout
    np.testing.assert_allclose(
        whole.curvature(a, readout).error, small.curvature(a, readout).error, atol=1e-12
    )


@given(st.integers(0, 100), st.integers(1, 2))
@settings(max_examples=10)
def test_descent_ends_where_the_gradient_vanishes(seed, rank):
    a = np.random.default_rng(seed).normal(size=(rank, 7))
    rows, _ = both_problems()
    end = descend(rows, a, 1e-2, 1e-3, max_iter=200, tol=1e-9)
    assert np.all(np.diff(end.history) <= 1e-12)
    assert np.abs(end.evaluation.gradient).max() < 1e-5
    np.testing.assert_allclose(end.coef @ end.coef.T, np.eye(rank), atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_als_half_steps_never_increase_known_answer(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(150, 3))
    z = x @ rng.normal(size=(3, 8)) / 2
    y = np.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:] + 0.3 * rng.normal(size=(150, 1))
    problem = RowProblem(z, None, y, np.ones(150), Basis.uniform(9), exact=True)
    for rank in (1, 2):
        start = rng.normal(size=(rank, 9))
        history = np.array(alternate(problem, start, 1e-3, 1e-3, max_iter=40, tol=0).history)
        assert len(history) > 20
        assert np.all(np.diff(history) <= 1e-12 * history[:-1])


def test_bad_input():
    with pytest.raises(InvalidInput, match="coef has shape"):
        reduced_objective(np.ones(6), Z, Y, BASIS, alpha=1)
    with pytest.raises(InvalidInput, match="one row each"):
        reduced_objective(np.ones(7), Z, Y[:5], BASIS, alpha=1)
    with pytest.raises(InvalidInput, match="must be >= 0"):
        reduced_objective(np.ones(7), Z, Y, BASIS, alpha=-1)


@pytest.mark.slow
def test_teacher_recovery_known_answer():
    rng = np.random.default_rng(5)
    basis = Basis.uniform(17)
    weights = rng.normal(size=(5, 50))
    x, coef, readout = rng.normal(size=(2000, 5)), rng.normal(size=17), rng.normal(size=50)
    z = x @ weights
    y = (basis.values(z) @ coef) @ readout
    problem = RowProblem(z, None, y[:, None], np.ones(2000), basis, exact=True)
    ends = [
        descend(problem, rng.normal(size=(1, 17)), 1e-12, 0.0, max_iter=400, tol=0)
        for _ in range(5)
    ]
    best = min(ends, key=lambda end: end.value)
    assert best.value < 1e-8
    assert abs(best.coef[0] @ coef) / np.linalg.norm(coef) > 1 - 1e-6
