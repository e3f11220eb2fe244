"""The event loop of callers that have none."""

import asyncio
import time

import pytest

from equipoise.core.errors import RunFailed
from equipoise.text import chat
from equipoise.text.interface import Delta, make_request
from equipoise.text.remote import LoopThread, RemoteGeneration


async def numbers(count, log, pause=0.0):
    try:
        for number in range(count):
            log.append(number)
            yield number
            await asyncio.sleep(pause)
    finally:
        log.append("closed")


@pytest.fixture
def loop():
    thread = LoopThread()
    yield thread
    thread.close()


def wait_for(condition, seconds=3.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_run_returns_and_raises(loop):
    async def answer():
        return 42

    async def fail():
        raise RunFailed("no")

    assert loop.run(answer()) == 42
    with pytest.raises(RunFailed, match=r"^no$"):
        loop.run(fail())


def test_iterate_yields_all_and_passes_errors_on(loop):
    async def failing():
        yield 1
        raise RunFailed("midway")

    log: list = []
    assert list(loop.iterate(numbers(5, log))) == [0, 1, 2, 3, 4]
    assert log[-1] == "closed"
    items = loop.iterate(failing())
    assert next(items) == 1
    with pytest.raises(RunFailed, match="midway"):
        next(items)


def test_a_slow_reader_holds_the_source_back(loop):
    log: list = []
    items = loop.iterate(numbers(1000, log))
    next(items)
    time.sleep(0.1)
    assert len(log) <= 4
    items.close()
    assert wait_for(lambda: log[-1] == "closed")
    assert len(log) <= 6


def test_close_cancels_what_runs_and_later_calls_say_so():
    thread, log = LoopThread(), []
    items = thread.iterate(numbers(10, log, pause=60))
    assert next(items) == 0
    thread.close()
    thread.close()
    assert log == [0, "closed"]

    async def nothing():
        return None

    with pytest.raises(RunFailed, match="has been closed"):
        thread.run(nothing())


def generation(delays, log, concurrency=2):
    async def deltas(request):
        name = request.messages[0]["content"]
        log.append(name)
        try:
            await asyncio.sleep(delays[name])
            if name == "bad":
                raise RunFailed("bad item")
            yield Delta(name)
            yield Delta("", "stop", 1, 1)
        finally:
            log.append(f"end {name}")

    return RemoteGeneration(deltas, batch_concurrency=concurrency)


def test_a_batch_keeps_its_order_and_its_bound():
    log: list[str] = []
    remote = generation({"a": 0.05, "b": 0.0, "c": 0.0}, log)
    done = remote.generate_batch([make_request(chat(name), {}) for name in "abc"])
    assert [completion.text for completion in done] == ["a", "b", "c"]
    assert log.index("c") > log.index("end b")
    remote.close()


def test_a_failure_ends_the_batch_with_its_own_error():
    log: list[str] = []
    remote = generation({"bad": 0.0, "slow": 60.0}, log)
    with pytest.raises(RunFailed, match="bad item"):
        remote.generate_batch([make_request(chat(name), {}) for name in ("slow", "bad")])
    assert "end slow" in log
    remote.close()


def test_an_empty_batch_is_empty():
    remote = generation({}, [])
    assert remote.generate_batch([]) == []
    remote.close()
