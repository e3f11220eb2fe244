"""Server-sent events: the standard's rules, at every way of cutting the bytes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import RunFailed
from equipoise.text import SseEvent, SseReader
from equipoise.text.sse import MAX_EVENT_CHARACTERS

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=12)
EVENTS = st.lists(st.lists(TEXT, min_size=1, max_size=3), max_size=5)


def read(data: bytes, cuts: list[int]) -> list[SseEvent]:
    reader = SseReader()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [e for a, b in pairwise(places) for e in reader.feed(data[a:b])]


@given(EVENTS, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 10_000)))
def test_any_cutting_gives_the_same_events(events, ending, cuts):
    lines = [line for event in events for line in [*(f"data: {d}" for d in event), ""]]
    data = "".join(line + ending for line in lines).encode()
    got = read(data, cuts)
    # with bare CR the last blank line is complete only when it is sure that no LF follows, which
    # this reader does not wait for
    assert [event.data for event in got] == ["\n".join(event) for event in events]


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000)))
def test_garbage_never_raises_and_cutting_does_not_matter(data, cuts):
    assert read(data, cuts) == read(data, [])
    assert read(data, list(range(len(data)))) == read(data, [])


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: a\ndata: b\n\n", [SseEvent("a\nb")]),
        (b"data:a\n\n", [SseEvent("a")]),
        (b"data:  a\n\n", [SseEvent(" a")]),
        (b"data\n\n", [SseEvent("")]),
        (b": ping\n\ndata: a\n\n", [SseEvent("a")]),
        (b"event: error\ndata: a\nid: 7\n\n", [SseEvent("a", "error", "7")]),
        (b"event: only\n\ndata: a\n\n", [SseEvent("a")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [SseEvent("a", id="1"), SseEvent("b", id="1")]),
        (b"\xef\xbb\xbfdata: a\n\n", [SseEvent("a")]),
        (b"data: \xff\n\n", [SseEvent("\ufffd")]),
        (b"retry: 10\nunknown: x\n<html>\n\n", []),
        (b"data: unfinished\n", []),
        ("data: caf\u00e9 \U0001f33c\n\n".encode(), [SseEvent("caf\u00e9 \U0001f33c")]),
    ],
)
def test_the_standards_rules(data, events):
    assert read(data, []) == events
    assert read(data, list(range(len(data)))) == events


def test_an_event_is_returned_by_the_chunk_that_completes_it():
    reader = SseReader()
    assert reader.feed(b"data: a\r\n\r") == [SseEvent("a")]
    assert reader.feed(b"\ndata: b\r\n\r\n") == [SseEvent("b")]


def test_an_endless_event_is_refused():
    reader = SseReader()
    half = b"x" * (MAX_EVENT_CHARACTERS // 2)
    assert reader.feed(half) + reader.feed(half) == []
    with pytest.raises(RunFailed, match="does not send server-sent events"):
        reader.feed(half)
