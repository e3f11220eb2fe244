"""The live page `/diff` and its events: what was proposed, what was shown, why, how fast."""

from collections.abc import AsyncGenerator
from functools import cache
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from equipoise.serving import Pages, event_stream
from equipoise.serving.policy import HEADERS
from equipoise.systems.stream_aligner.audit.events import SEGMENT_VERDICTS, EventHub, Missed

MOST_READERS = 32
"""Event streams that one process keeps open; a page more is told to come back."""

_ASSETS = {
    "diff.js": ("equipoise.systems.stream_aligner", "text/javascript"),
    "diff.css": ("equipoise.systems.stream_aligner", "text/css"),
    "frame.css": ("equipoise.serving", "text/css"),
}


def routes(hub: EventHub) -> list[BaseRoute]:
    """Return the routes of a server that publishes to `hub`.

    `GET /diff` is the page and `GET /equipoise/events` its events: first those that the hub still
    has, then each as it comes. An event is called `segment` and holds an audit line; `missed` with
    `{"count"}` stands where the reader was too slow. The page asks for nothing from elsewhere.
    """

    async def page(request: Request) -> Response:
        return guarded(pages().response(request, "diff.html", title="Live diff", **board_values()))

    async def events(request: Request) -> Response:
        return stream_to(request, hub_events(hub), hub.subscribers)

    return [Route("/diff", page), Route("/equipoise/events", events), *asset_routes()]


def asset_routes() -> list[BaseRoute]:
    """Return the routes of the page's style and script, beside its events."""
    return [Route(f"/equipoise/{name}", _asset) for name in _ASSETS]


def board_values(base: str = "") -> dict[str, Any]:
    """Return what the templates need; `base` is the address that the page's own start from."""
    return {"base": base, "verdicts": SEGMENT_VERDICTS}


@cache
def pages() -> Pages:
    """Return the room's templates."""
    return Pages("equipoise.systems.stream_aligner")


def guarded(response: Response) -> Response:
    """Return a response under the page policy also where the server around it sets none."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def stream_to(
    request: Request, events: AsyncGenerator[tuple[str | None, Any], None], readers: int
) -> Response:
    """Return the response that sends events, or a refusal where too many read already."""
    if readers >= MOST_READERS:
        message = f"{MOST_READERS} pages follow already; close one of them"
        error = {"code": "unavailable", "message": message}
        return JSONResponse({"error": error}, 503, headers={"retry-after": "5"})
    return guarded(event_stream(request, events))


async def hub_events(hub: EventHub) -> AsyncGenerator[tuple[str | None, Any], None]:
    """Yield a hub's events in the form of `event_stream`."""
    subscription = hub.subscribe()
    try:
        async for event in subscription:
            if isinstance(event, Missed):
                yield "missed", {"count": event.count}
            else:
                yield "segment", event.record()
    finally:
        await subscription.aclose()


async def _asset(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    package, kind = _ASSETS[name]
    text = files(package).joinpath("static", name).read_bytes()
    return guarded(Response(text, media_type=kind, headers={"cache-control": "no-cache"}))
