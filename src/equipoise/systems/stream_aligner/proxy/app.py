"""The proxy as an ASGI application: OpenAI's addresses, keys, readiness, metrics, live page."""

import asyncio
import hashlib
import hmac
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from equipoise.serving import build_app
from equipoise.serving.admission import Admission
from equipoise.serving.keys import Grant, bearer, digest_of
from equipoise.systems.stream_aligner.audit import diff_page
from equipoise.systems.stream_aligner.audit.log import AuditLog
from equipoise.systems.stream_aligner.proxy.chat_wire import unsupported_path
from equipoise.systems.stream_aligner.proxy.config import ProxyConfig
from equipoise.systems.stream_aligner.proxy.errors import ProxyError, as_proxy_error, json_response
from equipoise.systems.stream_aligner.proxy.exchange import AnswerEndpoint
from equipoise.systems.stream_aligner.proxy.recording import Records
from equipoise.systems.stream_aligner.proxy.reloading import Reloader, Settings
from equipoise.systems.stream_aligner.proxy.upstream_local import open_answer_upstream
from equipoise.systems.stream_aligner.proxy.upstream_parts import AnswerUpstream

SUPPORTED = ("/v1/chat/completions", "/v1/completions", "/v1/models")
_LOOK_EVERY = 1.0  # seconds between two looks at the files that may change
_RELOAD_WAIT = 2.0  # seconds that a request waits for a changed file to be read
_COOKIE = "equipoise_proxy"
_NO_LIMIT = 2**62  # bodies are measured by the routes, in OpenAI's form of error


class Desk:
    """What all exchanges of a proxy share.

    Args:
        config: as given.

    Attributes:
        upstream: the model.
        records: audit, events, metrics.
        admission: how many answers at once.
        max_body: largest request, bytes.
    """

    def __init__(self, config: ProxyConfig) -> None:
        self._reloader = Reloader(config)
        fixed = self._reloader.settings.config
        audit = None
        if fixed.audit is not None:
            audit = AuditLog(fixed.audit, redact=fixed.audit_redact)
        self.records = Records(audit)
        self.admission = Admission(fixed.max_concurrent, fixed.queue)
        self.max_body = fixed.max_body
        self.upstream: AnswerUpstream = open_answer_upstream(fixed)
        self._reloading: asyncio.Future[None] | None = None
        self._secret = secrets.token_bytes(32)
        self._proofs: dict[str, str] = {}  # what a cookie holds -> digest of the key
        self._closed = False

    @property
    def settings(self) -> Settings:
        """The settings for the next answer."""
        return self._reloader.settings

    async def refresh(self, *, all_of_it: bool = False) -> None:
        """Read changed files; a corrector that takes long to load takes over when it is there."""
        if all_of_it or self._reloader.keys.changed():
            await asyncio.to_thread(self._reloader.reload_keys, anyway=all_of_it)
        if not all_of_it and not self._reloader.changed():
            return
        if self._reloading is None or self._reloading.done() or all_of_it:
            reload = asyncio.to_thread(self._reloader.reload, all_of_it=all_of_it)
            self._reloading = asyncio.ensure_future(reload)
        await asyncio.wait([self._reloading], timeout=_RELOAD_WAIT)

    async def authorise(self, http: Request) -> Grant:
        """Return what the request's key may do.

        Raises:
            ProxyError: 401 for a missing or unknown key.
        """
        await self.refresh()
        given = bearer(http.headers)
        grant = self._reloader.keys.find(given)
        if grant is None:
            message = "this key is not known" if given else "this server asks for a key"
            raise ProxyError(401, message, code="invalid_api_key")
        return grant

    @property
    def asks_for_keys(self) -> bool:
        """Whether requests need a key."""
        return self._reloader.keys.asks

    def knows(self, given: str | None) -> bool:
        """Return whether a key is known."""
        return self._reloader.keys.find(given) is not None

    def proof_of(self, key: str) -> str:
        """Return what proves a key without holding it, for as long as this process runs."""
        proof = hmac.new(self._secret, key.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
        self._proofs[proof] = digest_of(key)
        return proof

    def takes_proof(self, given: str) -> bool:
        """Return whether a cookie proves a key that is still known."""
        digest = self._proofs.get(given)
        return digest is not None and self._reloader.keys.knows_digest(digest)

    def refuse_when_stopping(self, http: Request) -> None:
        """Raise 503 while the server is stopping."""
        if is_stopping(http):
            raise ProxyError(503, "the server is stopping", code="draining", retry_after=5.0)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count an answer under way."""
        active = self.records.metrics.active
        active.inc()
        try:
            yield
        finally:
            active.dec()

    def close(self) -> None:
        """Stop a local upstream, close the audit log and the corrector; once."""
        if not self._closed:
            self._closed = True
            self.upstream.close()
            self.records.close()
            self.settings.reviewer.retire()


def create_app(config: ProxyConfig) -> Starlette:
    """Return the proxy of a configuration; a local upstream is started, the corrector loaded.

    Raises:
        InvalidInput: the configuration, a corrector, a rules or keys file cannot be used.
        RunFailed: a local upstream does not start, or the audit file cannot be written.
    """
    desk = Desk(config)
    routes: list[BaseRoute] = [
        Route("/v1/chat/completions", AnswerEndpoint("chat", desk), methods=["POST"]),
        Route("/v1/completions", AnswerEndpoint("completions", desk), methods=["POST"]),
        Route("/v1/models", _guarded(desk, _models), methods=["GET"]),
        Route("/readyz", _guarded(desk, _ready)),
        Route("/metrics", _guarded(desk, _metrics)),
        *(_guard_route(desk, route) for route in diff_page.routes(desk.records.hub)),
        Route(
            "/v1/{path:path}",
            _guarded(desk, _unsupported),
            methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        ),
    ]
    app = build_app(
        routes, site="Stream Aligner", nav=[("Live", "/diff")], body_limit=_NO_LIMIT, desk=desk
    )
    app.router.lifespan_context = _lifespan(desk)
    return app


def is_stopping(http: Request) -> bool:
    """Return whether the server has been told to stop."""
    return bool(getattr(http.app.state, "is_stopping", lambda: False)())


def _lifespan(desk: Desk) -> Callable[[Starlette], Any]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()

        def reload_all() -> None:
            tasks.append(loop.create_task(desk.refresh(all_of_it=True)))

        # SIGHUP ends a process that does not take it; only the main thread may take signals
        with suppress(NotImplementedError, RuntimeError, ValueError, AttributeError):
            loop.add_signal_handler(signal.SIGHUP, reload_all)
        tasks = [loop.create_task(_look_after(desk)), loop.create_task(desk.upstream.prepare(None))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(NotImplementedError, RuntimeError, ValueError, AttributeError):
                loop.remove_signal_handler(signal.SIGHUP)
            await desk.upstream.aclose()
            desk.close()

    return lifespan


async def _look_after(desk: Desk) -> None:
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        await desk.refresh()


Handler = Callable[[Desk, Request], Awaitable[Response]]


def _guarded(desk: Desk, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return a request handler that asks for a key and answers every fault in OpenAI's form."""

    async def answer(http: Request) -> Response:
        try:
            if not desk.takes_proof(http.cookies.get(_COOKIE, "")):
                await desk.authorise(http)
            return await handler(desk, http)
        except Exception as error:  # noqa: BLE001 - every fault gets OpenAI's form
            problem = as_proxy_error(error)
            if http.url.path.startswith("/v1/") or problem.status == 401:
                desk.records.metrics.requests.labels(str(problem.status)).inc()
            return problem.response()

    return answer


async def _models(desk: Desk, http: Request) -> Response:
    grant = await desk.authorise(http)
    return json_response(await desk.upstream.models(grant.entry.upstream_key_env))


async def _ready(desk: Desk, http: Request) -> Response:
    reasons = []
    if is_stopping(http):
        reasons.append("the server is stopping")
    if not await asyncio.to_thread(desk.records.check_writable):
        reasons.append("the audit log cannot be written")
    try:
        await desk.upstream.models()
    except Exception as error:  # noqa: BLE001 - whatever it is, the upstream is not there
        reasons.append(f"upstream: {as_proxy_error(error)}")
    body = {"ready": not reasons, "reasons": reasons}
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return json_response(body, status, {"cache-control": "no-store"})


async def _metrics(desk: Desk, http: Request) -> Response:
    page, kind = desk.records.metrics.page()
    return Response(page, headers={"content-type": kind})


async def _unsupported(desk: Desk, http: Request) -> Response:
    path = http.url.path
    raise unsupported_path(path, SUPPORTED, method_only=path in SUPPORTED)


def _guard_route(desk: Desk, route: BaseRoute) -> BaseRoute:
    """Return a page's route behind the keys: a bearer key, or once `?token=`, then a cookie."""
    if not isinstance(route, Route):
        return route
    show = route.endpoint

    async def answer(http: Request) -> Response:
        await desk.refresh()
        has_cookie = desk.takes_proof(http.cookies.get(_COOKIE, ""))
        if not desk.asks_for_keys or desk.knows(bearer(http.headers)) or has_cookie:
            return await show(http)
        given = http.query_params.get("token")
        if not desk.knows(given) or given is None:
            desk.records.metrics.requests.labels("401").inc()
            message = "this page asks for a key: open it once with ?token=KEY"
            return ProxyError(401, message, code="invalid_api_key").response()
        response = RedirectResponse(http.url.path, 303)
        response.set_cookie(_COOKIE, desk.proof_of(given), httponly=True, samesite="strict")
        return response

    return Route(route.path, answer, methods=list(route.methods or ["GET"]))
