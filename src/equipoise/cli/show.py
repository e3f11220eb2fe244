"""A verb's result for people: values by name, lists of rows as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

_ROWS = 40


def show(result: Any) -> None:
    """Print a result on standard output: text as it is, rows as tables, the rest by name."""
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
            _table(console, key, value)
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


def _table(console: Any, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        numeric = all(isinstance(row.get(column), (int, float, type(None))) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows[:_ROWS]:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    console.print(table, soft_wrap=False)
    if len(rows) > _ROWS:
        console.print(f"... and {len(rows) - _ROWS} more (--json has all)")


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
