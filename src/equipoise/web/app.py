"""The studio as one application, and its start on an address."""

import os
import secrets
import threading
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.core.extras import require
from equipoise.core.rooms import rooms


def create_app(runs_root: str | Path = "runs", *, token: str | None = None) -> Any:
    """Return the studio: rooms, runs, reports, comparisons, and every room's own pages.

    Args:
        runs_root: folder of the runs; looked into at every request, need not exist yet.
        token: asked for where given.

    Returns:
        An ASGI application.

    Raises:
        InvalidInput: `runs_root` is a file.
        MissingExtra: what the web needs is not installed.
    """
    for module in ("starlette", "jinja2", "uvicorn"):
        require(module, "web")
    from equipoise.serving import build_app, room_mount
    from equipoise.web.routes import routes
    from equipoise.web.run_files import RunFiles
    from equipoise.web.run_index import RunIndex

    root = Path(runs_root).absolute()
    if root.exists() and not root.is_dir():
        raise InvalidInput(f"{runs_root} is a file; name the folder of the runs")
    index = RunIndex(root)
    mounts = [room_mount(room) for room in rooms().values() if room.pages]
    return build_app(
        [*routes(), *mounts],
        nav=(("Rooms", "/"), ("Runs", "/runs"), ("Compare", "/compare")),
        token=token,
        open_paths=("/files/",),
        runs_root=root,
        index=index,
        files=RunFiles(index),
    )


def serve_studio(
    *,
    host: str = "127.0.0.1",
    port: int = 8320,
    runs_root: str | Path = "runs",
    token_env: str = "EQUIPOISE_TOKEN",  # noqa: S107  a variable's name
    open_browser: bool = False,
) -> None:
    """Serve the studio until SIGINT or SIGTERM; prints `ready URL` on standard error.

    Args:
        host: address to listen on; anything but loopback asks for a token.
        port: 0 takes a free one.
        runs_root: folder of the runs.
        token_env: environment variable with the token; where it is empty one is made, and stands
            in the announced address.
        open_browser: open the announced address.

    Raises:
        InvalidInput: the address or port cannot be bound, or `runs_root` is a file.
        MissingExtra: what the web needs is not installed.
    """
    require("uvicorn", "web")
    from equipoise.serving import is_loopback, serve

    token, path = None, "/"
    if not is_loopback(host):
        token = os.environ.get(token_env, "").strip()
        if not token:
            token = secrets.token_urlsafe(24)
            path = f"/?token={token}"
    app = create_app(runs_root, token=token)
    serve(app, host, port, path=path, on_ready=_open if open_browser else None)


def _open(address: str) -> None:
    """Open an address in the browser, which may wait for the server's answer."""
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
