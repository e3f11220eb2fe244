"""The solver: assembled matrices, dense and sparse systems, a search that must not overshoot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.preference.ratings import newton
from equipoise.preference.ratings.newton import (
    DenseSystem,
    Evaluation,
    SparseSystem,
    assemble,
    covariance_diagonal,
    factorise,
    league_means,
    maximise,
)
from equipoise.preference.ratings.tally import tally, tally_both, tally_difference

ONE_LEAGUE = np.zeros(6, dtype=np.intp)
TWO_LEAGUES = np.array([0, 1, 0, 1, 0, 1])


def _graph(gauge, seed=0):
    """Return pairs inside leagues, their weights, and the Laplacian as a sum of single edges."""
    rng = np.random.default_rng(seed)
    k = len(gauge)
    pairs = np.array([(i, j) for i in range(k) for j in range(i + 1, k) if gauge[i] == gauge[j]])
    weight = rng.uniform(0.5, 3.0, len(pairs))
    edges = np.eye(k)[pairs[:, 0]] - np.eye(k)[pairs[:, 1]]
    return pairs, weight, edges.T @ (weight[:, None] * edges)


def _bordered(gauge):
    pairs, weight, laplacian = _graph(gauge)
    k = len(gauge)
    border = np.random.default_rng(2).normal(size=(k, 2)) * 0.1
    border = border - league_means(gauge) @ border
    corner = np.array([[2.0, 0.3], [0.3, 1.5]])
    return pairs, weight, border, corner, np.block([[laplacian, border], [border.T, corner]])


@pytest.mark.parametrize("limit", [3, 2000], ids=["sparse", "dense"])
def test_matrices_are_laplacians_with_borders(monkeypatch, limit):
    monkeypatch.setattr(newton, "DENSE_LIMIT", limit)
    pairs, weight, border, corner, expected = _bordered(ONE_LEAGUE)
    matrix = assemble(6, pairs, weight, border=border, corner=corner)
    assert isinstance(matrix, np.ndarray) == (limit > 6)
    whole = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
    np.testing.assert_allclose(whole, expected, atol=1e-12)
    pinned = assemble(6, pairs, weight, diagonal=np.arange(6.0))
    pinned = pinned if isinstance(pinned, np.ndarray) else pinned.toarray()
    np.testing.assert_allclose(pinned, _graph(ONE_LEAGUE)[2] + np.diag(np.arange(6.0)), atol=1e-12)


@pytest.mark.parametrize("gauge", [ONE_LEAGUE, TWO_LEAGUES], ids=["one league", "two leagues"])
@pytest.mark.parametrize("kind", [DenseSystem, SparseSystem])
def test_both_systems_solve_on_the_centred_space(kind, gauge):
    expected = _bordered(gauge)[-1]
    inverse = np.linalg.pinv(expected)
    right = np.random.default_rng(3).normal(size=(8, 3))
    right[:6] -= league_means(gauge) @ right[:6]
    if kind is DenseSystem:
        system = DenseSystem(expected, 6, gauge)
        np.testing.assert_allclose(system.inverse(), inverse, atol=1e-10)
    else:
        from scipy.sparse import csr_array

        system = SparseSystem(csr_array(expected), 6, gauge)
    np.testing.assert_allclose(system.solve(right), inverse @ right, atol=1e-9)
    np.testing.assert_allclose(system.solve(right[:, 0]), (inverse @ right)[:, 0], atol=1e-9)
    assert system.solve(np.zeros(8)).tolist() == [0.0] * 8


def test_pinned_strengths_need_no_gauge():
    pairs, weight, laplacian = _graph(ONE_LEAGUE)
    pinned = assemble(6, pairs, weight, diagonal=np.ones(6))
    system = factorise(pinned, 6, None)
    assert isinstance(system, DenseSystem)
    np.testing.assert_allclose(system.inverse(), np.linalg.inv(laplacian + np.eye(6)), atol=1e-12)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_league_means_average_within_leagues(labels):
    gauge = np.unique(labels, return_inverse=True)[1].astype(np.intp)
    x = np.arange(len(labels)) ** 2.0
    expected = [x[gauge == league].mean() for league in gauge]
    np.testing.assert_allclose(league_means(gauge) @ x, expected)


def test_a_matrix_that_is_not_positive_is_refused():
    with pytest.raises(np.linalg.LinAlgError, match="not positive"):
        DenseSystem(np.diag([1.0, -1.0]), 2, None)


@pytest.mark.parametrize("sandwiched", [False, True])
@pytest.mark.parametrize("gauge", ["free", None])
def test_probed_variances_are_near_the_exact_ones(monkeypatch, sandwiched, gauge):
    monkeypatch.setattr(newton, "DENSE_LIMIT", 3)
    league = np.zeros(80, dtype=np.intp)
    pairs, weight, laplacian = _graph(league)
    diagonal = None if gauge else np.full(80, 2.0)
    exact = laplacian if diagonal is None else laplacian + np.diag(diagonal)
    matrix = assemble(80, pairs, weight, diagonal=diagonal)
    system = SparseSystem(matrix, 80, league if gauge else None)
    middle = assemble(80, pairs, 0.5 * weight) if sandwiched else None
    inverse = np.linalg.pinv(exact)
    if sandwiched:
        inverse = inverse @ (0.5 * laplacian) @ inverse
    if diagonal is not None:
        centre = np.eye(80) - 1 / 80
        inverse = centre @ inverse @ centre
    found = covariance_diagonal(system, middle, 0 if diagonal is None else 80)
    ratio = found / inverse.diagonal()
    assert np.abs(ratio - 1).max() < 0.2
    assert ratio.mean() == pytest.approx(1, abs=0.02)


def _climb(value, slope, curve, start, **more):
    def evaluate(x):
        return Evaluation(
            np.array([slope(x[0])]), lambda: value(x[0]), lambda: np.array([[curve(x[0])]])
        )

    options = {"tolerance": 1e-9, "max_iterations": 100, **more}
    return maximise(evaluate, np.array([start]), 0, None, **options)


def test_a_parabola_takes_one_step():
    found = _climb(lambda x: -3 * (x - 2) ** 2, lambda x: -6 * (x - 2), lambda _: 6.0, 50.0)
    assert found.point == pytest.approx(2.0)
    assert (found.iterations, found.converged) == (1, True)


@pytest.mark.parametrize("start", [-40.0, 1.5, 7.0])
def test_steps_are_halved_where_plain_newton_would_diverge(start):
    found = _climb(
        lambda x: -np.sqrt(1 + x * x),
        lambda x: -x / np.sqrt(1 + x * x),
        lambda x: (1 + x * x) ** -1.5,
        start,
    )
    assert found.converged
    assert found.point == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_the_search_stops_when_its_steps_are_used_up(steps):
    found = _climb(
        lambda x: x - np.exp(x), lambda x: 1 - np.exp(x), np.exp, 8.0, max_iterations=steps
    )
    assert found.iterations == steps
    assert not found.converged
    assert found.residual == pytest.approx(np.exp(found.point[0]) - 1)


@pytest.mark.parametrize(("start", "curvature", "helps"), [(1e-3, 1.0, True), (0.5, 1e6, False)])
def test_a_neighbours_factor_serves_while_it_shrinks_the_slope(start, curvature, helps):
    def factored_at(warm):
        places = []

        def curve(x):
            places.append(x)
            return np.exp(x)

        found = _climb(lambda x: x - np.exp(x), lambda x: 1 - np.exp(x), curve, start, warm=warm)
        assert found.converged
        assert found.point == pytest.approx(0, abs=1e-9)
        return places

    cold, warm = factored_at(None), factored_at(DenseSystem(np.array([[curvature]]), 0, None))
    assert len(warm) == 1 < len(cold) if helps else warm == cold


def test_sums_by_position_keep_places_without_entries():
    pairs = np.array([[0, 3], [0, 1]])
    values = np.array([2.0, 5.0])
    assert tally(np.array([1, 1]), values, 4).tolist() == [0, 7, 0, 0]
    assert tally_both(pairs, values, 5).tolist() == [7, 5, 0, 2, 0]
    assert tally_difference(pairs[:, 0], pairs[:, 1], values, 4).tolist() == [7, -5, 0, -2]
    empty = tally(np.zeros(0, dtype=np.intp), np.zeros(0), 2)
    assert empty.dtype == np.float64
    assert empty.tolist() == [0, 0]
