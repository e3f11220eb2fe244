import asyncio
import json
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from equipoise.serving import POLICY, build_app
from equipoise.systems.stream_aligner.audit.diff_page import (
    MOST_READERS,
    hub_events,
    routes,
    stream_to,
)
from equipoise.systems.stream_aligner.audit.events import EventHub, SegmentEvent


def event(number: int, text: str = "<script>alert(1)</script>"):
    return SegmentEvent(
        1.0, "r", number, text, 0, "", text, "safe", "edit", 2.0, "closed", "m", "k", text
    )


@pytest.fixture(params=["bare", "guarded"])
def client(request) -> TestClient:
    found = routes(EventHub())
    app = Starlette(routes=found) if request.param == "bare" else build_app(found)
    return TestClient(app)


def test_the_page_and_all_it_asks_for_come_from_here_under_the_policy(client):
    page = client.get("/diff")
    assert page.status_code == 200
    asked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert sorted(asked) == [
        "data:,",
        "equipoise/diff.css",
        "equipoise/diff.js",
        "equipoise/frame.css",
    ]
    for name, kind in (("diff.css", "css"), ("diff.js", "javascript"), ("frame.css", "css")):
        answer = client.get(f"/equipoise/{name}")
        assert answer.status_code == 200
        assert kind in answer.headers["content-type"]
        assert "http" not in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert page.headers["content-security-policy"] == POLICY
    assert "style=" not in page.text
    assert not re.search(r"<script>|<style|\son\w+=", page.text)


def test_the_page_names_every_verdict_and_its_key(client):
    page = client.get("/diff").text
    for key, verdict in enumerate(("copy", "edit", "drop", "stop", "unreviewed"), 1):
        assert re.search(f'data-verdict="{verdict}"[^>]*aria-keyshortcuts="{key}"', page)
    assert 'aria-live="polite"' in page


def test_nothing_else_lies_below_equipoise(client):
    for path in ("/equipoise/", "/equipoise/..%2fevents.py", "/equipoise/diff.html"):
        assert client.get(path).status_code == 404


def request(stopping: list[bool]) -> Any:
    state = SimpleNamespace(is_stopping=lambda: bool(stopping))
    return SimpleNamespace(app=SimpleNamespace(state=state))


async def parts_of(hub: EventHub, count: int, later: list[SegmentEvent]) -> list[str]:
    """Return the first parts that a reader gets, some events published while it reads."""
    response: Any = stream_to(request([]), hub_events(hub), hub.subscribers)
    body, parts = response.body_iterator, []
    while len(parts) < count:
        parts.append(await asyncio.wait_for(anext(body), 5))
        if len(parts) == 2:
            for one in later:
                hub.publish(one)
    await body.aclose()
    assert hub.subscribers == 0
    assert response.headers["content-security-policy"] == POLICY
    assert response.media_type == "text/event-stream"
    return parts


def test_events_are_replayed_then_come_as_they_are_published():
    hub = EventHub(backlog=2)
    for number in range(4):
        hub.publish(event(number))
    parts = asyncio.run(parts_of(hub, 4, [event(9)]))
    assert parts[0] == ": open\n\n"
    names, data = zip(*(part.strip().split("\n") for part in parts[1:]))
    assert set(names) == {"event: segment"}
    records = [json.loads(line.removeprefix("data: ")) for line in data]
    assert [record["round"] for record in records] == [2, 3, 9]
    assert records[0] == event(2).record()


def test_a_reader_that_is_too_slow_is_told_how_many_it_missed():
    hub = EventHub(backlog=2)
    hub.publish(event(0))
    parts = asyncio.run(parts_of(hub, 5, [event(number) for number in range(1, 8)]))
    assert parts[2] == 'event: missed\ndata: {"count": 5}\n\n'
    assert '"round": 6' in parts[3]


def test_hostile_text_stays_inside_its_event():
    hub = EventHub()
    hub.publish(event(0, "a\n\nevent: fake\ndata: {}\r\n\u2028\0\ud800 😀"))
    (_, part) = asyncio.run(parts_of(hub, 2, []))
    assert part.count("\n") == 3
    assert json.loads(part.split("data: ", 1)[1])["original"].endswith("\ufffd 😀")
    assert part.encode("utf-8")


def test_too_many_readers_are_refused():
    answer = stream_to(request([]), hub_events(EventHub()), MOST_READERS)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert b"close one of them" in bytes(answer.body)


def test_a_stopping_server_ends_the_stream():
    async def run():
        response: Any = stream_to(request([True]), hub_events(EventHub()), 0)
        return [part async for part in response.body_iterator]

    assert asyncio.run(run()) == [": open\n\n"]


def test_the_page_loads_no_torch():
    line = (
        "import sys, equipoise.systems.stream_aligner.audit.diff_page, "
        "equipoise.systems.stream_aligner.audit.log, equipoise.systems.stream_aligner.audit.pages; "
        "print([m for m in ('torch', 'transformers', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
