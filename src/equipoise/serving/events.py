"""Server-sent events: a stream that stays open, shows that it lives, and ends with the server."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

_LOOK_EVERY = 0.25


def format_event(data: Any, event: str | None = None, id: str | None = None) -> str:
    """Return one event in wire form.

    Args:
        data: a text, sent as it is, or any other value, sent as JSON.
        event: its name; line breaks are refused by cutting there.
        id: its number, which a client that comes back sends as `Last-Event-ID`.

    >>> format_event({"column": "a"}, "delta")
    'event: delta\\ndata: {"column": "a"}\\n\\n'
    """
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    lines = [
        f"{name}: {_one_line(value)}" for name, value in (("id", id), ("event", event)) if value
    ]
    # the standard ends a line at any of these three
    parts = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(lines + [f"data: {part}" for part in parts]) + "\n\n"


def _one_line(text: str) -> str:
    return text.replace("\r", "\n").split("\n")[0].replace("\0", "")


def event_stream(
    request: Request, events: AsyncIterator[tuple[str | None, Any]], *, heartbeat: float = 15.0
) -> StreamingResponse:
    """Return a response that sends `(event, data)` pairs as they come.

    A comment goes out after `heartbeat` seconds of silence, so that proxies keep the connection.
    When the server is stopping the stream ends; when the client leaves, `events` is closed.
    """
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    body = _body(request, events, heartbeat)
    return StreamingResponse(body, media_type="text/event-stream", headers=headers)


async def _body(
    request: Request, events: AsyncIterator[tuple[str | None, Any]], heartbeat: float
) -> AsyncGenerator[str, None]:
    is_stopping = getattr(request.app.state, "is_stopping", lambda: False)
    silence = 0.0
    waiting: asyncio.Future[tuple[str | None, Any]] | None = None
    yield ": open\n\n"
    try:
        while not is_stopping():
            waiting = waiting or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([waiting], timeout=_LOOK_EVERY)
            if done:
                try:
                    name, data = waiting.result()
                except StopAsyncIteration:
                    return
                finally:
                    waiting = None
                silence = 0.0
                yield format_event(data, name)
                continue
            silence += _LOOK_EVERY
            if silence >= heartbeat:
                silence = 0.0
                yield ": alive\n\n"
    finally:
        if waiting is not None:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await waiting
        if isinstance(events, AsyncGenerator):
            await events.aclose()
