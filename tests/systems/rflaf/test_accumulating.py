"""Sums of tables on disk: chunk by chunk, merged, cut off and continued, solved."""

import json

import numpy as np
import pandas as pd
import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.core.runs import Run
from equipoise.systems.rflaf import RFLAFRegressor, load_model, save_model
from equipoise.systems.rflaf import accumulating as module
from equipoise.systems.rflaf.accumulating import Sums, accumulate_file, start_sums
from equipoise.systems.rflaf.commands import accumulate, merge, predict, solve
from equipoise.systems.rflaf.config import RFLAFConfig
from equipoise.systems.rflaf.tables import read_chunks, read_table

SMALL = {"n_components": "20", "n_basis": "7"}


def sales(n: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.standard_normal((n, 3)), columns=list("abc"))
    table["kind"] = rng.choice(["x", "y"], n)
    table["price"] = np.sin(2 * table.a) + (table.kind == "x") + 0.1 * rng.standard_normal(n)
    table["big"] = np.where(table.price > 0.5, "yes", "no")
    return table


@pytest.fixture
def months(tmp_path):
    table = sales().drop(columns="big")
    table.iloc[:350].to_csv(tmp_path / "jan.csv", index=False)
    table.iloc[350:].to_csv(tmp_path / "feb.csv", index=False)
    table.to_csv(tmp_path / "all.csv", index=False)
    return tmp_path


def sums_of(path):
    return Sums.load(path).statistics


def test_two_months_merged_are_the_quarter_summed_at_once(months):
    jan = accumulate(months / "jan.csv", out=months / "jan", rows=100, target="price", **SMALL)
    feb = accumulate(months / "feb.csv", out=months / "feb", rows=64, like=months / "jan")
    total = merge(months / "jan", months / "feb", out=months / "q1")
    once = accumulate(months / "all.csv", out=months / "once", rows=600, like=months / "jan")
    assert (jan["n_samples"], feb["n_samples"], total["n_samples"]) == (350, 250, 600)
    assert once["weight_sum"] == total["weight_sum"] == 600
    assert total["megabytes"] == pytest.approx(8 * 140**2 / 1e6, rel=0.05)
    for name in ("gram", "cross", "feature_sum", "target_sum", "target_square_sum"):
        merged, whole = (getattr(sums_of(months / f), name) for f in ("q1", "once"))
        np.testing.assert_allclose(merged, whole, rtol=1e-12, atol=1e-9)


def test_the_chunk_size_changes_nothing_but_what_the_first_one_fixes(months):
    start = accumulate(months / "all.csv", out=months / "a", rows=600, target="price", **SMALL)
    assert start["n_samples"] == 600
    for rows in (7, 128):
        accumulate(months / "all.csv", out=months / f"r{rows}", rows=rows, like=months / "a")
        np.testing.assert_allclose(
            sums_of(months / f"r{rows}").gram, sums_of(months / "a").gram, rtol=1e-12, atol=1e-10
        )


def test_a_solved_run_predicts_the_rows_of_a_table(months):
    accumulate(months / "all.csv", out=months / "sums", target="price", **SMALL)
    done = solve(months / "sums", out=months / "model")
    model = load_model(months / "model" / "checkpoints" / "model")
    assert done["alpha"] == model.alpha_
    assert done["gcv"] == pytest.approx(model.gcv_)
    assert Run.open(done["run"]).status == "done"
    found = predict(str(months / "model"), months / "all.csv", interval=0.9)
    made = pd.read_csv(found["path"])
    price = pd.read_csv(months / "all.csv").price.to_numpy()
    assert np.mean((made.prediction.to_numpy() - price) ** 2) < 0.5 * price.var()
    assert list(made.columns) == ["prediction", "low", "high"]


def test_a_solution_is_the_partial_fit_of_the_same_rows(months):
    accumulate(months / "all.csv", out=months / "sums", rows=200, target="price", **SMALL)
    solve(months / "sums", out=months / "run")
    found = load_model(months / "run" / "checkpoints" / "model")
    columns = Sums.load(months / "sums").columns
    table = read_table(months / "all.csv")
    model = RFLAFRegressor(20, 7, random_state=0)
    for start in range(0, 600, 200):
        part = table.iloc[start : start + 200]
        model.partial_fit(columns.rows(part), columns.targets(part), solve=False)
    np.testing.assert_allclose(
        found.predict(columns.rows(table)), model.solve().predict(columns.rows(table)), atol=1e-8
    )


def test_classes_are_summed_with_squared_loss(tmp_path):
    table = sales().drop(columns="price")
    table.to_parquet(tmp_path / "t.parquet")
    accumulate(tmp_path / "t.parquet", out=tmp_path / "sums", rows=150, target="big", **SMALL)
    solve(tmp_path / "sums", out=tmp_path / "run")
    found = predict(str(tmp_path / "run"), tmp_path / "t.parquet")
    made = pd.read_csv(found["path"])
    assert list(made.columns) == ["prediction"]
    assert np.mean(made.prediction.to_numpy() == table.big.to_numpy()) > 0.7


@pytest.mark.parametrize("cut", [1, 3])
def test_sums_cut_off_go_on_after_the_last_whole_chunk(months, monkeypatch, cut):
    line = {"rows": 100, "target": "price", **SMALL}
    accumulate(months / "all.csv", out=months / "whole", **line)
    add, calls = Sums.add, []

    def interrupted(self, X, y):
        calls.append(len(X))
        if len(calls) > cut:
            self.model.partial_fit(X, y, solve=False)  # half way through a chunk
            raise KeyboardInterrupt
        return add(self, X, y)

    monkeypatch.setattr(module.Sums, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        accumulate(months / "all.csv", out=months / "cut", **line)
    assert Sums.load(months / "cut").chunks == cut
    assert sums_of(months / "cut").n_samples == 100 * cut
    monkeypatch.setattr(module.Sums, "add", add)
    accumulate(months / "all.csv", out=months / "cut", **line)
    assert np.array_equal(sums_of(months / "cut").gram, sums_of(months / "whole").gram)
    monkeypatch.setattr(module.Sums, "add", interrupted)
    again = accumulate(months / "all.csv", out=months / "cut", **line)
    assert again["n_samples"] == 600


def test_rows_that_lack_a_value_are_left_out_of_every_chunk(months):
    table = pd.read_csv(months / "all.csv")
    table.loc[100:199, "b"] = np.nan
    table.loc[[5, 400], "price"] = np.nan
    table.to_csv(months / "gaps.csv", index=False)
    done = accumulate(months / "gaps.csv", out=months / "s", rows=100, target="price", **SMALL)
    assert done["n_samples"] == 498


def refused(kind, message, call):
    with pytest.raises(kind, match=message):
        call()


def test_sums_that_do_not_belong_together_are_refused(months):
    def make(name, **options):
        accumulate(months / "jan.csv", out=months / name, target="price", **{**SMALL, **options})

    make("a")
    make("b", seed=1)
    make("c", n_basis="9")
    for other, message in (("b", "differ in their weights"), ("c", "differ in their basis")):
        refused(
            InvalidInput,
            message,
            lambda other=other: merge(months / "a", months / other, out=months / "x"),
        )
    pd.read_csv(months / "jan.csv").drop(columns="kind").to_csv(months / "bare.csv", index=False)
    accumulate(months / "bare.csv", out=months / "d", target="price", **SMALL)
    refused(
        InvalidInput,
        "read in different ways",
        lambda: merge(months / "a", months / "d", out=months / "x"),
    )
    assert not (months / "x").exists()
    refused(
        InvalidInput,
        "holds sums of other rows; name a new folder",
        lambda: accumulate(months / "feb.csv", out=months / "a", like=months / "a"),
    )
    assert sums_of(months / "a").n_samples == 350


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "rows is 0; a chunk needs at least 1"),
        ({"target": "prise"}, "unknown column 'prise': did you mean 'price'"),
        ({"n_components": "1000"}, "above the limit 6000"),
        ({"like": "jan", "n_basis": "5"}, "--like fixes all settings; leave out n_basis"),
        ({"like": "jan", "target": "a"}, "is of target 'price'; leave --target out"),
    ],
)
def test_wrong_accumulations_are_refused(months, options, message):
    accumulate(months / "jan.csv", out=months / "jan", target="price", **SMALL)
    if "like" in options:
        options = options | {"like": months / options["like"]}
    given = SMALL if "like" not in options else {}
    with pytest.raises(InvalidInput, match=message):
        accumulate(months / "feb.csv", out=months / "out", **{**given, **options})
    assert not (months / "out").exists()


def test_merging_or_solving_what_is_no_sums_is_refused(months):
    refused(InvalidInput, "no sums were given", lambda: merge(out=months / "x"))
    refused(MissingData, "no checkpoint at", lambda: solve(months / "absent"))
    model = RFLAFRegressor(5, 5, random_state=0).fit(np.eye(6)[:, :2], np.arange(6.0))
    save_model(model, months / "model")
    refused(InvalidInput, "holds no sums", lambda: solve(months / "model"))
    (months / "foreign").mkdir()
    (months / "foreign" / "meta.json").write_text(json.dumps({"format": "other/1"}))
    refused(InvalidInput, "holds no whole model", lambda: solve(months / "foreign"))


def test_merging_part_of_a_table_says_so(months, capsys):
    config = RFLAFConfig(target="price", n_components=20, n_basis=7)
    start = start_sums(months / "jan.csv", config, 100, 0)

    def stop(sums):
        if sums.chunks == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        accumulate_file(months / "jan.csv", start, 100, months / "part", after=stop)
    merge(months / "part", out=months / "sum")
    assert "part was cut off and holds a part of its table" in capsys.readouterr().err
    assert sums_of(months / "sum").n_samples == 100


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "npz"])
def test_chunks_are_the_table(tmp_path, kind):
    table = sales(50)
    path = tmp_path / f"t.{kind}"
    if kind == "npz":
        np.savez(path, X=table[["a", "b"]].to_numpy(), y=table.price.to_numpy())
    elif kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    chunks = list(read_chunks(path, 20))
    assert [len(chunk) for chunk in chunks] == [20, 20, 10]
    whole = pd.concat(chunks, ignore_index=True)
    pd.testing.assert_frame_equal(whole, read_table(path))


def test_a_text_column_that_looks_like_numbers_later_stays_text(tmp_path):
    path = tmp_path / "codes.csv"
    path.write_text("code,y\n" + "".join(f"{c},1.5\n" for c in ("x7", "x8", "7", "8", "9", "10")))
    chunks = list(read_chunks(path, 2, ("code",)))
    assert chunks[1].code.tolist() == ["7", "8"]


def test_a_table_that_breaks_half_way_names_the_file(tmp_path):
    path = tmp_path / "broken.csv"
    path.write_text("a,y\n1,2\n3,4\n5,6,7,8\n")
    with pytest.raises(InvalidInput, match=r"broken\.csv cannot be read: .*line 4"):
        list(read_chunks(path, 2))
