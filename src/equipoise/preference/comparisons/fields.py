"""Checks of single fields: each returns the value in its one normal form or names what is wrong."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from equipoise.core.errors import InvalidInput, nearest

T = TypeVar("T")


class FieldProblem(InvalidInput):
    """One field of a record cannot be used: `field` is its path, `problem` says why."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem

    def within(self, outer: str) -> "FieldProblem":
        """Return the same problem as seen from the object that holds this one at `outer`."""
        inner = self.field if not self.field or self.field.startswith("[") else f".{self.field}"
        return FieldProblem(outer + inner, self.problem)


def shown(value: object) -> str:
    """Return a short spelling of a refused value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def kind_of(value: object) -> str:
    """Return the JSON name of the type of `value`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "an object" if isinstance(value, Mapping) else type(value).__name__


def text(value: object, field: str) -> str:
    """Return `value` if it is a string."""
    if not isinstance(value, str):
        raise FieldProblem(field, f"must be a string, got {kind_of(value)}")
    return value


def optional_text(value: object, field: str) -> str | None:
    """Return `value` if it is a string or None."""
    return None if value is None else text(value, field)


def one_of(value: object, allowed: tuple[str, ...], field: str) -> str:
    """Return `value` if it is one of the strings in `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        close = nearest(value, allowed) if isinstance(value, str) else None
        hint = f"; did you mean {close!r}?" if close else ""
        raise FieldProblem(field, f"must be one of {', '.join(allowed)}; got {shown(value)}{hint}")
    return value


def number(value: object, field: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return `value` as a finite float in [low, high]; -0 becomes 0 so that equal spells equal."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FieldProblem(field, f"must be a number, got {kind_of(value)}")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise FieldProblem(field, f"must be a finite number, got {shown(value)}")
    if not low <= result <= high:
        bound = f"lie in [{low:g}, {high:g}]" if high < math.inf else f"be at least {low:g}"
        raise FieldProblem(field, f"must {bound}, got {shown(value)}")
    return result + 0.0


def optional_flag(value: object, field: str) -> bool | None:
    """Return `value` if it is true, false or None."""
    if value is not None and not isinstance(value, bool):
        raise FieldProblem(field, f"must be true, false or null, got {kind_of(value)}")
    return value


def mapping(value: object, field: str, item: Callable[[Any, str], T]) -> dict[str, T]:
    """Return `value` with sorted keys and every entry passed through `item(value, field)`."""
    if not isinstance(value, Mapping):
        raise FieldProblem(field, f"must be an object, got {kind_of(value)}")
    if not value:
        return {}
    for key in value:
        if not isinstance(key, str):
            raise FieldProblem(field, f"must have strings as keys, got {shown(key)}")
    return {key: item(value[key], f"{field}.{key}") for key in sorted(value)}


def pair(value: object, field: str, item: Callable[[Any, str], T]) -> tuple[T, T]:
    """Return `value`, a list of two (a first, then b), as a tuple of two checked entries."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        got = f"{len(value)} entries" if isinstance(value, (list, tuple)) else kind_of(value)
        raise FieldProblem(field, f"must be a list of two (a, then b), got {got}")
    return item(value[0], f"{field}[0]"), item(value[1], f"{field}[1]")


def texts(value: object, field: str) -> tuple[str, ...]:
    """Return `value`, a list of strings, as a tuple."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise FieldProblem(field, f"must be a list of strings, got {kind_of(value)}")
    return tuple(text(entry, f"{field}[{k}]") for k, entry in enumerate(value))


def free(value: Any, field: str) -> Any:
    """Return free JSON data (numbers finite, keys strings and sorted, tuples as lists)."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return number(value, field)
    if isinstance(value, Mapping):
        return mapping(value, field, free)
    if isinstance(value, (list, tuple)):
        return [free(entry, f"{field}[{k}]") for k, entry in enumerate(value)]
    raise FieldProblem(field, f"must be JSON data, got {kind_of(value)}")


def assign(record: object, **values: Any) -> None:
    """Set attributes of a frozen record that is being made."""
    for name, value in values.items():
        object.__setattr__(record, name, value)
