"""Starting a server that says when it is ready, and stops when asked, with streams open or not."""

import contextlib
import errno
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from equipoise.core.console import note
from equipoise.core.errors import InvalidInput
from equipoise.serving.security import ForeignRequests

_STOP_WITHIN = 1  # seconds that open requests get before they are cut


class _Server(uvicorn.Server):
    """Announces itself; a stop signal ends it and is not raised again afterwards."""

    def __init__(
        self, config: uvicorn.Config, address: str, on_ready: Callable[[str], object] | None
    ) -> None:
        super().__init__(config)
        self.address = address
        self.on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            note(f"ready {self.address}")
            if self.on_ready is not None:
                self.on_ready(self.address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # what is cut off from here on was asked to end: no traceback for it
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def serve(
    app: ASGIApp,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    path: str = "/",
    on_ready: Callable[[str], object] | None = None,
    stop_within: int = _STOP_WITHIN,
) -> None:
    """Serve an application until SIGINT or SIGTERM; then open streams get `stop_within` seconds.

    `ready URL` goes to standard error once requests are answered. On a loopback address only
    requests to that address or to `localhost` are answered.

    Args:
        app: an ASGI application; one with `state` learns there that the server is stopping.
        host: address to bind.
        port: 0 takes a free one.
        path: where the announced address points.
        on_ready: called once with the announced address; must return at once.
        stop_within: seconds that open requests get before they are cut.

    Raises:
        InvalidInput: the address or port cannot be bound.
    """
    bound = bind(host, port)
    shown = _shown(host)
    guarded = app
    if is_loopback(host):
        guarded = ForeignRequests(app, {"localhost", "127.0.0.1", "::1", host.strip("[]")})
    config = uvicorn.Config(
        guarded,
        log_level="error",
        access_log=False,
        timeout_graceful_shutdown=stop_within,
        server_header=False,
    )
    server = _Server(config, f"http://{shown}:{bound.getsockname()[1]}{path}", on_ready)
    state: Any = getattr(app, "state", None)
    if state is not None:
        state.is_stopping = lambda: server.should_exit
    with contextlib.closing(bound):
        server.run(sockets=[bound])


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address.

    Raises:
        InvalidInput: it is in use, not this machine's, or no address.
    """
    if not 0 <= port <= 65535:
        raise InvalidInput(f"port is {port}; it must lie between 0 (a free one) and 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host.strip("[]"), port))
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            raise InvalidInput(
                f"port {port} on {host} is in use; choose another, or 0 for a free one"
            ) from None
        raise InvalidInput(f"cannot bind {host}:{port}: {error.strerror or error}") from None
    return found


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only.

    >>> is_loopback("localhost"), is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(host: str) -> str:
    """Return the host as it stands in an address that can be opened from here."""
    name = host.strip("[]")
    if name in ("0.0.0.0", "", "::"):  # noqa: S104  compared, not bound
        name = "127.0.0.1"
    return f"[{name}]" if ":" in name else name
