"""Tables of rows: reading, deciding, and treating later rows alike."""

import json

import numpy as np
import pandas as pd
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf.tables import MOST_LEVELS, Columns, frame_of, read_table


def houses(n=40):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.uniform(40, 200, n),
            "rooms": rng.integers(1, 30, n),
            "garden": rng.random(n) < 0.5,
            "town": rng.choice(["Ayr", "Bath", "Cork"], n, p=[0.5, 0.3, 0.2]),
            "name": [f"house {i} of {'x' * (i % 7)}" for i in range(n)],
            "price": rng.uniform(1e5, 9e5, n),
        }
    )


def wide(n=600):
    return pd.DataFrame({"id": [f"a{i}" for i in range(n)], "x": np.arange(n), "y": np.ones(n)})


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_files_of_every_kind_hold_the_same(tmp_path, suffix):
    table = houses()
    path = tmp_path / f"t.{suffix}"
    table.to_parquet(path) if suffix == "parquet" else table.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_table(path), table, check_dtype=False)


def test_npz_has_columns_by_number(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.arange(6.0).reshape(3, 2), y=np.arange(3))
    table = read_table(tmp_path / "a.npz")
    assert list(table.columns) == ["x1", "x2", "y"]
    np.savez(tmp_path / "b.npz", X=np.ones((3, 2)))
    assert list(read_table(tmp_path / "b.npz").columns) == ["x1", "x2"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("none.csv", None, "there is no file"),
        ("t.xlsx", "a", "is none of .csv"),
        ("t.csv", "a,b,a\n1,2,3\n", "two columns named 'a'; rename one"),
        ("t.csv", "a,,,b\n1,2,3,4\n", "two columns named ''; rename one"),
        ("t.csv", "a,b\n1,2,3\n4,5,6\n", "cannot be read: .*Expected 2 fields in line 2, saw 3"),
        ("t.csv", "a,b\n1,2,\n4,5,\n", "cannot be read: .*Expected 2 fields in line 2, saw 3"),
        ("t.csv", "", "cannot be read"),
        ("t.csv", "a,b\n", "holds no rows"),
        ("t.csv", "a,b\n1,2\n1,2,3,4\n", "cannot be read: .*line 3"),
        ("t.parquet", "nonsense", "cannot be read"),
        ("t.npz", "nonsense", "cannot be read"),
    ],
)
def test_files_that_cannot_be_read_are_refused_in_one_line(tmp_path, name, text, words):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=words) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_an_npz_that_needs_unpickling_or_lacks_rows_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.array([[{}]], dtype=object))
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_table(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", Z=np.ones((2, 2)))
    with pytest.raises(InvalidInput, match="it needs `X`"):
        read_table(tmp_path / "b.npz")
    with pytest.raises(InvalidInput, match="must agree"):
        frame_of(np.ones((3, 2)), np.ones(2))


def test_text_is_coded_by_frequency_and_numbers_are_taken():
    columns = Columns.learn(houses(), "price")
    assert columns.task == "regression"
    assert columns.numeric == ("size", "rooms", "garden")
    assert columns.coded["town"] == ("Ayr", "Bath", "Cork")
    assert columns.feature_names[-3:] == ("town=Ayr", "town=Bath", "town=Cork")
    X = columns.rows(houses())
    town = houses()["town"].to_numpy()
    np.testing.assert_array_equal(
        X[:, -3:].argmax(1), [["Ayr", "Bath", "Cork"].index(t) for t in town]
    )


def test_names_that_hardly_repeat_are_left_out():
    columns = Columns.learn(wide(), "y")
    assert columns.left_out == ("id",)
    assert columns.feature_names == ("x",)


def test_only_the_most_frequent_levels_have_a_column():
    n = 1200
    table = pd.DataFrame({"c": [f"l{i % 60:02d}" for i in range(n)], "y": np.arange(n) * 1.5})
    columns = Columns.learn(table, "y")
    assert len(columns.coded["c"]) == MOST_LEVELS
    assert columns.rows(table)[59].sum() == 0


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0.5, 1.5, 2.5], "regression"),
        ([1, 2, 3], "classification"),
        (list(range(30)), "regression"),
        (["a", "b", "a"], "classification"),
        ([True, False, True], "classification"),
    ],
)
def test_the_task_follows_from_the_target(values, task):
    table = pd.DataFrame({"x": np.arange(len(values)), "y": values})
    assert Columns.learn(table).task == task
    assert Columns.learn(table, "y").target == "y"


def test_the_target_is_y_or_target_or_the_last():
    assert Columns.learn(pd.DataFrame({"y": [1.5, 2.5], "b": [1, 2]})).target == "y"
    assert Columns.learn(pd.DataFrame({"target": [1.5, 2.5], "b": [1, 2]})).target == "target"
    assert Columns.learn(pd.DataFrame({"a": [1, 2], "b": [1.5, 2.5]})).target == "b"


@pytest.mark.parametrize(
    ("table", "target", "task", "words"),
    [
        (
            {"a": [1], "price": [2.5]},
            "prise",
            "auto",
            "'prise': did you mean 'price'",
        ),
        ({"a": [1], "y": [2.5]}, "y", "regresion", "did you mean 'regression'"),
        ({"a": [1], "y": [None]}, "y", "auto", "has no values"),
        ({"a": [1], "y": ["b"]}, "y", "regression", "is text"),
        ({"a": [1, 2], "y": ["b", "b"]}, "y", "auto", "has one class, 'b'"),
        ({"y": [1.5]}, "y", "auto", "no column can be used"),
    ],
)
def test_what_cannot_be_learnt_is_refused(table, target, task, words):
    with pytest.raises(InvalidInput, match=words):
        Columns.learn(pd.DataFrame(table), target, task)


def test_later_rows_are_treated_alike():
    columns = Columns.learn(houses(), "price")
    later = houses()[["town", "garden", "rooms", "size"]].head(3)
    np.testing.assert_array_equal(columns.rows(later), columns.rows(houses())[:3])
    later["town"] = "Dover"
    assert columns.rows(later)[:, -3:].sum() == 0
    with pytest.raises(InvalidInput, match="unknown column 'size'"):
        columns.rows(later.drop(columns="size"))
    later["size"] = "large"
    with pytest.raises(InvalidInput, match="the column 'size' holds text"):
        columns.rows(later)
    later["price"] = "n/k"
    with pytest.raises(InvalidInput, match="the column 'price' holds text"):
        columns.targets(later)


def test_rows_that_lack_a_value_are_counted_and_left_out():
    table = houses()
    table.loc[0, "size"] = np.nan
    table.loc[1, "town"] = None
    table.loc[2, "price"] = np.nan
    columns = Columns.learn(table, "price")
    X, y, lacking = columns.complete(table)
    assert (len(X), len(y), lacking) == (37, 37, 3)
    table["size"] = np.nan
    with pytest.raises(InvalidInput, match="no row is complete"):
        columns.complete(table)


@pytest.mark.parametrize("target", ["price", "town", "garden", "rooms"])
def test_what_was_learnt_survives_a_file(target):
    columns = Columns.learn(houses(), target, "classification" if target == "rooms" else "auto")
    again = Columns.from_json(json.loads(json.dumps(columns.to_json())))
    assert again == columns
    np.testing.assert_array_equal(again.rows(houses()), columns.rows(houses()))
