"""The transformer: features by definition, names, losses, and models behind it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import RFLAFClassifier, RFLAFRegressor, RFLAFTransformer

X, Y = make_friedman1(150, n_features=5, noise=0.5, random_state=0)
LABELS = np.array(["a", "b", "c"])[np.digitize(Y, np.quantile(Y, [0.3, 0.7]))]
SMALL = {"n_components": 12, "n_basis": 7, "random_state": 0, "n_starts": 2}


def transformer(**changes):
    return RFLAFTransformer(**(SMALL | changes))


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("loss", ["squared", "log"])
def test_features_by_definition(by_hand, rank, loss):
    t = transformer(rank=rank, loss=loss).fit(X, Y if loss == "squared" else LABELS)
    found = t.transform(X)
    assert found.shape == (150, 12 * rank)
    np.testing.assert_allclose(found, by_hand.model_features(t, X), atol=1e-6)
    assert len(t.get_feature_names_out()) == 12 * rank
    assert t.get_feature_names_out()[0] == "rflaftransformer0"


def test_it_learns_what_the_estimators_learn():
    regressor = RFLAFRegressor(**SMALL).fit(X, Y)
    t = transformer().fit(X, Y)
    np.testing.assert_array_equal(t.activation_coef_, regressor.activation_coef_)
    classifier = RFLAFClassifier(**SMALL).fit(X, LABELS)
    t = transformer(loss="log").fit(X, LABELS)
    np.testing.assert_array_equal(t.activation_coef_, classifier.activation_coef_)
    # and a linear model behind it has the features the regressor's readout has
    behind = LinearRegression().fit(transformer().fit_transform(X, Y), Y)
    assert behind.score(transformer().fit(X, Y).transform(X), Y) >= regressor.score(X, Y) - 1e-6


def test_two_targets_and_weights_are_taken():
    both = transformer().fit(X, np.c_[Y, X[:, 0]])
    assert both.transform(X).shape == (150, 12)
    weight = np.r_[np.ones(75), np.zeros(75)]
    half, weighted = transformer().fit(X[:75], Y[:75]), transformer().fit(X, Y, weight)
    np.testing.assert_allclose(weighted.transform(X), half.transform(X), atol=1e-8)


@pytest.mark.parametrize("output", ["pandas", "default"])
def test_frames_in_and_out(output):
    frame = pd.DataFrame(X, columns=list("abcde"), index=np.arange(150) + 7)
    t = transformer().set_output(transform=output).fit(frame, Y)
    out = t.transform(frame)
    if output == "pandas":
        assert list(out.columns) == list(t.get_feature_names_out())
        np.testing.assert_array_equal(out.index, frame.index)
    plain = transformer().fit(X, Y).transform(X)
    np.testing.assert_allclose(np.asarray(out), plain, atol=1e-6)
    assert t.n_features_in_ == 5
    assert list(t.feature_names_in_) == list("abcde")


def test_pipelines_clone_it_and_score():
    behind = make_pipeline(transformer(), RidgeCV(np.logspace(-6, 2, 9)))
    assert cross_val_score(behind, X, Y, cv=3).mean() > 0.5
    classes = make_pipeline(transformer(loss="log"), LogisticRegression(max_iter=2000))
    assert cross_val_score(classes, X, LABELS, cv=3).mean() > 0.6
    assert clone(transformer(loss="log")).loss == "log"


@pytest.mark.parametrize(
    ("changes", "y", "words"),
    [
        ({"loss": "logg"}, LABELS, "did you mean 'log'"),
        ({}, LABELS, "could not convert string to float"),
        ({"loss": "log"}, Y, "Unknown label type|continuous"),
        ({}, None, "y"),
        ({}, np.where(Y > 20, np.nan, Y), "y contains NaN"),
    ],
)
def test_wrong_targets_are_refused(changes, y, words):
    with pytest.raises(ValueError, match=words):
        transformer(**changes).fit(X, y)


def test_unfitted_and_narrow_rows_are_refused():
    with pytest.raises(ValueError, match="not fitted"):
        transformer().transform(X)
    with pytest.raises(ValueError, match="features"):
        transformer().fit(X, Y).transform(X[:, :4])
    with pytest.raises(InvalidInput, match="n_basis is 0"):
        transformer(n_basis=0).fit(X, Y)
