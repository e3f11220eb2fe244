"""Training on a file chunk by chunk: scores, test rows, and going on after an interruption."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, r2_score

from equipoise.core.errors import InvalidInput
from equipoise.core.runs import Run
from equipoise.systems.rflaf import load_model
from equipoise.systems.rflaf import streaming as module
from equipoise.systems.rflaf.accumulating import Sums
from equipoise.systems.rflaf.commands import predict, train
from equipoise.systems.rflaf.streaming import RunningScore

SMALL = {"n_components": "20", "n_basis": "7"}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.standard_normal((900, 3)), columns=list("abc"))
    made["y"] = np.sin(2 * made.a) + made.b + 0.1 * rng.standard_normal(900) + 1e6
    path = tmp_path_factory.mktemp("stream") / "t.csv"
    made.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("sizes", [(10, 3, 7), (1, 19), (20,)])
def test_a_running_score_is_the_score_of_all_rows(sizes):
    rng = np.random.default_rng(1)
    y, prediction = rng.standard_normal((2, sum(sizes)))
    y, prediction = y + 1e5, prediction + 1e5
    score, shares = RunningScore("regression"), RunningScore("classification")
    start = 0
    for size in sizes:
        part = slice(start, start + size)
        score.add(y[part], prediction[part])
        shares.add(y[part] > 1e5, prediction[part] > 1e5)
        start += size
    assert score.value == pytest.approx(r2_score(y, prediction), rel=1e-9)
    assert shares.value == accuracy_score(y > 1e5, prediction > 1e5)


def test_a_running_score_of_nothing_or_of_one_value_is_none():
    empty = RunningScore("regression")
    assert np.isnan(empty.value)
    empty.add(np.ones(4), np.zeros(4))
    assert np.isnan(empty.value)
    assert np.isnan(RunningScore("classification").value)


def test_test_rows_are_a_share_and_always_the_same():
    drawn = module.test_rows(3, 0, 20_000, 0.2)
    assert drawn.mean() == pytest.approx(0.2, abs=0.01)
    assert np.array_equal(drawn, module.test_rows(3, 0, 20_000, 0.2))
    assert not np.array_equal(drawn, module.test_rows(3, 1, 20_000, 0.2))


def test_a_streamed_training_scores_rows_that_were_not_summed(table, tmp_path):
    done = train(str(table), stream=200, out=tmp_path / "run", **SMALL)
    model = load_model(tmp_path / "run" / "checkpoints" / "model")
    rows = pd.read_csv(table)
    test = np.concatenate([module.test_rows(0, k, len(rows[s : s + 200]), 0.2)
                           for k, s in enumerate(range(0, 900, 200))])  # fmt: skip
    X, y = rows[list("abc")].to_numpy(), rows.y.to_numpy()
    assert done["test_score"] == pytest.approx(model.score(X[test], y[test]), abs=1e-6)
    assert done["train_score"] == pytest.approx(model.score(X[~test], y[~test]), abs=1e-6)
    assert done["n_samples"] == 900
    assert model.statistics_.n_samples == (~test).sum()
    assert done["test_score"] > 0.8
    report = (tmp_path / "run" / "report.html").read_text()
    assert "the baselines were fitted on the first chunk" in report
    assert [r["step"] for r in Run.open(tmp_path / "run").metrics] == [1, 2, 3, 4, 5]
    assert predict(str(tmp_path / "run"), table)["rows"] == 900


def test_a_streamed_training_goes_on_where_it_was_cut_off(table, tmp_path, monkeypatch):
    whole = train(str(table), stream=200, out=tmp_path / "whole", **SMALL)
    save = Sums.save

    def interrupted(self, path):
        if self.chunks == 4:
            raise KeyboardInterrupt  # after the metrics line, before the sums are safe
        return save(self, path)

    monkeypatch.setattr(Sums, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(str(table), stream=200, out=tmp_path / "cut", **SMALL)
    assert Run.open(tmp_path / "cut").status == "interrupted"
    assert Sums.load(tmp_path / "cut" / "checkpoints" / "sums").chunks == 3
    monkeypatch.setattr(Sums, "save", save)
    again = train(str(table), stream=200, out=tmp_path / "cut", **SMALL)
    for key in ("test_score", "train_score", "alpha", "baselines", "n_samples"):
        assert again[key] == whole[key]
    lines = [(tmp_path / n / "metrics.jsonl").read_text() for n in ("whole", "cut")]
    assert [json.loads(line) for line in lines[0].splitlines()] == [
        json.loads(line) for line in lines[1].splitlines()
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stream": 2, "test_size": "0.01"}, "a chunk has 2 rows; --stream needs more of them"),
        ({"stream": 100, "test_size": "1.5"}, "test_size is 1.5"),
        ({"stream": -1}, "rows is -1; a chunk needs at least 1"),
        ({"stream": 100, "target": "z"}, "unknown column 'z'"),
    ],
)
def test_wrong_streams_are_refused(table, tmp_path, options, message):
    with pytest.raises(InvalidInput, match=message):
        train(str(table), out=tmp_path / "run", **{**SMALL, **options})


def test_a_data_set_by_name_is_streamed_from_a_file_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "cache"))
    whole = train("friedman1", out=tmp_path / "whole", **SMALL)
    done = train("friedman1", stream=1000, out=tmp_path / "run", **SMALL)
    assert done["n_samples"] == whole["n_samples"]
    assert done["test_score"] == pytest.approx(whole["test_score"], abs=0.05)
    (made,) = (tmp_path / "cache").rglob("*.parquet")
    before = made.stat().st_mtime_ns
    again = train("friedman1", stream=1000, out=tmp_path / "again", **SMALL)
    assert made.stat().st_mtime_ns == before
    assert again["test_score"] == done["test_score"]
    with pytest.raises(InvalidInput, match="friedman1"):
        train("friedmann1", stream=1000, out=tmp_path / "none", **SMALL)
    assert not (tmp_path / "none").exists()


def test_later_rows_off_the_span_are_said_once(tmp_path, recwarn, capsys):
    rng = np.random.default_rng(0)
    made = pd.DataFrame({"a": rng.standard_normal(900), "b": rng.standard_normal(900)})
    made.loc[300:, "a"] *= 6
    made["y"] = np.tanh(made.a) + made.b
    made.to_csv(tmp_path / "t.csv", index=False)
    train(str(tmp_path / "t.csv"), stream=300, out=tmp_path / "run", **SMALL)
    assert not [w for w in recwarn if "outside the span" in str(w.message)]
    said = capsys.readouterr().err
    assert said.count("later rows differ from the first chunk's") == 1
    assert "outside the span" in said
