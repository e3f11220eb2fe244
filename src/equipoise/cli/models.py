"""`equipoise models`: list, pull, verify, remove."""

from typing import Any

from equipoise.cli.artifacts import list_artifacts, pull_artifacts, remove_artifact, verify_artifact


def list_() -> dict[str, Any]:
    """List the models that can be pulled, and which are here."""
    return {"models": list_artifacts("model")}


def pull_(*names: str) -> dict[str, Any]:
    """Fetch models into the local cache and verify their checksums.

    Args:
        names: one or more names of `equipoise models list`.
    """
    return {"models": pull_artifacts("model", names)}


def verify_(name: str, /) -> dict[str, Any]:
    """Check every file of a model against its checksum.

    Args:
        name: its name.
    """
    return verify_artifact("model", name)


def remove_(name: str, /) -> dict[str, Any]:
    """Remove a model and what was made from it.

    Args:
        name: its name.
    """
    return remove_artifact("model", name)
