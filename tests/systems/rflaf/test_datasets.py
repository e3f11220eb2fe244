"""Data sets by name: shapes, files that people have, and what is said where they have none."""

import gzip
import struct

import numpy as np
import pandas as pd
import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.core.store import path_of
from equipoise.systems.rflaf import load_dataset
from equipoise.systems.rflaf.datasets import NAMES, flights_file
from equipoise.systems.rflaf.tables import Columns, read_chunks


@pytest.mark.parametrize(
    ("name", "shape", "task"),
    [
        ("diabetes", (442, 10), "regression"),
        ("breast_cancer", (569, 30), "classification"),
        ("digits", (1797, 64), "classification"),
        ("friedman1", (3000, 10), "regression"),
        ("friedman2", (3000, 4), "regression"),
        ("friedman3", (3000, 4), "regression"),
        ("single_index", (2000, 10), "regression"),
        ("f1", (15000, 2), "regression"),
    ],
)
def test_sets_that_need_no_file(name, shape, task):
    data = load_dataset(name)
    assert data.X.shape == shape
    assert data.y.shape == shape[:1]
    assert (data.task, len(data.feature_names)) == (task, shape[1])
    assert np.isfinite(data.X).all()
    assert data.source
    assert name in NAMES
    np.testing.assert_array_equal(load_dataset(name).y, data.y)


@pytest.mark.standard
def test_flights_know_nothing_of_the_departure():
    try:
        path_of("flights")
    except MissingData as error:
        pytest.skip(str(error))
    data = load_dataset("flights")
    assert len(data.y) == 327346  # flights that arrived
    assert not [n for n in data.feature_names if "dep_time" in n and not n.startswith("sched")]
    assert not [n for n in data.feature_names if "delay" in n or "air_time" in n]
    assert {"carrier=UA", "origin=JFK", "dest=ORD", "distance"} <= set(data.feature_names)
    first = dict(zip(data.feature_names, data.X[0]))
    assert first["sched_dep_time"] == 5.25
    assert data.y[0] == 11


def write(path, rows, header=None):
    lines = [header] if header else []
    path.write_text("\n".join([*lines, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_protein_has_its_target_first(tmp_path):
    header = "RMSD," + ",".join(f"F{i}" for i in range(1, 10))
    path = write(tmp_path / "CASP.csv", [range(10), range(10, 20)], header)
    data = load_dataset("protein", path)
    np.testing.assert_array_equal(data.y, [0, 10])
    np.testing.assert_array_equal(data.X[0], range(1, 10))


def test_ct_drops_the_patient_and_has_its_target_last(tmp_path):
    header = ",".join(["patientId", *(f"v{i}" for i in range(384)), "reference"])
    path = write(tmp_path / "ct.csv", [[7, *range(384), 99.5]], header)
    data = load_dataset("ct", path)
    assert data.X.shape == (1, 384)
    assert data.y[0] == 99.5


def test_workloads_keep_unique_whole_rows(tmp_path):
    rows = [[0, 1, 2, 3, 4, 5, 6, 7], [1, 1, 2, 3, 4, 5, 6, 7], [2, 1, "", 3, 4, 5, 6, 8]]
    path = write(tmp_path / "q.csv", rows, ",a,b,c,d,e,f,g")
    data = load_dataset("workloads", path)
    np.testing.assert_array_equal(data.X, [[1, 2, 3, 4, 5, 6]])
    np.testing.assert_array_equal(data.y, [7])


def test_the_two_tasks_of_the_songs(tmp_path):
    path = write(tmp_path / "YearPredictionMSD.txt", [[2001, *range(90)], [1999, *range(1, 91)]])
    year, published = load_dataset("msd", path), load_dataset("msd-published", path)
    np.testing.assert_array_equal(year.y, [2001, 1999])
    assert year.X.shape == (2, 90)
    np.testing.assert_array_equal(published.y, [0, 1])
    np.testing.assert_array_equal(published.X, year.X[:, 1:])


@pytest.mark.parametrize("name", ["adult.data", "adult.test"])
def test_adult_codes_text_and_drops_rows_with_gaps(tmp_path, name):
    row = ["39", "Private", "1", "HS", "9", "Never", "Sales", "Wife", "White", "Male"]
    low = ", ".join([*row, "0", "0", "40", "Cuba", "<=50K"])
    high = ", ".join([*row, "5", "0", "45", "Cuba", ">50K"])
    gap = high.replace("Sales", "?")
    end = "." if name.endswith("test") else ""
    lines = ["|1x3 Cross validator"] * bool(end) + [line + end for line in (low, high, gap, low)]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    data = load_dataset("adult", tmp_path / name)
    assert data.y.tolist() == ["<=50K", ">50K", "<=50K"]
    assert "sex=Male" in data.feature_names


@pytest.mark.parametrize("packed", [True, False])
def test_covtype_plain_and_packed(tmp_path, packed):
    text = ",".join(map(str, [*range(54), 3])) + "\n"
    path = tmp_path / ("covtype.data.gz" if packed else "covtype.data")
    path.write_bytes(gzip.compress((text * 2).encode()) if packed else (text * 2).encode())
    data = load_dataset("covtype", path)
    assert data.X.shape == (2, 54)
    assert data.y.tolist() == [3, 3]


def test_mnist_is_read_from_idx_files(tmp_path):
    pixels = bytes(range(8))
    images = struct.pack(">BBBBiii", 0, 0, 8, 3, 2, 2, 2) + pixels
    (tmp_path / "train-images-idx3-ubyte").write_bytes(images)
    labels = struct.pack(">BBBBi", 0, 0, 8, 1, 2) + bytes([4, 9])
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    data = load_dataset("mnist", tmp_path)
    np.testing.assert_allclose(data.X, np.arange(8).reshape(2, 4) / 255)
    assert data.y.tolist() == [4, 9]
    (tmp_path / "train-images-idx3-ubyte").write_bytes(images[:-1])
    with pytest.raises(InvalidInput, match="cut off: 7 of 8"):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize("name", ["protein", "ct", "workloads", "msd", "adult", "covtype", "mnist"])
def test_a_set_without_its_file_says_which_file_and_where_from(tmp_path, name):
    for path in (None, tmp_path / "none"):
        with pytest.raises(MissingData, match=rf"'{name}'.*it takes .*archive.ics.uci.edu"):
            load_dataset(name, path)


@pytest.mark.parametrize("name", ["protein", "ct", "workloads", "msd", "covtype"])
def test_another_file_is_refused_in_one_line(tmp_path, name):
    path = write(tmp_path / "other.csv", [[1, 2, 3], [4, 5, 6]], "a,b,c")
    with pytest.raises(InvalidInput) as caught:
        load_dataset(name, path)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_has_a_nearest():
    with pytest.raises(InvalidInput, match="did you mean 'friedman1'"):
        load_dataset("freedman1")


@pytest.mark.standard
def test_flights_in_a_file_are_those_in_memory():
    try:
        path_of("flights")
    except MissingData as error:
        pytest.skip(str(error))
    file = flights_file()
    assert flights_file() == file
    chunks = list(read_chunks(file, 20_000))
    assert [len(chunk) for chunk in chunks[:-1]] == [20_000] * 16
    columns = Columns.learn(pd.concat(chunks), "arr_delay")
    X, y, missing = columns.complete(pd.concat(chunks))
    data = load_dataset("flights")
    np.testing.assert_array_equal(y, data.y)
    np.testing.assert_array_equal(X[::1000], data.X[::1000])
    assert missing == 336_776 - len(y)
