"""The likelihoods: derivatives by differences, chances, information, behaviour at the far ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.preference.ratings import likelihood
from equipoise.preference.ratings.likelihood import Outcomes

MODELS = ("half", "davidson", "rao_kupper")
RNG = np.random.default_rng(4)
D = RNG.normal(0, 1.5, 7)
TABLE = Outcomes(*RNG.integers(0, 9, (3, 7)).astype(float))
STEP = 1e-5


def _eta(model: str, value: float = 0.4):
    return None if model == "half" else np.array([value])


def _slope(function, at, step=STEP):
    return (function(at + step) - function(at - step)) / (2 * step)


@pytest.mark.parametrize("model", MODELS)
def test_slopes_by_each_difference_are_those_of_the_height(model):
    eta = _eta(model)
    terms = likelihood.terms(model, D, eta, TABLE)
    for m, unit in enumerate(np.eye(7)):

        def height(x, unit=unit):
            return likelihood.log_likelihood(model, D + x * unit, eta, TABLE)

        def slope(x, unit=unit, m=m):
            return likelihood.terms(model, D + x * unit, eta, TABLE).d[m]

        assert terms.d[m] == pytest.approx(_slope(height, 0.0), abs=1e-5)
        assert terms.dd[m] == pytest.approx(-_slope(slope, 0.0), abs=1e-5)


@pytest.mark.parametrize("model", ["davidson", "rao_kupper"])
def test_slopes_by_the_tie_parameter_are_those_of_the_height(model):
    def height(x):
        return likelihood.log_likelihood(model, D, np.array([x]), TABLE)

    def at(x):
        return likelihood.terms(model, D, np.array([x]), TABLE)

    here = at(0.4)
    assert here.e == pytest.approx(_slope(height, 0.4), abs=1e-5)
    assert here.ee == pytest.approx(-_slope(lambda x: at(x).e, 0.4), abs=1e-5)
    assert here.de is not None
    np.testing.assert_allclose(here.de, -_slope(lambda x: at(x).d, 0.4), atol=1e-5)


@given(st.sampled_from(MODELS), st.floats(-25, 25), st.floats(0.01, 6))
def test_chances_are_a_distribution_with_the_odds_of_the_papers(model, d, eta):
    first, tied, second = likelihood.probabilities(
        model, np.array([d]), None if model == "half" else eta
    )
    assert first[0] + tied[0] + second[0] == pytest.approx(1, abs=1e-12)
    if model == "davidson":
        assert tied[0] ** 2 == pytest.approx(np.exp(2 * eta) * first[0] * second[0], rel=1e-9)
        assert np.log(first[0] / second[0]) == pytest.approx(d, abs=1e-9)
    elif model == "rao_kupper":
        assert first[0] == pytest.approx(np.exp(d) / (np.exp(d) + np.exp(eta)), rel=1e-9)
        assert tied[0] == pytest.approx(np.expm1(2 * eta) * first[0] * second[0], abs=1e-12)
    else:
        assert tied[0] == 0


@given(st.floats(-40, 40), st.floats(1e-9, 1e-3) | st.floats(6, 800))
def test_the_chance_of_a_tie_is_exact_where_it_is_tiny_or_nearly_one(d, eta):
    first, tied, second = likelihood.probabilities("rao_kupper", np.array([d]), eta)
    spread = (1 - np.exp(-2 * eta)) if eta > 1 else 2 * eta * (1 - eta)
    below, above = 1 / (1 + np.exp(-eta - d)), 1 / (1 + np.exp(-eta + d))
    assert tied[0] == pytest.approx(spread * below * above, rel=1e-5)
    assert 0 <= tied[0] <= 1
    assert first[0] + tied[0] + second[0] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_information_of_a_game_is_the_expected_square_of_its_score(model):
    eta = None if model == "half" else 0.6
    chance = np.stack(likelihood.probabilities(model, D, eta))
    squared = np.zeros(7)
    for place in range(3):
        alone = Outcomes(*(np.full(7, float(place == kind)) for kind in (0, 2, 1)))
        squares, _, _ = likelihood.squared_scores(model, D, eta, alone)
        squared += chance[place] * squares
    np.testing.assert_allclose(likelihood.game_information(model, D, eta), squared, rtol=1e-12)


@pytest.mark.parametrize("model", ["davidson", "rao_kupper"])
def test_products_of_scores_are_those_of_every_single_game(model):
    eta = 0.6
    squares, crossed, corner = likelihood.squared_scores(model, D, eta, TABLE)
    by_hand = np.zeros((3, 7))
    for m, d in enumerate(D):
        for kind, games in enumerate((TABLE.first[m], TABLE.second[m], TABLE.tied[m])):
            one = Outcomes(*(np.array([float(kind == other)]) for other in range(3)))

            def height(x, e, one=one):
                return likelihood.log_likelihood(model, np.array([x]), np.array([e]), one)

            by_d = _slope(lambda x, height=height: height(x, eta), d)
            by_eta = _slope(lambda e, height=height, d=d: height(d, e), eta)
            by_hand[:, m] += games * np.array([by_d**2, by_d * by_eta, by_eta**2])
    assert crossed is not None
    np.testing.assert_allclose(squares, by_hand[0], atol=1e-6)
    np.testing.assert_allclose(crossed, by_hand[1], atol=1e-6)
    assert corner == pytest.approx(by_hand[2].sum(), abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("far", [-900.0, 900.0])
def test_nothing_overflows_far_out(model, far):
    eta = _eta(model, 2.0)
    d = np.full(7, far)
    terms = likelihood.terms(model, d, eta, TABLE)
    assert np.isfinite(terms.d).all()
    assert np.isfinite(likelihood.log_likelihood(model, d, eta, TABLE))
    lost = TABLE.second if far > 0 else TABLE.first
    upset = lost + TABLE.tied * (1.0 if model == "rao_kupper" else 0.5)
    np.testing.assert_allclose(np.abs(terms.d), upset, atol=1e-9)


def test_rao_kupper_has_no_height_outside_its_model():
    outside = np.array([-0.1])
    assert likelihood.log_likelihood("rao_kupper", D, outside, TABLE) == -np.inf
    assert np.isposinf(likelihood.terms("rao_kupper", D, outside, TABLE).d).all()


@given(
    st.sampled_from(["davidson", "rao_kupper"]),
    st.integers(1, 90),
    st.integers(1, 90),
)
def test_the_search_begins_at_the_maximum_of_equals(model, decided, tied):
    n = Outcomes(np.array([decided / 2]), np.array([decided / 2]), np.array([float(tied)]))
    eta = np.array([likelihood.start_eta(model, n)])
    slope = likelihood.terms(model, np.zeros(1), eta, n).e
    assert slope == pytest.approx(0, abs=1e-8 * (decided + tied))
