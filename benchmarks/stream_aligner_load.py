"""What the served parts of the benchmark share: processes, a light client, statistics."""

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

STAMP = re.compile(r"t(\d{6,})")
TOKEN_S = 0.02
"""Seconds between two tokens of the upstream."""

_ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Heard:
    """A streamed answer as it arrived.

    Attributes:
        begun: when it was asked for, s (monotonic clock, as all times here).
        times: when each piece of text arrived.
        texts: the pieces.
        finish: the finish reason.
        done: `[DONE]` came.
        ended: when the last event arrived.
    """

    begun: float
    times: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    finish: str | None = None
    done: bool = False
    ended: float = 0.0

    @property
    def first(self) -> float:
        """Seconds to the first text; nan where none came."""
        return self.times[0] - self.begun if self.times else float("nan")

    @property
    def total(self) -> float:
        """Seconds to the last event."""
        return self.ended - self.begun

    def ages(self) -> list[float]:
        """Seconds between the writing of each piece's last token and its arrival."""
        found = []
        for when, text in zip(self.times, self.texts):
            if stamps := STAMP.findall(text):
                found.append(when - int(stamps[-1]) / 1e6)
        return found


async def ask(url: str, *, pieces: int | None = None, seconds: float | None = None) -> Heard:
    """Ask an address for a streamed chat answer.

    Args:
        url: base address ending in `/v1`.
        pieces: leave after so many pieces of text.
        seconds: leave after so long.
    """
    heard = Heard(time.monotonic())
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _read(url, heard, pieces)
    return heard


async def _read(url: str, heard: Heard, pieces: int | None) -> None:
    host, _, rest = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    question = [{"role": "user", "content": "What is the weather?"}]
    body = json.dumps({"model": "m", "messages": question, "stream": True}).encode()
    reader, writer = await asyncio.open_connection(name, int(port), limit=2**20)
    try:
        head = f"POST /{rest}/chat/completions HTTP/1.1\r\nhost: {host}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        status = await reader.readline()
        if b" 200 " not in status:
            raise ConnectionError(f"{url} answered {status!r}: {(await reader.read(600))!r}")
        while await reader.readline() not in (b"\r\n", b""):
            continue
        left = b""
        while (size := await reader.readline()) and (length := int(size.strip() or b"0", 16)):
            left += await reader.readexactly(length + 2)
            now = time.monotonic()
            *lines, left = left[:-2].split(b"\n")
            for line in lines:
                _take(heard, line, now)
            if pieces is not None and len(heard.texts) >= pieces:
                return
    finally:
        writer.transport.abort()


def _take(heard: Heard, line: bytes, now: float) -> None:
    if not line.startswith(b"data: "):
        return
    heard.ended = now
    if line.strip() == b"data: [DONE]":
        heard.done = True
        return
    found = json.loads(line[6:])
    if "error" in found:
        raise ConnectionError(f"the stream ended with {found['error']}")
    for choice in found.get("choices", ()):
        if text := (choice.get("delta") or {}).get("content"):
            heard.times.append(now)
            heard.texts.append(text)
        heard.finish = choice.get("finish_reason") or heard.finish


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a process that prints its address, plain or as JSON with `url`; yields both."""
    with subprocess.Popen(
        list(command), stdout=subprocess.PIPE, text=True, cwd=_ROOT, **options
    ) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline().strip()
            if not said:
                raise RuntimeError(f"{command[:4]} said nothing")
            yield process, json.loads(said)["url"] if said.startswith("{") else said
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(8)
            process.kill()


@contextmanager
def upstream(**script: Any) -> Iterator[str]:
    """Run the scripted upstream; yields its address. Options are those of `Script`."""
    command = [sys.executable, "-m", "benchmarks.stream_aligner_upstream"]
    for name, value in script.items():
        command += [f"--{name}"] if value is True else [f"--{name}", str(value)] if value else []
    with started(command) as (_, url):
        yield url


@contextmanager
def proxy(address: str, **options: Any) -> Iterator[tuple[int, str]]:
    """Run the proxy in front of an upstream; yields its process number and base address.

    Args:
        address: of the upstream.
        **options: of `ProxyConfig`; `correct_s` and `edits` make a corrector that takes its time
            (`benchmarks.stream_aligner_proxy`).
    """
    given = {"corrector": "identity", "prefill": "assistant", "port": 0, **options}
    given["upstream"] = f"{address}/v1"
    command = [sys.executable, "-m", "benchmarks.stream_aligner_proxy", json.dumps(given)]
    with started(command, stderr=subprocess.DEVNULL) as (process, url):
        yield process.pid, f"{url}/v1"


def stats(address: str) -> dict[str, int]:
    """Return what an upstream has counted."""
    with urllib.request.urlopen(f"{address}/stats") as answer:
        return json.load(answer)


def answers(url: str, seconds: float, process: subprocess.Popen[Any]) -> bool:
    """Wait until an address answers anything at all; False where it does not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.3)
        else:
            return True
    return False


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and count."""
    array = np.asarray(values, dtype=float)
    return {
        "p50": float(np.median(array)),
        "p99": float(np.percentile(array, 99)),
        "n": len(values),
    }


def gaps(heards: Sequence[Heard]) -> dict[str, float]:
    """Return the gaps between pieces of text, pooled over answers, s."""
    return spread([float(gap) for one in heards for gap in np.diff(one.times)] or [float("nan")])
