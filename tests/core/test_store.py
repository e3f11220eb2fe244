"""The store: pulled, verified, listed and removed; every fault leaves nothing half-written."""

import collections
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from equipoise.core import store
from equipoise.core.errors import InvalidInput, MissingData, RunFailed
from equipoise.core.files import sha256_file
from equipoise.core.store import available, cache_folder, derived, path_of, pull, remove, verify

BINDING = {
    "model": ["all-minilm-l6-v2", "efficientnet-lite0", "smollm2-135m"],
    "data": ["flights", "leap-hand", "myodm", "robosuite-hands"],
}


def test_the_shipped_index_knows_the_binding_names():
    found = available()
    for kind, names in BINDING.items():
        assert set(names) <= {a.name for a in found if a.kind == kind}
    assert [a.kind for a in found] == sorted((a.kind for a in found), key="model data".find)
    for artifact in found:
        assert len(artifact.sha256) == len(artifact.package_sha256) == 64
        assert "==" in artifact.requirement
        assert artifact.size_bytes > 0
        assert artifact.licence
        assert artifact.members
    smollm2 = store.find("smollm2-135m")
    assert smollm2.size_bytes == 98_362_432
    assert smollm2.sha256.startswith("b179c9523d0e6a0f")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("smollm", None, "unknown model or data set 'smollm': did you mean 'smollm2-135m'? Valid"),
        ("flihgts", "data", "unknown data set 'flihgts': did you mean 'flights'? Valid: flights,"),
        ("flights", "model", "unknown model 'flights'"),
        ("SmolLM2_135M", "model", "unknown model 'SmolLM2_135M': did you mean 'smollm2-135m'?"),
    ],
)
def test_unknown_names_get_the_nearest(name, kind, message):
    with pytest.raises(InvalidInput) as caught:
        store.find(name, kind)
    assert str(caught.value).startswith(message)
    for call in (pull, path_of, verify, remove, derived):
        with pytest.raises(InvalidInput, match="unknown model or data set 'qqq'"):
            call("qqq")


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    assert not cache_folder().exists()
    monkeypatch.delenv("EQUIPOISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder().name == "equipoise"


def test_what_is_not_here_names_the_command(place):
    for name, command in (("toy-model", "models"), ("toy-data", "data")):
        for call in (path_of, verify):
            with pytest.raises(MissingData) as caught:
                call(name)
            assert str(caught.value) == (
                f"{name} is not on this machine; run: equipoise {command} pull {name}"
            )
    assert not place.cache.exists()


def test_pull_verify_and_remove_with_pip(place, capsys):
    path = pull("toy-model")
    assert path == place.cache / "models" / "toy-model" / "weights.bin"
    assert sha256_file(path) == place.entries["toy-model"]["sha256"]
    assert capsys.readouterr().err == "fetching toy-model (MB) ...\n"
    assert path_of("toy-model") == pull("toy-model") == path
    assert [a.name for a in available() if a.present] == ["toy-model"]
    assert verify("toy-model") == []
    assert sorted(p.name for p in path.parent.iterdir()) == ["manifest.json", "weights.bin"]
    assert not place.leftovers()
    assert list((place.cache / "downloads").iterdir()) == []

    made = derived("toy-model", "dense", "model.bin")
    assert made == place.cache / "derived" / "toy-model" / "dense" / "model.bin"
    made.write_bytes(b"123")
    assert remove("toy-model") > 7000 + 3
    assert not path.parent.exists()
    assert not (place.cache / "derived" / "toy-model").exists()
    assert remove("toy-model") == 0
    assert not store.find("toy-model").present


def test_pull_a_folder_without_its_code(place):
    place.arrive()
    folder = pull("toy-data")
    assert folder == place.cache / "data" / "toy-data"
    kept = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert kept == {"a.txt", "in/b.txt", "manifest.json"}
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["requirement"] == "toy==1.0"
    assert manifest["files"]["in/b.txt"][0] == 2
    assert path_of("toy-data") == folder


def test_changed_and_lost_files_are_noticed_and_mended(place):
    place.arrive()
    folder = pull("toy-data")
    (folder / "a.txt").write_bytes(b"b")
    assert store.find("toy-data").present
    assert verify("toy-data") == ["a.txt"]
    (folder / "a.txt").write_bytes(b"longer")
    assert not store.find("toy-data").present
    with pytest.raises(MissingData):
        path_of("toy-data")
    place.arrive()
    assert (pull("toy-data") / "a.txt").read_bytes() == b"a"
    (folder / "in" / "b.txt").unlink()
    assert verify("toy-data") == ["in/b.txt"]
    for text in ("{", '{"files": ["a.txt"]}', '{"files": {"a.txt": 1}}', "[]"):
        (folder / "manifest.json").write_text(text)
        assert verify("toy-data") == ["manifest.json"]
        assert not store.find("toy-data").present


def test_a_model_is_held_to_the_recorded_checksum_not_its_manifest(place):
    place.arrive()
    path = pull("toy-model")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    manifest = json.loads((path.parent / "manifest.json").read_text())
    manifest["files"]["weights.bin"] = [path.stat().st_size, sha256_file(path)]
    (path.parent / "manifest.json").write_text(json.dumps(manifest))
    assert verify("toy-model") == ["weights.bin"]


def refused(place, kind, *parts):
    with pytest.raises(kind) as caught:
        pull("toy-model")
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not store.find("toy-model").present
    assert not (place.cache / "models" / "toy-model").exists()
    assert not place.leftovers()


def test_no_network(place, monkeypatch):
    monkeypatch.delenv("PIP_FIND_LINKS")
    refused(
        place,
        MissingData,
        "cannot fetch toy-model: the package index was not reached or lacks toy==1.0; check the ",
        "network and run again: equipoise models pull toy-model",
    )


@pytest.mark.standard
def test_a_package_whose_checksum_differs(place):
    place.entries["toy-model"]["package_sha256"] = "0" * 64
    refused(place, RunFailed, "checksum of toy==1.0 differs from the recorded one; nothing was ke")
    assert not list((place.cache / "downloads").iterdir())


@pytest.mark.standard
def test_a_constraint_file_of_the_user_does_no_harm(place, monkeypatch, tmp_path):
    (tmp_path / "constraints.txt").write_text("toy==2.0\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "constraints.txt"))
    assert pull("toy-model").exists()


def test_a_file_whose_checksum_differs(place):
    place.arrive()
    place.entries["toy-model"]["sha256"] = "0" * 64
    refused(place, RunFailed, "checksum of weights.bin differs from the recorded 0000000000000000")


def test_a_damaged_package_is_dropped(place):
    data = place.wheel.read_bytes()
    for damaged in (data[: len(data) // 2], b"nonsense", b"\xff" * 100 + data[100:]):
        downloads = place.arrive(damaged)
        refused(place, RunFailed, "is damaged (", "run again: equipoise models pull toy-model")
        assert [p.name for p in downloads.glob("toy-model--*")] == []


def test_a_package_without_the_files(place):
    place.arrive()
    place.entries["toy-model"]["members"] = ["other/*"]
    refused(place, RunFailed, "toy==1.0 holds none of the files of toy-model")


def test_too_little_room_is_said_before_fetching(place, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    refused(
        place,
        RunFailed,
        "pulling toy-model needs 67 MB free in ",
        "where 1 MB are; free some or set EQUIPOISE_CACHE to another folder",
    )
    assert not (place.cache / "downloads").exists()


def test_a_disk_that_fills_up(place, monkeypatch):
    downloads = place.arrive()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    refused(place, RunFailed, "cannot store toy-model in ", ": No space left on device")
    monkeypatch.undo()
    assert len(list(downloads.iterdir())) == 2, "what had arrived is kept"


def test_a_cache_that_is_a_file(place):
    place.cache.write_text("mine")
    with pytest.raises(RunFailed, match="cannot store toy-model in"):
        pull("toy-model")
    assert place.cache.read_text() == "mine"


def test_an_interrupted_pull_leaves_nothing(place, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("equipoise.core.fetch.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pull("toy-model")
    monkeypatch.undo()
    assert not place.leftovers()


@pytest.mark.standard
def test_two_processes_pulling_at_once_fetch_once(place, pull_command):
    command = pull_command("toy-model")
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert {out.strip() for out, _ in answers} == {str(path_of("toy-model"))}
    assert sum("fetching" in err for _, err in answers) == 1
    assert verify("toy-model") == []
    assert not place.leftovers()


def test_who_waits_for_another_process_is_told(place, monkeypatch, capsys):
    import filelock

    calls = []
    acquire = filelock.FileLock.acquire

    def busy_at_first(lock, timeout=None, **options):
        calls.append(timeout)
        if timeout == 0:
            raise filelock.Timeout("busy")
        return acquire(lock, timeout, **options)

    monkeypatch.setattr(filelock.FileLock, "acquire", busy_at_first)
    assert remove("toy-model") == 0
    assert calls == [0, None]
    assert capsys.readouterr().err == "waiting for another process that is at work on toy-model\n"


def wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + 30
    while not list(folder.glob(pattern)):
        assert time.monotonic() < deadline, f"no {pattern} came"
        time.sleep(0.005)


@pytest.mark.standard
def test_killed_while_pip_works_then_pulled_again(place, pull_command):
    with subprocess.Popen(pull_command("toy-model")) as process:
        wait_for(place.cache, "models/.toy-model.*.part/pip.log")
        process.send_signal(signal.SIGKILL)
    assert not store.find("toy-model").present
    path = pull("toy-model")
    assert sha256_file(path) == place.entries["toy-model"]["sha256"]
    time.sleep(1.5)  # an orphaned pip would write by now
    assert not place.leftovers()


@pytest.mark.standard
def test_killed_after_the_package_arrived_does_not_fetch_it_again(place, pull_command, monkeypatch):
    stall = (
        "store._put_in_place = lambda *_: (print('here', flush=True), __import__('time').sleep(60))"
    )
    command = pull_command("toy-data", stall)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
    assert place.leftovers()
    assert not store.find("toy-data").present
    monkeypatch.delenv("PIP_FIND_LINKS")  # pip could not bring it now
    assert (pull("toy-data") / "a.txt").read_bytes() == b"a"
    assert not place.leftovers()
    assert remove("toy-data") > 0


def test_removing_clears_what_a_killed_pull_left(place):
    downloads = place.arrive()
    stale = place.cache / "models" / ".toy-model.abc.part"
    stale.mkdir(parents=True)
    assert remove("toy-model") == place.wheel.stat().st_size
    assert [p.name.partition("--")[0] for p in downloads.iterdir()] == ["toy-data"]
    assert not place.leftovers()
