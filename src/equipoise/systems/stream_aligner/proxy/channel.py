"""The client's end of an HTTP exchange: written to in order, and watched for its leaving."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from equipoise.systems.stream_aligner.proxy.chat_answers import sse
from equipoise.systems.stream_aligner.proxy.driving import stop
from equipoise.systems.stream_aligner.proxy.errors import ProxyError, json_response

T = TypeVar("T")

_STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class ClientLeft(Exception):
    """The client has closed its connection."""


class Channel:
    """The client's end: written to in order, and watched for its leaving."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._gone: asyncio.Task[None] | None = None
        self.is_open = False
        self._ended = False

    def watch(self) -> None:
        """Begin to watch; the request's body has been read whole."""
        self._gone = asyncio.create_task(self._await_leaving())

    async def _await_leaving(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue

    async def stop_watching(self) -> None:
        """End the watch."""
        if self._gone is not None:
            await stop(self._gone)

    def unless_left(self, place: Any) -> "_UnlessLeft":
        """Wait for an asynchronous context as long as the client stays."""
        return _UnlessLeft(self, place)

    async def wait(self, work: "asyncio.Future[Any]", timeout: float | None = None) -> bool:
        """Wait for `work`; return False at the time limit.

        Raises:
            ClientLeft: the client left first; `work` is cancelled.
        """
        assert self._gone is not None
        watched = {work, self._gone}
        await asyncio.wait(watched, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return True
        if not self._gone.done():
            return False
        await stop(work)
        raise ClientLeft

    async def next_output(self, outputs: "asyncio.Queue[T]", timeout: float | None) -> T | None:
        """Return the next output, None after `timeout` seconds without one."""
        assert self._gone is not None
        if self._gone.done():
            raise ClientLeft
        if not outputs.empty():
            return outputs.get_nowait()
        work = asyncio.ensure_future(outputs.get())
        try:
            if await self.wait(work, timeout):
                return work.result()
        finally:
            work.cancel()
        return None

    async def open(self, first: bytes) -> None:
        """Send the head of a stream and its first event."""
        self.is_open = True
        start = {"type": "http.response.start", "status": 200, "headers": [*_STREAM_HEADERS]}
        await self._send(start)
        await self.write(first)

    async def write(self, data: bytes) -> None:
        """Send a part of the stream; waits as long as the client reads slowly."""
        if self._gone is not None and self._gone.done():
            raise ClientLeft
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End the stream."""
        self._ended = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer(self, body: Mapping[str, Any]) -> None:
        """Send a whole answer."""
        self.is_open = self._ended = True
        response = json_response(body, headers={"cache-control": "no-store"})
        await response({"type": "http"}, self._receive, self._send)

    async def fail(self, problem: ProxyError, scope: Scope) -> None:
        """Send an error: as the answer, or as the last event of a stream that has begun."""
        if self._ended:
            return
        self._ended = True
        if not self.is_open:
            await problem.response()(scope, self._receive, self._send)
            return
        await self._send(
            {"type": "http.response.body", "body": sse(problem.body()), "more_body": False}
        )


class _UnlessLeft:
    """Enters an asynchronous context, or gives up when the client leaves first."""

    def __init__(self, channel: Channel, place: Any) -> None:
        self._channel, self._place = channel, place

    async def __aenter__(self) -> None:
        work = asyncio.ensure_future(self._place.__aenter__())
        try:
            await self._channel.wait(work)
        except asyncio.CancelledError:
            await stop(work)
            if not work.cancelled() and work.exception() is None:  # it was entered just before
                await self._place.__aexit__(None, None, None)
            raise
        work.result()

    async def __aexit__(self, *problem: Any) -> None:
        await self._place.__aexit__(*problem)


async def read_body(http: Request, limit: int) -> bytes:
    """Read a request's body.

    Raises:
        ProxyError: 413 past the limit, announced or not.
    """
    announced = http.headers.get("content-length", "0")
    problem = ProxyError(413, f"the body is larger than {limit:,} bytes", code="too_large")
    if announced.isdecimal() and int(announced) > limit:
        raise problem
    parts, size = [], 0
    async for part in http.stream():
        size += len(part)
        if size > limit:
            raise problem
        parts.append(part)
    return b"".join(parts)
