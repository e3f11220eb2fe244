"""From the columns of a vote table to integer codes, with the row of the first bad entry named."""

import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.arrays import as_floats
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
    model_a: ArrayLike | Iterable[Any],
    model_b: ArrayLike | Iterable[Any],
    outcome: ArrayLike | Iterable[Any],
    models: Sequence[str] | None = None,
) -> CodedBattles:
    """Return the battles of three equally long columns as integers.

    Columns hold names and outcome strings, or integers: positions in `models` (by default "0",
    "1", ...) and positions in `OUTCOMES`. Without `models` the names found are sorted.

    Raises:
        InvalidInput: unequal lengths, unknown or empty name, unknown outcome, a model against
            itself; the row is named, counted from 0.
    """
    first, second, result = (_column(values) for values in (model_a, model_b, outcome))
    if not len(first) == len(second) == len(result):
        raise InvalidInput(
            "model_a, model_b and outcome must be equally long, got "
            f"{len(first)}, {len(second)} and {len(result)} rows"
        )
    names = None if models is None else check_models(models)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        names, a, b = _positions(first, second, names)
    else:
        names, a, b = _names(_listed(first), _listed(second), names)
    coded = CodedBattles(names, a, b, _outcomes(result))
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
    values = as_floats("weights", weights)
    if values.shape != (n,):
        raise InvalidInput(f"weights must have one entry for each of {n} rows, got {values.shape}")
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidInput(f"row {row}: weight {values[row]} is not a finite number >= 0")
    return values


def check_number(name: str, value: float, low: float = -np.inf) -> None:
    """Refuse what is not a finite number >= `low`."""
    known = isinstance(value, (int, float, np.integer, np.floating))
    if not (known and max(low, -sys.float_info.max) <= value <= sys.float_info.max):
        bound = "" if low == -np.inf else f" >= {low:g}"
        raise InvalidInput(f"{name} is {value!r}; it must be a finite number{bound}")


def check_whole(name: str, value: int, low: int) -> None:
    """Refuse what is not an integer >= `low`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise InvalidInput(f"{name} is {value!r}; it must be an integer, at least {low}")


def _column(values: ArrayLike | Iterable[Any]) -> Codes | list[Any]:
    """Return a column of integers as an array, any other as a list."""
    if hasattr(values, "__array__"):
        column = np.asarray(values)
        if column.ndim != 1:
            raise InvalidInput(f"a column of votes has one dimension, got shape {column.shape}")
        if np.issubdtype(column.dtype, np.integer):
            return column.astype(np.intp, copy=False)
        return column.tolist()
    items = values if isinstance(values, list) else list(cast(Iterable[Any], values))
    if items and all(isinstance(item, (int, np.integer)) for item in items):
        return np.asarray(items, dtype=np.intp)
    return items


def _listed(column: Codes | list[Any]) -> list[Any]:
    return column if isinstance(column, list) else column.tolist()


def _positions(
    a: Codes, b: Codes, names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Codes, Codes]:
    if names is None:
        highest = max(a.max(initial=-1), b.max(initial=-1))
        names = tuple(str(k) for k in range(int(highest) + 1))
    for column, codes in (("model_a", a), ("model_b", b)):
        if codes.min(initial=0) < 0 or codes.max(initial=-1) >= len(names):
            row = int(np.argmax((codes < 0) | (codes >= len(names))))
            raise InvalidInput(
                f"row {row}: {column} is {codes[row]}; it must be in 0..{len(names) - 1}"
            )
    return names, a, b


def _names(
    a: list[Any], b: list[Any], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Codes, Codes]:
    found: defaultdict[Any, int] = defaultdict(count().__next__)
    columns = {"model_a": _codes(a, found), "model_b": _codes(b, found)}
    wrong = [code for name, code in found.items() if not isinstance(name, str) or not name]
    _refuse(columns, wrong, list(found), lambda name: f"is {name!r}; a name is a non-empty string")
    known = tuple(sorted(str(name) for name in found)) if names is None else names
    place = {name: position for position, name in enumerate(known)}

    def absent(name: Any) -> str:
        close = nearest(name, known)
        return f"{name!r} is not in models" + (f"; did you mean {close!r}?" if close else "")

    _refuse(columns, [found[name] for name in found if name not in place], list(found), absent)
    table = np.array([place[name] for name in found], dtype=np.intp)
    return known, *(table[codes] for codes in columns.values())  # type: ignore[return-value]


def _codes(values: list[Any], found: "defaultdict[Any, int]") -> Codes:
    """Return codes (N,) of values, new ones numbered by `found`: one pass of hashing."""
    try:
        return np.fromiter(map(found.__getitem__, values), dtype=np.intp, count=len(values))
    except TypeError:
        row = next(k for k, value in enumerate(values) if not isinstance(value, Hashable))
        raise InvalidInput(f"row {row}: {values[row]!r} is not a string") from None


def _refuse(
    columns: dict[str, Codes], wrong: list[int], found: list[Any], reason: Callable[[Any], str]
) -> None:
    """Raise `InvalidInput` naming the first row that holds one of the codes in `wrong`."""
    if not wrong:
        return
    for column, codes in columns.items():
        bad = np.isin(codes, wrong)
        if bad.any():
            row = int(np.argmax(bad))
            raise InvalidInput(f"row {row}: {column} {reason(found[codes[row]])}")


def _outcomes(column: Codes | list[Any]) -> Codes:
    if isinstance(column, np.ndarray):
        codes, values = column, column.tolist
    else:
        found = defaultdict(count(len(OUTCOMES)).__next__)
        found.update({name: code for code, name in enumerate(OUTCOMES)})
        codes, values = _codes(column, found), lambda: column
    if codes.min(initial=0) < 0 or codes.max(initial=0) >= len(OUTCOMES):
        row = int(np.argmax((codes < 0) | (codes >= len(OUTCOMES))))
        value = values()[row]
        close = nearest(value, OUTCOMES) if isinstance(value, str) else None
        hint = f"; did you mean {close!r}?" if close else ""
        raise InvalidInput(
            f"row {row}: outcome {value!r} is not one of {', '.join(OUTCOMES)}{hint}"
        )
    return codes
