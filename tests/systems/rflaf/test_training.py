"""From a table to a run that predicts: the verbs train, predict and activation."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.core.runs import Run
from equipoise.systems.rflaf import RFLAFConfig, load_model
from equipoise.systems.rflaf.baselines import GAMMAS, RandomFeatures, fit_baseline
from equipoise.systems.rflaf.commands import activation, demo, predict, train
from equipoise.systems.rflaf.training import split

SMALL = {"n_components": "40", "n_basis": "9", "n_starts": "2"}


@pytest.fixture(scope="module")
def houses(tmp_path_factory) -> Path:
    rng = np.random.default_rng(1)
    n = 400
    table = pd.DataFrame(
        {
            "size": rng.uniform(40, 200, n),
            "age": rng.uniform(0, 90, n),
            "town": rng.choice(["Ayr", "Bath"], n),
        }
    )
    table["price"] = (
        3 * table["size"] + 80 * np.sin(table["age"] / 15) + 90.5 * (table["town"] == "Bath")
    )
    table["dear"] = np.where(table["price"] > table["price"].median(), "yes", "no")
    path = tmp_path_factory.mktemp("tables") / "houses.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def trained(houses) -> dict:
    table = pd.read_csv(houses).drop(columns="dear")
    table.to_csv(houses.with_name("prices.csv"), index=False)
    out = houses.parent / "run"
    return train(str(houses.with_name("prices.csv")), target="price", out=out, **SMALL)


def test_a_table_becomes_a_run_with_scores_beside_baselines(trained):
    assert (trained["task"], trained["metric"]) == ("regression", "r2")
    assert trained["test_score"] > 0.97
    assert trained["train_score"] > 0.97
    assert (trained["n_samples"], trained["n_features"]) == (400, 4)
    assert trained["n_parameters"] == 40 + 9 + 1
    assert set(trained["baselines"]) == {"rbf_sampler", "nystroem", "relu", "trees"}
    run = Run.open(trained["run"])
    assert run.status == "done"
    assert run.results["measured"]["RFLAF"] == trained["test_score"]
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "the best of the baselines" in page
    plots = {path.stem for path in (run.path / "plots").iterdir()}
    assert plots == {"activation", "predicted-vs-true", "objective", "coverage", "gcv-path"}
    assert (run.path / "media" / "activation-forming.gif").is_file()
    assert "dashed, where it ends" in page


def test_predictions_with_intervals_cover_and_match_the_model(trained, houses, tmp_path):
    done = predict(trained["run"], houses, interval=0.9, out=tmp_path / "p.csv")
    found = pd.read_csv(done["path"])
    truth = pd.read_csv(houses)["price"].to_numpy()
    assert done["rows"] == len(found) == 400
    assert 0 <= done["outside_share"] < 0.05
    low, middle, high = found[["low", "prediction", "high"]].to_numpy().T
    assert np.all((low < middle) & (middle < high))
    assert np.mean((low <= truth) & (truth <= high)) > 0.8
    plain = predict(trained["run"], houses)
    assert Path(plain["path"]) == Path(trained["run"]) / "predictions.csv"
    np.testing.assert_allclose(pd.read_csv(plain["path"])["prediction"], found["prediction"])


def test_the_curve_is_written_and_drawn(trained, tmp_path):
    done = activation(trained["run"], points=51, out=tmp_path / "curve.csv")
    curve = pd.read_csv(done["path"])
    assert done["points"] == len(curve) == 51
    model = load_model(Path(trained["run"]) / "checkpoints" / "model")
    np.testing.assert_allclose(curve["value"], model.activation_curve(curve["z"]).value[:, 0])
    assert np.all(curve["low"].to_numpy() <= curve["value"].to_numpy())
    assert "<svg" in (tmp_path / "curve.svg").read_text(encoding="utf-8")


def test_classes_come_with_probabilities(houses, tmp_path):
    done = train(str(houses), target="dear", out=tmp_path / "run", **SMALL)
    assert (done["task"], done["metric"]) == ("classification", "accuracy")
    assert done["test_score"] > 0.9
    made = predict(done["run"], houses, out=tmp_path / "p.csv")
    found = pd.read_csv(made["path"])
    assert list(found.columns) == ["prediction", "probability_no", "probability_yes"]
    np.testing.assert_allclose(found[["probability_no", "probability_yes"]].sum(axis=1), 1)
    assert np.mean(found["prediction"].to_numpy() == pd.read_csv(houses)["dear"].to_numpy()) > 0.9
    with pytest.raises(InvalidInput, match="--interval is for regressions"):
        predict(done["run"], houses, interval=0.9)


def test_a_set_by_name_and_a_demo_have_curves(tmp_path):
    done = train("f1", out=tmp_path / "f1", n_samples="300", n_teacher="500", **SMALL)
    assert (done["n_samples"], done["n_features"]) == (300, 2)
    shown = demo(out=tmp_path / "demo", n_samples="300", n_teacher="500", **SMALL)
    assert activation(shown["run"])["points"] == 401
    with pytest.raises(InvalidInput, match="was not made by train"):
        predict(shown["run"], tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ("diabetis", {}, "did you mean 'diabetes'"),
        ("none.csv", {}, "there is no file none.csv"),
        ("diabetes", {"target": "z"}, "unknown column 'z'"),
        ("diabetes", {"n_component": "3"}, "did you mean 'n_components'"),
        ("diabetes", {"test_size": "0"}, "test_size is 0"),
        ("diabetes", {"solver": "varpo"}, "did you mean 'varpro'"),
    ],
)
def test_wrong_lines_are_refused(tmp_path, data, options, words):
    with pytest.raises(InvalidInput, match=words):
        train(data, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()  # seen before a run began


def test_predict_says_what_a_table_lacks(trained, houses, tmp_path):
    table = pd.read_csv(houses).head(5)
    table.drop(columns="age").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InvalidInput, match="unknown column 'age'"):
        predict(trained["run"], tmp_path / "a.csv")
    table.loc[2, "age"] = np.nan
    table.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(InvalidInput, match="1 rows lack a value, first row 3"):
        predict(trained["run"], tmp_path / "b.csv")
    with pytest.raises(InvalidInput, match="a curve needs at least 2"):
        activation(trained["run"], points=1)


def test_a_damaged_run_is_refused(trained, tmp_path):
    made = Run.create("rflaf", "train", RFLAFConfig(), folder=tmp_path / "empty")
    with pytest.raises(InvalidInput, match="holds no model"):
        activation(str(made.path))
    columns = Path(trained["run"]) / "columns.json"
    text = columns.read_text(encoding="utf-8")
    try:
        columns.write_text(json.dumps({"target": 3}), encoding="utf-8")
        with pytest.raises(InvalidInput, match="is damaged"):
            predict(trained["run"], tmp_path / "x.csv")
    finally:
        columns.write_text(text, encoding="utf-8")


def test_classes_keep_their_shares_in_both_parts():
    y = np.repeat([0, 1, 2], [70, 20, 10])
    train_part, test_part = split(y, "classification", 0.2, 0)
    assert sorted([*train_part, *test_part]) == list(range(100))
    np.testing.assert_array_equal(np.bincount(y[test_part]), [14, 4, 2])
    assert split(y, "classification", 0.2, 0)[1].tolist() == test_part.tolist()
    assert split(y, "classification", 0.2, 1)[1].tolist() != test_part.tolist()


@pytest.mark.parametrize("name", ["rbf_sampler", "nystroem", "relu", "cos", "tanh", "trees"])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_baselines_learn(name, task):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3))
    signal = X[:, 0] + X[:, 1] ** 2
    y = signal if task == "regression" else np.where(signal > 1, "big", "small")
    model, gamma = fit_baseline(name, task, 60, 0, X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.7
    assert (gamma is None) == (name not in ("rbf_sampler", "nystroem"))
    assert gamma is None or any(np.isclose(gamma, 2 * g / 3) for g in GAMMAS)


def test_random_features_are_what_they_say():
    X = np.random.default_rng(0).standard_normal((5, 4))
    made = RandomFeatures(7, shape="cos", random_state=3).fit(X)
    by_hand = np.cos(X @ made.random_weights_ + made.random_offset_)
    np.testing.assert_allclose(made.transform(X), by_hand)
    with pytest.raises(InvalidInput, match="did you mean 'relu'"):
        RandomFeatures(shape="rellu").fit(X)
