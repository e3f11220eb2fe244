"""The record by which a room is known to command line, tour, studio and documents."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from equipoise.core.errors import InvalidInput, unknown_name


@dataclass(frozen=True)
class Room:
    """What a room says of itself, in plain strings; nothing it names is imported until used.

    Attributes:
        name: package name under `equipoise.systems`, with underscores.
        title: one line for people.
        paper: the publication, one line.
        bibtex: its BibTeX entry.
        presets: names that the config class knows.
        verbs: verb -> `"module:function"`.
        config: `"module:Class"` of the config dataclass.
        pages: `"module:function"` returning the ASGI routes of the room's pages, or None.
        note: shown with the citation, e.g. what is reconstructed.
    """

    name: str
    title: str
    paper: str
    bibtex: str
    presets: tuple[str, ...]
    verbs: Mapping[str, str]
    config: str
    pages: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise InvalidInput(
                f"room name {self.name!r} must be a package name: letters, digits, underscores"
            )
        object.__setattr__(self, "presets", tuple(self.presets))
        object.__setattr__(self, "verbs", MappingProxyType(dict(self.verbs)))

    @property
    def slug(self) -> str:
        """The name on the command line and in addresses: dashes for underscores."""
        return self.name.replace("_", "-")

    def verb(self, name: str) -> Any:
        """Import and return the function behind a verb; an unknown verb names the nearest."""
        if name not in self.verbs:
            raise unknown_name(f"verb of {self.slug}", name, self.verbs)
        return load(self.verbs[name])


def load(dotted: str) -> Any:
    """Return the object that `"module:name"` spells, importing its module."""
    module, _, name = dotted.partition(":")
    return getattr(importlib.import_module(module), name)


@cache
def rooms() -> Mapping[str, Room]:
    """Return the rooms that are installed, by name, in alphabetical order.

    A room is a package under `equipoise.systems` with a `ROOM`; nothing else registers it.
    """
    systems = importlib.import_module("equipoise.systems")
    found: dict[str, Room] = {}
    for info in sorted(pkgutil.iter_modules(systems.__path__), key=lambda info: info.name):
        if info.ispkg:
            room = getattr(importlib.import_module(f"equipoise.systems.{info.name}"), "ROOM", None)
            if isinstance(room, Room):
                found[room.name] = room
    return MappingProxyType(found)


def find_room(name: str) -> Room:
    """Return the room called `name` (dashes and underscores are one), else name the nearest."""
    known = rooms()
    folded = name.replace("-", "_")
    if folded in known:
        return known[folded]
    raise unknown_name("room", name, [room.slug for room in known.values()])
