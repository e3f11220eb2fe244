"""One ASGI application from routes: frame, static files, errors, security."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from equipoise.core.rooms import Room, load
from equipoise.serving.errors import HANDLERS, error_response
from equipoise.serving.pages import StrictJSON
from equipoise.serving.security import BodyLimit, ForeignRequests, SecurityHeaders, TokenGate

BODY_LIMIT = 2 * 2**20
Handler = TypeVar("Handler", bound=Callable[..., Any])


def build_app(
    routes: Iterable[BaseRoute],
    *,
    site: str = "Equipoise",
    nav: Sequence[tuple[str, str]] = (),
    token: str | None = None,
    open_paths: Iterable[str] = (),
    body_limit: int = BODY_LIMIT,
    **state: Any,
) -> Starlette:
    """Return an application with what every server here has around `routes`.

    `/static/` holds the frame's files, `/healthz` says that the process lives.

    Args:
        routes: the server's own.
        site: name in the frame.
        nav: `(label, address)` of the frame's links.
        token: asked for where given.
        open_paths: beginnings of addresses that need no token.
        body_limit: largest request body in bytes; a handler with `takes_bodies` has its own.
        **state: put on `app.state`, where request handlers find it.
    """
    routes = list(routes)
    guards = [
        Middleware(SecurityHeaders),
        Middleware(ForeignRequests),
        *([Middleware(TokenGate, token=token, open_paths=tuple(open_paths))] if token else []),
        Middleware(BodyLimit, limit=body_limit, own=dict(_own_limits(routes))),
    ]
    shared = [
        Mount("/static", StaticFiles(packages=[("equipoise.serving", "static")]), name="static"),
        Route("/healthz", _health),
    ]
    app = Starlette(routes=[*shared, *routes], middleware=guards, exception_handlers=HANDLERS)
    app.state.site, app.state.nav = site, tuple(nav)
    for name, value in state.items():
        setattr(app.state, name, value)
    return app


def takes_bodies(limit: int) -> Callable[[Handler], Handler]:
    """Let a route's handler take request bodies of up to `limit` bytes.

    The route's path must hold no parameter: bodies are refused before a route is looked for.
    """

    def mark(handler: Handler) -> Handler:
        handler.body_limit = limit  # type: ignore[attr-defined]
        return handler

    return mark


def _own_limits(routes: Iterable[BaseRoute], before: str = "") -> Iterator[tuple[str, int]]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _own_limits(route.routes, before + route.path)
        elif isinstance(route, Route) and hasattr(route.endpoint, "body_limit"):
            yield before + route.path, int(getattr(route.endpoint, "body_limit"))  # noqa: B009


async def _health(request: Request) -> Response:
    return StrictJSON({"status": "ok"})


def room_mount(room: Room) -> Mount:
    """Return a room's pages and JSON at `/<room-with-dashes>/`, alone and in the studio alike.

    Its `pages` is called without arguments and returns routes relative to that address: `/`,
    `/arena`, `/v1/battles`; a handler finds the folder of the runs as
    `request.app.state.runs_root`. A room whose pages cannot be loaded answers with the reason.
    """
    try:
        routes = list(load(room.pages)()) if room.pages else []
    except Exception as error:  # noqa: BLE001  one room's fault must not take the others down
        routes = [Route("/{path:path}", _broken(room, error))]
    return Mount(f"/{room.slug}", routes=routes, name=room.slug)


def _broken(room: Room, error: Exception) -> Any:
    reason = f"The pages of {room.slug} could not be loaded: {type(error).__name__}: {error}"

    async def answer(request: Request) -> Response:
        return error_response(request, 503, reason)

    return answer
