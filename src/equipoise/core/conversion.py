"""Values of configuration fields, read into the types that the fields declare.

A value comes as data of a file, or as text of a command line (`Text`), of which the field's type
says what it means. `apply_changes` builds a dataclass from a tree of field -> value.
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal, Union

from equipoise.core.errors import EquipoiseError, InvalidInput, UnknownField, nearest

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_SEQUENCES = (tuple, list, set, frozenset, Sequence)


class Text(str):
    """Text from a command line, whose type is still to be read from the field it is for."""


class Changes(dict[str, Any]):
    """Changes by dotted name; a mapping field keeps the entries that they do not name."""


def put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Set `field.sub` (or `field__sub`) in a tree of changes; dashes in field names are fine."""
    first, *rest = dotted.replace("__", ".").split(".")
    *parents, last = [first.replace("-", "_"), *rest]
    for parent in parents:
        inner = tree.get(parent)
        if not isinstance(inner, dict):
            inner = tree[parent] = Changes()
        tree = inner
    tree[last] = value


def nest(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes by dotted name as a tree."""
    tree: dict[str, Any] = Changes()
    for name, value in changes.items():
        put(tree, name, value)
    return tree


def field_types(cls: Any) -> dict[str, Any]:
    """Return every field of a configuration class, nested ones dotted -> its type."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(cls)
    for name in settable(cls):
        if dataclasses.is_dataclass(hints[name]):
            inner = field_types(hints[name])
            found |= {f"{name}.{part}": kind for part, kind in inner.items()}
        else:
            found[name] = hints[name]
    return found


def settable(cls: Any) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields that a caller sets, by name: those of the initialiser."""
    return {field.name: field for field in dataclasses.fields(cls) if field.init}


def apply_changes(cls: Any, base: Any, changes: Mapping[str, Any], before: str = "") -> Any:
    """Return `base` (None: the defaults of `cls`) with a tree of changes, each in its field's type.

    Raises:
        InvalidInput: an unknown field (the nearest is named), a wrong value, or a field without a
            default that gets none; `before` stands in front of the names of fields.
    """
    fields = settable(cls)
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for given, value in changes.items():
        name = given if given in fields else given.replace("-", "_")
        if name not in fields:
            raise _unknown_field(cls, name, fields, before)
        current = default_of(cls, name) if base is None else getattr(base, name)
        values[name] = _convert(value, hints[name], before + name, current)
    if base is None:
        required = [n for n, f in fields.items() if not _has_default(f) and n not in values]
        if required:
            missing = ", ".join(before + name for name in required)
            raise InvalidInput(f"{cls.__name__} needs a value for {missing}")
    try:
        return cls(**values) if base is None else dataclasses.replace(base, **values)
    except EquipoiseError:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{cls.__name__}: {error}") from None


def default_of(cls: Any, name: str) -> Any:
    """Return the default of a field of a dataclass; None where it has none."""
    field = settable(cls)[name]
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _unknown_field(cls: Any, name: str, fields: Iterable[str], before: str) -> UnknownField:
    reachable = {dotted.rpartition(".")[2]: dotted for dotted in field_types(cls)}
    reachable |= {field: field for field in fields}
    close = reachable.get(nearest(name, reachable) or "")
    hint = f": did you mean {before + close!r}?" if close else "."
    valid = [before + field for field in fields]
    message = f"unknown field {before + name!r}{hint} Valid: {', '.join(valid)}"
    return UnknownField(message, before + name, valid)


def _wrong(name: str, value: Any, wanted: str) -> InvalidInput:
    return InvalidInput(f"field {name!r} got {str(value)!r}; it must be {wanted}")


def _convert(value: Any, hint: Any, name: str, current: Any) -> Any:
    """Return `value` as the type `hint`, or raise naming the field `name`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Annotated, ClassVar):
        return _convert(value, arguments[0], name, current)
    if origin in (Union, types.UnionType):
        return _convert_union(value, arguments, name, current)
    if origin is Literal:
        return _convert_literal(value, arguments, name)
    if dataclasses.is_dataclass(hint):
        return _convert_nested(value, hint, name, current)
    if (origin or hint) in _SEQUENCES:
        return _convert_sequence(value, hint, name)
    if (origin or hint) in (dict, Mapping):
        return _convert_mapping(value, arguments, name, current)
    if isinstance(hint, type) and hint is not Any:
        return _convert_scalar(value, hint, name)
    return _literal(value) if isinstance(value, Text) else value


def _convert_union(value: Any, arguments: tuple[Any, ...], name: str, current: Any) -> Any:
    wanted = " or ".join(_spell(kind) for kind in arguments)
    optional = type(None) in arguments
    said_none = isinstance(value, Text) and value.lower() in ("none", "null")
    if optional and (value is None or said_none):
        return None
    if value is None:
        raise _wrong(name, value, wanted)
    kinds = [kind for kind in arguments if kind is not type(None)]
    if any(type(value) is kind for kind in kinds):  # it already is of one of the types
        return value
    problems: list[InvalidInput] = []
    for kind in sorted(kinds, key=lambda kind: kind is str):  # text fits everything: try it last
        try:
            return _convert(value, kind, name, current)
        except InvalidInput as error:
            problems.append(error)
    raise problems[0] if len(kinds) == 1 else _wrong(name, value, wanted)


def _convert_literal(value: Any, allowed: tuple[Any, ...], name: str) -> Any:
    for option in allowed:
        if type(option) is type(value) and option == value:
            return option
        if isinstance(value, Text) and str(option) == value:
            return option
    spelt = [str(option) for option in allowed]
    close = nearest(str(value), spelt)
    hint = f" (did you mean {close!r}?)" if close else ""
    raise InvalidInput(f"field {name!r} got {str(value)!r}{hint}; valid: {', '.join(spelt)}")


def _convert_nested(value: Any, hint: Any, name: str, current: Any) -> Any:
    if isinstance(value, hint):
        return value
    data = _literal(value) if isinstance(value, Text) else value
    if not isinstance(data, Mapping):
        raise _wrong(name, value, f"a table of the fields of {hint.__name__}")
    return apply_changes(hint, current if isinstance(current, hint) else None, data, f"{name}.")


def _convert_mapping(value: Any, arguments: tuple[Any, ...], name: str, current: Any) -> Any:
    data = _literal(value) if isinstance(value, Text) else value
    if not isinstance(data, Mapping):
        raise _wrong(name, value, "a table of names and values")
    key_kind, kind = arguments if len(arguments) == 2 else (str, Any)
    before = current if isinstance(current, Mapping) else {}
    items: dict[Any, Any] = dict(before) if isinstance(data, Changes) else {}
    for key, item in data.items():
        spelt = Text(key) if isinstance(key, str) else key  # files spell every key as text
        real = _convert(spelt, key_kind, f"{name}.{key}", None)
        items[real] = _convert(item, kind, f"{name}.{key}", before.get(real))
    return items


def _convert_sequence(value: Any, hint: Any, name: str) -> Any:
    kind = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    data = _split(value) if isinstance(value, Text) else value
    if isinstance(data, (str, bytes, Mapping)) or not isinstance(data, Iterable):
        raise _wrong(name, value, "a list of values")
    items = list(data)
    if typing.get_origin(hint) is tuple and arguments[-1:] != (Ellipsis,):
        kinds = list(arguments)
        if len(items) != len(kinds):
            raise _wrong(name, value, f"{len(kinds)} values")
    else:
        kinds = [arguments[0] if arguments else Any] * len(items)
    pairs = enumerate(zip(items, kinds, strict=True))
    make = tuple if kind is Sequence else kind
    return make(_convert(item, inner, f"{name}[{place}]", None) for place, (item, inner) in pairs)


def _split(text: Text) -> list[Any]:
    """Read `[1, 2]`, `1,2` or `a,b` as a list."""
    data = _literal(text)
    if isinstance(data, list):
        return data
    inside = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    return [Text(part.strip()) for part in inside.split(",")] if inside.strip() else []


def _convert_scalar(value: Any, hint: type, name: str) -> Any:
    if hint is bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, Text) and value.lower() in _TRUE + _FALSE:
            return value.lower() in _TRUE
        raise _wrong(name, value, "true or false")
    if issubclass(hint, Enum):
        if isinstance(value, hint):
            return value
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
    if isinstance(value, str):  # in a file only the non-finite numbers are spelt as text
        if not isinstance(value, Text) and value.lower().lstrip("+-") not in ("nan", "inf"):
            raise _wrong(name, value, wanted)
        try:
            return hint(value)
        except ValueError:
            raise _wrong(name, value, wanted) from None
    try:
        if hint is float and isinstance(value, (int, float)):
            return float(value)
    except OverflowError:
        raise _wrong(name, value, "a number that a float can hold") from None
    if hint is int and isinstance(value, int):
        return int(value)
    if hasattr(value, "item") and not hasattr(value, "__len__"):  # NumPy scalars
        return _convert_number(value.item(), hint, name)
    raise _wrong(name, value, wanted)


def _literal(text: str) -> Any:
    """Read a TOML value (`3`, `[1, 2]`, `{a = 1}`), else keep the text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return str(text)


def _spell(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if kind is type(None):
        return "none"
    return names.get(kind) or getattr(kind, "__name__", None) or str(kind)
