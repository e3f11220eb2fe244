"""The table and the interpolation against dense evaluation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf.objective import Basis, activation
from equipoise.systems.rflaf.table import ActivationTable, Interpolation


def unit(rng, *shape):
    coef = rng.uniform(-1, 1, shape)
    return coef / np.abs(coef).max()


@pytest.mark.parametrize("n", [1, 2, 9, 17, 101])
def test_table_against_dense_known_bound(n):
    basis = Basis.uniform(n)
    coef = unit(np.random.default_rng(n), n)
    table = ActivationTable(coef, basis)
    z = np.linspace(-3, 3, 20_001)
    error = np.abs(table(z) - activation(z, coef, basis)).max()
    assert error < 1e-7
    assert error <= table.error_bound
    assert table.error_bound <= 2e-8 + 1e-12
    step = 1e-4
    slope = (activation(z + step, coef, basis) - activation(z - step, coef, basis)) / (2 * step)
    assert np.abs(table.derivative(z) - slope).max() < 2e-4 / basis.bandwidth


@given(
    st.integers(1, 30), st.floats(0.4, 2.5), st.sampled_from(["rbf", "bspline"]), st.integers(1, 3)
)
def test_error_bound_holds(n, width, kind, rank):
    basis = Basis.uniform(n, width=width, kind=kind)
    coef = unit(np.random.default_rng(n), rank, n)
    table = ActivationTable(coef, basis)
    z = np.random.default_rng(0).uniform(-6, 6, 500)
    found = np.abs(table(z) - activation(z, coef, basis)).max()
    assert found <= table.error_bound
    assert table(z).shape == (500, rank)


@given(st.integers(1, 30), st.floats(0.4, 2.5), st.sampled_from(["rbf", "bspline", "poly"]))
def test_interpolation_is_the_basis(n, width, kind):
    basis = Basis.uniform(n, width=width, kind=kind)
    z = np.r_[np.random.default_rng(n).uniform(-2, 2, 200), basis.centers, -2.0, 2.0]
    for exact in (False, True):
        way = Interpolation(basis, exact=exact)
        number, weights = way.entries(z)
        terms = weights[:, None] * way.table[number]
        found = terms.reshape(z.size, -1, basis.size).sum(axis=1)
        np.testing.assert_allclose(found, basis.values(z), atol=2e-8, rtol=1e-9)


def test_zero_far_outside_and_at_infinity_of_the_grid():
    basis = Basis.uniform(17)
    table = ActivationTable(np.ones(17), basis)
    assert np.all(table(np.array([-1e9, 1e9, 4.001, -4.001])) == 0)
    assert not np.any(Interpolation(basis).entries(np.array([1e12, -1e12]))[1])
    assert table(np.array([basis.centers[-1]])) > 0.9


def test_irregular_centres():
    for kind in ("rbf", "bspline"):
        basis = Basis(kind, (-1.0, 0.1, 0.35, 2.0), 0.3)
        table = ActivationTable([1.0, -1.0, 0.5, 0.25], basis)
        z = np.linspace(-3, 4, 5001)
        error = np.abs(table(z) - activation(z, table.coef, basis)).max()
        assert error <= table.error_bound < 1e-6


def test_polynomials_are_direct():
    table = ActivationTable([1.0, 2.0, 3.0], Basis.uniform(3, kind="poly"))
    np.testing.assert_allclose(table([2.0, 100.0]), [17.0, 30201.0])
    np.testing.assert_allclose(table.derivative([2.0]), [14.0])


def test_bad_input():
    with pytest.raises(InvalidInput, match="knots_per_spacing is 0"):
        ActivationTable(np.ones(3), Basis.uniform(3), 0)
    with pytest.raises(InvalidInput, match="coef has shape"):
        ActivationTable(np.ones(4), Basis.uniform(3))
