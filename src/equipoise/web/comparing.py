"""Two runs side by side: settings that differ, results in pairs, curves in one plot each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise.core.errors import EquipoiseError, InvalidInput, MissingData
from equipoise.core.metrics import read_metrics
from equipoise.core.runs import Comparison, compare_runs
from equipoise.report.curves import Series, curve_svg, numeric_series
from equipoise.report.tables import is_interval, is_number

_UNREADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError)


def compared(first: Path, second: Path) -> Comparison:
    """Return the comparison of two run folders.

    Raises:
        InvalidInput: one of them cannot be read; which and why.
    """
    try:
        return compare_runs(first, second)
    except EquipoiseError as error:
        raise InvalidInput(f"These two cannot be compared: {error}") from None
    except _UNREADABLE as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidInput(f"These two cannot be compared: a file is broken ({reason})") from None


def config_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each setting that differs, as text: shown as it was written."""
    return [
        {"setting": name, "first": _text(pair[0]), "second": _text(pair[1])}
        for name, pair in comparison.config.items()
    ]


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def result_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each measured value, nested ones dotted, with the numbers' difference."""
    left, right = (
        _flatten({name: pair[side] for name, pair in comparison.measured.items()})
        for side in (0, 1)
    )
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys([*left, *right]):
        first, second = left.get(name), right.get(name)
        if first is None and second is None:
            continue
        a, b = _number(first), _number(second)
        change = b - a if a is not None and b is not None else None
        rows.append({"result": name, "first": first, "second": second, "difference": change})
    return rows


def _number(value: Any) -> float | None:
    if is_interval(value):
        value = value["estimate"]
    return value if is_number(value) else None


def _flatten(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and not is_interval(value):
            found |= _flatten(value, f"{before}{key}.")
        elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
            found[f"{before}{key}"] = f"{len(value)} rows"
        else:
            found[f"{before}{key}"] = value
    return found


def curves(first: Path, second: Path) -> dict[str, dict[str, Series]]:
    """Return each quantity that either run logged over steps: name -> run -> (steps, values)."""
    found: dict[str, dict[str, Series]] = {}
    for label, folder in (("first", first), ("second", second)):
        for name, series in numeric_series(_records(folder)).items():
            if len(set(series[0])) > 1:
                found.setdefault(name, {})[label] = series
    return found


def _records(folder: Path) -> list[Any]:
    try:
        return list(read_metrics(folder / "metrics.jsonl"))
    except _UNREADABLE:
        return []


def curve(first: Path, second: Path, name: str) -> str:
    """Return one quantity of both runs as an SVG text.

    Raises:
        MissingData: neither logged it.
    """
    found = curves(first, second)
    if name not in found:
        raise MissingData(f"Neither run logged {name} over steps.")
    return curve_svg(name, found[name])
