"""A whole fit: engines, chunks, subsets, canonical form, and changes that must not show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_friedman1
from sklearn.linear_model import Ridge

from equipoise.systems.rflaf import RFLAFRegressor, make_synthetic
from equipoise.systems.rflaf.choosing import Search
from equipoise.systems.rflaf.fitted import canonical
from equipoise.systems.rflaf.planning import Plan, choose_engine, row_problem
from equipoise.systems.rflaf.varpro import descend

X, Y = make_friedman1(160, n_features=5, noise=0.5, random_state=0)
TWO = np.c_[Y, 3 * X[:, 0] - Y]
NEW = make_friedman1(50, n_features=5, noise=0.5, random_state=1)[0]
SMALL = {"n_components": 12, "n_basis": 7, "random_state": 0, "n_starts": 2}
# solved to the end, so that rounding alone tells two ways to the same optimum apart
TIGHT = {"alpha": 1e-2, "smooth": 1e-2, "tol": 1e-12, "max_iter": 300}


def regressor(**changes):
    return RFLAFRegressor(**(SMALL | changes))


@pytest.mark.parametrize("engine", ["data", "lifted"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("rank", [1, 2])
def test_the_readout_is_a_ridge_on_the_learnt_features(by_hand, engine, intercept, rank):
    weight = np.random.default_rng(0).uniform(0.2, 2, 160)
    m = regressor(engine=engine, fit_intercept=intercept, rank=rank).fit(X, TWO, weight)
    phi = by_hand.model_features(m, X)
    v, b, value = by_hand.ridge(phi, TWO, by_hand.model_penalty(m), weight, intercept=intercept)
    np.testing.assert_allclose(m.predict(X), phi @ v + b, atol=1e-5 * np.ptp(TWO))
    assert m.objective_ == pytest.approx(value, rel=1e-5)
    if not intercept:
        assert not m.intercept_.any()


def test_one_activation_is_scikit_learns_ridge_on_its_features(by_hand):
    m = regressor().fit(X, Y)
    phi, scale = by_hand.model_features(m, X), by_hand.model_penalty(m)[0, 0]
    theirs = Ridge(alpha=160 * scale, solver="svd").fit(phi, Y)
    np.testing.assert_allclose(m.predict(X), theirs.predict(phi), atol=1e-6 * np.ptp(Y))


@pytest.mark.parametrize("chunk_bytes", [1, 20_000, 10**9])
def test_chunk_sizes_change_nothing(chunk_bytes):
    options = {"engine": "data", "n_starts": 1, "n_basis": 5} | TIGHT
    plain = regressor(**options).fit(X[:30], Y[:30])
    chunked = regressor(solver_options={"chunk_bytes": chunk_bytes}, **options).fit(X[:30], Y[:30])
    np.testing.assert_allclose(chunked.predict(NEW), plain.predict(NEW), atol=1e-6)


@pytest.mark.parametrize("engine", ["data", "lifted"])
@pytest.mark.parametrize("rank", [1, 2])
def test_the_order_of_rows_does_not_matter(engine, rank):
    order = np.random.default_rng(1).permutation(160)
    one = regressor(engine=engine, rank=rank, **TIGHT).fit(X, Y)
    other = regressor(engine=engine, rank=rank, **TIGHT).fit(X[order], Y[order])
    np.testing.assert_allclose(one.predict(NEW), other.predict(NEW), atol=1e-5)
    np.testing.assert_allclose(one.activation_coef_, other.activation_coef_, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float32),
        np.asfortranarray,
        lambda x: x[::-1][::-1],
        lambda x: x.tolist(),
    ],
    ids=["float32", "fortran", "strided", "list"],
)
def test_the_kind_of_array_does_not_matter(change):
    rows = np.round(X, 2).astype(np.float32).astype(np.float64)
    plain, other = regressor().fit(rows, Y), regressor().fit(change(rows), Y)
    np.testing.assert_allclose(other.predict(change(rows)), plain.predict(rows), rtol=1e-6)
    assert other.predict(change(rows)).dtype == np.float64


def test_integers_count_as_numbers():
    rows = np.random.default_rng(0).integers(0, 5, (60, 3))
    one, other = (regressor().fit(r, r.sum(axis=1)) for r in (rows, rows.astype(float)))
    np.testing.assert_array_equal(one.predict(rows), other.predict(rows))


@pytest.mark.parametrize(("factor", "shift"), [(1e-4, 0.0), (1e4, -3e4), (-1.0, 7.0)])
def test_units_of_the_target_pass_through(factor, shift):
    # the penalty does not scale with the targets' size: alpha * |v|^2 does as the error does
    plain, moved = regressor(**TIGHT).fit(X, Y), regressor(**TIGHT).fit(X, factor * Y + shift)
    np.testing.assert_allclose(
        moved.predict(NEW), factor * plain.predict(NEW) + shift, atol=1e-5 * abs(factor)
    )
    assert moved.objective_ == pytest.approx(factor**2 * plain.objective_, rel=1e-6)


def test_a_repeated_output_doubles_the_objective():
    one, twice = regressor(**TIGHT).fit(X, Y), regressor(**TIGHT).fit(X, np.c_[Y, Y])
    np.testing.assert_allclose(twice.predict(NEW), one.predict(NEW)[:, None] * [1, 1], atol=1e-5)
    assert twice.objective_ == pytest.approx(2 * one.objective_, rel=1e-8)
    assert twice.singular_values_[0] == pytest.approx(np.sqrt(2) * one.singular_values_[0])


def test_all_weights_equal_is_no_weights():
    plain = regressor().fit(X, Y)
    weighted = regressor().fit(X, Y, np.ones(160))
    np.testing.assert_allclose(weighted.predict(NEW), plain.predict(NEW), rtol=1e-10)


def test_rows_of_weight_zero_are_as_if_absent():
    weight = np.ones(160)
    weight[100:] = 0
    wild = np.where(weight[:, None] > 0, X, 1e6 * X)
    one = regressor().fit(wild, np.where(weight > 0, Y, 1e9), weight)
    other = regressor().fit(X[:100], Y[:100])
    np.testing.assert_allclose(one.predict(NEW), other.predict(NEW), rtol=1e-9)


@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 3), st.integers(0, 50))
def test_the_canonical_form_keeps_the_function(m, rank, outputs, seed):
    rng = np.random.default_rng(seed)
    coef, readout = rng.normal(size=(rank, 5)), rng.normal(size=(m, rank, outputs))
    a, v, s = canonical(coef, readout)
    theta = np.einsum("mrk,ri->mki", readout, coef)
    np.testing.assert_allclose(np.einsum("mrk,ri->mki", v, a), theta, atol=1e-10)
    np.testing.assert_allclose(a @ a.T, np.eye(rank), atol=1e-10)
    assert np.all(np.diff(s) <= 1e-12)
    expected = np.linalg.svd(theta.reshape(-1, 5))[1][:rank]
    np.testing.assert_allclose(s[: len(expected)], expected, atol=1e-10)
    # any other description of the same function has the same form
    turn = rng.normal(size=(rank, rank)) + 3 * np.eye(rank)
    back = np.einsum("mrk,rq->mqk", readout, np.linalg.inv(turn))
    again = canonical(turn @ coef, back)
    np.testing.assert_allclose(again[2], s, atol=1e-8 * s[0])
    if rank <= m * outputs and np.all(np.diff(np.append(s, 0)) < -1e-2 * s[0]):
        np.testing.assert_allclose(np.abs(again[0]), np.abs(a), atol=1e-6)


def test_engines_are_chosen_by_size_and_by_what_needs_rows():
    def chosen(n, m, basis, search=None, **changes):
        return choose_engine(Plan(Search() if search is None else search, **changes), n, m, basis)

    assert chosen(100, 300, 17) == "data"
    assert chosen(10**5, 10, 5, activation_rows=10**5) == "lifted"
    assert chosen(10**6, 1000, 17) == "data"
    assert chosen(10**6, 10, 5, Search(alpha="loo")) == "data"
    assert chosen(10**6, 10, 5, Search(solver="adam")) == "data"
    assert chosen(10**6, 10, 5, engine="data") == "data"
    assert chosen(10, 300, 17, engine="lifted") == "lifted"


def test_the_subset_for_the_activation_is_seeded_and_the_readout_sees_all(by_hand):
    x, y = make_friedman1(900, n_features=5, noise=0.5, random_state=4)
    options = {"engine": "data", "activation_rows": 150}
    one, again = (regressor(**options).fit(x, y) for _ in range(2))
    np.testing.assert_array_equal(one.activation_coef_, again.activation_coef_)
    other = regressor(**options, random_state=1).fit(x, y)
    assert not np.allclose(other.activation_coef_, one.activation_coef_)
    phi = by_hand.model_features(one, x)
    v, b, value = by_hand.ridge(phi, y, by_hand.model_penalty(one))
    np.testing.assert_allclose(one.predict(x), (phi @ v + b)[:, 0], atol=1e-5 * np.ptp(y))
    assert one.objective_ == pytest.approx(value, rel=1e-5)


@pytest.mark.standard
def test_many_rows_are_searched_coarsely_and_finished_on_all_of_them():
    x, y = make_friedman1(6000, n_features=5, noise=0.5, random_state=4)
    m = regressor(engine="data").fit(x, y)
    whole = regressor(engine="lifted").fit(x, y)
    assert len(m.start_objectives_) == 2
    assert m.gcv_ < 1.03 * whole.gcv_


@pytest.mark.parametrize("rank", [1, 2])
def test_bands_shrink_with_rows_and_have_no_width_for_more_functions_than_needed(rank):
    widths = []
    for n in (60, 600):
        x, y = make_friedman1(n, n_features=5, noise=1.0, random_state=2)
        curve = regressor(rank=rank, **TIGHT).fit(x, y).activation_curve()
        assert np.all(curve.low <= curve.value)
        np.testing.assert_allclose(curve.high - curve.value, curve.value - curve.low, atol=1e-12)
        widths.append(np.median(curve.high - curve.low))
    assert widths[1] < 0.7 * widths[0]
    single = RFLAFRegressor(12, 1, random_state=0).fit(X, Y).activation_curve([0.0, 1.0])
    np.testing.assert_allclose(single.high, single.low, atol=1e-12)


def test_a_curve_at_given_points_is_shaped_by_them():
    curve = regressor(rank=2).fit(X, Y).activation_curve([[0.0, 0.5], [1.0, 9.0]])
    assert curve.value.shape == (4, 2)
    np.testing.assert_array_equal(curve.z, [0, 0.5, 1, 9])
    np.testing.assert_allclose(curve.value[3], 0, atol=1e-12)


def test_a_smooth_that_was_given_stays_where_the_readout_sees_more_rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((3000, 3))
    y = np.sin(2 * X[:, 0]) + X[:, 1]
    options = {"smooth": 1e-3, "n_starts": 1, "max_iter": 5, "engine": "data", "random_state": 0}
    for rows in (500, 3000):
        model = RFLAFRegressor(20, 9, activation_rows=rows, **options).fit(X, y)
        assert model.smooth_ == 1e-3


def test_a_search_without_newton_goes_far_on_all_rows():
    data = make_synthetic("f1", 5000, 50, 1)
    model = RFLAFRegressor(
        20, 171, n_starts=1, max_iter=30, engine="data", standardize=False, scale=1.0
    ).set_params(random_state=0, smooth=0.0)
    model.fit(data.X, data.y)
    problem = row_problem(
        model.calibration_, data.X, data.y[:, None], np.ones(5000), model._plan()[0]
    )
    left = descend(
        problem, model.activation_coef_, model.alpha_, model.smooth_, max_iter=20, tol=1e-9
    )
    assert left.value > 0.9 * model.objective_
