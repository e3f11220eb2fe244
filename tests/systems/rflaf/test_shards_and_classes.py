"""Classes and columns in pieces: shards, class weights, forgetting, compressing."""

import json

import numpy as np
import pandas as pd
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import (
    LAN,
    RFLAFClassifier,
    RFLAFRegressor,
    RFLAFTransformer,
    fit_shards,
    leverage_scores,
    load_model,
    make_synthetic,
    reduced_objective,
    save_model,
)
from equipoise.systems.rflaf.objective import Basis

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 2))
Y = np.sin(2 * X[:, 0]) + 0.1 * RNG.standard_normal(120)
NAMES = np.where(Y > 0, "yes", "no")
SMALL = {"n_components": 15, "n_basis": 7, "n_starts": 2, "random_state": 0}


def squared(**options) -> RFLAFClassifier:
    return RFLAFClassifier(**{**SMALL, "loss": "squared", **options})


def by_label() -> list[tuple[np.ndarray, np.ndarray]]:
    """A mixed shard, then shards of one label each."""
    first, rest = np.arange(40), np.arange(40, 120)
    no, yes = rest[NAMES[rest] == "no"], rest[NAMES[rest] == "yes"]
    return [(X[part], NAMES[part]) for part in (first, no, yes)]


def test_shards_of_one_label_count_as_that_label():
    sharded = fit_shards(squared(), by_label())
    order = np.concatenate([shard[0] for shard in by_label()])
    labels = np.concatenate([shard[1] for shard in by_label()])
    whole = squared().calibrate(by_label()[0][0])
    whole.partial_fit(order, labels)
    np.testing.assert_allclose(sharded.statistics_.target_sum, whole.statistics_.target_sum)
    np.testing.assert_allclose(sharded.decision_function(X), whole.decision_function(X), atol=1e-7)
    assert sharded.inside_ == pytest.approx(whole.inside_)


def test_a_shard_with_a_foreign_label_is_refused():
    shards = [(X[:60], NAMES[:60]), (X[60:], np.where(Y[60:] > 0, "p", "q"))]
    with pytest.raises(InvalidInput, match=r"unknown class|label"):
        fit_shards(squared(), shards)


def test_a_shard_may_lack_one_of_three_classes():
    labels = np.array(["a", "b", "c"])[np.digitize(Y, [-0.4, 0.4])]
    some = labels[60:] != "b"
    model = fit_shards(squared(), [(X[:60], labels[:60]), (X[60:][some], labels[60:][some])])
    assert model.readout_.shape[2] == 3
    assert model.score(X, labels) > 0.5


def test_a_shard_with_its_columns_swapped_is_refused():
    table = pd.DataFrame(X, columns=["a", "b"])
    model = fit_shards(RFLAFRegressor(**SMALL), [(table[:60], Y[:60]), (table[60:], Y[60:])])
    assert list(model.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        fit_shards(
            RFLAFRegressor(**SMALL), [(table[:60], Y[:60]), (table[["b", "a"]][60:], Y[60:])]
        )


WEIGHTS = {"yes": 5.0, "no": 1.0}


def test_weighted_classes_can_be_forgotten():
    model = squared(class_weight=WEIGHTS).calibrate(X)
    model.partial_fit(X[:80], NAMES[:80])
    before = model.statistics_.gram.copy(), model.statistics_.cross.copy()
    model.partial_fit(X[80:], NAMES[80:])
    model.forget(X[80:], NAMES[80:])
    np.testing.assert_allclose(model.statistics_.gram, before[0], atol=1e-9)
    np.testing.assert_allclose(model.statistics_.cross, before[1], atol=1e-9)


def test_weighted_classes_do_not_depend_on_the_pieces():
    models = []
    for size in (120, 31):
        model = squared(class_weight=WEIGHTS).calibrate(X)
        for start in range(0, 120, size):
            part = slice(start, start + size)
            model.partial_fit(X[part], NAMES[part], classes=["no", "yes"], solve=False)
        models.append(model.solve())
    sums = [model.statistics_.weight_sum for model in models]
    assert sums[0] == pytest.approx(sums[1])
    assert sums[0] == pytest.approx(4 * (NAMES == "yes").sum() + 120)
    first, second = (model.decision_function(X) for model in models)
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("weights", [WEIGHTS, "balanced"])
def test_a_lifted_fit_with_class_weights_can_forget(weights):
    model = squared(class_weight=weights, engine="lifted").fit(X, NAMES)
    total = model.statistics_.weight_sum
    assert total == pytest.approx(120)
    model.forget(X[100:], NAMES[100:])
    assert 0 < model.statistics_.weight_sum < total


def test_balanced_needs_all_rows_at_once():
    with pytest.raises(InvalidInput, match="class_weight is 'balanced', which needs all rows"):
        squared(class_weight="balanced").partial_fit(X, NAMES)


def test_compressing_keeps_the_class_weights():
    model = squared(class_weight={"yes": 50.0, "no": 1.0}).fit(X, NAMES)
    small = model.compress(400, X, NAMES, random_state=0)
    share = [float(np.mean(m.predict(X) == "yes")) for m in (model, small)]
    assert share[1] == pytest.approx(share[0], abs=0.1)
    assert share[0] > (NAMES == "yes").mean() + 0.1


def test_compressing_with_other_outputs_is_refused():
    model = RFLAFRegressor(**SMALL).fit(X, Y)
    with pytest.raises(InvalidInput, match="y has 2 outputs, the model 1"):
        model.compress(5, X, np.c_[Y, Y])


def test_an_activation_whose_points_all_lie_outside_is_drawn():
    model = RFLAFRegressor(**SMALL, scale=1e-6).fit(X, Y)
    axes = model.plot_activation()
    assert len(axes.lines) == 1


def test_probabilities_keep_their_small_values_on_both_sides():
    model = RFLAFClassifier(**SMALL).fit(X, NAMES)
    model.readout_ = model.readout_ * (80 / np.abs(model.decision_function(X)).max())
    p = model.predict_proba(X)
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_a_net_of_a_one_class_model_is_as_flat_as_its_decision():
    model = RFLAFClassifier(**SMALL).fit(X, np.repeat("only", 120))
    torch = pytest.importorskip("torch")
    assert LAN.from_estimator(model)(torch.tensor(X)).shape == (120,)


def test_what_comes_out_of_a_saved_transformer_stays_a_frame(tmp_path):
    model = RFLAFTransformer(**SMALL).set_output(transform="pandas").fit(X, Y)
    loaded = load_model(save_model(model, tmp_path / "t"))
    pd.testing.assert_frame_equal(loaded.transform(X), model.transform(X))


@pytest.mark.parametrize("change", ["parameters", "class", "list", "unknown"])
def test_a_readable_file_that_is_no_model_is_one_line(tmp_path, change):
    path = save_model(RFLAFRegressor(**SMALL).fit(X, Y), tmp_path / "m")
    head = json.loads((path / "meta.json").read_text())
    if change == "list":
        head["meta"] = [1]
    elif change == "unknown":
        head["meta"]["parameters"]["depth"] = 3
    else:
        del head["meta"][change]
    (path / "meta.json").write_text(json.dumps(head))
    with pytest.raises(InvalidInput, match=r"holds no whole model|has format None") as refused:
        load_model(path)
    assert "\n" not in str(refused.value)


BASIS = Basis.uniform(5)
COEF, Z = np.ones(5), X @ RNG.standard_normal((2, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reduced_objective(COEF, Z * np.nan, Y, BASIS, alpha=1.0), "Z holds NaN"),
        (lambda: reduced_objective(COEF, Z, Y * np.inf, BASIS, alpha=1.0), "y holds NaN"),
        (
            lambda: reduced_objective(COEF, Z, Y, BASIS, alpha=1.0, sample_weight=np.ones(3)),
            "sample_weight must hold one number >= 0 a row",
        ),
        (
            lambda: reduced_objective(COEF, Z, Y, BASIS, alpha=1.0, sample_weight=-np.ones(120)),
            "sample_weight must hold one number >= 0 a row",
        ),
        (lambda: leverage_scores(X, "a"), "ridge is 'a'; it must be a finite number > 0"),
        (lambda: leverage_scores(X, np.inf), "ridge is inf"),
        (lambda: make_synthetic("f1", 2.5), "n_samples is 2.5; it must be an integer >= 1"),
        (lambda: LAN(3, 2.5), "n_components is 2.5; it must be an integer >= 1"),
        (lambda: LAN(3, True), "n_components is True"),
    ],
)
def test_refusals_name_the_argument(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()


def test_numpy_levels_are_levels():
    model = RFLAFRegressor(**SMALL).fit(X, Y)
    given, plain = (model.predict_interval(X, level) for level in (np.float32(0.9), 0.9))
    np.testing.assert_allclose(given.low, plain.low, rtol=1e-5)
