"""A scripted OpenAI-compatible upstream in its own process: one token every few milliseconds.

`python -m benchmarks.stream_aligner_upstream --sentences 8 --tokens 10` prints its address. Each
token is a word that spells when it was written (microseconds of the monotonic clock, which all
processes of a machine share), so that whoever reads the text behind any proxy knows its age. A
begun answer (a trailing assistant message) is continued with the next sentence. `/stats` counts.
Standard library alone, so that it costs little beside what is measured.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n"
JSON_TYPE, EVENT_TYPE = b"application/json", b"text/event-stream"


@dataclass(frozen=True)
class Script:
    """What the upstream says.

    Attributes:
        sentences: of an answer.
        tokens: of a sentence; the last one ends with its full stop.
        gap: seconds between two tokens, and before the first.
        restart: further seconds before the first token of a continuation.
        trailing: a token's blank stands behind it, so that a sentence is decided by its own last
            token; else before it, as most models write: decided by the next one's first.
    """

    sentences: int = 8
    tokens: int = 10
    gap: float = 0.02
    restart: float = 0.0
    trailing: bool = False

    def words(self, begun: str) -> Iterator[str]:
        """Yield the tokens behind `begun`, which counts by its full stops."""
        done = begun.count(".")
        count = self.tokens * max(0, self.sentences - done)
        for place in range(count):
            word = f"t{round(time.monotonic() * 1e6)}"
            if (place + 1) % self.tokens == 0:
                word += "."
            before = " " if place > 0 or begun else ""
            if self.trailing:
                before, word = (" " if begun and place == 0 else ""), f"{word} "
            yield before + word

    @cached_property
    def delay(self) -> float:
        """Seconds that a continuation waits for its first token."""
        return self.gap + self.restart


class Counts:
    """What the upstream has been asked and has said."""

    def __init__(self) -> None:
        self.requests = self.tokens = self.open = self.aborted = 0


class Connection(asyncio.Protocol):
    """One client's connection; a response at a time, timers instead of a task."""

    def __init__(self, script: Script, counts: Counts) -> None:
        self.script, self.counts = script, counts
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None
        self._wire: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._wire = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what was being said."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.counts.open -= 1
            self.counts.aborted += 1

    def data_received(self, data: bytes) -> None:
        """Collect a request and answer it once it is whole."""
        self._received += data
        head, split, rest = self._received.partition(b"\r\n\r\n")
        if not split:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        length = int(headers.get("content-length", 0))
        if len(rest) >= length:
            self._received = rest[length:]
            self._answer(lines[0].split()[1], rest[:length])

    def _answer(self, path: str, raw: bytes) -> None:
        if not path.endswith("/chat/completions"):
            found = {"object": "list", "data": [{"id": "m", "object": "model"}]}
            self._send_json(vars(self.counts) if path == "/stats" else found)
            return
        body = json.loads(raw)
        last = body["messages"][-1]
        begun = last["content"] if last["role"] == "assistant" else ""
        self.counts.requests += 1
        self.counts.open += 1
        words = self.script.words(begun)
        loop = asyncio.get_running_loop()
        begin = loop.time() + (self.script.delay if begun else self.script.gap)
        if body.get("stream"):
            head = HEAD % EVENT_TYPE + b"transfer-encoding: chunked\r\n\r\n"
            self._wire.write(head + chunk(event({"role": "assistant", "content": ""})))
            self._timer = loop.call_at(begin, self._say, words, begin, body)
        else:
            text = "".join(words)
            end = begin + self.script.gap * text.count("t")
            self._timer = loop.call_at(end, self._say_whole, text)

    def _say(self, words: Iterator[str], due: float, body: dict[str, Any]) -> None:
        word = next(words, None)
        if word is not None:
            self.counts.tokens += 1
            self._wire.write(chunk(event({"content": word})))
            due += self.script.gap
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(due, self._say, words, due, body)
            return
        last = event({}, "stop")
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
            last += event(None, usage=usage)
        self._finish(chunk(last + b"data: [DONE]\n\n") + b"0\r\n\r\n")

    def _say_whole(self, text: str) -> None:
        self.counts.tokens += text.count("t")
        self._timer = None
        self.counts.open -= 1
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
        self._send_json({"id": "c", "object": "chat.completion", "created": 0, "model": "m",
                         "choices": [choice], "usage": usage})  # fmt: skip

    def _finish(self, last: bytes) -> None:
        self._timer = None
        self.counts.open -= 1
        self._wire.write(last)

    def _send_json(self, found: dict[str, Any]) -> None:
        body = json.dumps(found).encode()
        self._wire.write(HEAD % JSON_TYPE + b"content-length: %d\r\n\r\n" % len(body) + body)


def event(delta: dict[str, Any] | None, finish: str | None = None, **fields: Any) -> bytes:
    """Return one server-sent event; None for a delta gives one without choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    made = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return b"data: " + json.dumps(made | {"choices": choices} | fields).encode() + b"\n\n"


def chunk(data: bytes) -> bytes:
    """Return data as a chunk of HTTP's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def serve(script: Script, announce: Any = print) -> None:
    """Serve until cancelled; `announce` is told the address first."""
    counts = Counts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(script, counts), "127.0.0.1", 0, backlog=2048
    )
    announce(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        await server.serve_forever()


def main() -> None:
    """Read the script from the command line and serve it."""
    parser = argparse.ArgumentParser(description=__doc__)
    plain = Script()
    for name, kind in (("sentences", int), ("tokens", int), ("gap", float), ("restart", float)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(plain, name))
    parser.add_argument("--trailing", action="store_true")
    given = parser.parse_args()
    asyncio.run(serve(Script(**vars(given)), lambda url: print(url, flush=True)))


if __name__ == "__main__":
    main()
