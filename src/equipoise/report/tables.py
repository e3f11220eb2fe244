"""Tables as HTML: numbers aligned and evenly rounded, intervals drawn, every word escaped."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, TypeGuard

_BAR_WIDTH = 72


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return whether a cell holds a number (a truth value is none)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_interval(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Return whether a cell holds an interval: a mapping of estimate, low and high."""
    return (
        isinstance(value, Mapping)
        and set(value) == {"estimate", "low", "high"}
        and all(item is None or is_number(item) for item in value.values())
    )


def _finite(values: Iterable[Any]) -> list[float]:
    return [float(value) for value in values if is_number(value) and math.isfinite(value)]


def decimals_for(values: Iterable[Any]) -> int:
    """Return how many decimals show three significant digits of the largest value, at most 4.

    >>> [decimals_for(values) for values in ([0.51234, 0.2], [12.5], [1234.5], [3, 4])]
    [3, 1, 0, 0]
    """
    numbers = [value for value in values if is_number(value)]
    if all(isinstance(value, int) for value in numbers):
        return 0
    largest = max((abs(value) for value in _finite(numbers)), default=0.0)
    if largest == 0.0:
        return 0
    return max(0, min(4, 2 - math.floor(math.log10(largest))))


def format_number(value: float, decimals: int) -> str:
    """Return a number with `decimals` places; one too small to show keeps two digits of its own.

    >>> format_number(1234567, 0), format_number(0.5, 3), format_number(0.0000123, 3)
    ('1,234,567', '0.500', '1.2e-05')
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    smallest = 1e-3 if decimals >= 4 else 0.5 * 10**-decimals
    if (value and abs(value) < smallest) or abs(value) >= 1e12:
        return f"{value:.1e}".replace("-", "−", 1) if value < 0 else f"{value:.1e}"
    return f"{value:,.{decimals}f}".replace("-", "−")


def merge_intervals(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Fold the keys `x`, `x_low`, `x_high` of each row into one interval under `x`."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    merged = [
        key
        for key in keys
        if f"{key}_low" in keys
        and f"{key}_high" in keys
        and all(
            row.get(name) is None or is_number(row[name])
            for row in rows
            for name in (key, f"{key}_low", f"{key}_high")
        )
    ]
    ends = {f"{key}{end}" for key in merged for end in ("_low", "_high")}
    return [
        {
            key: {"estimate": value, "low": row.get(f"{key}_low"), "high": row.get(f"{key}_high")}
            if key in merged and value is not None
            else value
            for key, value in row.items()
            if key not in ends
        }
        for row in rows
    ]


def heading(key: str) -> str:
    """Return a key as a column heading: blanks for underscores, first letter large."""
    text = str(key).replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def table_html(
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str] | None = None,
    caption: str = "",
    *,
    one_scale: bool = True,
) -> str:
    """Return rows as a table in a box that scrolls by itself.

    Args:
        rows: mappings of plain JSON data; intervals as `{"estimate", "low", "high"}`.
        columns: key -> heading, in order; None takes every key of the rows.
        caption: shown above the table.
        one_scale: whether the numbers of a column are one quantity, and so are rounded and drawn
            alike; else each is rounded by itself.
    """
    if columns is None:
        rows = merge_intervals(rows)
        columns = {str(key): heading(key) for row in rows for key in row}
    body = {key: _column([row.get(key) for row in rows], one_scale) for key in columns}
    numeric = {key: 'class="num"' if kind else "" for key, (kind, _) in body.items()}
    head = "".join(
        f'<th scope="col" {numeric[key]}>{escape(text)}</th>' for key, text in columns.items()
    )
    lines = "".join(
        "<tr>" + "".join(body[key][1][index] for key in columns) + "</tr>"
        for index in range(len(rows))
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    if not rows:
        lines = f'<tr><td class="empty" colspan="{max(1, len(columns))}">no rows</td></tr>'
    return (
        f'<div class="scroll" tabindex="0"><table>{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _column(values: list[Any], one_scale: bool) -> tuple[bool, list[str]]:
    """Return whether the column is numeric, and its cells."""
    present = [value for value in values if value is not None]
    if present and all(is_interval(value) or is_number(value) for value in present):
        if not one_scale:
            return True, [_single_cell(value) for value in values]
        flat = [
            number
            for value in present
            for number in (value.values() if is_interval(value) else [value])
        ]
        decimals = decimals_for(flat)
        spread = _finite(flat)
        low, high = (min(spread), max(spread)) if spread else (0.0, 0.0)
        return True, [_numeric_cell(value, decimals, low, high) for value in values]
    return False, [f"<td>{cell_html(value)}</td>" for value in values]


def _single_cell(value: Any) -> str:
    numbers = value.values() if is_interval(value) else [value]
    return _numeric_cell(value, decimals_for(numbers), 0.0, 0.0)


def _numeric_cell(value: Any, decimals: int, low: float, high: float) -> str:
    if value is None:
        return '<td class="num quiet">–</td>'
    if not is_interval(value):
        return f'<td class="num" data-v="{value}">{format_number(value, decimals)}</td>'
    return (
        f'<td class="num" data-v="{value["estimate"]}">{interval_text(value, decimals)}'
        f"{_interval_bar(value, low, high)}</td>"
    )


def interval_text(value: Mapping[str, Any], decimals: int) -> str:
    """Return an interval as `estimate [low, high]`, the ends set quieter."""

    def show(number: Any) -> str:
        return "–" if number is None else format_number(number, decimals)

    ends = f"[{show(value['low'])}, {show(value['high'])}]"
    return f'{show(value["estimate"])} <span class="ends">{ends}</span>'


def _interval_bar(value: Mapping[str, Any], low: float, high: float) -> str:
    """Return a small drawing of the interval on the scale that its column shares."""
    if high <= low or len(_finite(value.values())) < 3:
        return ""
    start, middle, end = (
        4 + (_BAR_WIDTH - 8) * (value[key] - low) / (high - low)
        for key in ("low", "estimate", "high")
    )
    return (
        f'<svg class="bar" viewBox="0 0 {_BAR_WIDTH} 12" aria-hidden="true">'
        f'<path d="M4 6H{_BAR_WIDTH - 4}"/><path class="span" d="M{start:.1f} 6H{end:.1f}"/>'
        f'<circle cx="{middle:.1f}" cy="6" r="3"/></svg>'
    )


def cell_html(value: Any) -> str:
    """Return one value of any JSON kind as escaped text."""
    if value is None or value == "":
        return '<span class="quiet">–</span>'
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_number(value):
        return format_number(value, decimals_for([value]))
    if is_interval(value):
        return interval_text(value, decimals_for(value.values()))
    if isinstance(value, Mapping):
        return ", ".join(f"{escape(str(key))}: {cell_html(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        if len(value) > 12:
            return f"{len(value)} values"
        return ", ".join(cell_html(item) for item in value)
    return escape(str(value))
