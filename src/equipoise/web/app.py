"""Making and starting the studio; nothing of the web stack is loaded until then."""

import os
import secrets
import webbrowser
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

from equipoise.core.errors import InvalidInput
from equipoise.core.extras import require

if TYPE_CHECKING:
    from starlette.applications import Starlette

_SHORTEST_TOKEN = 8


def create_app(runs_root: str | Path = "runs", *, token: str | None = None) -> "Starlette":
    """Return the studio as an ASGI application.

    Args:
        runs_root: folder of the run folders, read at each request; it may be empty or absent.
        token: asked of every request where given.

    Raises:
        MissingExtra: the web stack is not installed.
    """
    for module in ("starlette", "jinja2"):
        require(module, "web")
    from equipoise.core.rooms import rooms
    from equipoise.serving import build_app, room_mount
    from equipoise.web.run_index import RunIndex
    from equipoise.web.studio import NAVIGATION, routes

    mounts = [room_mount(room) for room in rooms().values() if room.pages]
    return build_app(
        [*routes(), *mounts],
        nav=NAVIGATION,
        token=token,
        index=RunIndex(Path(runs_root)),
        runs_root=Path(runs_root),
    )


def serve_studio(
    *,
    host: str = "127.0.0.1",
    port: int = 8320,
    runs_root: str | Path = "runs",
    token_env: str | None = None,
    open_browser: bool = False,
) -> None:
    """Serve the studio until SIGINT or SIGTERM; `ready URL` goes to standard error.

    Args:
        host: address to listen on. Anything but loopback asks for a token.
        port: 0 takes a free one.
        runs_root: folder of the run folders.
        token_env: environment variable that holds the token. Where it is not set, a server that
            others can reach makes one up, shown once in the announced address.
        open_browser: open the start page.

    Raises:
        MissingExtra: the web stack is not installed.
        InvalidInput: the address cannot be bound, or the token is too short.
    """
    for module in ("starlette", "jinja2", "uvicorn"):
        require(module, "web")
    from equipoise.serving import is_loopback, serve

    token = os.environ.get(token_env) if token_env else None
    if token and len(token) < _SHORTEST_TOKEN:
        raise InvalidInput(
            f"the token in {token_env} is too short; use at least {_SHORTEST_TOKEN} characters"
        )
    path = "/"
    if not token and not is_loopback(host):
        token = secrets.token_urlsafe(24)
        path = f"/?token={token}"  # made up here, so this is the one place where it can be read

    def open_page(address: str) -> None:
        opener = Timer(0.1, webbrowser.open, [address])
        opener.daemon = True
        opener.start()

    app = create_app(runs_root, token=token or None)
    serve(app, host, port, path=path, when_ready=open_page if open_browser else None)
