"""The studio's pages and JSON: what they show, of good runs and of bad ones."""

import json
import re
import subprocess
import sys
from html import unescape
from types import ModuleType

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import equipoise.web.app as web_app
from equipoise.core.errors import InvalidInput
from equipoise.core.planned import planned
from equipoise.core.rooms import Room, rooms
from equipoise.serving import POLICY
from equipoise.web import create_app

EVIL = "<script>alert(1)</script>"


def edit(folder, changes):
    """Change fields of a run's record."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def words(answer):
    """Return a page's text without tags."""
    return unescape(re.sub(r"<[^>]+>", " ", answer.text))


def name_of(folder):
    return f"{folder.parent.name}/{folder.name}"


def pick(*folders):
    return [("run", name_of(folder)) for folder in folders]


def test_start_page_shows_every_room_and_its_latest_run(studio, make_run):
    make_run(started="2026-01-01T00:00:00+00:00", verb="evaluate")
    newest = make_run(started="2027-01-01T00:00:00+00:00")
    page = studio.get("/")
    assert page.status_code == 200
    for room in [*rooms().values(), *planned().values()]:
        assert room.title in words(page)
        assert room.paper in words(page)
        assert f'id="room-{room.slug}"' in page.text
        assert all(f"<code>{verb}</code>" in page.text for verb in room.verbs)
    assert page.text.count('class="badge planned"') == len(planned())
    assert f'href="/runs/{name_of(newest)}"' in page.text
    assert "evaluate</a>" not in page.text


def test_start_page_without_runs_says_what_to_type(studio, root):
    root.rmdir()
    page = studio.get("/")
    assert page.status_code == 200
    assert "equipoise libra demo" in words(page)
    assert studio.get("/v1/runs").json() == {"runs": []}
    assert "equipoise tour" in words(studio.get("/runs"))


def test_runs_are_listed_newest_first_and_appear_by_themselves(studio, make_run):
    first = make_run(started="2026-01-01T00:00:00+00:00")
    assert name_of(first) in studio.get("/runs").text
    second = make_run(verb="evaluate", seed=7, started="2026-02-01T00:00:00+00:00")
    page = studio.get("/runs").text
    assert page.index(name_of(second)) < page.index(name_of(first))
    assert 'hx-trigger="every 2s"' in page
    assert "2026-02-01 00:00" in page


def test_runs_are_filtered_by_room_and_status(studio, make_run):
    libra = make_run()
    aligner = make_run("stream_aligner", status="failed")
    for room in ("stream_aligner", "stream-aligner"):
        page = studio.get("/runs", params={"room": room}).text
        assert f'id="run-{name_of(aligner)}"' in page
        assert f'id="run-{name_of(libra)}"' not in page
    assert '<option value="stream_aligner" selected>stream-aligner' in page
    page = studio.get("/runs", params={"status": "done", "room": ""}).text
    assert f'id="run-{name_of(libra)}"' in page
    assert f'id="run-{name_of(aligner)}"' not in page
    wrong = studio.get("/runs", params={"status": "don"})
    assert wrong.status_code == 422
    assert "did you mean 'done'" in words(wrong)


def test_a_run_shows_its_report_in_a_frame_of_its_own(studio, make_run):
    folder = make_run()
    page = studio.get(f"/runs/{name_of(folder)}")
    assert page.headers["content-security-policy"] == f"{POLICY}; frame-src 'self'"
    frame = re.search(r"<iframe [^>]*>", page.text)
    assert frame is not None
    assert 'sandbox="allow-scripts allow-popups' in frame[0]
    assert "allow-same-origin" not in frame[0]
    address = re.search(r'src="([^"]+)"', frame[0])
    assert address is not None
    assert studio.get(address[1]).status_code == 200
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("path", ["/", "/runs", "/compare", "/nothing", "/runs/a/b", "/v1/runs"])
def test_every_page_has_the_policy(studio, path):
    assert studio.get(path).headers["content-security-policy"] == POLICY


def test_an_unknown_run_is_not_found_in_both_forms(studio, make_run):
    folder = make_run()
    close = f"{name_of(folder)}x"
    page = studio.get(f"/runs/{close}")
    assert page.status_code == 404
    assert f"There is no run {close}. Did you mean {name_of(folder)}?" in words(page)
    answer = studio.get("/v1/runs/qq/zzzz")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert "There is no run qq/zzzz." in answer.json()["error"]["message"]


def test_what_runs_hold_is_escaped_everywhere(studio, make_run):
    evil = {"verb": EVIL, "preset": EVIL, "note": EVIL, "started": EVIL, "seed": EVIL}
    one = make_run(config={EVIL: EVIL}, measured={EVIL: EVIL})
    other = make_run(config={EVIL: "b"}, measured={EVIL: "b"})
    edit(one, evil)
    edit(other, {"room": EVIL})
    pages = [
        studio.get("/"),
        studio.get("/runs"),
        studio.get("/runs", params={"room": EVIL}),
        studio.get(f"/runs/{name_of(one)}"),
        studio.get("/compare", params=pick(one, other)),
        studio.get("/compare", params={"run": EVIL}),
        studio.get(f"/runs/{EVIL}/x"),
    ]
    for page in pages:
        assert "<script>" not in page.text
        assert page.status_code in (200, 404)
    assert EVIL in words(pages[1])
    assert studio.get("/v1/runs").headers["content-type"] == "application/json"


def test_bad_runs_are_shown_as_broken_and_harm_no_page(studio, bad_runs, make_run):
    good = make_run()
    listed = studio.get("/runs")
    assert listed.status_code == 200
    assert name_of(good) in listed.text
    assert listed.text.count('class="badge broken"') == len(bad_runs)
    assert "newer equipoise" in words(listed)
    found = {run["id"]: run for run in studio.get("/v1/runs").json()["runs"]}
    for folder in bad_runs.values():
        assert found[name_of(folder)]["status"] == "broken"
        assert found[name_of(folder)]["note"]
        assert studio.get(f"/runs/{name_of(folder)}").status_code == 200
        assert studio.get(f"/v1/runs/{name_of(folder)}").status_code == 200
        report = studio.get(f"/runs/{name_of(folder)}/report.html", follow_redirects=True)
        assert report.status_code == 200
        assert not (folder / "report.html").exists()
    compared = studio.get("/compare", params=pick(good, bad_runs["newer"]))
    assert compared.status_code == 422
    assert "cannot be compared" in words(compared)
    assert "newer equipoise" in words(compared)
    assert studio.get("/").status_code == 200


def test_two_runs_are_compared(studio, make_run):
    first = make_run(config={"steps": 3})
    second = make_run(config={"steps": 9}, seed=1)
    page = studio.get("/compare", params=pick(first, second))
    assert page.status_code == 200
    text = " ".join(words(page).split())
    assert "Settings that differ" in text
    assert "steps 3 9" in text
    assert "inner.rate" not in text
    assert "accuracy 0.500 1.50 1.00" in text
    addresses = [unescape(found) for found in re.findall(r'<img src="([^"]+)"', page.text)]
    assert len(addresses) == 2
    for address in addresses:
        plot = studio.get(address)
        assert plot.headers["content-type"].startswith("image/svg+xml")
        assert plot.text.startswith("<svg")
        assert "sandbox" in plot.headers["content-security-policy"]
        assert "first" in plot.text
        assert "second" in plot.text


def test_comparing_other_than_two_asks_for_two(studio, make_run):
    one, two, three = make_run(), make_run(), make_run()
    assert "choose a run" in words(studio.get("/compare"))
    single = studio.get("/compare", params=pick(one)).text
    assert f'<option value="{name_of(one)}" selected>' in single
    many = studio.get("/compare", params=pick(one, two, three))
    assert "3 runs were picked; choose two of them." in words(many)
    missing = studio.get("/compare", params=[*pick(one), ("run", "libra/none")])
    assert missing.status_code == 404
    assert studio.get("/compare/curve.svg").status_code == 404
    unknown = studio.get("/compare/curve.svg", params=[*pick(one, two), ("name", "zz")])
    assert unknown.status_code == 404


def test_json_of_rooms_and_runs(studio, make_run):
    folder = make_run(seed=3)
    found = {room["name"]: room for room in studio.get("/v1/rooms").json()["rooms"]}
    assert set(found) == {*rooms(), *planned()}
    assert found["libra"]["state"] == "built"
    assert found["libra"]["latest"]["id"] == name_of(folder)
    assert {room["state"] for room in found.values()} == {"built", "planned"}
    assert found["mpo"]["verbs"] == []
    run = studio.get("/v1/runs").json()["runs"][0]
    wanted = {"path", "room", "verb", "preset", "seed", "status", "seconds"}
    assert wanted <= set(run)
    assert (run["room"], run["seed"], run["status"]) == ("libra", 3, "done")
    whole = studio.get(f"/v1/runs/{name_of(folder)}").json()
    assert whole["config"]["steps"] == 3
    assert whole["results"]["measured"]["accuracy"] == 3.5
    assert studio.get("/v1/runs", params={"status": "failed"}).json() == {"runs": []}
    assert studio.get("/v1/runs", params={"status": "x"}).json()["error"]["code"] == "invalid_input"


def test_a_half_written_run_is_shown(studio, make_run):
    folder = make_run()
    (folder / "results.json").write_text("{half")
    (folder / "config.json").unlink()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    report = studio.get(f"/runs/{name_of(folder)}/report.html", follow_redirects=True)
    assert "results.json cannot be read" in words(report)
    assert studio.get(f"/v1/runs/{name_of(folder)}").json()["results"] == {}
    assert studio.get("/compare", params=pick(folder, folder)).status_code == 422
    (folder / "results.json").write_text("{}")
    assert "a file is broken" not in words(studio.get("/runs"))
    assert studio.get("/compare", params=pick(folder, folder)).status_code == 422


def test_a_room_with_pages_is_mounted(monkeypatch, root):
    module = ModuleType("toy_pages")

    async def start(request):
        return PlainTextResponse(str(request.app.state.runs_root))

    vars(module)["routes"] = lambda: [Route("/", start), Route("/v1/x", start)]
    monkeypatch.setitem(sys.modules, "toy_pages", module)
    toy = Room("toy_room", "A toy", "On toys", "", (), {}, "", "toy_pages:routes")
    monkeypatch.setattr(web_app, "rooms", lambda: {"toy_room": toy})
    served = TestClient(create_app(root))
    assert served.get("/toy-room/").text == str(root)
    assert served.get("/toy-room/v1/x").status_code == 200
    assert served.get("/libra/").status_code == 404


def test_the_token_guards_pages_and_json_and_the_report_opens_with_its_proof(root, make_run):
    folder = make_run()
    served = TestClient(create_app(root, token="secret"), follow_redirects=False)
    for path in ("/", "/runs", "/compare", f"/runs/{name_of(folder)}", "/v1/runs"):
        assert served.get(path).status_code == 401
    bearer = {"authorization": "Bearer secret"}
    page = served.get(f"/runs/{name_of(folder)}", headers=bearer)
    address = re.search(r'src="(/files/[^"]+)"', page.text)
    assert address is not None
    assert served.get(address[1]).status_code == 200
    assert served.get(f"/runs/{name_of(folder)}/report.html").status_code == 401


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match="is a file; name the folder of the runs"):
        create_app(tmp_path / "file")


@pytest.mark.parametrize("package", ["equipoise.web", "equipoise.serving", "equipoise.web.app"])
def test_importing_loads_no_web_framework(package):
    code = f"import {package}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"starlette", "fastapi", "jinja2", "uvicorn", "torch"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("host", "environment", "token", "path"),
    [
        ("127.0.0.1", "chosen", None, "/"),
        ("localhost", "", None, "/"),
        ("0.0.0.0", "chosen", "chosen", "/"),
        ("0.0.0.0", "", "made", "/?token=made"),
    ],
)
def test_a_token_is_asked_for_elsewhere_than_on_loopback(
    monkeypatch, root, host, environment, token, path
):
    seen = {}
    monkeypatch.setenv("STUDIO_TOKEN", environment)
    monkeypatch.setattr(web_app.secrets, "token_urlsafe", lambda size: "made")
    monkeypatch.setattr(web_app, "create_app", lambda root, token: seen.update(token=token))
    monkeypatch.setattr(
        "equipoise.serving.serve", lambda app, host, port, **rest: seen.update(rest)
    )
    web_app.serve_studio(host=host, port=0, runs_root=root, token_env="STUDIO_TOKEN")
    assert seen == {"token": token, "path": path, "on_ready": None}


def test_a_run_with_half_a_surrogate_pair_harms_no_page(studio, make_run):
    words = "half \ud800"
    one, two = make_run(), make_run()
    edit(one, {"note": words})
    (one / "config.json").write_text(json.dumps({"w": words}))
    (one / "results.json").write_text(json.dumps({"measured": {"w": words}}))
    for path in ("/", "/runs", "/v1/runs", "/v1/rooms", f"/v1/runs/{name_of(one)}"):
        assert studio.get(path).status_code == 200, path
    assert studio.get("/compare", params=pick(one, two)).status_code == 200
    report = studio.get(f"/runs/{name_of(one)}/report.html", follow_redirects=True)
    assert "half ?" in report.text
