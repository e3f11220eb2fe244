"""`equipoise data`: list, pull, verify, remove."""

from typing import Any

from equipoise.cli.artifacts import list_artifacts, pull_artifacts, remove_artifact, verify_artifact


def list_() -> dict[str, Any]:
    """List the data sets that can be pulled, and which are here."""
    return {"data": list_artifacts("data")}


def pull_(*names: str) -> dict[str, Any]:
    """Fetch data sets into the local cache and verify their checksums.

    Args:
        names: one or more names of `equipoise data list`.
    """
    return {"data": pull_artifacts("data", names)}


def verify_(name: str, /) -> dict[str, Any]:
    """Check every file of a data set against its checksum.

    Args:
        name: its name.
    """
    return verify_artifact("data", name)


def remove_(name: str, /) -> dict[str, Any]:
    """Remove a data set and what was made from it.

    Args:
        name: its name.
    """
    return remove_artifact("data", name)
