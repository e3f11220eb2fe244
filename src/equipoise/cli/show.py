"""A verb's result for people: values by name, lists of rows as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

_ROWS = 40
_FOLD = 14


def show(result: Any, *, whole: bool = False) -> None:
    """Print a result on standard output: text as it is, rows as tables, the rest by name.

    A table shows what fits the terminal and says what it leaves out, unless `whole`.
    """
    if not isinstance(result, Mapping):
        print(result)  # noqa: T201
        return
    if len(result) == 1 and isinstance(only := next(iter(result.values())), str) and "\n" in only:
        print(only.rstrip("\n"))  # noqa: T201
        return
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False, markup=False)
    scalars = {key: value for key, value in result.items() if not _is_rows(value)}
    for key, value in result.items():
        if _is_rows(value):
            _table(console, key, value, whole)
    width = max((len(key) for key in scalars), default=0)
    for key, value in scalars.items():
        if isinstance(value, Mapping) and value:
            console.print(f"{key}:")
            inner = max(len(str(name)) for name in value)
            for name, item in value.items():
                console.print(f"  {name!s:<{inner}}  {_cell(item)}")
        else:
            console.print(f"{key:<{width}}  {_cell(value)}")


def _is_rows(value: Any) -> bool:
    return (
        isinstance(value, Sequence) and bool(value) and all(isinstance(v, Mapping) for v in value)
    )


def _table(console: Any, title: str, rows: Sequence[Mapping[str, Any]], whole: bool) -> None:
    from rich import box
    from rich.table import Table

    shown = rows if whole else rows[:_ROWS]
    cells: dict[str, list[str]] = {}
    for column in dict.fromkeys(key for row in rows for key in row):
        cells[column] = [_cell(row.get(column)) for row in shown]
    numeric = {
        column: all(isinstance(row.get(column), (int, float, type(None))) for row in rows)
        for column in cells
    }
    kept = list(cells) if whole else _fitting(cells, numeric, console.width)
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in kept:
        if numeric[column]:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, overflow="fold")
    for place in range(len(shown)):
        table.add_row(*(cells[column][place] for column in kept))
    console.print(table, soft_wrap=False)
    if len(kept) < len(cells):
        console.print(f"not shown: {', '.join(c for c in cells if c not in kept)} (--json has all)")
    if len(shown) < len(rows):
        console.print(f"... and {len(rows) - len(shown)} more (--json has all)")


def _fitting(cells: Mapping[str, list[str]], numeric: Mapping[str, bool], width: int) -> list[str]:
    """Return the first columns that fit side by side; long texts may fold, numbers may not."""
    kept: list[str] = []
    used = 2
    for column, texts in cells.items():
        needed = max(len(column), *map(len, texts))
        used += 2 + (needed if numeric[column] else min(needed, max(len(column), _FOLD)))
        if kept and used > width:
            break
        kept.append(column)
    return kept


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and len(value) == 64 and value.isalnum():
        return f"{value[:12]}\u2026"  # a checksum; --json has it whole
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value) or "-"
    return str(value)
