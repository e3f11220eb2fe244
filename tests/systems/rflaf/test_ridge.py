"""Leave-one-out against refits, GCV, alpha grids, degenerate systems."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.rflaf import leave_one_out
from equipoise.systems.rflaf.ridge import (
    path_of_gram,
    path_of_rows,
    penalty_matrix,
    relative_floor,
    solve_rows,
    solve_spd,
)


def refit(x, y, w, penalty, intercept):
    """Ridge with an absolute penalty, by an augmented least squares problem."""
    design = np.c_[x, np.ones(len(x))] if intercept else x
    root = np.sqrt(w)[:, None]
    ridge = np.sqrt(penalty) * np.eye(design.shape[1])
    if intercept:
        ridge[-1] = 0
    rows = np.vstack([design * root, ridge])
    right = np.vstack([y * root, np.zeros((len(ridge), y.shape[1]))])
    solved = np.linalg.lstsq(rows, right, rcond=None)[0]
    return lambda new: (np.c_[new, np.ones(len(new))] if intercept else new) @ solved


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_leave_one_out_against_refits_known_answer(intercept, weighted, alpha):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(25, 6)), rng.normal(size=(25, 2))
    w = rng.uniform(0.2, 3, 25) if weighted else np.ones(25)
    out = leave_one_out(x, y, alpha, sample_weight=w if weighted else None, fit_intercept=intercept)
    for i in range(25):
        rest = np.arange(25) != i
        predict = refit(x[rest], y[rest], w[rest], w.sum() * alpha, intercept)
        np.testing.assert_allclose(
            out.residuals[i], (y[i : i + 1] - predict(x[i : i + 1]))[0], atol=1e-8
        )
    assert out.mse == pytest.approx((w[:, None] * out.residuals**2).sum() / w.sum())
    assert out.dof == pytest.approx(out.leverage.sum())
    residual = y - refit(x, y, w, w.sum() * alpha, intercept)(x)
    rss = (w[:, None] * residual**2).sum() / w.sum()
    assert out.gcv == pytest.approx(rss / (1 - out.dof / w.sum()) ** 2)
    single = leave_one_out(x, y[:, 0], alpha, sample_weight=w, fit_intercept=intercept)
    np.testing.assert_allclose(single.residuals, out.residuals[:, 0])


@given(st.integers(3, 40), st.integers(1, 20), st.floats(1e-6, 10))
@settings(max_examples=25)
def test_path_equals_leave_one_out(n, p, alpha):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, p)), rng.normal(size=(n, 1))
    rows, targets = (x - x.mean(0)) / np.sqrt(n), (y - y.mean(0)) / np.sqrt(n)
    share = np.full(n, 1 / n)
    path = path_of_rows(rows, targets, np.eye(1), n, share, keep_rows=True)
    out = leave_one_out(x, y, alpha)
    assert path.dof(alpha) == pytest.approx(out.dof, rel=1e-6)
    assert path.gcv(alpha) == pytest.approx(out.gcv, rel=1e-4)
    assert path.leave_one_out(alpha)[0] == pytest.approx(out.mse, rel=1e-4)
    square = float((targets**2).sum())
    other = path_of_gram(rows.T @ rows, rows.T @ targets, square, np.eye(1), n, intercept=True)
    assert other.gcv(alpha) == pytest.approx(out.gcv, rel=1e-4)
    assert other.choose() == pytest.approx(path.choose(), rel=1e-6)
    with pytest.raises(InvalidInput, match="needs the rows"):
        other.leave_one_out(alpha)


def test_choice_keeps_degrees_of_freedom():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(20, 60)) / np.sqrt(20)
    path = path_of_rows(rows, rng.normal(size=(20, 1)), np.eye(1), 20, np.full(20, 0.05))
    assert path.dof(path.choose()) <= 18
    assert relative_floor(300, 15) == pytest.approx(1e-3)
    assert relative_floor(60, 3000) == pytest.approx(1e-6)
    assert 1e-6 < relative_floor(60, 200) < 1e-3


@pytest.mark.parametrize(("n", "p"), [(30, 8), (8, 30)])
@pytest.mark.parametrize("rank", [1, 2])
def test_solving_through_either_side(n, p, rank):
    rng = np.random.default_rng(2)
    rows, targets = rng.normal(size=(n, p)), rng.normal(size=(n, 2))
    half = rng.normal(size=(rank, rank))
    penalty = half @ half.T + np.eye(rank)
    v = solve_rows(rows, targets, penalty, 1.0)
    system = rows.T @ rows + np.kron(np.eye(p // rank), penalty)
    np.testing.assert_allclose(system @ v, rows.T @ targets, atol=1e-9)


def test_penalty_matrix():
    np.testing.assert_array_equal(penalty_matrix(2, 0.5, 3.0), 0.5 * np.eye(2))
    p = penalty_matrix(4, 1.0, 1.0)
    line = np.arange(4.0)
    assert line @ p @ line == pytest.approx(line @ line)  # a line has no second differences


def test_singular_and_broken_systems():
    v = solve_spd(np.diag([1.0, 0.0]), np.array([[2.0], [0.0]]), 0.0)
    np.testing.assert_allclose(v, [[2.0], [0.0]])
    with pytest.raises(RunFailed, match=r"alpha = 0\.5"):
        solve_spd(np.array([[np.nan]]), np.ones((1, 1)), 0.5)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.ones(3), np.ones(3), 1.0), {}, "one row each"),
        ((np.ones((3, 1)), np.ones(3), -1.0), {}, "alpha is -1.0"),
        ((np.ones((3, 1)), [1, 2, np.nan], 1.0), {}, "y holds NaN"),
        ((np.ones((3, 1)), np.ones(3), 1.0), {"sample_weight": [0, 0, 0]}, "not all zero"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(InvalidInput, match=message):
        leave_one_out(*arguments, **options)
