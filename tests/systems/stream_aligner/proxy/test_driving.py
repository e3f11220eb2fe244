"""The asynchronous driver, reading ahead, token counts, breakers: without a socket."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import RunFailed
from equipoise.systems.stream_aligner import Correction, align
from equipoise.systems.stream_aligner.loop import End, Failure, LoopOptions, review_loop
from equipoise.systems.stream_aligner.proxy.breakers import Breaker
from equipoise.systems.stream_aligner.proxy.driving import drive, stop
from equipoise.systems.stream_aligner.proxy.read_ahead import (
    AHEAD,
    ReadAhead,
    TokenTally,
    estimate_tokens,
)
from equipoise.systems.stream_aligner.proxy.reviewing import Reviewer, breaks_json
from equipoise.systems.stream_aligner.proxy.upstream_parts import UpstreamPart, read_part


class Scripted:
    """A source that continues one text by an upstream of `align`."""

    def __init__(self, upstream):
        self.upstream, self.pieces, self.closed = upstream, iter(()), 0

    async def open(self, prefix):
        self.pieces = iter(self.upstream("q", prefix))

    async def read(self):
        piece = next(self.pieces, None)
        return End() if piece is None else piece

    async def close(self):
        self.closed += 1
        return 0


WORDS = ["One is.", " Two", " was.", "\n", " 3.1", "4? ", "No", ". "]


@given(
    pieces=st.lists(st.sampled_from(WORDS), max_size=12),
    edits=st.sets(st.integers(0, 5)),
    speculate=st.booleans(),
)
def test_the_driver_and_align_give_the_same_answer(pieces, edits, speculate):
    """One machine, two drivers."""
    text = "".join(pieces)

    def upstream(question, prefix):
        yield from text[min(len(prefix), len(text)) :]

    def make():
        count = iter(range(1000))
        return lambda q, p, s: f"<{s}>" if next(count) in edits else s

    async def work():
        corrector, shown = make(), []

        async def review(request):
            return corrector("q", request.prefix, request.sentence)

        async def emit(step, said):
            shown.append(said)

        machine = review_loop(LoopOptions(speculate=speculate, max_segments=30))
        answer = await drive(machine, Scripted(upstream), review, emit)
        assert "".join(shown) == answer.text
        return answer

    driven = asyncio.run(work())
    aligned = align("q", upstream, make(), speculate=speculate, max_segments=30)
    assert (driven.text, driven.finish_reason) == (aligned.text, aligned.finish_reason)
    assert driven.steps == aligned.steps
    assert driven.upstream_calls == aligned.upstream_calls


def test_a_stream_that_may_not_be_restarted_is_read_on():
    """Edits are not fed back, a drop is skipped, and no character of the rest is lost."""
    calls = []

    def upstream(question, prefix):
        calls.append(prefix)
        yield from ["A b. C", " d. E f.", " G h."]

    def corrector(question: str, prefix: str, sentence: str) -> str:
        return {"A b.": "X.", "C d.": ""}.get(sentence, sentence)

    async def work(speculate):
        async def review(request):
            return corrector("q", request.prefix, request.sentence)

        async def emit(step, said):
            return None

        machine = review_loop(LoopOptions(speculate=speculate), lambda: False)
        return await drive(machine, Scripted(upstream), review, emit)

    for speculate in (True, False):
        calls.clear()
        answer = asyncio.run(work(speculate))
        assert answer.text == "X. E f. G h."
        assert calls == [""]
        assert answer.discarded_chars == 0


def test_a_server_keeps_only_the_last_step():
    async def work(**kept):
        async def review(request):
            return request.sentence.replace("b", "B")

        async def emit(step, said):
            return None

        source = Scripted(lambda q, p: ["A a. B b. C c. D d."[len(p) :]])
        return await drive(review_loop(LoopOptions(), **kept), source, review, emit)

    whole, last = asyncio.run(work()), asyncio.run(work(all_steps=False))
    assert len(whole.steps) == 4
    assert last.steps == whole.steps[-1:]
    assert last.text == whole.text == "A a. B B. C c. D d."
    assert last.upstream_calls == whole.upstream_calls


def test_the_driver_closes_its_source_whatever_happens():
    async def work():
        async def review(request):
            return Failure("no")

        async def emit(step, said):
            raise KeyError("as it happens")

        source = Scripted(lambda q, p: ["One. Two."])
        with pytest.raises(KeyError):
            await drive(review_loop(LoopOptions()), source, review, emit)
        assert source.closed

    asyncio.run(work())


def test_stop_does_not_swallow_the_callers_cancellation():
    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)

    async def work():
        inner = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        outer = asyncio.create_task(stop(inner))
        await asyncio.sleep(0)
        outer.cancel()
        await asyncio.wait([outer])
        assert outer.cancelled()

    asyncio.run(work())


async def endless(given):
    try:
        while True:
            given.append(1)
            yield UpstreamPart("x" * 100)
            await asyncio.sleep(0)
    finally:
        given.append("closed")


def test_reading_ahead_is_bounded_and_closed():
    async def work():
        given = []
        ahead = ReadAhead(endless(given))
        await asyncio.sleep(0.05)
        assert AHEAD <= ahead.waiting_characters <= AHEAD + 100
        before = len(given)
        part = await ahead.take()
        assert part is not None
        await asyncio.sleep(0.02)
        assert len(given) == before + 1, "one taken, one more read"
        await ahead.close()
        assert given[-1] == "closed"

    asyncio.run(work())


def test_without_reading_ahead_nothing_is_read_before_it_is_asked_for():
    async def work():
        given = []
        ahead = ReadAhead(endless(given), 0)
        await asyncio.sleep(0.02)
        assert given == []
        for count in (1, 2, 3):
            await ahead.take()
            await asyncio.sleep(0.01)
            assert len(given) == count
        await ahead.close()

    asyncio.run(work())


def test_what_the_upstream_raises_comes_after_what_it_gave():
    async def parts():
        yield UpstreamPart("One")
        raise RunFailed("broken")

    async def work():
        ahead = ReadAhead(parts())
        await asyncio.sleep(0.01)
        first = await ahead.take()
        assert first is not None
        assert first.text == "One"
        with pytest.raises(RunFailed, match="broken"):
            await ahead.take()
        await ahead.close()

    asyncio.run(work())


def test_tokens_are_counted_by_piece():
    tally = TokenTally()
    assert tally.until(5) == 0
    for piece in ("One", " is", " a very long piece of forty characters...", "."):
        tally.add(piece)
    assert (tally.characters, tally.tokens) == (48, 13)
    assert [tally.until(n) for n in (0, 1, 3, 4, 6, 7, 47, 48, 99)] == [
        0,
        1,
        1,
        2,
        2,
        12,
        12,
        13,
        13,
    ]
    assert estimate_tokens("") == 0
    assert estimate_tokens("a") == 1


def test_a_breaker_opens_lets_one_try_and_closes():
    now = [0.0]
    breaker = Breaker(failures=3, seconds=10, clock=lambda: now[0])
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(3):
        assert breaker.closed_in() == 0
        breaker.failed()
    assert breaker.closed_in() == 10
    now[0] = 11.0
    assert breaker.closed_in() == 0, "one may try"
    assert breaker.closed_in() == 10, "the others wait"
    breaker.failed()
    assert breaker.closed_in() == 10
    now[0] = 22.0
    assert breaker.closed_in() == 0
    breaker.succeeded()
    assert breaker.closed_in() == breaker.closed_in() == 0


@pytest.mark.parametrize(
    ("said", "broken"),
    [
        ('{"a": 2}', False),
        ("no", True),
        ("", False),
        (Failure("late"), False),
    ],
)
def test_what_breaks_json(said, broken):
    assert breaks_json('{"a": 1}', said) is broken
    assert not breaks_json("it was none", said)
    assert not breaks_json("[" * 50_000, said), "too deep to be read, so nobody's JSON"


def test_reviews_run_beside_the_loop_and_in_bounded_number():
    import threading
    import time

    running, most, lock = [0], [0], threading.Lock()

    def corrector(question, prefix, sentence):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1
        return sentence

    async def work():
        reviewer = Reviewer(corrector, threads=3)
        said = await asyncio.gather(*(reviewer.review("q", "", str(i)) for i in range(9)))
        assert [word for word, *_ in said] == [Correction(str(i), "copy") for i in range(9)]
        assert all(seconds >= 0.02 for _, seconds, _ in said)

    asyncio.run(work())
    assert 1 < most[0] <= 3


@pytest.mark.parametrize(
    ("event", "part"),
    [
        ({"choices": [{"delta": {"content": "a"}}]}, UpstreamPart("a")),
        ({"choices": [{"text": "a", "finish_reason": "stop"}]}, UpstreamPart("a", "", {}, "stop")),
        ({"choices": [{"message": {"content": "a"}}]}, UpstreamPart("a")),
        ({"choices": [{"delta": {"refusal": "no"}}]}, UpstreamPart("no")),
        ({"choices": [{"delta": {"reasoning": "hm"}}]}, UpstreamPart("", "hm")),
        ({"choices": [], "usage": {"prompt_tokens": 1}}, UpstreamPart(usage={"prompt_tokens": 1})),
        ({"choices": [{"delta": {"content": "\ud83d"}}]}, UpstreamPart("\ufffd")),
    ],
)
def test_parts_of_answers_are_read(event, part):
    assert read_part(event) == part


@pytest.mark.parametrize("event", [{}, {"choices": 3}, {"choices": [{"delta": {"content": 3}}]}])
def test_answers_of_another_form_are_refused(event):
    with pytest.raises(RunFailed, match="form of OpenAI"):
        read_part(event)
