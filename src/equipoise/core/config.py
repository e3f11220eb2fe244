"""Configurations are frozen dataclasses: presets, a TOML or JSON file, overrides, a diff of two.

Later sources win: defaults, preset, file, overrides. Every error is one line that names the field
and the nearest valid name.
"""

import dataclasses
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from equipoise.core.conversion import (
    Text,
    apply_changes,
    default_of,
    field_types,
    nest,
    put,
    settable,
)
from equipoise.core.errors import InvalidInput, MissingData, unknown_name
from equipoise.core.files import write_atomic

C = TypeVar("C")

_NO_VALUE = "no-value"  # TOML has no null: this key lists the fields that are None


class Config:
    """Base of a room's configuration: a frozen dataclass with `PRESETS`, name -> changed fields."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def preset(cls, name: str, /, **changes: Any) -> Self:
        """Return the preset `name` with `changes` to its fields.

        A nested field is changed by a mapping of its fields, or by `**{"field.sub": value}`.

        Raises:
            InvalidInput: an unknown preset or field (the nearest is named), or a wrong value.
        """
        if name not in cls.PRESETS:
            raise unknown_name("preset", name, cls.PRESETS)
        config = apply_changes(cls, None, nest(cls.PRESETS[name]))
        return apply_changes(cls, config, nest(changes))


def load_config(
    cls: type[C],
    path: str | Path | None = None,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    preset: str | None = None,
) -> C:
    """Build a configuration from a preset, a `.toml` or `.json` file and overrides.

    Args:
        cls: the frozen dataclass.
        path: file whose keys are fields, nested tables nested fields.
        overrides: lines `"field.sub=value"`, or a mapping from field (nested: `field.sub` or
            `field__sub`) to its value or the text of it.
        preset: name known to `cls.preset`.

    Raises:
        InvalidInput: unknown preset or field (with the nearest name), wrong value, broken file.
        MissingData: `path` does not exist.
    """
    base: Any = None
    if preset is not None:
        presets = getattr(cls, "preset", None)
        if presets is None:
            raise InvalidInput(f"{cls.__name__} has no presets, got preset {preset!r}")
        base = presets(preset)
    changes: dict[str, Any] = {} if path is None else _read(Path(path))
    without = changes.pop(_NO_VALUE, [])
    if not isinstance(without, list) or not all(isinstance(name, str) for name in without):
        raise InvalidInput(f"{path}: {_NO_VALUE} is {without!r}; it must be a list of fields")
    for field in without:
        put(changes, field, None)
    for name, value in _override_items(overrides):
        put(changes, name, value)
    return apply_changes(cls, base, changes)


def dump_config(config: Any, path: str | Path) -> Path:
    """Write a configuration to a `.toml` or `.json` file that `load_config` reads back equal.

    Raises:
        InvalidInput: another suffix, or None inside a list or table of a `.toml` file.
    """
    path = Path(path)
    if path.suffix == ".json":
        text = json.dumps(to_plain(config), indent=1, ensure_ascii=False)
        return write_atomic(path, text + "\n")
    if path.suffix == ".toml":
        import tomlkit

        empty: list[str] = []
        table = _without_none(to_plain(config), config, "", empty)
        return write_atomic(path, tomlkit.dumps(({_NO_VALUE: empty} if empty else {}) | table))
    raise InvalidInput(f"a configuration file ends in .toml or .json, got {path.name!r}")


def diff_configs(a: Any, b: Any) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two configurations differ: dotted name -> (value in a, in b).

    A field that only one of them has is paired with None. Mappings (a `config.json`) work as well.
    """
    flat_a, flat_b = (_flatten(x if isinstance(x, Mapping) else to_plain(x)) for x in (a, b))
    names = list(flat_a) + [name for name in flat_b if name not in flat_a]
    pairs = {name: (flat_a.get(name), flat_b.get(name)) for name in names}
    return {n: pair for n, pair in pairs.items() if not _same(*pair)}


def to_plain(config: Any) -> dict[str, Any]:
    """Return a configuration as strict JSON data; non-finite numbers are spelt "nan", "inf"."""
    return {name: _plain(getattr(config, name)) for name in settable(config)}


def config_fields(cls: type) -> dict[str, Any]:
    """Return every field of a configuration class, nested ones dotted -> its type."""
    return field_types(cls)


def _same(a: Any, b: Any) -> bool:
    both_nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    return both_nan or (a == b and isinstance(a, bool) == isinstance(b, bool))


def _flatten(plain: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{before}{key}.")
        else:
            flat[before + key] = value
    return flat


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    to_list = getattr(value, "tolist", None)  # NumPy scalars
    return value if to_list is None else _plain(to_list())


def _without_none(plain: Any, value: Any, name: str, empty: list[str] | None) -> Any:
    """Return `plain` without the fields that are None, whose dotted names go to `empty`.

    Inside a list or table no such name leads to a field (`empty` is None): there a field may be
    left out where None is its default anyway.
    """
    if dataclasses.is_dataclass(value):
        kept: dict[str, Any] = {}
        for field, inner in plain.items():
            dotted = f"{name}.{field}" if name else field
            if inner is not None:
                kept[field] = _without_none(inner, getattr(value, field), dotted, empty)
            elif empty is not None:
                empty.append(dotted)
            elif default_of(value, field) is not None:
                raise _no_null(dotted)
        return kept
    if isinstance(plain, dict):
        pairs = zip(plain, plain.values(), value.values(), strict=True)
        return {k: _without_none(p, v, f"{name}.{k}", None) for k, p, v in pairs}
    if isinstance(plain, list) and isinstance(value, (list, tuple)):
        pairs = enumerate(zip(plain, value, strict=True))
        return [_without_none(p, v, f"{name}[{k}]", None) for k, (p, v) in pairs]
    if plain is None:
        raise _no_null(name)
    return plain


def _no_null(name: str) -> InvalidInput:
    return InvalidInput(f"TOML has no null, which {name!r} needs; write a .json file")


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise MissingData(f"no configuration file at {path}")
    if path.suffix not in (".json", ".toml"):
        raise InvalidInput(f"a configuration file ends in .toml or .json, got {path.name!r}")
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise InvalidInput(f"{path} must hold one object of fields, got {type(data).__name__}")
    return data


def _override_items(overrides: Iterable[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    if isinstance(overrides, Mapping):
        return [(n, Text(v) if isinstance(v, str) else v) for n, v in overrides.items()]
    items: list[tuple[str, Any]] = []
    for line in [overrides] if isinstance(overrides, str) else overrides:
        name, sign, text = line.partition("=")
        if not sign or not name.strip():
            raise InvalidInput(
                f"override {line!r} is not of the form field=value or field.sub=value"
            )
        items.append((name.strip(), Text(text.strip())))
    return items
