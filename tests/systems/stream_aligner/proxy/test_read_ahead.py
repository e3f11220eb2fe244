"""Reading ahead: order, bounds, ends and closing; and which tokens characters belong to."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import RunFailed
from equipoise.systems.stream_aligner.proxy.read_ahead import (
    AHEAD,
    ReadAhead,
    TokenTally,
)
from equipoise.systems.stream_aligner.proxy.upstream_parts import UpstreamPart

CALLS = {"tool_calls": [{"index": 0}]}


async def giving(parts, given):
    for part in parts:
        given.append(part)
        yield part


async def turns(count=30):
    """Let everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


async def taken(ahead):
    found = []
    while (part := await ahead.take()) is not None:
        found.append(part)
    return found


@given(
    parts=st.lists(
        st.builds(
            UpstreamPart,
            st.sampled_from(["", "a", " word", "x" * 30]),
            st.sampled_from(["", "hm"]),
            st.sampled_from([{}, CALLS]),
        ),
        max_size=12,
    ),
    bound=st.sampled_from([0, 1, 20, AHEAD, None]),
)
def test_parts_come_in_order_and_are_counted_whatever_the_bound(parts, bound):
    async def work():
        ahead = ReadAhead(giving(parts, []), bound)
        assert await taken(ahead) == parts
        assert await ahead.take() is None, "the end stays the end"
        await ahead.close()
        assert ahead.waiting_characters == 0
        assert ahead.tally.characters == sum(len(part.text) for part in parts)
        assert ahead.thought_tokens == sum(bool(part.reasoning) for part in parts)
        assert ahead.call_tokens == sum(bool(part.calls) for part in parts)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("part", "most"),
    [
        (UpstreamPart("x" * 1000), AHEAD // 1000),
        (UpstreamPart(reasoning="x" * 1000), AHEAD // 1000),
        (UpstreamPart(calls={"tool_calls": ["x" * 1000]}), AHEAD // 1000),
        (UpstreamPart(), AHEAD // 2),
    ],
)
def test_what_nobody_takes_is_bounded_whatever_it_holds(part, most):
    async def work():
        given = []
        ahead = ReadAhead(giving([part] * 20_000, given))
        for count in (1, 2, 3):
            await ahead.take()
            await turns()
            assert len(given) == most + count, "as much more is read as was taken"
        await ahead.close()

    asyncio.run(work())


@pytest.mark.parametrize(("bound", "read"), [(0, 1), (AHEAD, 3)])
def test_a_taker_that_gives_up_wants_no_more_and_loses_no_part(bound, read):
    async def work():
        gate, given = asyncio.Event(), []

        async def parts():
            await gate.wait()
            async for part in giving(map(UpstreamPart, ("One", "Two", "Three")), given):
                yield part

        ahead = ReadAhead(parts(), bound)
        taking = asyncio.ensure_future(ahead.take())
        await turns()
        taking.cancel()
        gate.set()
        await turns()
        assert await ahead.take() == UpstreamPart("One")
        await turns()
        assert len(given) == read
        assert [part.text for part in await taken(ahead)] == ["Two", "Three"]
        await ahead.close()

    asyncio.run(work())


@pytest.mark.parametrize("is_silent", [True, False])
def test_closing_ends_the_upstream_and_whoever_takes(is_silent):
    async def work():
        ended = []

        async def parts():
            try:
                if is_silent:
                    await asyncio.Event().wait()
                while True:
                    yield UpstreamPart("x" * AHEAD)
            finally:
                ended.append(True)

        ahead = ReadAhead(parts())
        await turns()
        taking = asyncio.ensure_future(ahead.take())
        await turns()
        assert taking.done() is not is_silent
        await ahead.close()
        assert ended == [True]
        assert ((await asyncio.wait_for(taking, 10)) is None) is is_silent

    asyncio.run(work())


def test_what_shows_parts_may_fail_and_then_no_more_is_read():
    async def show(part):
        if part.text == "Two":
            raise RunFailed("the client left")
        return True

    async def work():
        given = []
        ahead = ReadAhead(giving(map(UpstreamPart, ("One", "Two", "Three")), given), None, show)
        assert await ahead.take() == UpstreamPart("One")
        for _ in range(2):
            with pytest.raises(RunFailed, match="the client left"):
                await ahead.take()
        assert [part.text for part in given] == ["One", "Two"]
        await ahead.close()

    asyncio.run(work())


@given(lengths=st.lists(st.integers(1, 70), max_size=12))
def test_each_character_belongs_to_the_tokens_of_its_piece(lengths):
    tally, upto = TokenTally(), [0]
    for length in lengths:
        tally.add("x" * length)
        tokens = 1 if length <= 16 else round(length / 4)
        upto += [upto[-1] + tokens] * length
    assert (tally.characters, tally.tokens) == (sum(lengths), upto[-1])
    assert [tally.until(n) for n in range(len(upto))] == upto
    assert tally.until(tally.characters + 100) == tally.tokens
