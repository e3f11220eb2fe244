"""From the columns of a vote table to integer codes, with the row of the first bad entry named."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.errors import InvalidInput, nearest

OUTCOMES = ("a", "b", "tie", "both_bad")
POINTS = np.array([1.0, 0.0, 0.5, 0.5])  # points of a, in the order of OUTCOMES
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class CodedBattles:
    """Battles as integers: `a`, `b` index `models`, `outcome` indexes `OUTCOMES`; all (N,)."""

    models: tuple[str, ...]
    a: Codes
    b: Codes
    outcome: Codes


def code_battles(
    model_a: ArrayLike | Sequence[Any],
    model_b: ArrayLike | Sequence[Any],
    outcome: ArrayLike | Sequence[Any],
    models: Sequence[str] | None = None,
) -> CodedBattles:
    """Return the battles of three equally long columns as integers.

    Columns hold names and outcome strings, or integers: positions in `models` (by default "0",
    "1", ...) and positions in `OUTCOMES`. Without `models` the names found are sorted.

    Raises:
        InvalidInput: unequal lengths, unknown or empty name, unknown outcome, a model against
            itself; the row is named, counted from 0.
    """
    columns = [_column(values) for values in (model_a, model_b, outcome)]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1:
        raise InvalidInput(
            "model_a, model_b and outcome must be equally long, got "
            f"{lengths[0]}, {lengths[1]} and {lengths[2]} rows"
        )
    names = None if models is None else check_models(models)
    integers = [np.issubdtype(column.dtype, np.integer) for column in columns[:2]]
    if lengths[0] and all(integers):
        names, a, b = _positions(columns[0], columns[1], names)
    else:
        names, a, b = _names(columns[0], columns[1], names)
    coded = CodedBattles(names, a, b, _outcomes(columns[2]))
    same = a == b
    if same.any():
        row = int(np.argmax(same))
        raise InvalidInput(f"row {row}: {names[a[row]]!r} plays against itself")
    return coded


def check_models(models: Sequence[str]) -> tuple[str, ...]:
    """Return model names as a tuple; raises `InvalidInput` if one is empty, repeated or no text."""
    names = tuple(models)
    seen: set[str] = set()
    for position, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"models[{position}] is {name!r}; a name is a non-empty string")
        if name in seen:
            raise InvalidInput(f"models[{position}] repeats {name!r}; names are unique")
        seen.add(name)
    return tuple(str(name) for name in names)


def check_weights(weights: ArrayLike, n: int) -> NDArray[np.float64]:
    """Return weights (n,) as float64; raises `InvalidInput` naming the row of a bad one."""
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (n,):
        raise InvalidInput(f"weights must have one entry for each of {n} rows, got {values.shape}")
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidInput(f"row {row}: weight {values[row]} is not a finite number >= 0")
    return values


def _column(values: ArrayLike | Sequence[Any]) -> NDArray[Any]:
    if isinstance(values, np.ndarray):
        column = values
    elif hasattr(values, "__array__") and not hasattr(values, "dtype"):
        column = np.asarray(values)
    else:
        items = values if isinstance(values, (list, tuple)) else list(values)  # type: ignore[arg-type]
        if items and all(isinstance(item, (int, np.integer)) for item in items):
            return np.asarray(items)
        column = np.empty(len(items), dtype=object)
        column[:] = items
    if column.ndim != 1:
        raise InvalidInput(f"a column of votes must be one-dimensional, got shape {column.shape}")
    return column


def _positions(
    a: NDArray[Any], b: NDArray[Any], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Codes, Codes]:
    first, second = a.astype(np.intp, copy=False), b.astype(np.intp, copy=False)
    if names is None:
        names = tuple(str(k) for k in range(int(max(first.max(), second.max())) + 1))
    for column, codes in (("model_a", first), ("model_b", second)):
        if codes.min() < 0 or codes.max() >= len(names):
            row = int(np.argmax((codes < 0) | (codes >= len(names))))
            raise InvalidInput(
                f"row {row}: {column} is {codes[row]}; it must be in 0..{len(names) - 1}"
            )
    return names, first, second


def _names(
    a: NDArray[Any], b: NDArray[Any], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Codes, Codes]:
    (codes_a, found_a), (codes_b, found_b) = _factorise(a), _factorise(b)
    for column, codes, found in (("model_a", codes_a, found_a), ("model_b", codes_b, found_b)):
        bad = [k for k, name in enumerate(found) if not isinstance(name, str) or not name]
        wrong = np.isin(codes, [-1, *bad]) if bad or (codes < 0).any() else np.zeros(1, bool)
        if wrong.any():
            row = int(np.argmax(wrong))
            value = None if codes[row] < 0 else found[codes[row]]
            raise InvalidInput(f"row {row}: {column} is {value!r}; a name is a non-empty string")
    if names is None:
        names = tuple(sorted({str(name) for name in (*found_a, *found_b)}))
    place = {name: k for k, name in enumerate(names)}
    coded = []
    for column, codes, found in (("model_a", codes_a, found_a), ("model_b", codes_b, found_b)):
        table = np.array([place.get(name, -1) for name in found], dtype=np.intp)
        if (table < 0).any():
            row = int(np.argmax(table[codes] < 0))
            name = found[codes[row]]
            close = nearest(name, names)
            hint = f"; did you mean {close!r}?" if close else ""
            raise InvalidInput(f"row {row}: {column} {name!r} is not in models{hint}")
        coded.append(table[codes] if len(table) else codes)
    return names, coded[0], coded[1]


def _factorise(column: NDArray[Any]) -> tuple[Codes, list[Any]]:
    """Return codes (N,), -1 where missing, and the distinct values; hashing, not sorting."""
    import pandas as pd

    codes, found = pd.factorize(np.asarray(column, dtype=object))
    return codes.astype(np.intp, copy=False), list(found)


def _outcomes(column: NDArray[Any]) -> Codes:
    if len(column) and np.issubdtype(column.dtype, np.integer):
        codes = column.astype(np.intp, copy=False)
        wrong = (codes < 0) | (codes >= len(OUTCOMES))
    else:
        found_codes, found = _factorise(column)
        table = np.array([_outcome_code(value) for value in found] + [-1], dtype=np.intp)
        codes = table[found_codes]  # a missing value has code -1, the table's last entry
        wrong = codes < 0
    if wrong.any():
        row = int(np.argmax(wrong))
        value = column[row]
        value = value.item() if isinstance(value, np.generic) else value
        close = nearest(value, OUTCOMES) if isinstance(value, str) else None
        hint = f"; did you mean {close!r}?" if close else ""
        raise InvalidInput(
            f"row {row}: outcome {value!r} is not one of {', '.join(OUTCOMES)}{hint}"
        )
    return codes


def _outcome_code(value: Any) -> int:
    return OUTCOMES.index(value) if isinstance(value, str) and value in OUTCOMES else -1
