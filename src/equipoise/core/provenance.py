"""What a run was made by: command line, process, package versions, revision, machine."""

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("equipoise", "numpy", "scipy", "torch", "transformers", "xllamacpp", "scikit-learn")


def this_process() -> list[float]:
    """Return this process's number and start time, which together are never used twice."""
    import psutil

    return [os.getpid(), psutil.Process().create_time()]


def is_alive(process: list[float] | None) -> bool:
    """Return whether the process that `this_process` named is still at work."""
    import psutil

    if not process:
        return False
    try:
        return abs(psutil.Process(int(process[0])).create_time() - process[1]) < 1.0
    except psutil.Error:
        return False


def command_line(room: str, verb: str) -> list[str]:
    """Return the command line if it is this package's own and asked for this run, else nothing."""
    program = Path(sys.argv[0]) if sys.argv else Path()
    own = program.stem == "equipoise" or program.parts[-2:] == ("equipoise", "__main__.py")
    first = next((token for token in sys.argv[1:] if not token.startswith("-")), "")
    return sys.argv[1:] if own and first.replace("-", "_") in (room, verb.replace("-", "_")) else []


@cache
def git_revision() -> str | None:
    """Return the revision of this package's checkout, None outside of one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def machine() -> dict[str, Any]:
    """Return platform, processor, cores and memory."""
    import psutil

    return {
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }
