"""Token, cookie, foreign hosts and origins, bodies past the limit."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from equipoise.serving.security import ForeignRequests

TOKEN = "correct horse"


def test_without_a_token_nothing_is_shown(client):
    served = client(token=TOKEN)
    page = served.get("/")
    assert page.status_code == 401
    assert "asks for a token" in page.text
    assert TOKEN not in page.text
    answer = served.get("/v1/fail/data")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthorized"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert served.get("/static/frame.css").status_code == 200
    assert served.get("/healthz").status_code == 200


def test_the_token_opens_once_and_becomes_a_cookie(client):
    served = client(token=TOKEN)
    first = served.get("/", params={"words": "kept", "token": TOKEN})
    assert first.status_code == 303
    assert first.headers["location"] == "/?words=kept"
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert TOKEN not in cookie
    assert served.get("/").status_code == 200


def test_the_cookie_of_another_token_is_refused(client):
    served = client(token=TOKEN)
    served.get("/", params={"token": TOKEN})
    other = client(token="another")
    other.cookies = served.cookies
    assert other.get("/").status_code == 401


def test_bearer_header_opens(client):
    served = client(token=TOKEN)
    assert served.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert served.get("/", headers={"authorization": f"Basic {TOKEN}"}).status_code == 401


@pytest.mark.parametrize("wrong", ["", "correct", "Correct horse", "é", "correct horse "])
def test_a_wrong_token_is_refused(client, wrong):
    answer = client(token=TOKEN).get("/", params={"token": wrong})
    assert answer.status_code == 401
    assert "That token is wrong." in answer.text
    assert "set-cookie" not in answer.headers


def test_the_token_does_not_send_people_to_other_sites(client):
    url = "http://testserver//elsewhere.example/x"
    answer = client(token=TOKEN).get(url, params={"token": TOKEN})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/elsewhere.example/x"


def test_open_paths_need_no_token(client):
    served = client(token=TOKEN, open_paths=["/narrow"])
    assert served.get("/narrow").status_code == 200
    assert served.get("/").status_code == 401


@pytest.mark.parametrize(
    "origin",
    ["http://elsewhere.example", "null", "http://testserver:81", "http://[broken", "", "//"],
)
def test_another_sites_page_is_refused(client, origin):
    answer = client().post("/v1/size", content=b"x", headers={"origin": origin})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"


def test_our_own_page_and_programs_are_not_refused(client):
    served = client()
    own = {"origin": "http://testserver"}
    assert served.post("/v1/size", content=b"x", headers=own).json() == {"size": 1}
    assert served.post("/v1/size", content=b"xy").json() == {"size": 2}


def test_a_form_of_another_site_without_origin_is_refused(client):
    answer = client().post("/v1/size", content=b"x", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


async def hello(request):
    return PlainTextResponse("hello")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8320", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8320", 200),
        ("elsewhere.example", 403),
        ("localhost.elsewhere.example", 403),
        ("127.0.0.1.elsewhere.example:80", 403),
        ("LOCALHOST", 200),
        ("[broken", 403),
        ("", 403),
    ],
)
def test_only_its_own_names_are_answered_on_loopback(host, status):
    app = ForeignRequests(Starlette(routes=[Route("/", hello)]), {"localhost", "127.0.0.1", "::1"})
    answer = TestClient(app).get("/", headers={"host": host})
    assert answer.status_code == status
    assert ("hello" in answer.text) is (status == 200)
    if status == 403:
        assert "content-security-policy" in answer.headers


def test_a_body_past_the_limit_is_refused_announced_or_not(client):
    served = client(body_limit=10)
    assert served.post("/v1/size", content=b"x" * 10).json() == {"size": 10}
    announced = served.post("/v1/size", content=b"x" * 11)
    assert announced.status_code == 413
    assert announced.json()["error"]["code"] == "too_large"

    def pieces():
        for _ in range(4):
            yield b"xxxx"

    assert served.post("/v1/size", content=pieces()).status_code == 413
    wrong = served.post("/v1/size", content=b"x", headers={"content-length": "-1"})
    assert wrong.status_code == 413


@pytest.mark.parametrize("length", ["many", "1e3", "²", ""])
def test_a_length_that_is_no_number_is_refused(client, length):
    headers = {b"content-length": length.encode("latin-1")}
    answer = client().post("/v1/size", content=b"x", headers=headers)
    assert answer.status_code == 413


def test_a_token_may_hold_any_letters(client):
    served = client(token="Ω-correct-horse")
    headers = {b"authorization": "bearer  Ω-correct-horse".encode()}
    assert served.get("/v1/fail/data", headers=headers).status_code == 404
    assert served.get("/v1/fail/data", params={"token": "Ω-correct-horse"}).status_code == 404
    assert served.get("/v1/fail/data", params={"token": "Ω"}).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["Bearer wrong", "Bearer", "", "Basic correct horse", "correct horse", "Bearer correct"],
)
def test_other_headers_open_nothing(client, header):
    served = client(token=TOKEN)
    assert served.get("/v1/fail/data", headers={"authorization": header}).status_code == 401


@pytest.mark.parametrize("path", ["/static/../", "/static/%2e%2e/v1/fail/data", "//static/x"])
def test_the_open_paths_open_nothing_else(client, path):
    assert client(token=TOKEN).get(path).status_code in (401, 404)
