"""Server-sent events: wire form, order, heartbeat, end with the server, source closed."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.serving import event_stream, format_event


def parse(wire: str) -> dict[str, str]:
    """Read one event as the standard says."""
    fields: dict[str, list[str]] = {}
    for line in wire.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
    return {name: "\n".join(values) for name, values in fields.items()}


def test_wire_form():
    assert format_event("hi") == "data: hi\n\n"
    assert format_event({"a": "é"}, "delta", "7") == 'id: 7\nevent: delta\ndata: {"a": "é"}\n\n'
    assert format_event("a\n\nb", "x") == "event: x\ndata: a\ndata: \ndata: b\n\n"


@pytest.mark.parametrize("name", ["a\nevent: b", "a\rdata: x", "a\r\n\r\ndata: x"])
def test_a_name_cannot_start_another_field(name):
    assert parse(format_event("t", name)) == {"event": "a", "data": "t"}


@given(st.text())
def test_any_text_survives(text):
    want = text.replace("\r\n", "\n").replace("\r", "\n")
    assert parse(format_event(text))["data"] == want


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_any_json_survives(value):
    assert json.loads(parse(format_event(value))["data"]) == value


def request(stopping: list[bool]) -> Any:
    state = SimpleNamespace(is_stopping=lambda: bool(stopping))
    return SimpleNamespace(app=SimpleNamespace(state=state))


async def collect(response: Any) -> list[str]:
    return [part async for part in response.body_iterator]


def test_events_come_in_order_and_the_stream_ends():
    async def source():
        yield "delta", {"n": 1}
        yield None, "plain"

    response = event_stream(request([]), source())
    parts = asyncio.run(collect(response))
    assert parts == [": open\n\n", 'event: delta\ndata: {"n": 1}\n\n', "data: plain\n\n"]
    assert response.media_type == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"


def test_silence_is_filled_and_a_stopping_server_ends_the_stream():
    stopping: list[bool] = []
    closed: list[bool] = []

    async def source():
        try:
            await asyncio.sleep(60)
            yield None, "never"
        finally:
            closed.append(True)

    async def run():
        parts = []
        async for part in event_stream(request(stopping), source(), heartbeat=0.25).body_iterator:
            parts.append(part)
            if len(parts) == 3:
                stopping.append(True)
        return parts

    assert asyncio.run(run())[:3] == [": open\n\n", ": alive\n\n", ": alive\n\n"]
    assert closed == [True]


def test_a_client_that_leaves_closes_the_source():
    closed: list[bool] = []

    async def source():
        try:
            while True:
                yield None, "x"
        finally:
            closed.append(True)

    async def run():
        body: Any = event_stream(request([]), source()).body_iterator
        await anext(body)
        await anext(body)
        await body.aclose()

    asyncio.run(run())
    assert closed == [True]


def test_a_source_that_fails_raises():
    async def source():
        yield None, "x"
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(collect(event_stream(request([]), source())))
