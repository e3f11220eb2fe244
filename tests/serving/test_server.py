"""Binding, the line that says ready, stopping with a stream open."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.serving import is_loopback
from equipoise.serving.server import bind

SERVER = textwrap.dedent(
    """
    import asyncio, sys
    from starlette.routing import Route
    from equipoise.serving import build_app, event_stream, serve

    async def silent():
        while True:
            await asyncio.sleep(60)
            yield None, "x"

    async def stream(request):
        return event_stream(request, silent())

    async def deaf(request):
        await asyncio.sleep(60)

    app = build_app([Route("/stream", stream), Route("/deaf", deaf)])
    serve(app, port=0, path="/stream", on_ready=lambda url: print("told", url, flush=True))
    print("after", flush=True)
    """
)


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_is_loopback(host, answer):
    assert is_loopback(host) is answer


def test_port_zero_takes_a_free_one():
    with bind("127.0.0.1", 0) as one, bind("127.0.0.1", 0) as other:
        assert one.getsockname()[1] != other.getsockname()[1] > 0


def test_a_port_in_use_and_wrong_addresses_are_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"port {port} on 127.0.0.1 is in use.*0 for a free"):
            bind("127.0.0.1", port)
    with pytest.raises(InvalidInput, match="port is 70000; it must lie between 0"):
        bind("127.0.0.1", 70000)
    with pytest.raises(InvalidInput, match=r"cannot bind 203\.0\.113\.7:0"):
        bind("203.0.113.7", 0)


@pytest.mark.standard
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("path", ["stream", "deaf"])
def test_a_signal_stops_it_with_requests_open(number, path):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
    try:
        assert process.stderr is not None
        word, url = process.stderr.readline().split()
        assert word == "ready"
        assert url.endswith("/stream")
        address = url.removeprefix("http://").removesuffix("/stream")
        host, port = address.split(":")
        foreign = urllib.request.Request(
            f"http://{address}/healthz", headers={"Host": "elsewhere.example"}
        )
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(foreign)
        with socket.create_connection((host, int(port))) as open_one:
            open_one.sendall(f"GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            if path == "stream":
                assert b"200" in open_one.recv(100)
            else:
                time.sleep(0.3)
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
        assert process.returncode == 0
        assert out.splitlines() == [f"told {url}", "after"]
        assert "Traceback" not in err
    finally:
        process.kill()
        process.communicate()
