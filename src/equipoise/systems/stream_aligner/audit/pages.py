"""The room's pages in the studio: live events of this process, else a file of reviewed answers."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from equipoise.core.errors import MissingData, unknown_name
from equipoise.systems.stream_aligner.audit.diff_page import (
    asset_routes,
    board_values,
    hub_events,
    pages,
    stream_to,
)
from equipoise.systems.stream_aligner.audit.events import live_hub
from equipoise.systems.stream_aligner.audit.followed_files import FollowedFile, reviewed_files

LIVE = "live"
_ADDRESS = "/stream-aligner/"
_FOLDER = "stream_aligner"  # of the room's runs
_LOOK_EVERY = 0.5  # seconds between two looks at a file
_MOST_AT_ONCE = 2000  # segments; the page keeps no more


def routes() -> list[BaseRoute]:
    """Return the routes, relative to `/stream-aligner`."""
    readers = _Readers()
    return [
        Route("/", _page),
        Route("/equipoise/events", readers.events),
        *asset_routes(),
    ]


def _root(request: Request) -> Path:
    return Path(request.app.state.runs_root)


def _sources(root: Path) -> dict[str, str]:
    """Return what can be shown: name in addresses -> words for people."""
    live = {LIVE: "live, this process"} if live_hub() is not None else {}
    return live | {name: name.removeprefix(f"{_FOLDER}/") for name in reviewed_files(root)}


def _page(request: Request) -> Response:
    """Show the source that was asked for; by default live events, else the newest file."""
    sources = _sources(_root(request))
    source = request.query_params.get("source", "")
    problem = ""
    if source and source not in sources:
        problem = str(unknown_name("source", source, sources))
    if source not in sources:
        source = next(iter(sources), "")
    return pages().response(
        request,
        "stream_aligner.html",
        status=404 if problem else 200,
        title="Stream Aligner",
        sources=list(sources.items()),
        source=source,
        problem=problem,
        **board_values(_ADDRESS),
    )


class _Readers:
    """Counts the event streams that are open."""

    def __init__(self) -> None:
        self.open = 0

    async def events(self, request: Request) -> Response:
        root = _root(request)
        source = request.query_params.get("source", LIVE)
        sources = await run_in_threadpool(_sources, root)
        if source not in sources:
            raise MissingData(str(unknown_name("source", source, sources)))
        hub = live_hub()
        found = hub_events(hub) if source == LIVE and hub else _file_events(root / source)
        return stream_to(request, self._counted(found), self.open)

    async def _counted(
        self, events: AsyncGenerator[tuple[str | None, Any], None]
    ) -> AsyncGenerator[tuple[str | None, Any], None]:
        self.open += 1
        try:
            async for event in events:
                yield event
        finally:
            self.open -= 1
            await events.aclose()


def _newest(followed: FollowedFile) -> Iterable[dict[str, Any]]:
    """Return the segments that came, of very many the last."""
    return deque(followed.read(), maxlen=_MOST_AT_ONCE)


async def _file_events(path: Path) -> AsyncGenerator[tuple[str | None, Any], None]:
    """Yield what a file holds and what it gains."""
    followed = FollowedFile(path)
    told = 0
    try:
        while True:
            for record in await run_in_threadpool(_newest, followed):
                yield "segment", record
            if followed.skipped > told:
                told = followed.skipped
                yield "skipped", {"count": told}
            await asyncio.sleep(_LOOK_EVERY)
    finally:
        followed.close()
