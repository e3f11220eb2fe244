"""A run's results as tables: measured beside published, with units; lists of rows on their own."""

from collections.abc import Mapping, Sequence
from typing import Any

from equipoise.report.tables import heading, is_interval, is_number, table_html


def results_html(results: Mapping[str, Any]) -> str:
    """Return `results.json` as HTML.

    Args:
        results: `{"measured": {...}, "published": {...}, "units": {...}}`; without `measured` the
            mapping itself is taken as the measured values.
    """
    whole = "measured" in results
    measured = flatten_results(results)
    published = _flatten(results.get("published")) if whole else {}
    units = _flatten(results.get("units")) if whole else {}
    lists = {name: value for name, value in measured.items() if _is_rows(value)}
    rows = [
        {
            "result": name,
            "measured": measured.get(name),
            "published": published.get(name),
            "unit": units.get(name),
        }
        for name in dict.fromkeys([*measured, *published])
        if name not in lists
    ]
    scalars = tables_by_kind(rows, ("measured", "published"))
    tables = [table_html(value, caption=heading(name)) for name, value in lists.items()]
    return scalars + "".join(tables)


def flatten_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measured values of a `results.json`, nested names dotted, intervals whole."""
    return _flatten(results.get("measured", results))


def tables_by_kind(rows: list[dict[str, Any]], valued: Sequence[str]) -> str:
    """Return one table of the rows that hold numbers and one of the rest, without empty columns.

    Args:
        rows: mappings of the same keys.
        valued: the keys that decide, e.g. `measured`.
    """
    numbers = [row for row in rows if all(_is_measure(row[key]) for key in valued)]
    others = [row for row in rows if row not in numbers]
    parts = []
    for part in (numbers, others):
        keys = [
            key for key in (part[0] if part else ()) if any(row[key] is not None for row in part)
        ]
        columns = {key: heading(key) for key in keys}
        parts.append(table_html(part, columns, one_scale=False) if part else "")
    return "".join(parts)


def _is_measure(value: Any) -> bool:
    return value is None or is_number(value) or is_interval(value)


def _is_rows(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)
    )


def _flatten(value: Any, before: str = "") -> dict[str, Any]:
    """Return nested mappings as dotted names; an interval stays whole."""
    if not isinstance(value, Mapping):
        return {}
    found: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and not is_interval(item):
            found |= _flatten(item, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = item
    return found
