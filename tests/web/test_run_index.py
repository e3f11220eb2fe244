"""Looking runs up by name: what is found, what is refused, what a bad folder gives."""

import json

import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.core.runs import info_of
from equipoise.web.run_index import RunIndex, as_json, read_object, run_id


@pytest.mark.parametrize(
    ("room", "name"),
    [
        ("..", "x"),
        ("libra", ".."),
        ("libra", "."),
        ("", ""),
        ("libra", ""),
        ("libra/x", "y"),
        ("libra", "x/y"),
        ("libra", "..\\x"),
        ("libra", "x\0"),
        (".", "libra"),
    ],
)
def test_names_that_lead_elsewhere_are_no_runs(root, make_run, room, name):
    make_run()
    with pytest.raises(MissingData, match="There is no run"):
        RunIndex(root).folder(room, name)


def test_a_link_out_of_the_root_is_no_run(root, make_run, tmp_path):
    folder = make_run()
    outside = tmp_path / "outside"
    folder.rename(outside)
    folder.symlink_to(outside)
    with pytest.raises(MissingData):
        RunIndex(root).folder("libra", folder.name)


def test_named_is_the_inverse_of_run_id(root, make_run):
    folder = make_run("stream_aligner")
    assert run_id(folder) == f"stream_aligner/{folder.name}"
    assert RunIndex(root).named(run_id(folder)) == folder
    with pytest.raises(MissingData, match="There is no run nothing/"):
        RunIndex(root).named("nothing")


def test_latest_is_one_a_room_the_newest(root, make_run):
    make_run(started="2026-01-01")
    newest = make_run(started="2026-03-01")
    other = make_run("mpo", started="2026-02-01")
    latest = RunIndex(root).latest()
    assert {room: info.path for room, info in latest.items()} == {"libra": newest, "mpo": other}


def test_an_unknown_status_names_the_nearest(root):
    with pytest.raises(InvalidInput, match="did you mean 'interrupted'"):
        RunIndex(root).runs(status="interupted")


def test_bad_folders_are_broken_with_a_reason(root, bad_runs):
    for folder in bad_runs.values():
        info = info_of(folder)
        assert (info.status, info.room, info.path) == ("broken", folder.parent.name, folder)
        assert info.note
    assert {info.status for info in RunIndex(root).runs()} == {"broken"}
    assert len(RunIndex(root).runs(status="broken")) == len(bad_runs)


def test_as_json_is_plain(root, make_run):
    plain = as_json(info_of(make_run()))
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


@pytest.mark.parametrize("text", ["", "[1]", "{", "7", "[" * 100_000])
def test_what_is_no_object_reads_as_nothing(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    assert read_object(path) == {}
    assert read_object(tmp_path / "none.json") == {}
    path.write_text('{"a": 1}')
    assert read_object(path) == {"a": 1}
