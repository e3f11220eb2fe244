"""`equipoise cite`: the paper behind a room or a run."""

from pathlib import Path
from typing import Any

from equipoise.core.console import note
from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.planned import planned
from equipoise.core.rooms import rooms
from equipoise.core.runs import Run


def cite(*names: str) -> dict[str, Any]:
    """Print BibTeX.

    Args:
        names: rooms (`mpo`, `stream-aligner`) or run folders.
    """
    if not names:
        raise InvalidInput("name a room or a run folder to cite, e.g. equipoise cite libra")
    known = {**planned(), **rooms()}
    entries: list[str] = []
    for name in names:
        key = Run.open(name).record["room"] if (Path(name) / "run.json").exists() else name
        # a tour uses every room that is installed
        keys = list(rooms()) if key == "tour" else [key.replace("-", "_")]
        for one in keys:
            if one not in known:
                raise unknown_name("room", name, [r.slug for r in known.values()])
            if known[one].note:
                note(f"{known[one].slug}: {known[one].note}")
            entry = known[one].bibtex.strip("\n")
            if entry not in entries:
                entries.append(entry)
    return {"bibtex": "\n\n".join(entries) + "\n"}
