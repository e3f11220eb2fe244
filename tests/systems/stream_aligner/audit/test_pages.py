import asyncio
import gc
import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from equipoise.core.errors import MissingData
from equipoise.core.rooms import rooms
from equipoise.serving import build_app, room_mount
from equipoise.systems.stream_aligner.audit import pages
from equipoise.systems.stream_aligner.audit.events import EventHub, SegmentEvent
from equipoise.systems.stream_aligner.audit.log import AuditLog


def event(number: int, question: str = "What?") -> SegmentEvent:
    return SegmentEvent(
        1.0, "r", number, question, 0, "", "a fern", "a moss", "edit", 1.0, "open", "m", "k"
    )


@pytest.fixture
def root(tmp_path):
    gc.collect()  # no hub of an earlier test is live any more
    return tmp_path / "runs"


@pytest.fixture
def client(root) -> TestClient:
    mount = room_mount(rooms()["stream_aligner"])
    return TestClient(build_app([mount], runs_root=root), raise_server_exceptions=False)


def events_of(root, source: str, count: int, later: Any = lambda: None) -> list[Any]:
    """Return the first events of the page's stream, something done after the first."""
    state = SimpleNamespace(runs_root=root, is_stopping=lambda: False)
    request: Any = SimpleNamespace(
        app=SimpleNamespace(state=state), query_params={"source": source}
    )
    endpoint: Any = next(r for r in pages.routes() if getattr(r, "path", "").endswith("events"))

    async def run():
        response = await endpoint.endpoint(request)
        body, found = response.body_iterator, []
        await anext(body)
        while len(found) < count:
            part = await asyncio.wait_for(anext(body), 10)
            if part.startswith("event"):
                name, data = part.strip().split("\n")
                found.append((name[7:], json.loads(data[6:])))
                if len(found) == 1:
                    later()
        await body.aclose()
        return found

    return asyncio.run(run())


def test_without_answers_the_page_says_what_makes_some(client):
    page = client.get("/stream-aligner/")
    assert page.status_code == 200
    assert "equipoise stream-aligner demo" in page.text
    assert "data-events" not in page.text


def test_the_newest_audit_file_is_shown_and_others_can_be_chosen(client, root):
    for name in ("run-1", "run-2"):
        with AuditLog(root / "stream_aligner" / name / "audit.jsonl") as log:
            log.write(event(0))
    page = client.get("/stream-aligner/").text
    assert "stream_aligner%2Frun-" in page or "stream_aligner/run-" in page
    assert page.count("<option") == 2
    chosen = client.get("/stream-aligner/?source=stream_aligner/run-1/audit.jsonl").text
    assert 'value="stream_aligner/run-1/audit.jsonl" selected' in chosen
    for asset in ("diff.css", "diff.js"):
        assert client.get(f"/stream-aligner/equipoise/{asset}").status_code == 200


@pytest.mark.parametrize(
    "source", ["../secret.jsonl", "/etc/passwd", "http://127.0.0.1:1/x", "audit-x.jsonl", "live"]
)
def test_nothing_but_the_listed_sources_is_read(client, root, source):
    root.mkdir()
    (root.parent / "secret.jsonl").write_text("{}")
    page = client.get("/stream-aligner/", params={"source": source})
    assert page.status_code == 404
    assert "unknown source" in page.text
    answer = client.get("/stream-aligner/equipoise/events", params={"source": source})
    assert answer.status_code == 404
    with pytest.raises(MissingData, match="unknown source"):
        events_of(root, source, 1)


def test_a_file_is_replayed_and_followed(root):
    with AuditLog(root / "audit.jsonl") as log:
        log.write(event(0))
        log.write(event(1))

        def later() -> None:
            log.write_request({"broken": True})
            log.write(event(2))

        found = events_of(root, "audit.jsonl", 4, later)
    assert [name for name, _ in found] == ["segment", "segment", "segment", "skipped"]
    assert [data["round"] for _, data in found[:3]] == [0, 1, 2]
    assert found[3][1] == {"count": 1}
    assert found[0][1] == event(0).record()


def test_live_events_of_this_process_come_first(client, root):
    hub = EventHub()
    hub.publish(event(7))
    with AuditLog(root / "audit.jsonl") as log:
        log.write(event(0))
    page = client.get("/stream-aligner/").text
    assert 'value="live" selected' in page
    assert events_of(root, "live", 1)[0][1]["round"] == 7
    assert events_of(root, "audit.jsonl", 1)[0][1]["round"] == 0


def test_names_of_files_are_escaped(client, root):
    folder = root / "stream_aligner" / "<b>&run"
    with AuditLog(folder / "audit.jsonl") as log:
        log.write(event(0))
    page = client.get("/stream-aligner/").text
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;run" in page
