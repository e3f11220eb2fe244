import asyncio
import dataclasses
import gc
import threading
import time
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.audit.events import (
    EventHub,
    Missed,
    SegmentEvent,
    bounded_diff,
    is_late,
    live_hub,
)

KEYS = [
    "time",
    "request_id",
    "round",
    "question",
    "prefix_chars",
    "leading",
    "original",
    "corrected",
    "verdict",
    "diff",
    "corrector_ms",
    "policy",
    "model",
    "key_name",
]


def event(number: int = 0, original: str = "1 + 1 = 3.", corrected: str = "1 + 1 = 2.", note=""):
    verdict = "copy" if original == corrected else "edit"
    return SegmentEvent(
        1.5, "r", number, "?", 0, "", original, corrected, verdict, 2.5, "closed", "m", "k", note
    )


def test_the_record_has_the_keys_of_an_audit_line_in_order():
    record = event().record()
    assert list(record) == KEYS
    assert record["diff"] == [
        ["equal", "1 + 1 = ", "1 + 1 = "],
        ["replace", "3", "2"],
        ["equal", ".", "."],
    ]
    assert record["time"] == 1.5
    assert event(note="late").record() == record | {"note": "late"}


@given(st.text(), st.text())
def test_the_difference_joins_to_both_texts(original, corrected):
    record = event(original=original, corrected=corrected).record()
    assert "".join(a for _, a, _ in record["diff"]) == record["original"]
    assert "".join(b for _, _, b in record["diff"]) == record["corrected"]


def test_halves_of_surrogate_pairs_do_not_reach_the_record():
    record = event(original="a \ud83d b", corrected="c \udc00").record()
    assert (record["original"], record["corrected"]) == ("a \ufffd b", "c \ufffd")
    assert str(record).encode()


def test_very_long_texts_are_compared_at_once():
    long = "word and " * 20_000
    start = time.monotonic()
    (op,) = bounded_diff(long, long[:-9])
    assert (op.kind, op.original, op.corrected) == ("replace", long, long[:-9])
    assert [op.kind for op in bounded_diff(long, long)] == ["equal"]
    assert bounded_diff("", "") == ()
    assert time.monotonic() - start < 30  # the comparison of words would take minutes


def test_an_event_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        event().round = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("note", "late"), [("late", True), ("late: 5 s", True), ("", False), ("latency", False)]
)
def test_late(note, late):
    assert is_late(note) is late


async def take(subscription: AsyncGenerator, count: int) -> list:
    return [await asyncio.wait_for(anext(subscription), 5) for _ in range(count)]


def test_a_subscriber_gets_the_backlog_then_what_comes():
    async def run():
        hub = EventHub(backlog=3)
        for number in range(5):
            hub.publish(event(number))
        reading = hub.subscribe()
        before = await take(reading, 3)
        hub.publish(event(5))
        after = await take(reading, 1)
        await reading.aclose()
        return [one.round for one in before + after]

    assert asyncio.run(run()) == [2, 3, 4, 5]


@given(st.integers(1, 8), st.integers(0, 40))
def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many(backlog, published):
    async def run():
        hub = EventHub(backlog=backlog)
        hub.publish(event(0))
        reading = hub.subscribe()
        assert (await take(reading, 1))[0].round == 0
        for number in range(1, published + 1):
            hub.publish(event(number))
        lost = max(0, published - backlog)
        expected: list = [Missed(lost)] if lost else []
        expected += [event(number) for number in range(lost + 1, published + 1)]
        got = await take(reading, len(expected))
        await reading.aclose()
        assert got == expected

    asyncio.run(run())


def test_one_who_reads_nothing_holds_up_no_one():
    async def run():
        hub = EventHub()
        slow, quick = hub.subscribe(), hub.subscribe()
        hub.publish(event(0))
        await take(slow, 1)
        seen = []
        for number in range(2_000):
            hub.publish(event(number))
            if number % 50 == 0:
                seen += await take(quick, 1)
        assert hub.subscribers == 2
        await slow.aclose()
        await quick.aclose()
        assert hub.subscribers == 0
        return seen

    assert len(asyncio.run(run())) == 40


def test_publishing_from_other_threads_reaches_every_subscriber_once():
    async def run():
        hub = EventHub(backlog=500)
        readings = [hub.subscribe() for _ in range(3)]
        firsts = [asyncio.ensure_future(take(reading, 400)) for reading in readings]
        await asyncio.sleep(0)

        def publish(start):
            for number in range(start, start + 100):
                hub.publish(event(number))

        threads = [threading.Thread(target=publish, args=(100 * k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        found = await asyncio.gather(*firsts)
        for thread in threads:
            thread.join()
        for reading in readings:
            await reading.aclose()
        return [sorted(one.round for one in part) for part in found]

    assert asyncio.run(run()) == [list(range(400))] * 3


def test_a_reader_whose_loop_has_ended_harms_no_one():
    hub = EventHub()
    hub.publish(event(0))
    reading = hub.subscribe()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(anext(reading))
    loop.close()
    hub.publish(event(1))
    hub.publish(event(2))


def test_the_live_hub_is_the_one_that_published_last_while_it_lives():
    first, second = EventHub(), EventHub()
    first.publish(event())
    assert live_hub() is first
    second.publish(event())
    assert live_hub() is second
    del second
    gc.collect()
    assert live_hub() is None


@pytest.mark.parametrize("backlog", [0, -1, True, 2.5])
def test_a_backlog_holds_at_least_one(backlog):
    with pytest.raises(InvalidInput, match="backlog"):
        EventHub(backlog)
