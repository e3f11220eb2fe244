"""`equipoise models` and `equipoise data`, on a package that has arrived already."""

import hashlib
import json
import zipfile

import pytest

from equipoise.core import store

KEYS = ["name", "size_bytes", "licence", "present", "sha256"]


def data(done):
    assert done.code == 0, done.err
    return json.loads(done.out.splitlines()[-1])


@pytest.fixture
def toy_artifacts(toy_room, monkeypatch):
    """One model and one data set, whose package lies among the downloads."""
    downloads = toy_room.parent / "cache" / "downloads"
    downloads.mkdir(parents=True)
    package = downloads / "toy.whl"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("toy/a.bin", b"weights")
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    entries = {}
    for name, kind, terms in (("toy-model", "model", ""), ("toy-data", "data", "for play only")):
        (downloads / f"{name}--toy.whl").write_bytes(package.read_bytes())
        entries[name] = {
            "kind": kind,
            "title": "A toy",
            "licence": "MIT",
            "requirement": "toy==1.0",
            "package_bytes": 100,
            "package_sha256": digest,
            "members": ["toy/*"],
            "strip": "toy/",
            "size_bytes": 7,
            "terms": terms,
        }
    package.unlink()
    monkeypatch.setattr(
        store, "_index", lambda: {n: store._artifact(n, e) for n, e in entries.items()}
    )
    return toy_room.parent / "cache"


def test_lists_of_the_shipped_index(call):
    models = data(call("models", "list", "--json"))["models"]
    sets = data(call("data", "list", "--json"))["data"]
    assert {"smollm2-135m", "all-minilm-l6-v2", "efficientnet-lite0"} <= {m["name"] for m in models}
    assert {"myodm", "leap-hand", "robosuite-hands", "flights"} <= {d["name"] for d in sets}
    for row in models + sets:
        assert list(row) == KEYS
        assert row["present"] is False
        assert len(row["sha256"]) == 64


def test_list_for_people(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    shown = call("models", "list").out
    assert "smollm2-135m" in shown
    assert "b179c9523d0e\u2026" in shown


@pytest.mark.parametrize(("group", "name"), [("models", "toy-model"), ("data", "toy-data")])
def test_pull_verify_remove(group, name, call, toy_artifacts):
    pulled = call(group, "pull", name, "--json")
    (row,) = data(pulled)[group]
    folder = toy_artifacts / group / name
    assert list(row) == [*KEYS, "path"]
    assert (row["present"], row["path"]) == (True, str(folder))
    assert ("toy-data: for play only" in pulled.err) == (group == "data")
    again = call(group, "pull", name, "--json")
    assert data(again)[group] == [row]
    assert "for play only" not in again.err
    verified = data(call(group, "verify", name, "--json"))
    assert verified == {"name": name, "verified": True, "path": str(folder)}

    (folder / "a.bin").write_bytes(b"Weights")
    broken = call(group, "verify", name)
    assert broken.code == 1
    assert broken.err == (
        f"equipoise: 1 file(s) of {name} differ from their checksum, first a.bin; "
        f"run: equipoise {group} remove {name} && equipoise {group} pull {name}\n"
    )
    removed = data(call(group, "remove", name, "--json"))
    assert removed["name"] == name
    assert removed["freed_bytes"] > 7
    assert not folder.exists()
    assert data(call(group, "remove", name, "--json"))["freed_bytes"] == 0
    assert data(call(group, "list", "--json"))[group][0]["present"] is False


def test_one_wrong_name_among_several_pulls_nothing(call, toy_artifacts):
    done = call("models", "pull", "toy-model", "toy-modle")
    assert done.code == 2
    assert "unknown model 'toy-modle': did you mean 'toy-model'" in done.err
    assert not (toy_artifacts / "models").exists()
