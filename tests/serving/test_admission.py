"""A bounded number of requests inside, a bounded number waiting, in order."""

import asyncio

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.serving.admission import Admission, QueueFull


def test_places_are_handed_on_in_order_and_the_next_is_refused():
    async def work():
        admission = Admission(2, 2)
        inside, go = [], [asyncio.Event() for _ in range(4)]

        async def visit(number):
            async with admission.admitted():
                inside.append(number)
                await go[number].wait()

        tasks = [asyncio.create_task(visit(number)) for number in range(4)]
        await asyncio.sleep(0)
        assert inside == [0, 1]
        assert (admission.active, admission.waiting) == (2, 2)
        with pytest.raises(QueueFull, match="2 requests are being answered and 2 wait"):
            async with admission.admitted():
                raise AssertionError
        go[1].set()
        await tasks[1]
        await asyncio.sleep(0)
        assert inside == [0, 1, 2]
        for event in go:
            event.set()
        await asyncio.gather(*tasks)
        assert (admission.active, admission.waiting) == (0, 0)

    asyncio.run(work())


@pytest.mark.parametrize("late", [False, True])
def test_one_that_gives_up_waiting_loses_no_place(late):
    async def work():
        admission = Admission(1, 3)

        async def visit():
            async with admission.admitted():
                await asyncio.sleep(0)

        async with admission.admitted():
            task = asyncio.create_task(visit())
            await asyncio.sleep(0)
            assert admission.waiting == 1
            if not late:
                task.cancel()
                await asyncio.wait([task])
                assert admission.waiting == 0
        if late:  # cancelled when its turn had come, but before it ran
            task.cancel()
            await asyncio.wait([task])
        assert admission.active == 0
        async with admission.admitted():
            assert admission.active == 1

    asyncio.run(work())


def test_a_fault_inside_gives_the_place_back():
    async def work():
        admission = Admission(1, 0)
        with pytest.raises(KeyError):
            async with admission.admitted():
                raise KeyError
        assert admission.active == 0

    asyncio.run(work())


@pytest.mark.parametrize(("concurrent", "queue"), [(0, 1), (1, -1)])
def test_limits_are_checked(concurrent, queue):
    with pytest.raises(InvalidInput, match="must be >= 1 and >= 0"):
        Admission(concurrent, queue)


def test_one_who_gives_up_while_another_leaves_is_only_cancelled():
    async def work():
        admission, go = Admission(1, 2), asyncio.Event()

        async def visit():
            async with admission.admitted():
                await go.wait()

        inside, waits = asyncio.create_task(visit()), asyncio.create_task(visit())
        await asyncio.sleep(0)
        go.set()  # who is inside runs next ...
        waits.cancel()  # ... and finds waiting who does not wait any more
        done = await asyncio.gather(inside, waits, return_exceptions=True)
        assert isinstance(done[1], asyncio.CancelledError)
        assert (admission.active, admission.waiting) == (0, 0)

    asyncio.run(work())
