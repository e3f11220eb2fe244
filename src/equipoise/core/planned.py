"""Rooms that are specified and not built yet, so that they can be listed and cited."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from equipoise.core.rooms import Room, rooms


@cache
def planned() -> Mapping[str, Room]:
    """Return the specified rooms that are not installed, by name; they have no verbs yet."""
    text = resources.files("equipoise.core").joinpath("planned.toml").read_text("utf-8")
    built = rooms()
    return MappingProxyType(
        {
            name: Room(name=name, presets=(), verbs={}, config="", **entry)
            for name, entry in tomllib.loads(text).items()
            if name not in built
        }
    )
