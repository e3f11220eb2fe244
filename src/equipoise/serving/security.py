"""What stands between the network and a server: headers, token, foreign pages, large bodies."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from equipoise.serving.errors import error_response, wants_json
from equipoise.serving.pages import frame_pages
from equipoise.serving.policy import HEADERS

_COOKIE = "equipoise_token"
_OPEN_PATHS = ("/static/", "/healthz")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class SecurityHeaders:
    """Adds the policy and its companions to every response that lacks them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if scope["path"].startswith("/static/"):
                    headers.setdefault("cache-control", "no-cache")  # kept, but asked about
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        return await self.app(scope, receive, send_with_headers)


class ForeignRequests:
    """Refuses what another site's page makes a browser send: a foreign `Host` or `Origin`.

    Without the check of `Host`, a name that its owner points to this machine would make a foreign
    page one of ours.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None = None) -> None:
        """Guard an app.

        Args:
            app: what to guard.
            hosts: host names, without port, that are this server's; None takes any.
        """
        self.app = app
        self.hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        request = Request({**scope, "type": "http", "method": scope.get("method", "GET")})
        reason = self._refusal(request)
        if reason is None:
            return await self.app(scope, receive, send)
        return await error_response(request, 403, reason, headers=HEADERS)(scope, receive, send)

    def _refusal(self, request: Request) -> str | None:
        host = request.headers.get("host", "")
        name = _split(f"//{host}").hostname or ""
        if self.hosts is not None and name not in self.hosts:
            return f"This server does not answer to the name {name!r}."
        origin = request.headers.get("origin")
        if origin is not None and _split(origin).netloc != host:
            return "This request comes from another site's page."
        if request.method not in _SAFE_METHODS and origin is None:
            site = request.headers.get("sec-fetch-site", "same-origin")
            if site not in ("same-origin", "none"):
                return "This request comes from another site's page."
        return None


def _split(address: str) -> SplitResult:
    """Return the parts of an address; what is no address has none."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", "", "", "")


class TokenGate:
    """Asks for a token: `Authorization: Bearer`, or once `?token=`, then a cookie."""

    def __init__(self, app: ASGIApp, token: str, open_paths: Iterable[str] = ()) -> None:
        """Guard an app.

        Args:
            app: what to guard.
            token: the secret.
            open_paths: beginnings of addresses that need no token, e.g. since they hold a proof.
        """
        self.app = app
        self.token = token.encode("utf-8")
        self.open_paths = (*_OPEN_PATHS, *open_paths)
        # the cookie proves the token without holding it
        self.proof = hmac.new(self.token, b"equipoise session", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        request = Request({**scope, "type": "http", "method": scope.get("method", "GET")})
        if request.url.path.startswith(self.open_paths) or self._is_known(request):
            return await self.app(scope, receive, send)
        given = request.query_params.get("token")
        if given is not None and self._matches(given.encode("utf-8", "replace")):
            if wants_json(request) or request.method not in _SAFE_METHODS:
                return await self.app(scope, receive, send)
            return await self._welcome(request)(scope, receive, send)
        return await self._refuse(request, given is not None)(scope, receive, send)

    def _matches(self, given: bytes) -> bool:
        return hmac.compare_digest(given, self.token)

    def _is_known(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._matches(given.strip().encode("latin-1")):
            return True
        cookie = request.cookies.get(_COOKIE, "")
        return hmac.compare_digest(cookie.encode("utf-8"), self.proof.encode("utf-8"))

    def _welcome(self, request: Request) -> Response:
        """Set the cookie and show the same page without the token in its address."""
        rest = [
            pair
            for pair in parse_qsl(request.url.query, keep_blank_values=True)
            if pair[0] != "token"
        ]
        path = "/" + request.url.path.lstrip("/\\")
        response = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), 303)
        secure = request.url.scheme == "https"
        response.set_cookie(_COOKIE, self.proof, httponly=True, samesite="lax", secure=secure)
        return response

    def _refuse(self, request: Request, tried: bool) -> Response:
        message = "That token is wrong." if tried else "This server asks for a token."
        headers = {"www-authenticate": "Bearer"}
        if wants_json(request):
            return error_response(request, 401, message, headers=headers)
        response = frame_pages().response(
            request, "token.html", status=401, title="Token", message=message, nav=()
        )
        response.headers.update(headers)
        return response


class BodyLimit:
    """Refuses request bodies past a limit, announced or not, before they are read whole."""

    def __init__(self, app: ASGIApp, limit: int, own: Mapping[str, int] | None = None) -> None:
        """Guard an app.

        Args:
            app: what to guard.
            limit: in bytes.
            own: limits of single paths.
        """
        self.app = app
        self.limit = limit
        self.own = own or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        limit = self.own.get(scope["path"], self.limit)
        message = f"The request is too large; at most {limit:,} bytes are taken."
        request = Request(scope)
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > limit:
            return await error_response(request, 413, message)(scope, receive, send)
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            part = await receive()
            received += len(part.get("body", b""))
            if received > limit:
                raise HTTPException(413, message)
            return part

        return await self.app(scope, receive_some, send)
