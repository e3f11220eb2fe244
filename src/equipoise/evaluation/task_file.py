"""The keys of a task file, and what each may hold."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.evaluation.items import ROW_KEYS
from equipoise.evaluation.reading import read_toml

DIMENSIONS = ("capability", "safety")
MAX_MISSING = 0.05
_REQUIRED = ("name", "dimension", "items", "scorer")
_TEXTS = (
    "name", "version", "category", "items", "licence", "source", "system", "template", "canary",
    "scorer",
)  # fmt: skip
_WORDS = {
    "dimension": DIMENSIONS,
    "aggregate": ("mean", "balanced"),
    "split": ("public", "private"),
}
_OTHERS = ("scorer_options", "fields", "few_shot", "first_seen", "max_missing")
_KEYS = (*_TEXTS, *_WORDS, *_OTHERS)


def read_task_table(file: Path) -> dict[str, Any]:
    """Read a task file and check every key.

    Raises:
        InvalidInput: an unknown or absent key, or a value of the wrong kind; names the file.
    """
    table = read_toml(file, _KEYS, _REQUIRED)
    _check_table(table, file)
    return table


def _check_table(table: Mapping[str, Any], file: Path) -> None:
    for key in _TEXTS:
        if key in table and (not isinstance(table[key], str) or not table[key].strip()):
            raise InvalidInput(
                f"{file}: {key} must be a text that is not empty, got {table[key]!r}"
            )
    for key, valid in _WORDS.items():
        if key in table and table[key] not in valid:
            raise unknown_name(f"{key} in {file}", table[key], valid)
    if "{question}" not in table.get("template", "{question}"):
        raise InvalidInput(f"{file}: template lacks {{question}}: {table['template']!r:.80}")
    for key in ("fields", "scorer_options"):
        if not isinstance(table.get(key, {}), dict):
            raise InvalidInput(f"{file}: {key} must be a table [{key}], got {table[key]!r:.80}")
    for name in table.get("fields", {}):
        if name not in ROW_KEYS:
            raise unknown_name(f"item field in {file} [fields]", name, ROW_KEYS)
    share = table.get("max_missing", MAX_MISSING)
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise InvalidInput(f"{file}: max_missing is {share!r}; allowed: a share in [0, 1]")
    _check_date(table.get("first_seen"), file)


def _check_date(value: object, file: Path) -> None:
    if value is None or isinstance(value, date):
        return
    try:
        date.fromisoformat(str(value))
    except ValueError:
        raise InvalidInput(
            f"{file}: first_seen is {value!r}; give a date like 2026-07-01"
        ) from None
