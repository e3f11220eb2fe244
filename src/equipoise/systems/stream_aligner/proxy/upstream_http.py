"""An OpenAI-compatible server as upstream: always streamed, continued from a corrected prefix.

A begun answer is continued by a trailing assistant message, or by a raw completion of the chat
template's text; `auto` finds out by one probe whether the server continues, repeats the beginning
first (which is then cut away) or opens a new turn.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from equipoise.core.console import note
from equipoise.core.errors import EquipoiseError, RunFailed
from equipoise.systems.stream_aligner.proxy.breakers import Breaker
from equipoise.systems.stream_aligner.proxy.probing import (
    find_continuation,
    first_model,
    is_llamacpp,
)
from equipoise.systems.stream_aligner.proxy.upstream_parts import (
    UpstreamAsk,
    UpstreamFailed,
    UpstreamPart,
    read_part,
)
from equipoise.text.interface import Completion, Request
from equipoise.text.messages import Message
from equipoise.text.openai_wire import CONTINUE_EXTRAS, Dialect, chat_body
from equipoise.text.prefill import Continuation
from equipoise.text.transport import DONE, HttpStatusError, Transport

_PROBE_AGAIN = 10.0  # seconds after a probe that failed
_AFTER_FINISH = 2.0  # seconds that usage and [DONE] may come after the finish reason


class HttpUpstream:
    """A server at `url` (ending in `/v1`).

    Args:
        url: base URL.
        prefill: auto, assistant, completions or none.
        model: name sent instead of the client's.
        key_env: environment variable with its key.
        timeout: longest silence, s.
        template: renders chat messages for raw completions; None asks the server
            (`/apply-template`).
    """

    def __init__(
        self,
        url: str,
        *,
        prefill: str = "auto",
        model: str | None = None,
        key_env: str | None = None,
        timeout: float = 60.0,
        template: Callable[[Sequence[Any]], str] | None = None,
    ) -> None:
        self.url, self._prefill, self._model = url, prefill, model
        self._key_env, self._timeout, self._template = key_env, timeout, template
        self._transports: dict[str | None, Transport] = {}
        self._way = None if prefill == "auto" else Continuation(prefill)
        self._refused: set[str] = set()  # fields that this server does not know
        self._breaker = Breaker()
        self._probing = asyncio.Lock()
        self._probe_again = 0.0  # not before
        self._transport(None)  # a wrong address is said at once
        if prefill == "none":
            self._warn("prefill is none")

    @property
    def induction(self) -> bool:
        """Whether edits are fed back."""
        return self._way is not None and self._way.mode != "none"

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        for transport in self._transports.values():
            await transport.aclose()

    def close(self) -> None:
        """Nothing else is held between requests."""

    async def models(self, key_env: str | None = None) -> Any:
        """Return what the server says of its models."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._transport(key_env).json("GET", "/models")
        except (RunFailed, TimeoutError) as error:
            raise self._failure(error) from None

    async def prepare(self, model: str | None, key_env: str | None = None) -> None:
        """Probe, where `auto` was asked and no probe has succeeded yet, nor failed just now."""
        if self._way is not None:
            return
        async with self._probing:
            if self._way is not None or time.monotonic() < self._probe_again:
                return
            try:
                async with asyncio.timeout(self._timeout):
                    self._way = await self._probe(self._model or model, key_env)
            except (EquipoiseError, TimeoutError):
                # the request that comes next says what is wrong; without a client's name for a
                # model, or its key, a failure says nothing of the next one
                if model is not None:
                    self._probe_again = time.monotonic() + _PROBE_AGAIN
                return
            if self._way.mode == "none":
                self._warn("the server opens a new turn, or does not show that it continues one")

    async def answer(
        self, ask: UpstreamAsk, opened: Callable[[], object]
    ) -> AsyncGenerator[UpstreamPart, None]:
        """Answer, with one more try before the first byte, and count what fails."""
        if (wait := self._breaker.closed_in()) > 0:
            raise UpstreamFailed(
                f"the upstream failed several times in a row; it is asked again in {wait:.0f} s",
                retry_after=wait,
            )
        begun = given = False

        def begin() -> None:
            nonlocal begun
            begun = True
            opened()

        for attempt in (1, 2):
            try:
                async with aclosing(self._attempt(ask, begin)) as parts:
                    async for part in parts:
                        begun = given = True
                        yield part
                self._breaker.succeeded()
                return
            except (GeneratorExit, asyncio.CancelledError):
                if given:  # abandoned for a restart, or by the client; it did answer
                    self._breaker.succeeded()
                raise
            except (RunFailed, TimeoutError) as error:
                failure = self._failure(error, begun=begun)
                if failure.code == "upstream_refused":
                    self._breaker.succeeded()  # it answers, if only to refuse
                    raise failure from None
                if begun or attempt == 2 or failure.code == "upstream_timeout":
                    self._breaker.failed()
                    raise failure from None

    async def _attempt(
        self, ask: UpstreamAsk, opened: Callable[[], object]
    ) -> AsyncGenerator[UpstreamPart, None]:
        """Send one request, again without optional fields that the server refuses."""
        while True:
            path, body, echo = await self._request(ask)
            try:
                events = self._transport(ask.key_env).events(path, body, opened=opened)
                async with aclosing(_without_echo(self._read(events), echo)) as parts:
                    async for part in parts:
                        yield part
                return
            except HttpStatusError as error:
                optional = {"stream_options", *CONTINUE_EXTRAS} & body.keys()
                named = {name for name in optional if name in error.detail}
                if error.status not in (400, 422) or not named:
                    raise
                self._refused |= named

    async def _read(
        self, events: AsyncGenerator[dict[str, Any], None]
    ) -> AsyncGenerator[UpstreamPart, None]:
        """Yield the parts of a stream; one that ends too early raises."""
        finished = False
        async with aclosing(events):
            while True:
                limit = _AFTER_FINISH if finished else self._timeout
                try:
                    async with asyncio.timeout(limit):
                        event = await _next_of(events)
                except (TimeoutError, RunFailed):
                    if finished:
                        return
                    raise
                if event is DONE or (event is None and finished):
                    return
                if event is None:
                    raise UpstreamFailed(
                        "the upstream's stream ended before the answer was finished",
                        code="upstream_lost",
                    )
                part = read_part(event)
                finished = finished or part.finish_reason is not None
                yield part

    async def _request(self, ask: UpstreamAsk) -> tuple[str, dict[str, Any], str]:
        """Return path, body and the text that the answer may repeat first."""
        body = {**ask.body, "stream": True, "stream_options": {"include_usage": True}}
        if self._model is not None:
            body["model"] = self._model
        if ask.kind == "completions":
            prompt = str(ask.body["prompt"]) + ask.prefix
            return "/completions", self._known(body | {"prompt": prompt}), ""
        if not ask.prefix:
            return "/chat/completions", self._known(body), ""
        if self._way is not None and self._way.mode == "completions":
            prompt = await self._render(ask) + _begun(ask)
            return "/completions", self._known(_raw_body(body, prompt)), ""
        messages = [*ask.body["messages"]]
        begun: dict[str, Any] = {"role": "assistant", "content": _begun(ask)}
        if messages[-1].get("role") == "assistant":
            begun = messages.pop() | begun
        body |= {"messages": [*messages, begun], **CONTINUE_EXTRAS}
        echo = begun["content"] if self._way is not None and self._way.echo else ""
        return "/chat/completions", self._known(body), echo

    def _known(self, body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in body.items() if name not in self._refused}

    async def _render(self, ask: UpstreamAsk) -> str:
        """Return the chat template's text for the client's messages, ready for an answer."""
        messages = [*ask.body["messages"]]
        if messages[-1].get("role") == "assistant":
            messages.pop()
        if self._template is not None:
            return await asyncio.to_thread(self._template, messages)
        try:
            answer = await self._transport(ask.key_env).json(
                "POST", "/apply-template", {"messages": messages}, root=self._root
            )
            return str(answer["prompt"])
        except (HttpStatusError, KeyError, TypeError):
            raise UpstreamFailed(
                "prefill=completions needs the chat template, and the server has no "
                "/apply-template; give upstream_model=FOLDER (its tokenizer) or another prefill"
            ) from None

    async def _probe(self, model: str | None, key_env: str | None) -> Continuation:
        transport = self._transport(key_env)
        if await is_llamacpp(transport, self._root):
            return Continuation("assistant")  # its streams do not repeat
        name = model or await first_model(transport)

        async def complete(request: Request, messages: Sequence[Message]) -> Completion:
            body = self._known(chat_body(name, request, messages, Dialect()))
            text, prompt_tokens, reason = "", None, "stop"
            async with aclosing(self._read(transport.events("/chat/completions", body))) as parts:
                async for part in parts:
                    text += part.text
                    reason = part.finish_reason or reason
                    if part.usage is not None:
                        prompt_tokens = part.usage.get("prompt_tokens")
            return Completion(text, reason, prompt_tokens, None)

        return await find_continuation(complete, self._refused, self._tell)

    @property
    def _root(self) -> str:
        return self.url.rstrip("/").removesuffix("/v1")

    def _transport(self, key_env: str | None) -> Transport:
        name = key_env or self._key_env
        if name not in self._transports:
            self._transports[name] = Transport(
                self.url,
                # silence is timed here, so that being late can be told from being broken
                timeout=self._timeout + 5,
                connect_timeout=min(10.0, self._timeout),
                tries=1,
                concurrency=100_000,
                api_key_env=name,
                keep_alive=True,
            )
        return self._transports[name]

    def _failure(self, error: Exception, *, begun: bool = False) -> UpstreamFailed:
        if isinstance(error, UpstreamFailed):
            return error
        if isinstance(error, TimeoutError):
            message = f"the upstream was silent for {self._timeout:g} s"
            return UpstreamFailed(message, 504, "upstream_timeout")
        if isinstance(error, HttpStatusError):
            message = f"the upstream answered {error.status}: {error.detail}"
            wait = error.retry_after or 0.0
            if 400 <= error.status < 500:
                return UpstreamFailed(message, error.status, "upstream_refused", wait)
            return UpstreamFailed(message, 502, "upstream_error", wait)
        code = "upstream_lost" if begun else "upstream_error"
        message = str(error).replace(self.url, "the upstream")
        for name in filter(None, self._transports):  # an answer of another form may repeat a key
            message = message.replace(os.environ.get(name) or "[key]", "[key]")
        return UpstreamFailed(message, 502, code)

    def _warn(self, why: str) -> None:
        note(f"{self.url}: {why}; sentences are reviewed, but edits are not fed back")

    def _tell(self, why: str) -> None:
        note(f"{self.url}: {why}; taken to continue a begun answer (prefill=none if it does not)")


async def _next_of(events: AsyncGenerator[dict[str, Any], None]) -> dict[str, Any] | None:
    """Return the next event, None at the end; `anext` with a default loses a cancellation."""
    try:
        return await anext(events)
    except StopAsyncIteration:
        return None


def _begun(ask: UpstreamAsk) -> str:
    """Return the whole begun answer: the client's own beginning, where it sent one, and ours."""
    last = ask.body["messages"][-1]
    if last.get("role") != "assistant":
        return ask.prefix
    said = last.get("content") or ""
    if not isinstance(said, str):
        said = "".join(part.get("text") or "" for part in said)
    return said + ask.prefix


def _raw_body(body: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """Return a chat request's body as one of a raw completion."""
    chat_only = ("messages", "tools", "tool_choice", "response_format", "max_completion_tokens")
    raw = {name: value for name, value in body.items() if name not in chat_only}
    if "max_completion_tokens" in body:
        raw["max_tokens"] = body["max_completion_tokens"]
    return raw | {"prompt": prompt}


async def _without_echo(
    parts: AsyncGenerator[UpstreamPart, None], begun: str
) -> AsyncGenerator[UpstreamPart, None]:
    """Cut the begun answer from the front of one that repeats it."""
    held = ""
    async with aclosing(parts):
        async for part in parts:
            if not begun or not part.text:
                if held and part.finish_reason is not None:
                    yield UpstreamPart(held)  # it ended within what looked like a repetition
                    held = ""
                yield part
                continue
            held += part.text
            undecided = len(held) < len(begun) and begun.startswith(held)
            if undecided and part.finish_reason is None:
                continue
            yield UpstreamPart(
                held.removeprefix(begun), part.reasoning, part.calls, part.finish_reason, part.usage
            )
            held, begun = "", ""
        if held:
            yield UpstreamPart(held)
