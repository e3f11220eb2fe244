"""Tables as people have them: files of rows, text columns coded, what was learnt remembered.

A `Columns` says how a table became numbers; it is kept with the run, so that rows which come later
are treated alike.
"""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.rflaf.objective import Array

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".npz")
TASKS = ("auto", "regression", "classification")
MOST_LEVELS = 50
_FEW_CLASSES = 20
_UNREADABLE = (ValueError, OSError, KeyError, zipfile.BadZipFile)


def read_table(path: str | Path) -> "pd.DataFrame":
    """Read a table of rows with named columns.

    Args:
        path: CSV with a header, parquet, or npz with `X` (n, d) and perhaps `y` (n,), whose columns
            are then `x1`, `x2`, ... and `y`.

    Raises:
        InvalidInput: no such file, another kind of file, one that cannot be read, two columns of
            one name, or no rows.
    """
    import pandas as pd

    path = Path(path)
    kind = table_kind(path)
    try:
        if kind == ".npz":
            table = _from_npz(path)
        elif kind == ".parquet":
            table = pd.read_parquet(path)
        else:
            check_header(path)
            table = pd.read_csv(path, low_memory=False)
    except InvalidInput:
        raise
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None
    if not len(table):
        raise InvalidInput(f"{path} holds no rows")
    return _named(table)


def read_chunks(path: Path, rows: int, text: Sequence[str] = ()) -> "Iterator[pd.DataFrame]":
    """Yield a table `rows` rows at a time; CSV and parquet are never in memory as a whole.

    Args:
        path: as `read_table` takes it.
        rows: of a chunk, >= 1.
        text: columns to read as text, whatever they look like in one chunk.

    Raises:
        InvalidInput: as `read_table`; a chunk that cannot be read.
    """
    import pandas as pd

    if rows < 1:
        raise InvalidInput(f"rows is {rows}; a chunk needs at least 1")
    kind = table_kind(path)
    try:
        if kind == ".parquet":
            import pyarrow.parquet

            with pyarrow.parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=rows):
                    yield _named(batch.to_pandas())
        elif kind == ".npz":
            whole = _from_npz(path)
            for start in range(0, len(whole), rows):
                yield _named(whole.iloc[start : start + rows])
        else:
            check_header(path)
            as_text: Any = dict.fromkeys(text, str)
            with pd.read_csv(path, chunksize=rows, low_memory=False, dtype=as_text) as reader:
                for table in reader:
                    yield _named(table)
    except InvalidInput:
        raise
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None


def table_kind(path: Path) -> str:
    """Return a table file's suffix.

    Raises:
        InvalidInput: no such file, or another kind of file.
    """
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}")
    kind = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    if kind is None:
        raise InvalidInput(f"{path} is none of {', '.join(SUFFIXES)}; convert it to one of them")
    return kind


def _named(table: "pd.DataFrame") -> "pd.DataFrame":
    table.columns = [str(name) for name in table.columns]
    return table


def _unreadable(path: Path, error: Exception) -> InvalidInput:
    return InvalidInput(f"{path} cannot be read: {' '.join(str(error).split())}")


def check_header(path: Path) -> None:
    """Refuse a CSV file two of whose columns have one name, or none.

    Raises:
        InvalidInput: naming them.
        ValueError: the first row has more values than there are names; pandas would otherwise take
            its first ones for the name of the row.
    """
    import pandas as pd

    head = pd.read_csv(path, header=None, nrows=2, dtype=str, keep_default_na=False)
    counts = head.iloc[0].value_counts()
    twice = sorted(repr(name) for name in counts.index[counts > 1])
    if twice:
        raise InvalidInput(f"{path} has two columns named {', '.join(twice)}; rename one")


def _from_npz(path: Path) -> "pd.DataFrame":
    with np.load(path, allow_pickle=False) as arrays:
        if "X" not in arrays or arrays["X"].ndim != 2:
            raise InvalidInput(f"{path} holds {', '.join(arrays)}; it needs `X` (n, d)")
        return frame_of(arrays["X"], dict(arrays).get("y"))


def frame_of(X: Any, y: Any = None, names: Sequence[str] = ()) -> "pd.DataFrame":
    """Return rows and targets as a table with the columns `names` (x1, x2, ...) and `y`."""
    import pandas as pd

    columns = list(names) or [f"x{place}" for place in range(1, X.shape[1] + 1)]
    table = pd.DataFrame(np.asarray(X), columns=columns)
    if y is not None:
        if len(y) != len(X):
            raise InvalidInput(f"X has {len(X)} rows and y {len(y)}; they must agree")
        table["y"] = np.asarray(y)
    return table


def _numbers(table: "pd.DataFrame", name: str) -> Array:
    """Return a column of numbers, (n,)."""
    try:
        return table[name].to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the column {name!r} holds text, not numbers only: {error}") from None


@dataclass(frozen=True)
class Columns:
    """How a table becomes numbers.

    Attributes:
        target: column to be predicted.
        task: `regression` or `classification`.
        numeric: columns taken as they are; truth values count as 0 and 1.
        coded: text columns, each with the levels that have a column of their own. Every other
            level is all zeros.
        left_out: columns that are not used, such as names that hardly ever repeat.
        classes: labels of a classification, as text where they are text.
    """

    target: str
    task: str
    numeric: tuple[str, ...]
    coded: Mapping[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()
    classes: tuple[Any, ...] = ()

    @classmethod
    def learn(cls, table: "pd.DataFrame", target: str = "", task: str = "auto") -> Self:
        """Decide how to read a table from its rows.

        Args:
            table: as `read_table` returns it.
            target: column to predict; empty for `y` or `target` where there is one, else the last.
            task: `regression`, `classification`, or `auto`: classes where the target is text, a
                truth value, or an integer of at most 20 values.

        Raises:
            InvalidInput: an unknown target or task, a target that does not fit, or no column left.
        """
        if task not in TASKS:
            raise unknown_name("task", task, TASKS)
        names = list(table.columns)
        chosen = target or next((n for n in ("y", "target") if n in names), names[-1])
        if chosen not in names:
            raise unknown_name("column", chosen, names)
        goal: Any = table[chosen].dropna()
        if not len(goal):
            raise InvalidInput(f"the target {chosen!r} has no values")
        is_number = goal.dtype.kind in "iuf"
        if task == "auto":
            few = goal.dtype.kind in "iu" and goal.nunique() <= _FEW_CLASSES
            task = "classification" if few or not is_number else "regression"
        if task == "regression" and not (is_number or goal.dtype.kind == "b"):
            raise InvalidInput(f"the target {chosen!r} is text; a regression needs numbers")
        classes: tuple[Any, ...] = ()
        if task == "classification":
            classes = tuple(np.unique(goal.to_numpy()).tolist())
        if len(classes) == 1:
            raise InvalidInput(f"the target {chosen!r} has one class, {classes[0]!r}; need two")
        # more levels than this are names or numbers of things, not kinds of things
        most = max(2, min(len(table) // 2, max(MOST_LEVELS, len(table) // 10)))
        numeric, coded, left_out = [], {}, []
        for name in (n for n in names if n != chosen):
            column = table[name]
            if column.dtype.kind in "iufb":
                numeric.append(name)
                continue
            counts = column.dropna().astype(str).value_counts()
            if not 0 < len(counts) <= most:
                left_out.append(name)
                continue
            levels = sorted(counts.index, key=lambda level: (-counts[level], level))
            coded[name] = tuple(levels[:MOST_LEVELS])
        if not numeric and not coded:
            raise InvalidInput(f"beside the target {chosen!r} no column can be used")
        return cls(chosen, task, tuple(numeric), coded, tuple(left_out), classes)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of `rows`: numeric ones, then `column=level`."""
        levels = (f"{name}={level}" for name, known in self.coded.items() for level in known)
        return (*self.numeric, *levels)

    def rows(self, table: "pd.DataFrame") -> Array:
        """Return a table's features, (n, d); what is missing is NaN.

        Raises:
            InvalidInput: a column is missing or holds text where numbers were learnt.
        """
        blocks = []
        for name in (*self.numeric, *self.coded):
            if name not in table:
                raise unknown_name("column", name, list(table.columns))
        if self.numeric:
            blocks.append(np.column_stack([_numbers(table, name) for name in self.numeric]))
        for name, known in self.coded.items():
            column = table[name]
            text = np.asarray(column.astype(str), dtype=object)
            block = np.stack([text == level for level in known], axis=1).astype(np.float64)
            block[column.isna().to_numpy()] = np.nan
            blocks.append(block)
        return np.hstack(blocks)

    def targets(self, table: "pd.DataFrame") -> Any:
        """Return a table's targets, (n,): numbers, or classes (None where missing)."""
        if self.target not in table:
            raise unknown_name("column", self.target, list(table.columns))
        if self.task == "regression":
            return _numbers(table, self.target)
        return table[self.target].to_numpy()

    def complete(
        self, table: "pd.DataFrame", *, allow_none: bool = False
    ) -> tuple[Array, Any, int]:
        """Return features and targets of the rows that lack nothing, and how many lack something.

        Raises:
            InvalidInput: no row is complete, unless that is allowed.
        """
        X = self.rows(table)
        keep = table[self.target].notna().to_numpy() & np.isfinite(X).all(axis=1)
        y = self.targets(table)[keep]
        if self.task == "classification":
            y = np.array(y.tolist())
        elif not np.isfinite(y).all():
            raise InvalidInput(f"the target {self.target!r} holds an infinite value")
        if not keep.any() and not allow_none:
            raise InvalidInput("no row is complete: every one lacks a value")
        return X[keep], y, int((~keep).sum())

    def to_json(self) -> dict[str, Any]:
        """Return plain data, from which `from_json` makes the same again."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the columns that `to_json` wrote."""
        return cls(
            data["target"],
            data["task"],
            tuple(data["numeric"]),
            {name: tuple(levels) for name, levels in data["coded"].items()},
            tuple(data["left_out"]),
            tuple(data["classes"]),
        )
