"""Connections that are used again: when they are, and for which server they are not."""

import asyncio
from contextlib import aclosing, asynccontextmanager

import pytest

from equipoise.core.errors import RunFailed
from equipoise.text.transport import DONE, Transport


class Server:
    """Counts connections; answers each request with a short chunked event stream."""

    def __init__(self, name="plain", *, lingers=False, breaks_second=False):
        self.name, self.lingers, self.breaks_second = name, lingers, breaks_second
        self.connections = self.requests = self.open = 0
        self.heads = []

    async def serve(self, reader, writer):
        self.connections += 1
        self.open += 1
        try:
            while await self._request(reader):
                self.requests += 1
                if self.breaks_second and self.requests == 2:
                    return
                head = f"HTTP/1.1 200 OK\r\nServer: {self.name}\r\nSet-Cookie: user=one\r\n"
                head += "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                writer.write(head.encode())
                for data in ('{"n": 1}', '{"n": 2}', "[DONE]"):
                    piece = f"data: {data}\n\n".encode()
                    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    await writer.drain()
                if self.lingers:
                    await reader.read()
                    return
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        except OSError:
            return
        finally:
            self.open -= 1
            writer.close()

    async def _request(self, reader):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        self.heads.append(head.decode().lower())
        lines = head.decode().lower().splitlines()
        length = next((line for line in lines if line.startswith("content-length:")), ":0")
        await reader.readexactly(int(length.partition(":")[2]))
        return True


@asynccontextmanager
async def started(server, **options):
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    transport = Transport(f"http://127.0.0.1:{port}/v1", tries=1, timeout=10.0, **options)
    try:
        yield transport
    finally:
        await transport.aclose()
        listening.close()
        for _ in range(400):
            if not server.open:
                break
            await asyncio.sleep(0.01)
        assert server.open == 0, "aclose left a connection open"


async def events(transport, count=3):
    found = []
    async with aclosing(transport.events("/x", {})) as stream:
        async for event in stream:
            found.append(event)
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize(
    ("options", "name", "connections"),
    [
        ({}, "plain", 3),
        ({"keep_alive": True}, "plain", 1),
        ({"keep_alive": True}, "llama.cpp", 3),
    ],
)
def test_connections_of_finished_streams(options, name, connections):
    async def work():
        server = Server(name)
        async with started(server, **options) as transport:
            for _ in range(3):
                assert await events(transport) == [{"n": 1}, {"n": 2}, DONE]
            assert (server.requests, server.connections) == (3, connections)

    asyncio.run(work())


def test_no_cookie_of_one_request_is_sent_with_the_next():
    async def work():
        server = Server()
        async with started(server, keep_alive=True) as transport:
            for _ in range(2):
                await events(transport)
            assert len(server.heads) == 2
            assert not any("cookie" in head for head in server.heads)

    asyncio.run(work())


def test_an_abandoned_stream_closes_its_connection():
    async def work():
        server = Server()
        async with started(server, keep_alive=True) as transport:
            assert await events(transport, 1) == [{"n": 1}]
            assert await events(transport) == [{"n": 1}, {"n": 2}, DONE]
            assert server.connections == 2

    asyncio.run(work())


def test_a_server_that_does_not_end_its_body_holds_nobody_up():
    async def work():
        server = Server(lingers=True)
        async with started(server, keep_alive=True) as transport:
            for _ in range(2):
                assert (await events(transport))[-1] is DONE
            assert server.connections == 2

    asyncio.run(work())


def test_a_kept_connection_that_breaks_is_said_and_the_next_request_takes_a_new_one():
    async def work():
        server = Server(breaks_second=True)
        async with started(server, keep_alive=True) as transport:
            assert (await events(transport))[-1] is DONE
            with pytest.raises(RunFailed, match="broke before"):
                await events(transport)
            assert (await events(transport))[-1] is DONE
            assert server.connections == 2

    asyncio.run(work())


def test_each_event_loop_has_its_own():
    """One transport, two loops: a connection of the first, which has ended, is of no use."""
    kept = []

    async def work(port):
        server = Server()
        listening = await asyncio.start_server(server.serve, "127.0.0.1", port)
        port = listening.sockets[0].getsockname()[1]
        if not kept:
            kept.append(Transport(f"http://127.0.0.1:{port}/v1", tries=1, keep_alive=True))
        for _ in range(2):
            assert (await events(kept[0]))[-1] is DONE
        await kept[0].aclose()
        listening.close()
        assert server.connections == 1
        return port

    asyncio.run(work(asyncio.run(work(0))))
