"""A small package of files, a folder that plays the package index, and an index of artifacts."""

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from equipoise.core import store

WEIGHTS = b"weights" * 1000
FILES = {"toy/weights.bin": WEIGHTS, "toy/data/a.txt": b"a", "toy/data/in/b.txt": b"bb"}
CODE = {"toy/__init__.py": b"raise RuntimeError('never imported')\n", "toy/data/code.py": b"1/0\n"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_wheel(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write a wheel of a package `toy` 1.0 that holds these files."""
    info = "toy-1.0.dist-info"
    head = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**files, **head}.items():
            archive.writestr(name, data)
    return path


class Place:
    """A cache folder, a wheel that pip finds, and what the store knows of it."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.links = folder / "links"
        self.links.mkdir()
        self.wheel = write_wheel(self.links / "toy-1.0-py3-none-any.whl", {**FILES, **CODE})
        common = {
            "licence": "MIT",
            "requirement": "toy==1.0",
            "package_bytes": self.wheel.stat().st_size,
            "package_sha256": sha256(self.wheel.read_bytes()),
        }
        self.entries: dict[str, dict] = {
            "toy-model": common
            | {
                "kind": "model",
                "title": "Toy weights",
                "members": ["toy/weights.bin"],
                "strip": "toy/",
                "file": "weights.bin",
                "size_bytes": len(WEIGHTS),
                "sha256": sha256(WEIGHTS),
            },
            "toy-data": common
            | {
                "kind": "data",
                "title": "Toy data",
                "members": ["toy/data/*", "!*.py"],
                "strip": "toy/data/",
                "size_bytes": 3,
                "terms": "for play only",
            },
        }
        self.index = folder / "index.toml"

    def write_index(self) -> Path:
        """Write the entries as the TOML file that another process reads."""
        import tomlkit

        self.index.write_text(tomlkit.dumps(self.entries))
        return self.index

    def arrive(self, data: bytes | None = None, suffix: str = ".whl") -> Path:
        """Put a package among those that arrived whole, as if a killed pull had fetched it."""
        downloads = self.cache / "downloads"
        downloads.mkdir(parents=True, exist_ok=True)
        data = self.wheel.read_bytes() if data is None else data
        for name, entry in self.entries.items():
            entry["package_sha256"] = sha256(data)
            (downloads / f"{name}--toy-1.0-py3-none-any{suffix}").write_bytes(data)
        return downloads

    def leftovers(self) -> list[Path]:
        """Return every file or folder of the cache that a finished pull must not leave."""
        return [p for p in self.cache.rglob("*") if p.name.endswith(".part") or ".part/" in str(p)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The store with two toy artifacts, an empty cache and no network."""
    made = Place(tmp_path)
    monkeypatch.setenv("EQUIPOISE_CACHE", str(made.cache))
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.links))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(
        store, "_index", lambda: {n: store._artifact(n, e) for n, e in made.entries.items()}
    )
    return made


SCRIPT = """
import sys, tomllib
from equipoise.core import store
entries = tomllib.loads(open(sys.argv[1]).read())
store._index = lambda: {n: store._artifact(n, e) for n, e in entries.items()}
%s
print(store.pull(sys.argv[2]), flush=True)
"""


@pytest.fixture
def pull_command(place: Place) -> Callable[..., list[str]]:
    """Return the command that pulls in a process of its own, after running further `lines`."""
    import sys

    def command(name: str, lines: str = "") -> list[str]:
        return [sys.executable, "-c", SCRIPT % lines, str(place.write_index()), name]

    return command
