"""Evaluation, reproduction and compression: scores over splits, intervals, verdicts, resuming."""

import json

import numpy as np
import pytest
from scipy import stats

from equipoise.core.errors import InvalidInput
from equipoise.core.runs import Run
from equipoise.systems.rflaf import evaluate as module
from equipoise.systems.rflaf import load_model, reproduction
from equipoise.systems.rflaf.commands import compress, evaluate, predict, reproduce, train
from equipoise.systems.rflaf.config import RFLAFConfig
from equipoise.systems.rflaf.data import make_synthetic
from equipoise.systems.rflaf.evaluate import compare, mean_interval, own_settings, summarise

FEW = {"seeds": "2", "models": "relu,rbf_sampler", "compare_components": "12", "compare_basis": "7"}


def row(data: str, model: str, seed: int, score: float, task: str = "regression") -> dict:
    return {
        "data": data,
        "task": task,
        "model": model,
        "seed": seed,
        "score": score,
        "fit_seconds": 1.0 + seed,
        "predict_seconds": 0.1,
        "n_parameters": None,
    }


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_of_a_mean_is_students(level):
    values = [0.2, 0.5, 0.9, 0.4]
    mean, low, high = mean_interval(values, level)
    reference = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert (mean, low, high) == pytest.approx((0.5, reference.low, reference.high))


def test_one_value_has_no_interval():
    mean, low, high = mean_interval([0.3])
    assert mean == 0.3
    assert np.isnan([low, high]).all()


def test_a_summary_averages_each_model_on_each_set():
    rows = [row("a", "RFLAF", s, 0.5 + 0.1 * s) for s in range(3)]
    rows += [row("b", "relu", 0, 1.0, "classification")]
    first, second = summarise(rows)
    assert (first["data"], first["metric"], first["mean"]) == ("a", "r2", pytest.approx(0.6))
    assert first["fit_seconds"] == 2.0
    assert (second["metric"], second["mean"]) == ("accuracy", 1.0)


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [([0.1, 0.11, 0.12], "better"), ([-0.1, 0.2], "tie"), ([-1, -1.1], "worse")],
)
def test_models_are_compared_split_by_split(gaps, verdict):
    noise = [5.0, -3.0, 2.0]  # common to both models: it must not matter
    rows = []
    for seed, gap in enumerate(gaps):
        rows += [row("a", "rbf_sampler", seed, noise[seed])]
        rows += [row("a", "RFLAF", seed, noise[seed] + gap), row("c", "RFLAF", seed, 0.0)]
    (found,) = compare(rows)
    assert (found["data"], found["verdict"]) == ("a", verdict)
    assert found["difference"] == pytest.approx(np.mean(gaps))


def test_only_the_papers_own_sets_keep_the_published_scaling():
    config = RFLAFConfig.preset("tiny", compare_components=33, compare_basis=9)
    assert own_settings(config, "f1") is config
    other = own_settings(config, "diabetes")
    assert (other.standardize, other.scale) == (True, "auto")
    assert (other.n_components, other.n_basis) == (33, 9)


def test_an_evaluation_goes_on_after_its_last_fit(tmp_path, monkeypatch):
    line = {"data": ("diabetes",), "preset": "tiny", **FEW}
    whole = evaluate(out=tmp_path / "whole", **line)
    fit, fits = module._fit, []

    def interrupted(*arguments):
        if len(fits) == 4:
            raise KeyboardInterrupt
        fits.append(arguments)
        return fit(*arguments)

    monkeypatch.setattr(module, "_fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(out=tmp_path / "cut", **line)
    with (tmp_path / "cut" / "scores.jsonl").open("a") as file:
        file.write('{"data": "diab')  # the line it was writing
    fits.clear()
    again = evaluate(out=tmp_path / "cut", **line)
    assert len(fits) == 2
    assert [r["mean"] for r in again["rows"]] == [r["mean"] for r in whole["rows"]]
    assert again["paired"] == whole["paired"]
    lines = [(tmp_path / n / "metrics.jsonl").read_text() for n in ("whole", "cut")]
    assert lines[0] == lines[1]
    page = (tmp_path / "whole" / "report.html").read_text()
    assert "Against RBFSampler" in page


def test_an_evaluation_splits_alike_for_every_model(tmp_path):
    found = evaluate(
        data=("digits",), out=tmp_path / "run", **{**FEW, "models": "relu", "seeds": "1"}
    )
    assert {r["model"] for r in found["rows"]} == {"RFLAF", "relu"}
    assert all(r["metric"] == "accuracy" and 0.2 < r["mean"] <= 1 for r in found["rows"])
    assert found["paired"] == []
    own = next(r for r in found["rows"] if r["model"] == "RFLAF")
    assert own["n_parameters"] == 12 * 10 + 7 + 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": "relv"}, "unknown model 'relv': did you mean 'relu'"),
        ({"seeds": "0"}, "seeds is 0"),
        ({"sets": "diabetis"}, "unknown data set 'diabetis': did you mean 'diabetes'"),
    ],
)
def test_wrong_evaluations_are_refused(tmp_path, changes, message):
    with pytest.raises(InvalidInput, match=message):
        evaluate(out=tmp_path / "run", **{**FEW, **changes})
    assert not (tmp_path / "run").exists()  # seen before a run began


def test_reproduction_of_what_is_known_and_of_what_needs_files(tmp_path, capsys):
    small = {"n_samples": "300", "n_components": "15", "n_basis": "7", "seeds": "1"}
    found = reproduce(table=("synthetic", "main"), out=tmp_path / "run", **small)
    synthetic = [r for r in found["rows"] if r["table"] == "synthetic"]
    assert {r["data"] for r in synthetic} == {"f1", "f2", "f3"}
    own = next(r for r in synthetic if (r["data"], r["model"]) == ("f1", "RFLAF"))
    assert (own["published"], own["published_last"]) == (1.1e-4, 7.5e-4)
    data = make_synthetic("f1", 300, 100_000, 125)
    assert 0 < own["measured"] < data.y.var()
    assert own["relative"] == pytest.approx(own["measured"] / data.y.var(), rel=0.5)
    missing = [r for r in found["rows"] if r["table"] == "main"]
    assert all(r["measured"] is None and r["published"] > 0 for r in missing)
    assert "it takes CASP.csv" in capsys.readouterr().err
    results = Run.open(tmp_path / "run").results
    assert results["published"]["main/ct/relu"] == 0.356
    assert "synthetic/f1/RFLAF" in results["measured"]
    # what people print it for stands side by side, also on a narrow terminal
    columns = list(dict.fromkeys(key for row in found["rows"] for key in row))
    assert columns[:5] == ["table", "data", "model", "published", "measured"]


def test_a_published_set_is_measured_where_its_file_is(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((120, 10))
    header = ",".join(["RMSD", *(f"F{k}" for k in range(1, 10))])
    np.savetxt(tmp_path / "CASP.csv", values, delimiter=",", header=header, comments="")
    small = RFLAFConfig.preset("tiny", n_components=10, compare_basis=5, seeds=1)
    rows = reproduction.main_table(small, 0, tmp_path)
    protein = {r["model"]: r for r in rows if r["data"] == "protein"}
    assert protein["RFLAF"]["published"] == 0.204
    assert protein["relu"]["published_last"] == 0.340
    assert 0 < protein["RFLAF"]["measured"] < 1  # targets were divided by ten
    assert all(r["measured"] is None for r in rows if r["data"] == "ct")


def test_tables_that_are_whole_are_kept(tmp_path, monkeypatch):
    made = []

    def table(config, seed, files):
        made.append(seed)
        if len(made) == 2:
            raise KeyboardInterrupt
        return [{"data": "d", "model": "m", "published": None, "measured": 1.0}]

    monkeypatch.setattr(reproduction, "TABLES", {"synthetic": table, "width": table})
    with pytest.raises(KeyboardInterrupt):
        reproduce(out=tmp_path / "run")
    reproduce(out=tmp_path / "run")
    assert len(made) == 3
    assert [r["table"] for r in Run.open(tmp_path / "run").metrics] == ["synthetic", "width"]


def test_an_unknown_table_names_the_nearest(tmp_path):
    with pytest.raises(InvalidInput, match="unknown table 'widht': did you mean 'width'"):
        reproduce(table=("widht",), out=tmp_path / "run")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    train("friedman1", out=folder, n_components="40", n_basis="9")
    return folder


def test_a_model_is_made_smaller_on_the_rows_it_was_trained_on(trained, tmp_path):
    found = compress(str(trained), "friedman1", n_components=30, out=tmp_path / "small")
    whole = json.loads((trained / "results.json").read_text())["measured"]["RFLAF"]
    assert found["whole_test_score"] == pytest.approx(whole)
    model = load_model(tmp_path / "small" / "checkpoints" / "model")
    assert found["n_components"] == model.readout_.shape[0] <= 30
    assert 1 < found["effective_dimension"] <= 40**2
    for method in ("eliminate", "leverage"):
        sizes = [size for size in found["sizes"] if size["method"] == method]
        assert sizes[-1]["test_score"] > sizes[0]["test_score"]
        assert sizes[-1]["asked"] == 40
    table = tmp_path / "rows.csv"
    table.write_text("x1,x2,x3,x4,x5,x6,x7,x8,x9,x10\n" + ",".join(["0.5"] * 10) + "\n")
    assert predict(str(tmp_path / "small"), table)["rows"] == 1


@pytest.mark.parametrize("units", [0, 41])
def test_more_units_than_there_are_are_refused(trained, tmp_path, units):
    with pytest.raises(InvalidInput, match=f"n_components is {units}; the model has 40 units"):
        compress(str(trained), "friedman1", n_components=units, out=tmp_path / "small")
