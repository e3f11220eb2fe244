"""A scripted OpenAI-compatible upstream and the proxy in front of it, both in the test's loop."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
import uvicorn
from starlette.responses import JSONResponse, Response

from equipoise.serving.server import bind
from equipoise.systems.stream_aligner import ProxyConfig, create_app
from equipoise.systems.stream_aligner.proxy import reloading as reloading_module

QUESTION = [{"role": "user", "content": "What is the weather?"}]


class Step:
    """Wait for the test's permission."""


class Stall:
    """Say nothing more until the client leaves."""


class Die:
    """Break the connection."""


@dataclass(frozen=True)
class Usage:
    """The usage chunk."""

    prompt: int = 7
    completion: int = 5
    cached: int = 0


@dataclass(frozen=True)
class Finish:
    """The chunk with the finish reason."""

    reason: str = "stop"


@dataclass(frozen=True)
class Raw:
    """Bytes, sent as they are."""

    data: bytes


DONE = Raw(b"data: [DONE]\n\n")
Action = str | float | dict[str, Any] | Step | Stall | Die | Usage | Finish | Raw
Script = Callable[[dict[str, Any], int], Iterable[Action] | Response]


def words(text: str) -> list[str]:
    """Cut a text into pieces as a model writes them."""
    found, word = [], ""
    for char in text:
        if char == " " and word:
            found.append(word)
            word = ""
        word += char
    return [*found, word] if word else found


def saying(text: str, *, usage: bool = True) -> Script:
    """Continue one answer; a prefix that is no beginning of it is continued by sentence number."""
    from equipoise.systems.stream_aligner import segment

    def script(body: dict[str, Any], number: int) -> list[Action]:
        last = body["messages"][-1] if "messages" in body else {"role": "user", "content": ""}
        begun = last["content"] if last["role"] == "assistant" else ""
        if text.startswith(begun):
            rest = text[len(begun) :]
        else:
            rest = "".join(part.raw for part in segment(text)[len(segment(begun)) :])
        pieces: list[Action] = list(words(rest))
        limit = body.get("max_tokens")
        if limit is not None and len(pieces) > limit:
            return [*pieces[:limit], Finish("length"), Usage(7, limit), DONE]
        counted: list[Action] = [Usage(7, len(pieces))] if usage else []
        return [*pieces, Finish(), *counted, DONE]

    return script


@dataclass
class ScriptedUpstream:
    """An ASGI application that answers by script, counts what is open and can be stepped."""

    script: Script
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    open: int = 0
    sent: int = 0
    steps: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        raw = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.paths.append(path)
        if path == "/v1/models":
            await JSONResponse({"object": "list", "data": [{"id": "m"}]})(scope, receive, send)
            return
        if path not in ("/v1/chat/completions", "/v1/completions"):
            await JSONResponse({"error": "not here"}, 404)(scope, receive, send)
            return
        body = json.loads(raw)
        self.bodies.append(body)
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        answer = self.script(body, len(self.bodies) - 1)
        if isinstance(answer, Response):
            await answer(scope, receive, send)
            return
        self.open += 1
        try:
            await self._play(answer, receive, send)
        finally:
            self.open -= 1

    async def _play(self, actions: Iterable[Action], receive: Any, send: Any) -> None:
        head = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
        gone = asyncio.create_task(self._until_gone(receive))
        try:
            for action in actions:
                if gone.done():
                    return
                match action:
                    case Step():
                        self.waiting.set()
                        await self._or_gone(self.steps.acquire(), gone)
                        continue
                    case Stall():
                        await gone
                        return
                    case Die():
                        raise ConnectionResetError("as the script says")
                    case float():
                        await self._or_gone(asyncio.sleep(action), gone)
                        continue
                data = as_bytes(action)
                self.sent += len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
                if gone.done():
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _until_gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue

    async def _or_gone(self, work: Any, gone: "asyncio.Task[None]") -> None:
        task = asyncio.ensure_future(work)
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        task.cancel()


def as_bytes(action: Any) -> bytes:
    """Return an action as it stands on the wire."""
    match action:
        case Raw(data):
            return data
        case str():
            event: Any = {"choices": [{"index": 0, "delta": {"content": action}, "text": action}]}
        case dict():
            event = {"choices": [{"index": 0, "delta": action}]}
        case Finish(reason):
            event = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
        case Usage(prompt, completion, cached):
            usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
            event = {"choices": [], "usage": usage}
        case _:
            raise TypeError(f"{action!r} is nothing to send")
    return b"data: " + json.dumps(event).encode() + b"\n\n"


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[str]:
    """Serve an application in this loop; yields its address."""
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    with bind("127.0.0.1", 0) as bound:
        await server.startup(sockets=[bound])  # without its loop, which looks up ten times a second
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            await server.shutdown(sockets=[bound])


@dataclass
class Setting:
    """A running proxy: its client, its upstream, its application."""

    client: httpx2.AsyncClient
    upstream: ScriptedUpstream
    app: Any
    url: str

    async def chat(self, **fields: Any) -> httpx2.Response:
        """Ask, not streamed."""
        body = {"model": "m", "messages": QUESTION, **fields}
        return await self.client.post("/v1/chat/completions", json=body)

    async def stream(self, **fields: Any) -> "Streamed":
        """Ask, streamed, and return everything."""
        found = Streamed()
        async for event in self.events(**fields):
            found.take(event)
        return found

    async def events(self, **fields: Any) -> AsyncGenerator[Any, None]:
        """Ask, streamed: the status, then each event's JSON; `[DONE]` as text."""
        body = {"model": "m", "messages": QUESTION, "stream": True, **fields}
        async with self.client.stream("POST", "/v1/chat/completions", json=body) as response:
            if response.status_code != 200:
                await response.aread()
                raise AssertionError(f"{response.status_code}: {response.text}")
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    yield "[DONE]" if line == "data: [DONE]" else json.loads(line[6:])


@dataclass
class Streamed:
    """A streamed answer, read to its end."""

    deltas: list[dict[str, Any]] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    finish_reason: str | None = None
    report: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    done: bool = False

    def take(self, event: Any) -> None:
        """Take the next event."""
        self.events.append(event)
        if event == "[DONE]":
            self.done = True
        elif "error" in event:
            self.error = event["error"]
        elif not event["choices"]:
            self.usage = event["usage"]
        else:
            choice = event["choices"][0]
            self.deltas.append(choice["delta"])
            if choice["finish_reason"] is not None:
                self.finish_reason = choice["finish_reason"]
                self.report = event["equipoise"]

    @property
    def texts(self) -> list[str]:
        """The content deltas that hold text."""
        return [delta["content"] for delta in self.deltas if delta.get("content")]

    @property
    def text(self) -> str:
        """The whole content."""
        return "".join(self.texts)


@asynccontextmanager
async def proxied(
    script: Script, corrector: Any = "identity", **options: Any
) -> AsyncIterator[Setting]:
    """Run an upstream and a proxy in front of it.

    Args:
        script: of the upstream.
        corrector: a spec, or any callable.
        **options: of `ProxyConfig`.
    """
    upstream = ScriptedUpstream(script)
    async with running(upstream) as address:
        given: dict[str, Any] = {"prefill": "assistant", "upstream": f"{address}/v1", **options}
        spec = corrector if isinstance(corrector, str) else "identity"
        app = make_app(ProxyConfig(corrector=spec, **given), corrector)
        async with (
            running(app) as url,
            httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as client,
        ):
            yield Setting(client, upstream, app, url)


def make_app(config: ProxyConfig, corrector: Any) -> Any:
    """Return the proxy with a callable as corrector."""
    if isinstance(corrector, str):
        return create_app(config)
    kept = reloading_module.make_corrector
    reloading_module.make_corrector = lambda spec: corrector
    try:
        return create_app(config)
    finally:
        reloading_module.make_corrector = kept


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until a condition holds."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition never held"
        await asyncio.sleep(0.005)
