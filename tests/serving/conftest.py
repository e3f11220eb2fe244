"""A small application with what every server here has around it."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from equipoise.core.errors import InvalidInput, MissingData, MissingExtra, RunFailed
from equipoise.serving import Pages, build_app

ERRORS = {
    "data": MissingData("no model; run: equipoise models pull x"),
    "input": InvalidInput("steps is <b>-1</b>; it must be positive"),
    "extra": MissingExtra("run: pip install 'equipoise[web]'"),
    "failed": RunFailed("the loop diverged"),
    "bug": KeyError("a secret detail"),
}


async def page(request: Request) -> Response:
    words = request.query_params.get("words", "")
    return Pages("equipoise.serving").response(request, "error.html", title="A", message=words)


async def fail(request: Request) -> Response:
    raise ERRORS[request.path_params["kind"]]


async def size(request: Request) -> Response:
    return JSONResponse({"size": len(await request.body())})


async def plain(request: Request) -> Response:
    return PlainTextResponse("x", headers={"content-security-policy": "sandbox"})


@pytest.fixture
def client() -> Callable[..., TestClient]:
    """Return a function that builds the application and a client of it."""

    def make(base_url: str = "http://testserver", **options: Any) -> TestClient:
        routes = [
            Route("/", page),
            Route("/fail/{kind}", fail),
            Route("/v1/fail/{kind}", fail),
            Route("/v1/size", size, methods=["POST"]),
            Route("/narrow", plain),
        ]
        app = build_app(routes, nav=(("Home", "/"),), **options)
        return TestClient(
            app, base_url=base_url, raise_server_exceptions=False, follow_redirects=False
        )

    return make
