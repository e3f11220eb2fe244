"""The configuration fields that a room's verb takes as options, for its `--help`."""

import inspect
from functools import reduce
from operator import getitem
from typing import Any

from equipoise.core.config import config_fields, to_plain
from equipoise.core.rooms import Room, load


def option_rows(room: Room, verb: str) -> list[dict[str, Any]]:
    """Return a row per configuration field: its option, its type, its value in each preset.

    Empty where the verb takes no fields, that is, has no `**changes`.
    """
    parameters = inspect.signature(room.verb(verb)).parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return []
    cls = load(room.config)
    presets = {name: to_plain(cls.preset(name)) for name in room.presets}
    rows = []
    for field, hint in config_fields(cls).items():
        row = {"option": f"--{field.replace('_', '-')}", "type": inspect.formatannotation(hint)}
        row |= {name: reduce(getitem, field.split("."), plain) for name, plain in presets.items()}
        rows.append(row)
    return rows
