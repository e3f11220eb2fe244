"""Resampling by enumeration, replicates against refits, and how often intervals hold the truth."""

import numpy as np
import pytest
from scipy.stats import binom, poisson

from equipoise.preference.ratings import (
    PairCounts,
    bootstrap_bradley_terry,
    count_battles,
    counts_from_matrix,
    fit_bradley_terry,
)
from equipoise.preference.ratings import bootstrap as bootstrap_module


def _chances(scheme):
    """Return the gaps log(wins / losses), and their chances, when 3 to 2 is resampled."""
    won, lost = (n.ravel() for n in np.mgrid[:40, :40])
    if scheme == "multinomial":
        p = np.where(won + lost == 5, binom.pmf(won, 5, 0.6), 0.0)
    else:
        p = poisson.pmf(won, 3) * poisson.pmf(lost, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(won) - np.log(lost), p


@pytest.mark.parametrize("scheme", ["multinomial", "poisson"])
def test_a_duel_is_resampled_with_its_exact_chances(scheme):
    counts = counts_from_matrix([[0, 3], [2, 0]])
    drawn = bootstrap_bradley_terry(counts, replicates=3000, scheme=scheme, seed=6).log_strength
    seen = drawn[:, 0] - drawn[:, 1]
    gaps, p = _chances(scheme)
    bounds = np.array([-np.inf, -2.0, -1.0, -0.5, -0.2, 0.1, 0.5, 1.0, 2.0, np.inf])
    for name, share, chance in (
        ("undetermined", np.isnan(seen).mean(), p[np.isnan(gaps)].sum()),
        ("only wins", np.isposinf(seen).mean(), p[np.isposinf(gaps)].sum()),
        *((f"<= {x}", (seen <= x).mean(), p[gaps <= x].sum()) for x in bounds),
    ):
        assert abs(share - chance) < 5 * np.sqrt(chance * (1 - chance) / 3000) + 1e-6, name


@pytest.mark.parametrize("tie_model", ["half", "drop", "davidson"])
@pytest.mark.parametrize("prior", [0.0, 0.8])
def test_each_replicate_is_the_fit_of_its_own_table(draw, tie_model, prior):
    games = draw(5, 60, 14, nu=0.9)
    counts = count_battles(games.a, games.b, games.outcome)
    found = bootstrap_bradley_terry(
        counts, replicates=40, seed=2, tie_model=tie_model, prior=prior
    ).log_strength
    drawn = next(bootstrap_module._resample(counts, 40, 2, "multinomial"))
    compared = 0
    for row in range(40):
        wins = np.column_stack([drawn.first[row], drawn.second[row]])
        table = PairCounts(counts.models, counts.pairs, wins, drawn.tied[row])
        refit = fit_bradley_terry(table, tie_model=tie_model, prior=prior)
        if set(refit.status.values()) == {"ok"}:
            np.testing.assert_allclose(found[row], refit.log_strength, atol=2e-3)
            compared += 1
    assert compared >= 20


@pytest.mark.parametrize(("tie_model", "nu"), [("half", 0.0), ("drop", 0.8), ("davidson", 0.8)])
def test_sandwich_intervals_of_differences_hold_the_truth(draw, tie_model, nu):
    held, asked = 0, 0
    for seed in range(200):
        games = draw(4, 240, 300 + seed, nu=nu)
        counts = count_battles(games.a, games.b, games.outcome)
        fit = fit_bradley_terry(counts, tie_model=tie_model)
        for i, j in ((0, 1), (1, 2), (0, 3)):
            gap, error = fit.difference(str(i), str(j))
            held += abs(gap - games.truth[i] + games.truth[j]) <= 1.96 * error
            asked += 1
    assert 0.92 <= held / asked <= 0.98


def test_bootstrap_intervals_hold_the_truth(draw):
    held = 0
    for seed in range(80):
        games = draw(4, 240, 900 + seed)
        counts = count_battles(games.a, games.b, games.outcome)
        samples = bootstrap_bradley_terry(counts, replicates=200, seed=seed, anchor="0")
        low, high = samples.interval(0.9)
        gap = 1000 + 400 / np.log(10) * (games.truth - games.truth[0])
        held += int(((low <= gap) & (gap <= high))[1:].sum())
    assert 0.83 <= held / 240 <= 0.96


def test_information_errors_are_right_where_the_model_is_and_too_wide_under_ties(draw):
    def ratio(nu):
        games = draw(5, 20_000, 40, nu=nu)
        counts = count_battles(games.a, games.b, games.outcome)
        robust, plain = (
            fit_bradley_terry(counts, covariance=kind).standard_error
            for kind in ("sandwich", "information")
        )
        return float(np.median(robust / plain))

    assert ratio(0.0) == pytest.approx(1, abs=0.02)
    assert ratio(2.0) < 0.85
