"""HTTP to a model server: one place for time-outs, retries, keys, bounded concurrency and errors.

Requests run in the caller's event loop (`TextStream`) or in the loop of a `LoopThread` (everything
that is called without one). A stream is closed by closing its generator; nothing is read ahead, so
a slow reader slows the server down and memory stays flat.
"""

import asyncio
import contextlib
import email.utils
import ipaddress
import json
import os
import random
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.core.extras import require
from equipoise.core.limits import backoff
from equipoise.text.sse import SseReader

if TYPE_CHECKING:
    import httpx2

DONE: dict[str, Any] = {"done": True}
"""What `Transport.events` yields for the `[DONE]` that ends OpenAI streams."""


_KEPT = 100  # connections that wait to be used again
_IDLE = 4.0  # seconds that they wait; many servers close theirs after five
_READ_OUT = 0.02  # seconds for the end of a body whose last event has come


class HttpStatusError(RunFailed):
    """The server answered with an error.

    Attributes:
        status: HTTP status.
        detail: the server's own words.
        retry_after: seconds that it asks to wait before another try; None where it asks nothing.
    """

    def __init__(
        self, message: str, status: int, detail: str, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after


class Transport:
    """Sends JSON to one base URL and reads JSON or event streams back.

    Args:
        url: base URL, http or https.
        timeout: longest silence while a response is awaited or read, s.
        connect_timeout: longest time to connect, s.
        tries: how often a request is sent before giving up: after connection errors, 429 and 5xx,
            never after the first byte of an answer.
        retry_base: first delay between tries, s (exponential with full jitter; a `Retry-After` of
            the server is obeyed instead).
        max_retry_wait: a `Retry-After` beyond this is reported at once instead, s.
        concurrency: requests open at the same time (per event loop).
        api_key_env: name of the environment variable that holds the bearer key. The key itself is
            read for each request and stands in no error, representation or description.
        keep_alive: use connections again, until `aclose`; given up for a server that says it is
            llama.cpp's, which breaks one in four connections that are used again after a stream.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 60.0,
        connect_timeout: float = 10.0,
        tries: int = 5,
        retry_base: float = 0.5,
        max_retry_wait: float = 60.0,
        concurrency: int = 8,
        api_key_env: str | None = None,
        keep_alive: bool = False,
    ) -> None:
        self._http: Any = require("httpx2", "text")
        self.url = _check_url(url)
        if tries < 1 or concurrency < 1 or not timeout > 0 or not connect_timeout > 0:
            raise InvalidInput(
                f"got tries={tries}, concurrency={concurrency}, timeout={timeout}, "
                f"connect_timeout={connect_timeout}; counts must be >= 1 and times > 0"
            )
        self._timeout = self._http.Timeout(timeout, connect=connect_timeout)
        self._tries, self._retry_base, self._max_wait = tries, retry_base, max_retry_wait
        self._key_env = api_key_env
        self._concurrency = concurrency
        self._gates: WeakKeyDictionary[Any, asyncio.Semaphore] = WeakKeyDictionary()
        self._context: ssl.SSLContext | None = None
        self._keep_alive = keep_alive
        self._kept: WeakKeyDictionary[Any, httpx2.AsyncClient] = WeakKeyDictionary()
        self._random = random.Random()

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    async def json(
        self, method: str, path: str, body: object = None, *, root: str | None = None
    ) -> Any:
        """Send a request and return the JSON of the answer.

        Raises:
            RunFailed: the server cannot be reached, is late, or answers no JSON.
            HttpStatusError: it answers with an error status.
        """
        async with self._respond(method, path, body, root) as response:
            try:
                raw = await response.aread()
            except self._http.HTTPError as error:
                raise self._lost(error) from None
            try:
                return json.loads(raw)
            except ValueError:
                raise RunFailed(f"{self.url} answered no JSON: {self._excerpt(raw)}") from None

    async def events(
        self,
        path: str,
        body: object,
        *,
        root: str | None = None,
        opened: Callable[[], object] | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Send a request and yield the JSON objects of its event stream, `DONE` for `[DONE]`.

        A server that does not stream but answers one JSON object has that object yielded.

        Args:
            path: below the base URL.
            body: sent as JSON.
            root: base URL instead of the transport's own.
            opened: called when the server has begun an event stream, before its first event.

        Raises:
            RunFailed: as for `json`; garbage in the stream; the connection breaks.
        """
        async with self._respond("POST", path, body, root) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if opened is not None and kind == "text/event-stream":
                opened()
            try:
                if kind == "text/event-stream":
                    reader = SseReader()
                    chunks = response.aiter_bytes()
                    async for chunk in chunks:
                        for event in reader.feed(chunk):
                            value = self._parse(event.data)
                            if value is DONE and self._keep_alive:
                                await self._read_out(chunks)
                            yield value
                else:
                    raw = await response.aread()
                    if kind != "application/json":
                        raise RunFailed(
                            f"{self.url} answered {kind or 'an unnamed type'} instead of an event "
                            f"stream: {self._excerpt(raw)}"
                        )
                    yield self._parse(raw.decode("utf-8", "replace"))
            except self._http.HTTPError as error:
                raise self._lost(error) from None

    async def _read_out(self, chunks: AsyncIterator[bytes]) -> None:
        """Read the end of a finished stream, without which its connection is not used again."""
        with contextlib.suppress(TimeoutError, self._http.HTTPError):
            async with asyncio.timeout(_READ_OUT):
                async for _ in chunks:
                    continue

    @contextlib.asynccontextmanager
    async def _respond(
        self, method: str, path: str, body: object, root: str | None
    ) -> AsyncIterator["httpx2.Response"]:
        """Open the response to a request, tried again where that is allowed."""
        loop = asyncio.get_running_loop()
        gate = self._gates.setdefault(loop, asyncio.Semaphore(self._concurrency))
        async with gate, self._client() as client, contextlib.AsyncExitStack() as stack:
            for attempt in range(self._tries):
                try:
                    response = await stack.enter_async_context(
                        client.stream(
                            method, (root or self.url) + path, json=body, headers=self._headers()
                        )
                    )
                    if response.headers.get("server", "").startswith("llama.cpp"):
                        self._keep_alive = False
                    if response.status_code == 200:
                        break
                    wait = self._wait_after(response)
                    error = await self._status_error(response, wait)
                except self._http.HTTPError as problem:
                    error = self._lost(problem)
                    connecting = isinstance(
                        problem,
                        (
                            self._http.ConnectError,
                            self._http.ConnectTimeout,
                            self._http.RemoteProtocolError,
                            self._http.ReadError,
                            self._http.WriteError,
                        ),
                    )
                    wait = 0.0 if connecting else None
                if wait is None or wait > self._max_wait or attempt + 1 == self._tries:
                    raise error from None
                await stack.aclose()
                await asyncio.sleep(
                    wait or backoff(attempt, base=self._retry_base, rng=self._random)
                )
            yield response  # pyright: ignore[reportPossiblyUnboundVariable]

    async def aclose(self) -> None:
        """Close the connections that the running event loop keeps."""
        client = self._kept.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator["httpx2.AsyncClient"]:
        """Return the event loop's client, or one for a single request."""
        if not self._keep_alive:
            async with self._new_client(0) as client:
                yield client
            return
        loop = asyncio.get_running_loop()
        if loop not in self._kept:
            self._kept[loop] = self._new_client(_KEPT)
        yield self._kept[loop]

    def _new_client(self, kept: int) -> "httpx2.AsyncClient":
        parts = urlsplit(self.url)
        if self._context is None:  # one for all clients, which would each make their own
            secure = parts.scheme == "https"
            self._context = (
                ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            )
        return self._http.AsyncClient(
            timeout=self._timeout,
            verify=self._context,
            trust_env=not is_loopback(self.url),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # requests share nothing
            limits=self._http.Limits(
                max_connections=None, max_keepalive_connections=kept, keepalive_expiry=_IDLE
            ),
        )

    def _headers(self) -> dict[str, str]:
        key = self._key()
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _key(self) -> str:
        return os.environ.get(self._key_env, "") if self._key_env else ""

    def _wait_after(self, response: "httpx2.Response") -> float | None:
        """Return the seconds to wait (0: the back-off's choice), or None where no retry is due."""
        if response.status_code != 429 and response.status_code < 500:
            return None
        given = response.headers.get("retry-after", "").strip()
        if given.replace(".", "", 1).isdecimal():
            return float(given)
        with contextlib.suppress(TypeError, ValueError):
            return max(0.0, email.utils.parsedate_to_datetime(given).timestamp() - time.time())
        return 0.0

    async def _status_error(
        self, response: "httpx2.Response", wait: float | None
    ) -> HttpStatusError:
        status = response.status_code
        raw = await response.aread()
        detail = self._excerpt(raw)
        with contextlib.suppress(ValueError, AttributeError, TypeError, LookupError):
            problem = json.loads(raw)["error"]
            message = problem if isinstance(problem, str) else problem["message"]
            detail = self._excerpt(str(message).encode("utf-8", "replace"))
        todo = ""
        if status in (401, 403):
            todo = f"; set the key in the environment variable {self._key_env or '(api_key_env)'}"
        elif wait is not None:
            todo = f" (tried {self._tries} times)"
            if wait > self._max_wait:
                todo = f"; it asks to wait {wait:.0f} s: try again later"
        message = f"{self.url} answered {status}: {detail}{todo}"
        return HttpStatusError(message, status, detail, wait or None)

    def _lost(self, error: Exception) -> RunFailed:
        if isinstance(error, self._http.ConnectTimeout):
            return RunFailed(f"{self.url} did not accept a connection in {self._timeout.connect} s")
        if isinstance(error, self._http.TimeoutException):
            return RunFailed(
                f"{self.url} was silent for {self._timeout.read:g} s; raise timeout=... "
                "if it is slow"
            )
        if isinstance(error, self._http.ConnectError):
            return RunFailed(f"cannot reach {self.url}; is the server running?")
        return RunFailed(
            f"the connection to {self.url} broke before the answer was complete "
            f"({type(error).__name__})"
        )

    def _parse(self, data: str) -> dict[str, Any]:
        if data.strip() == "[DONE]":
            return DONE
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise RunFailed(
                f"{self.url} sent garbage in its stream: {self._excerpt(data.encode())}"
            )
        if problem := value.get("error"):
            text = problem.get("message", problem) if isinstance(problem, dict) else problem
            said = self._excerpt(str(text).encode("utf-8", "replace"))
            raise RunFailed(f"{self.url} reported an error while answering: {said}")
        return value

    def _excerpt(self, raw: bytes) -> str:
        """Return the beginning of a body on one line, with the key blanked out."""
        text = raw.decode("utf-8", "replace")
        if key := self._key():
            text = text.replace(key, "[key]")
        text = " ".join(text.split())
        return (text[:200] + "...") if len(text) > 200 else text or "(empty)"


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine's loopback interface."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"{url!r} is no URL of a server; give e.g. http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise InvalidInput(
            "the URL holds a user name or password; give a key by api_key_env=NAME instead"
        )
    if parts.query:
        raise InvalidInput("the URL holds a query (?...); give the base URL alone")
    return url.rstrip("/")
