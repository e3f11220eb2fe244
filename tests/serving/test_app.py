"""Frame, headers, static files, errors in both forms, rooms mounted by their record."""

import json
import sys
from types import ModuleType

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from equipoise.core.rooms import Room
from equipoise.serving import POLICY, Pages, StrictJSON, build_app, room_mount


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere():
    assert POLICY == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/v1/nothing", "/fail/bug", "/fail/data", "/static/frame.css"]
)
def test_every_answer_carries_the_policy(client, path):
    headers = client().get(path).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_handler_may_set_a_narrower_policy(client):
    assert client().get("/narrow").headers["content-security-policy"] == "sandbox"


def test_the_frame_holds_no_inline_script_or_style(client):
    text = client().get("/").text
    assert "<style" not in text
    assert " style=" not in text
    assert "<script>" not in text
    assert " onclick" not in text
    assert '<a href="/" aria-current="page">Home</a>' in text
    assert 'name="viewport"' in text


def test_what_a_page_shows_is_escaped(client):
    text = client().get("/", params={"words": "<script>alert(1)</script>"}).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_static_files_are_there_and_asked_about_again(client):
    served = client()
    for name in ("htmx.min.js", "frame.css"):
        answer = served.get(f"/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache"
        again = served.get(f"/static/{name}", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
    assert served.get("/static/../app.py").status_code == 404
    assert served.get("/static/%2e%2e/app.py").status_code == 404


def test_pages_are_not_kept_by_caches(client):
    assert client().get("/").headers["cache-control"] == "no-store"


def test_health(client):
    assert client().get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("data", 404, "not_found"),
        ("input", 422, "invalid_input"),
        ("extra", 503, "missing_extra"),
        ("failed", 500, "failed"),
        ("bug", 500, "internal_error"),
    ],
)
def test_errors_in_both_forms(client, kind, status, code):
    served = client()
    answer = served.get(f"/v1/fail/{kind}")
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "message"}
    assert answer.json()["error"]["code"] == code
    page = served.get(f"/fail/{kind}")
    assert page.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    assert "a secret detail" not in page.text + answer.text
    assert "<b>-1" not in page.text


def test_unknown_address_and_wrong_method(client):
    served = client()
    assert served.get("/v1/x").json()["error"] == {
        "code": "not_found",
        "message": "There is nothing at /v1/x.",
    }
    assert "There is nothing at /x." in served.get("/x").text
    wrong = served.post("/v1/fail/data")
    assert wrong.status_code == 405
    assert wrong.json()["error"]["code"] == "method_not_allowed"
    assert "GET" in wrong.headers["allow"]


def test_a_client_that_takes_json_alone_gets_json(client):
    answer = client().get("/x", headers={"accept": "application/json"})
    assert answer.json()["error"]["code"] == "not_found"


def room(pages: str | None) -> Room:
    return Room("toy_room", "A toy", "On toys", "", (), {}, "", pages)


def mounted(pages: str) -> TestClient:
    app: Starlette = build_app([room_mount(room(pages))], runs_root="there")
    return TestClient(app)


def test_a_room_is_mounted_by_its_record_alone(monkeypatch):
    module = ModuleType("toy_pages")

    async def start(request):
        return PlainTextResponse(f"start {request.app.state.runs_root}")

    async def things(request):
        return JSONResponse({"things": []})

    vars(module)["routes"] = lambda: [Route("/", start), Route("/v1/things", things)]
    monkeypatch.setitem(sys.modules, "toy_pages", module)
    served = mounted("toy_pages:routes")
    assert served.get("/toy-room/").text == "start there"
    assert served.get("/toy-room").text == "start there"
    assert served.get("/toy-room/v1/things").json() == {"things": []}
    assert served.get("/toy-room/v1/x").json()["error"]["code"] == "not_found"
    assert served.get("/toy-room/").headers["content-security-policy"] == POLICY


def test_a_room_whose_pages_are_broken_says_so_and_harms_no_other(monkeypatch):
    served = mounted("no_such_module_here:routes")
    answer = served.get("/toy-room/v1/things")
    assert answer.status_code == 503
    assert "no_such_module_here" in answer.json()["error"]["message"]
    assert served.get("/toy-room/").status_code == 503
    assert served.get("/healthz").status_code == 200


def test_a_room_without_pages_answers_not_found():
    app = build_app([room_mount(room(None))])
    assert TestClient(app).get("/toy-room/").status_code == 404


def test_json_is_ascii_without_nan_and_pages_take_half_a_surrogate_pair():
    value = {"a": float("nan"), "b": "half \ud800", "c": "é"}

    async def as_json(request):
        return StrictJSON(value)

    async def as_page(request):
        return Pages("equipoise.serving").response(
            request, "error.html", title="T", message=value["b"]
        )

    served = TestClient(build_app([Route("/v1/x", as_json), Route("/", as_page)]))
    answer = served.get("/v1/x")
    assert answer.content.isascii()
    assert json.loads(answer.content) == {"a": "NaN", "b": "half \ud800", "c": "é"}
    assert "half ?" in served.get("/").text
