"""Context control: logistic regression by scikit-learn, invariances, planted effects, Markdown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import (
    count_battles,
    fit_bradley_terry,
    fit_contextual,
    style_features,
)

BETA = np.array([0.6, -0.9])


@pytest.fixture(scope="module")
def styled(draw):
    """Return battles of five models under two features, and their features (N, 2)."""
    z = np.random.default_rng(70).normal(size=(900, 2))
    return draw(5, 900, 71, nu=0.2, shift=z @ BETA), z


def _turned(outcome):
    return np.array([1, 0, 2, 3])[outcome]


def test_logistic_regression_with_halved_ties_agrees(styled):
    games, z = styled
    contrast = (np.eye(5)[games.a] - np.eye(5)[games.b])[:, 1:]
    design = np.column_stack([contrast, z])
    points = np.array([1.0, 0.0, 0.5])[games.outcome]
    rows = np.vstack([design, design])
    answers = np.repeat([1, 0], len(design))
    regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=1000)
    regression.fit(rows, answers, sample_weight=np.concatenate([points, 1 - points]))
    fit = fit_contextual(games.a, games.b, games.outcome, z)
    np.testing.assert_allclose(
        fit.log_strength[1:] - fit.log_strength[0], regression.coef_[0, :4], atol=1e-4
    )
    np.testing.assert_allclose(fit.coefficients, regression.coef_[0, 4:], atol=1e-4)


def test_errors_are_those_of_the_sandwich_over_battles(styled):
    games, z = styled
    fit = fit_contextual(games.a, games.b, games.outcome, z)
    design = np.column_stack([np.eye(5)[games.a] - np.eye(5)[games.b], z])
    logits = design @ np.concatenate([fit.log_strength, fit.coefficients])
    p = 1 / (1 + np.exp(-logits))
    residual = np.array([1.0, 0.0, 0.5])[games.outcome] - p
    inverse = np.linalg.pinv(design.T @ (design * (p * (1 - p))[:, None]))
    spread = inverse @ (design.T @ (design * (residual**2)[:, None])) @ inverse
    np.testing.assert_allclose(fit.covariance, spread[:5, :5], atol=1e-10)
    np.testing.assert_allclose(fit.coefficient_error, np.sqrt(spread.diagonal()[5:]), rtol=1e-8)
    bread = np.linalg.pinv(fit.information)
    np.testing.assert_allclose(bread, inverse[:5, :5], atol=1e-10)


def test_swapping_sides_and_features_changes_nothing(styled):
    games, z = styled
    fit = fit_contextual(games.a, games.b, games.outcome, z)
    turned = fit_contextual(games.b, games.a, _turned(games.outcome), -z)
    np.testing.assert_allclose(turned.log_strength, fit.log_strength, atol=1e-10)
    np.testing.assert_allclose(turned.coefficients, fit.coefficients, atol=1e-10)
    np.testing.assert_allclose(turned.coefficient_error, fit.coefficient_error, atol=1e-10)


def test_order_of_battles_and_names_of_models_do_not_matter(styled):
    games, z = styled
    fit = fit_contextual(games.a, games.b, games.outcome, z)
    order = np.random.default_rng(0).permutation(len(z))
    names = np.array(["e", "c", "d", "a", "b"])
    mixed = fit_contextual(
        names[games.a[order]], names[games.b[order]], games.outcome[order], z[order]
    )
    for place, name in enumerate(names):
        k = mixed.models.index(name)
        assert mixed.log_strength[k] == pytest.approx(fit.log_strength[place], abs=1e-9)
        assert mixed.standard_error[k] == pytest.approx(fit.standard_error[place], abs=1e-9)
    np.testing.assert_allclose(mixed.coefficients, fit.coefficients, atol=1e-9)


def test_features_in_other_units_give_coefficients_in_those_units(styled):
    games, z = styled
    fit = fit_contextual(games.a, games.b, games.outcome, z)
    change = np.array([[2.0, 0.5], [-1.0, 3.0]])
    other = fit_contextual(games.a, games.b, games.outcome, z @ change)
    np.testing.assert_allclose(change @ other.coefficients, fit.coefficients, atol=1e-9)
    np.testing.assert_allclose(other.log_strength, fit.log_strength, atol=1e-9)
    np.testing.assert_allclose(other.covariance, fit.covariance, atol=1e-9)


def test_a_feature_that_belongs_to_the_models_cannot_be_told_from_their_strength(styled):
    games, z = styled
    trait = np.array([0.0, 1.0, 1.0, 2.0, 5.0])
    own = trait[games.a] - trait[games.b]
    fit = fit_contextual(games.a, games.b, games.outcome, np.column_stack([z, own]), ridge=0.0)
    assert np.isfinite(fit.coefficient_error[:2]).all()
    assert np.isposinf(fit.coefficient_error[2])


def test_control_removes_what_style_added_to_a_model(draw):
    rng = np.random.default_rng(5)
    games = draw(4, 20_000, 6)
    wordy = np.array([2.0, 0.0, 0.0, -2.0])
    z = wordy[games.a] - wordy[games.b] + rng.normal(size=20_000)
    styled = draw(4, 20_000, 6, shift=0.7 * z)
    plain = fit_bradley_terry(count_battles(styled.a, styled.b, styled.outcome))
    fit = fit_contextual(styled.a, styled.b, styled.outcome, z)
    assert np.abs(plain.log_strength - games.truth).max() > 0.8
    assert np.abs((fit.log_strength - games.truth) / fit.standard_error).max() < 4
    assert abs(fit.coefficients[0] - 0.7) / fit.coefficient_error[0] < 4


def test_intervals_of_a_coefficient_cover_the_planted_effect(draw):
    held = 0
    for seed in range(200):
        z = np.random.default_rng(1000 + seed).normal(size=300)
        games = draw(4, 300, seed, shift=0.5 * z)
        fit = fit_contextual(games.a, games.b, games.outcome, z)
        held += abs(fit.coefficients[0] - 0.5) <= 1.96 * fit.coefficient_error[0]
    assert 0.89 <= held / 200 <= 0.99


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((["x", "y"], ["y", "y"], ["a", "b"], [0.0, 1.0]), "row 1: 'y' plays against itself"),
        ((["x", "y"], ["y", "x"], ["a", "won"], [0.0, 1.0]), "row 1: outcome 'won'"),
        ((["x", "y"], ["y", "x"], ["a", "b"], [[1.0, np.inf], [1, 2]]), "row 0: features"),
        ((["x", "y"], ["y", "x"], ["a", "b"], [[1.0], [1, 2]]), "features is .*equal length"),
        ((["x", "y"], ["y", "x"], ["a", "b"], ["long", "short"]), "features is .*numbers"),
        ((["x", "y"], ["y", "x"], ["a", "b"], np.zeros((2, 1, 1))), r"features must be \(2, F\)"),
    ],
)
def test_bad_battles_are_named_on_one_line(rows, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        fit_contextual(*rows)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("markdown", "counts"),
    [
        ("# a\n###### b\n####### seven\n#tag", (2, 0, 0)),
        ("   ## indented\n    ## code block", (1, 0, 0)),
        ("- a\n+ b\n* c\n1. d\n12) e\n-no\n1.no", (0, 5, 0)),
        ("  - nested\n\t- tabbed", (0, 2, 0)),
        ("**a** and __b__ not snake__case__name nor ** c **", (0, 0, 2)),
        ("**two\nlines**", (0, 0, 0)),
        ("~~~\n# no\n**no**\n~~~\n# yes", (1, 0, 0)),
        ("```\n# never closed\n- x", (0, 0, 0)),
        ("```\n~~~\n- x\n```\n- y", (0, 1, 0)),
        ("1. x\n   ```python\n   # comment\n   ```\n# yes", (1, 1, 0)),
        ("- ```python\n  # no\n  ```\n- y", (0, 2, 0)),
        ("> ```\n> - no\n> ```\n- y", (0, 1, 0)),
        ("```inline``` text\n\n# Head\n- x", (1, 1, 0)),
        ("~~~a ``` b\n- no\n~~~\n- x", (0, 1, 0)),
        ("````\n```\n- no\n````\n- x", (0, 1, 0)),
        ("```\n- no\n```python\n- no\n`````\n- x", (0, 1, 0)),
        ("```\r\n# no\r\n```  \r\n# yes\r\n", (1, 0, 0)),
        ("```\n```\n# yes", (1, 0, 0)),
        ("* * *\n- - -\n  ***\r\n---\n* a", (0, 1, 0)),
        ("- - x\n* *\n+ + +", (0, 3, 0)),
    ],
)
def test_marks_of_markdown(markdown, counts):
    features = style_features(markdown, "")[1:]
    assert features.tolist() == [n / (n + 1) for n in counts]


@given(st.text("# -*_`\nab1.", max_size=40), st.text("# -*_`\nab1.", max_size=40))
def test_style_features_are_antisymmetric_and_bounded(one, two):
    features = style_features(one, two)
    assert (np.abs(features) < 1).all()
    assert np.array_equal(features, -style_features(two, one))
    assert not style_features(one, one).any()
    assert features[0] == pytest.approx(
        (len(one.split()) - len(two.split())) / (len(one.split()) + len(two.split()) + 1)
    )
