"""The record of a room, and how rooms are found: a package under `equipoise.systems`, no more."""

import sys
import textwrap

import pytest

import equipoise.systems
from equipoise.core import planned as planned_module
from equipoise.core.errors import InvalidInput
from equipoise.core.planned import planned
from equipoise.core.rooms import Room, find_room, load, rooms

RECORD = {
    "name": "toy_room",
    "title": "A toy",
    "paper": "On toys",
    "bibtex": "@misc{toy}",
    "presets": ["tiny"],
    "verbs": {"demo": "equipoise.systems.toy_room.commands:demo"},
    "config": "equipoise.systems.toy_room.config:ToyConfig",
}


@pytest.fixture
def toy_room(tmp_path, monkeypatch):
    """A room that lies elsewhere and is found because `equipoise.systems` looks there too."""
    package = tmp_path / "toy_room"
    package.mkdir()
    (package / "__init__.py").write_text(
        f"from equipoise.core.rooms import Room\nROOM = Room(**{RECORD!r})\n"
    )
    (package / "commands.py").write_text(
        textwrap.dedent(
            '''
            def demo():
                """Play."""
                return {"played": True}
            '''
        )
    )
    (tmp_path / "no_room").mkdir()
    (tmp_path / "no_room" / "__init__.py").write_text("ROOM = 3\n")
    (tmp_path / "plain.py").write_text("ROOM = 3\n")
    monkeypatch.setattr(equipoise.systems, "__path__", [*equipoise.systems.__path__, str(tmp_path)])
    rooms.cache_clear()
    planned.cache_clear()
    yield package
    rooms.cache_clear()
    planned.cache_clear()
    for name in [n for n in sys.modules if n.startswith("equipoise.systems.toy_room")]:
        del sys.modules[name]
    sys.modules.pop("equipoise.systems.no_room", None)


def test_record_is_read_only_and_plain():
    room = Room(**RECORD)
    assert room.presets == ("tiny",)
    assert room.slug == "toy-room"
    assert (room.pages, room.note) == (None, "")
    with pytest.raises(AttributeError):
        room.name = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        room.verbs["x"] = "y"  # type: ignore[index]


@pytest.mark.parametrize("name", ["toy-room", "3d", "", "a b"])
def test_a_room_is_named_like_a_package(name):
    with pytest.raises(InvalidInput, match="must be a package name: letters, digits, underscores"):
        Room(**(RECORD | {"name": name}))


def test_a_room_is_found_by_its_record_alone(toy_room):
    assert "toy_room" in rooms()
    assert "no_room" not in rooms()
    assert list(rooms()) == sorted(rooms())
    for name in ("toy_room", "toy-room"):
        assert find_room(name).title == "A toy"
    assert "equipoise.systems.toy_room.commands" not in sys.modules, "verbs come when called"
    assert find_room("toy-room").verb("demo")() == {"played": True}
    with pytest.raises(InvalidInput, match="unknown verb of toy-room 'dmo': did you mean 'demo'"):
        find_room("toy-room").verb("dmo")
    with pytest.raises(InvalidInput, match="unknown room 'toyroom': did you mean 'toy-room'"):
        find_room("toyroom")


def test_without_it_the_room_is_gone():
    assert "toy_room" not in rooms()


def test_load():
    from pathlib import Path

    assert load("pathlib:Path") is Path


def test_planned_rooms_are_the_specified_ones_not_built(toy_room, monkeypatch):
    ten = {
        "stream_aligner", "libra", "align_anything", "mpo", "h_psro", "cgpo", "rat", "rflaf",
        "objdex", "attention_field",
    }  # fmt: skip
    monkeypatch.setattr(planned_module, "rooms", dict)
    everything = planned()
    assert set(everything) <= ten
    assert all(r.title and r.paper and r.bibtex.strip() for r in everything.values())
    assert not any(r.verbs for r in everything.values())
    planned.cache_clear()
    monkeypatch.setattr(planned_module, "rooms", lambda: {"mpo": everything.get("mpo")})
    assert set(planned()) == set(everything) - {"mpo"}
