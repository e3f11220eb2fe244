"""`equipoise studio`: the web app."""

from pathlib import Path


def studio(
    *,
    host: str = "127.0.0.1",
    port: int = 8320,
    runs: Path = Path("runs"),
    token_env: str = "EQUIPOISE_TOKEN",  # noqa: S107
    open: bool = False,
) -> None:
    """Serve the studio until Ctrl-C; prints `ready URL` on standard error.

    Args:
        host: address to listen on; anything but loopback asks for a token.
        port: port; 0 takes a free one.
        runs: folder of the runs.
        token_env: environment variable that holds the token.
        open: open the start page in the browser.
    """
    from equipoise.web import serve_studio

    serve_studio(host=host, port=port, runs_root=runs, token_env=token_env, open_browser=open)
