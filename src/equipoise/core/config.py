"""Configurations are frozen dataclasses: presets, a TOML or JSON file, overrides, a diff of two.

Later sources win: defaults, preset, file, overrides. Every error is one line that names the field
and the nearest valid name.
"""

import dataclasses
import json
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar, Union

from equipoise.core.errors import InvalidInput, MissingData, nearest, unknown_name
from equipoise.core.files import write_atomic

C = TypeVar("C")

_UNSET = "unset"  # TOML has no null: names of fields that are None although their default is not


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
        config = _update(cls(), _nest(cls.PRESETS[name]), "")
        return _update(config, _nest(changes), "")


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
    config: Any = None
    reason = ""
    if preset is not None:
        config = cls.preset(preset)  # type: ignore[attr-defined]
    else:
        try:
            config = cls()
        except TypeError as error:
            reason = str(error)
    changes: dict[str, Any] = {} if path is None else _read(Path(path))
    for field in changes.pop(_UNSET, []):
        _put(changes, field, None)
    for name, text in _override_items(overrides):
        _put(changes, name, text)
    if config is not None:
        return _update(config, changes, "")
    try:  # a class with required fields: all of them must come from the file and overrides
        hints = typing.get_type_hints(cls)
        known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for name in changes:
            if name not in known:
                raise unknown_name("field", name, known)
        return cls(**{n: _convert(v, hints[n], n, None) for n, v in changes.items()})
    except TypeError:
        raise InvalidInput(f"{cls.__name__} cannot be built: {reason}") from None


def dump_config(config: Any, path: str | Path) -> Path:
    """Write a configuration to a `.toml` or `.json` file that `load_config` reads back equal."""
    path = Path(path)
    plain = to_plain(config)
    if path.suffix == ".json":
        return write_atomic(path, json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
    if path.suffix == ".toml":
        import tomlkit

        unset: list[str] = []
        table = _without_none(config, plain, "", unset)
        return write_atomic(path, tomlkit.dumps(({_UNSET: unset} if unset else {}) | table))
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
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def config_fields(cls: type) -> dict[str, Any]:
    """Return every field of a configuration class, nested ones dotted -> its type."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            inner = config_fields(hint)  # type: ignore[arg-type]
            found |= {f"{field.name}.{name}": kind for name, kind in inner.items()}
        else:
            found[field.name] = hint
    return found


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
    return value


def _without_none(config: Any, plain: dict[str, Any], before: str, unset: list[str]) -> Any:
    """Return `plain` without its None fields, noting in `unset` those whose default is not None."""
    defaults = {
        f.name: f.default_factory() if callable(f.default_factory) else f.default
        for f in dataclasses.fields(config)
    }
    kept: dict[str, Any] = {}
    for name, value in plain.items():
        inner = getattr(config, name)
        if value is None:
            if defaults[name] is not None:
                unset.append(before + name)
        elif dataclasses.is_dataclass(inner):
            kept[name] = _without_none(inner, value, f"{before}{name}.", unset)
        else:
            kept[name] = value
    return kept


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise MissingData(f"no configuration file at {path}")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            data = json.loads(text)
        elif path.suffix == ".toml":
            data = tomllib.loads(text)
        else:
            raise InvalidInput(f"a configuration file ends in .toml or .json, got {path.name!r}")
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise InvalidInput(f"{path} must hold one object of fields, got {type(data).__name__}")
    return data


def _override_items(overrides: Iterable[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    if isinstance(overrides, Mapping):
        return [(n, _Text(v) if isinstance(v, str) else v) for n, v in overrides.items()]
    if isinstance(overrides, str):
        overrides = [overrides]
    items: list[tuple[str, Any]] = []
    for line in overrides:
        name, sign, text = line.partition("=")
        if not sign or not name.strip():
            raise InvalidInput(
                f"override {line!r} is not of the form field=value or field.sub=value"
            )
        items.append((name.strip(), _Text(text.strip())))
    return items


class _Text(str):
    """Text from a command line, whose type is still to be read from the field it is for."""


def _put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.replace("-", "_").replace("__", ".").split(".")
    for parent in parents:
        inner = tree.get(parent)
        if not isinstance(inner, dict):
            inner = tree[parent] = {}
        tree = inner
    tree[last] = value


def _nest(changes: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in changes.items():
        _put(tree, name, value)
    return tree


def _update(config: Any, changes: Mapping[str, Any], before: str) -> Any:
    """Return `config` with `changes`, a tree of field -> value, converted to the fields' types."""
    fields = {field.name: field for field in dataclasses.fields(config) if field.init}
    hints = typing.get_type_hints(type(config))
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in fields:
            close = nearest(name, fields)
            hint = f": did you mean {before + close!r}?" if close else "."
            raise InvalidInput(
                f"unknown field {before + name!r}{hint} Valid: "
                + ", ".join(before + field for field in fields)
            )
        values[name] = _convert(value, hints[name], before + name, getattr(config, name))
    try:
        return dataclasses.replace(config, **values)
    except InvalidInput:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{type(config).__name__}: {error}") from None


def _wrong(name: str, value: Any, wanted: str) -> InvalidInput:
    return InvalidInput(f"field {name!r} got {str(value)!r}; it must be {wanted}")


def _convert(value: Any, hint: Any, name: str, current: Any) -> Any:
    """Return `value` as the type `hint`, or raise naming the field `name`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return _literal(value) if isinstance(value, _Text) else value
    if origin is typing.Annotated or origin is ClassVar:
        return _convert(value, arguments[0], name, current)
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments, name, current)
    if origin is Literal:
        return _convert_literal(value, arguments, name)
    if dataclasses.is_dataclass(hint):
        return _convert_nested(value, hint, name, current)
    if origin in (tuple, list, set, frozenset) or hint in (tuple, list, set, frozenset):
        return _convert_sequence(value, hint, name)
    if origin in (dict, Mapping) or hint in (dict, Mapping):
        data = _literal(value) if isinstance(value, _Text) else value
        if not isinstance(data, Mapping):
            raise _wrong(name, value, "a table of names and values")
        kind = arguments[1] if len(arguments) == 2 else Any
        return {str(key): _convert(item, kind, f"{name}.{key}", None) for key, item in data.items()}
    if isinstance(hint, type):
        return _convert_scalar(value, hint, name)
    return value


def _convert_union(value: Any, arguments: tuple[Any, ...], name: str, current: Any) -> Any:
    optional = type(None) in arguments
    if value is None or (
        isinstance(value, _Text) and optional and value.lower() in ("none", "null")
    ):
        if optional:
            return None
        raise _wrong(name, value, " or ".join(_spell(kind) for kind in arguments))
    kinds = [kind for kind in arguments if kind is not type(None)]
    for kind in kinds:  # a value that already is of one of the types stays as it is
        if not isinstance(value, _Text) and isinstance(kind, type) and type(value) is kind:
            return value
    order = sorted(kinds, key=lambda kind: kind is str)  # text fits everything: try it last
    problem: InvalidInput | None = None
    for kind in order:
        try:
            return _convert(value, kind, name, current)
        except InvalidInput as error:
            problem = problem or error
    if len(kinds) == 1 and problem is not None:
        raise problem
    raise _wrong(name, value, " or ".join(_spell(kind) for kind in arguments))


def _convert_literal(value: Any, allowed: tuple[Any, ...], name: str) -> Any:
    for option in allowed:
        if type(option) is type(value) and option == value:
            return option
        if isinstance(value, _Text) and str(option) == value:
            return option
    spelt = [str(option) for option in allowed]
    close = nearest(str(value), spelt)
    hint = f" (did you mean {close!r}?)" if close else ""
    raise InvalidInput(f"field {name!r} got {str(value)!r}{hint}; valid: {', '.join(spelt)}")


def _convert_nested(value: Any, hint: Any, name: str, current: Any) -> Any:
    if isinstance(value, hint):
        return value
    data = _literal(value) if isinstance(value, _Text) else value
    if not isinstance(data, Mapping):
        raise _wrong(name, value, f"a table of the fields of {hint.__name__}")
    base = current if isinstance(current, hint) else hint()
    return _update(base, data, f"{name}.")


def _convert_sequence(value: Any, hint: Any, name: str) -> Any:
    kind = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    if isinstance(value, _Text):
        data = _literal(value)
        if not isinstance(data, list):
            data = [_Text(part.strip()) for part in value.split(",")] if value else []
    else:
        data = value
    if isinstance(data, (str, bytes, Mapping)) or not isinstance(data, Iterable):
        raise _wrong(name, value, "a list of values")
    items = list(data)
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        if arguments == ((),):
            arguments = ()
        if len(items) != len(arguments):
            raise _wrong(name, value, f"{len(arguments)} values")
        kinds = list(arguments)
    else:
        kinds = [arguments[0] if arguments else Any] * len(items)
    pairs = enumerate(zip(items, kinds, strict=True))
    return kind(_convert(item, inner, f"{name}[{place}]", None) for place, (item, inner) in pairs)


_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _convert_scalar(value: Any, hint: type, name: str) -> Any:
    if hint is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, _Text) and value.lower() in _TRUE + _FALSE:
            return value.lower() in _TRUE
        raise _wrong(name, value, "true or false")
    if issubclass(hint, Enum):
        return hint(_convert_literal(value, tuple(option.value for option in hint), name))
    if hint is str:
        if isinstance(value, str):
            return str(value)
        raise _wrong(name, value, "text")
    if hint is Path:
        if isinstance(value, (str, Path)):
            return Path(value)
        raise _wrong(name, value, "a path")
    if hint in (int, float):
        return _convert_number(value, hint, name)
    if isinstance(value, hint):
        return value
    raise _wrong(name, value, _spell(hint))


def _convert_number(value: Any, hint: type, name: str) -> int | float:
    wanted = "a whole number" if hint is int else "a number"
    if isinstance(value, bool):
        raise _wrong(name, value, wanted)
    if isinstance(value, str):
        if not isinstance(value, _Text) and value.lower().lstrip("+-") not in ("nan", "inf"):
            raise _wrong(name, value, wanted)
        try:
            return hint(value)
        except ValueError:
            raise _wrong(name, value, wanted) from None
    if hint is float and isinstance(value, (int, float)):
        return float(value)
    if hint is int and isinstance(value, int):
        return int(value)
    if hasattr(value, "item"):  # NumPy scalars
        return _convert_number(value.item(), hint, name)
    raise _wrong(name, value, wanted)


def _literal(text: str) -> Any:
    """Read a TOML value (`3`, `[1, 2]`, `{a = 1}`), else keep the text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, ValueError):
        return str(text)


def _spell(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if kind is type(None):
        return "none"
    return names.get(kind) or getattr(kind, "__name__", None) or str(kind)
