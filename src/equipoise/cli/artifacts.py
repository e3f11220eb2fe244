"""What `equipoise models` and `equipoise data` share."""

from collections.abc import Sequence
from typing import Any

from equipoise.core import store
from equipoise.core.console import note
from equipoise.core.errors import InvalidInput, RunFailed


def _row(artifact: store.Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "size_bytes": artifact.size_bytes,
        "licence": artifact.licence,
        "present": artifact.present,
        "sha256": artifact.sha256,
    }


def list_artifacts(kind: str) -> list[dict[str, Any]]:
    """Return a row per artifact of a kind."""
    return [_row(artifact) for artifact in store.available() if artifact.kind == kind]


def pull_artifacts(kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Pull each named artifact and return their rows with the path."""
    if not names:
        known = ", ".join(a.name for a in store.available() if a.kind == kind)
        raise InvalidInput(f"name at least one to pull: {known}")
    artifacts = [store.find(name, kind) for name in names]
    rows = []
    for artifact in artifacts:
        if artifact.terms and not artifact.present:
            note(f"{artifact.name}: {artifact.terms}")
        path = store.pull(artifact.name)
        rows.append(_row(artifact) | {"path": str(path)})
    return rows


def verify_artifact(kind: str, name: str) -> dict[str, Any]:
    """Check an artifact's files; a difference is an error that says how to mend it."""
    artifact = store.find(name, kind)
    broken = store.verify(artifact.name)
    if broken:
        remove = artifact.command.replace(" pull ", " remove ")
        raise RunFailed(
            f"{len(broken)} file(s) of {name} differ from their checksum, first {broken[0]}; "
            f"run: {remove} && {artifact.command}"
        )
    return {"name": artifact.name, "verified": True, "path": str(store.path_of(artifact.name))}


def remove_artifact(kind: str, name: str) -> dict[str, Any]:
    """Remove an artifact; say how much room that made."""
    artifact = store.find(name, kind)
    return {"name": artifact.name, "freed_bytes": store.remove(artifact.name)}
