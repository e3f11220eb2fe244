"""Files of runs: only with the proof, only inside the folder, unable to act on the studio."""

import re
from urllib.parse import quote

import pytest

from equipoise.core.errors import MissingData
from equipoise.report.page import script_hash
from equipoise.web.run_files import RunFiles
from equipoise.web.run_index import RunIndex


@pytest.fixture
def opened(studio, tour):
    """The base address of the tour's files, with its proof."""
    target = studio.get(f"/runs/tour/{tour.name}/report.html").headers["location"]
    assert re.fullmatch(rf"/files/[0-9a-f]{{32}}/tour/{tour.name}/report.html", target)
    return target.removesuffix("report.html")


def rules(answer):
    """Return a policy's directives by name."""
    parts = answer.headers["content-security-policy"].split(";")
    return {name: values for name, *values in (part.split() for part in parts)}


def test_a_report_is_served_in_a_sandbox(studio, opened):
    answer = studio.get(opened + "report.html")
    assert answer.status_code == 200
    assert "allow-same-origin" not in rules(answer)["sandbox"]
    assert "allow-forms" not in rules(answer)["sandbox"]
    assert not [word for word in rules(answer)["sandbox"] if word.startswith("allow-top")]
    assert rules(answer)["script-src"] == [script_hash()]
    assert rules(answer)["default-src"] == ["'none'"]
    assert rules(answer)["frame-ancestors"] == ["'self'"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "<script>alert" not in answer.text


def test_reports_inside_a_tour_open_by_their_relative_address(studio, opened):
    assert 'href="rooms/libra/report.html"' in studio.get(opened + "report.html").text
    inner = studio.get(opened + "rooms/libra/report.html")
    assert "the room&#x27;s own" in inner.text or "the room's own" in inner.text
    assert "sandbox" in rules(inner)


@pytest.mark.parametrize(
    ("name", "kind", "where"),
    [
        ("a.html", "text/html", "inline"),
        ("a.svg", "image/svg+xml", "inline"),
        ("a.png", "image/png", "inline"),
        ("a.mp4", "video/mp4", "inline"),
        ("a.jsonl", "text/plain", "inline"),
        ("a.csv", "text/plain", "inline"),
        ("a.js", "", "attachment"),
        ("a.xhtml", "", "attachment"),
        ("a.xml", "", "attachment"),
        ("a.db", "application/octet-stream", "attachment"),
        ("no suffix", "application/octet-stream", "attachment"),
    ],
)
def test_files_are_shown_or_handed_over_but_never_free(studio, opened, tour, name, kind, where):
    (tour / "media").mkdir(exist_ok=True)
    (tour / "media" / name).write_text("<script>alert(1)</script>")
    answer = studio.get(f"{opened}media/{quote(name)}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.headers["content-disposition"].startswith(where)
    assert "sandbox" in rules(answer)
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


def test_a_clip_can_be_wound(studio, opened, tour):
    (tour / "clip.mp4").write_bytes(bytes(range(100)))
    part = studio.get(opened + "clip.mp4", headers={"range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.content == bytes(range(10, 20))


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "..%2Fsecret.txt",
        "%2e%2e/secret.txt",
        "rooms/..%2F..%2Fsecret.txt",
        "%2Fetc%2Fhostname",
        "/etc/hostname",
        ".hidden",
        "rooms/.hidden/x",
        "link.txt",
        "linked/secret.txt",
        "x%00.txt",
        "..%5Csecret.txt",
        "rooms",
        "",
        "a" * 5000,
    ],
)
def test_nothing_outside_the_run_folder_is_served(studio, opened, tour, path):
    secret = tour.parent / "secret.txt"
    secret.write_text("top secret")
    (tour / ".hidden").write_text("top secret")
    (tour / "link.txt").symlink_to(secret)
    (tour / "linked").symlink_to(tour.parent)
    answer = studio.get(opened + path, follow_redirects=True)
    assert answer.status_code == 404
    assert "top secret" not in answer.text


def test_without_the_right_proof_there_is_nothing(studio, opened, tour, make_run):
    other = make_run()
    proof = opened.split("/")[2]
    for wrong in ("0" * 32, "", "é", proof[:-1]):
        assert studio.get(f"/files/{quote(wrong)}/tour/{tour.name}/report.html").status_code == 404
    assert studio.get(f"/files/{proof}/libra/{other.name}/report.html").status_code == 404


def test_two_studios_have_different_proofs(root, make_run):
    folder = make_run()
    index = RunIndex(root)
    one, other = RunFiles(index), RunFiles(index)
    assert one.address(folder) != other.address(folder)
    assert one.secret not in repr(one).encode()
    proof = one.address(folder).split("/")[2]
    with pytest.raises(MissingData, match="no longer good"):
        other.response(proof, folder.parent.name, folder.name, "report.html")


def test_a_finished_run_keeps_its_report_a_running_one_does_not(studio, make_run):
    done, running = make_run(), make_run(status="interrupted")
    for folder, kept in ((done, True), (running, False)):
        address = f"/runs/libra/{folder.name}/report.html"
        answer = studio.get(address, follow_redirects=True)
        assert answer.status_code == 200
        assert "accuracy" in answer.text
        assert (folder / "report.html").exists() is kept


def test_a_report_that_cannot_be_written_is_shown(studio, make_run, monkeypatch):
    def full(folder):
        raise OSError(28, "no space left")

    folder = make_run()
    monkeypatch.setattr("equipoise.web.run_files.render_run", full)
    answer = studio.get(f"/runs/libra/{folder.name}/report.html", follow_redirects=True)
    assert answer.status_code == 200
    assert not (folder / "report.html").exists()
