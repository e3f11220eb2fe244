"""Guarantees of the proxy under chance: only reviewed text leaves, nothing stays open."""

import asyncio
import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.systems.stream_aligner.proxy.read_ahead import AHEAD
from tests.systems.stream_aligner.scripted import (
    DONE,
    QUESTION,
    Die,
    Finish,
    Raw,
    Stall,
    as_bytes,
    proxied,
    saying,
    until,
)

SENTENCES = [
    "One is here.",
    " Two (or so)!",
    "\nThree",
    " and more.",
    "  Four?",
    " x" * 30,
    "\u4e94\u3002",
]


class Watched:
    """Marks every text that it approves; sometimes it edits, drops, stops or fails."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.said = []

    def __call__(self, question, prefix, sentence):
        luck = self.chance.random()
        if luck < 0.1:
            raise ValueError("as it happens")
        text = sentence
        if luck < 0.4:
            text = f"<{sentence.upper()}>"
        elif luck < 0.45:
            text = ""
        self.said.append(text)
        return text


def reviewed_only(text, said):
    """Whether a text is made of reviewed pieces in order, with whitespace between them."""
    place = 0
    for piece in said:
        if not piece:
            continue
        rest = text[place:]
        gap = len(rest) - len(rest.lstrip())
        if not rest[gap:]:
            break
        if not rest[gap:].startswith(piece):
            return False
        place += gap + len(piece)
    return not text[place:].strip()


@pytest.mark.standard
@settings(max_examples=60)
@given(
    sentences=st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6),
    seed=st.integers(0, 10**6),
    policy=st.sampled_from(["closed", "static"]),
    speculate=st.booleans(),
    prefill=st.sampled_from(["assistant", "none"]),
)
def test_every_byte_that_leaves_belongs_to_a_reviewed_segment(
    sentences, seed, policy, speculate, prefill
):
    """Any chunking, any fault of the upstream or the corrector, any moment of leaving."""
    chance = random.Random(seed)

    def script(body, number):
        text = "".join(sentences)
        actions = []
        while text:
            size = chance.randint(1, 9)
            actions.append(text[:size])
            text = text[size:]
            if chance.random() < 0.03:
                return [*actions, chance.choice([Die(), Finish("length")])]
        if chance.random() < 0.5:
            wire = b"".join(as_bytes(action) for action in [*actions, Finish()])
            cut = chance.randrange(len(wire))
            return [Raw(wire[:cut]), 0.001, Raw(wire[cut:]), DONE]
        return [*actions, Finish(), DONE]

    corrector = Watched(seed)
    options = {"on_failure": policy, "static_text": "(left out)", "speculate": speculate}

    async def work():
        async with proxied(script, corrector, prefill=prefill, **options) as proxy:
            leave_after = chance.choice([1, 2, 4, 99])
            text = ""
            events = proxy.events()
            async for event in events:
                leave_after -= 1
                if isinstance(event, dict) and event.get("choices"):
                    text += event["choices"][0]["delta"].get("content") or ""
                if leave_after == 0:
                    break
            await events.aclose()
            await until(lambda: proxy.upstream.open == 0)
        return text

    text = asyncio.run(work())
    assert reviewed_only(text, [*corrector.said, "(left out)"])


def test_the_check_above_sees_an_unreviewed_byte():
    assert reviewed_only("One. Two.", ["One.", "", "Two."])
    assert reviewed_only("One.", ["One.", "Two."])
    assert not reviewed_only("One. T", ["One.", "Two."])
    assert not reviewed_only("x One.", ["One."])


async def abort_many(count, parallel):
    """Leave `count` answers at random moments; return the upstream's open requests afterwards."""
    chance = random.Random(7)

    def script(body, number):
        pieces = [piece for i in range(40) for piece in (f" Number {i}", " is here.", 0.002)]
        return [*pieces, Stall() if number % 3 == 0 else Finish(), DONE]

    def corrector(question, prefix, sentence):
        time.sleep(chance.random() * 0.004)
        return sentence.upper() if chance.random() < 0.2 else sentence

    async with proxied(script, corrector, max_concurrent=parallel, queue=count) as proxy:

        async def leave():
            body = {"model": "m", "messages": QUESTION, "stream": chance.random() < 0.8}
            try:
                async with asyncio.timeout(chance.random() * 0.25):
                    async with proxy.client.stream(
                        "POST", "/v1/chat/completions", json=body
                    ) as answer:
                        async for _ in answer.aiter_bytes():
                            continue
            except TimeoutError:
                return

        for begin in range(0, count, parallel):
            await asyncio.gather(*(leave() for _ in range(min(parallel, count - begin))))
        begun = time.monotonic()
        await until(lambda: proxy.upstream.open == 0, seconds=2)
        desk = proxy.app.state.desk
        await until(lambda: desk.admission.active == 0, seconds=2)
        assert desk.admission.waiting == 0
        assert desk.settings.reviewer._users == 0
        return time.monotonic() - begun, len(proxy.upstream.bodies)


@pytest.mark.standard
def test_random_aborts_leave_no_upstream_request_open():
    _, asked = asyncio.run(abort_many(120, 12))
    assert asked > 60


@pytest.mark.slow
def test_a_thousand_random_aborts_leave_no_upstream_request_open():
    _, asked = asyncio.run(abort_many(1000, 25))
    assert asked > 500


def test_leaving_is_seen_while_the_upstream_is_silent_and_written_down(tmp_path):
    path = tmp_path / "audit.jsonl"

    async def work():
        async with proxied(lambda b, n: ["One is here. Two", Stall()], audit=path) as proxy:
            events = proxy.events()
            await anext(events)
            await anext(events)
            assert proxy.upstream.open == 1
            await events.aclose()
            await until(lambda: proxy.upstream.open == 0)
            task = asyncio.ensure_future(proxy.chat())  # not streamed: the same
            await until(lambda: proxy.upstream.open == 1)
            task.cancel()
            await until(lambda: proxy.upstream.open == 0)
            page = (await proxy.client.get("/metrics")).text
            assert 'requests_total{status="cancelled"} 2.0' in page

    asyncio.run(work())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    ended = [line for line in lines if "event" in line]
    assert [line["event"] for line in ended] == ["cancelled"] * 2
    assert ended[0]["usage"]["completion_tokens"] > 0


def test_a_slow_reader_pauses_the_upstream():
    """An upstream that is faster than the reader by far: what is in flight stays bounded."""
    total = 30_000_000

    def script(body, number):
        return [*(["word " * 199 + "end. "] * (total // 1000)), Finish(), DONE]

    async def work():
        async with proxied(script, mode="stream") as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url[17:]))
            body = json.dumps({"model": "m", "messages": QUESTION, "stream": True}).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
            writer.write(head.encode() + b"\r\n\r\n" + body)
            await writer.drain()
            await reader.read(100)  # and no more
            sent, before = -1, -2
            while sent != before:
                before, sent = sent, proxy.upstream.sent
                await asyncio.sleep(0.4)
            assert 0 < sent < total, "the upstream was read to its end for nobody"
            writer.transport.abort()
            await until(lambda: proxy.upstream.open == 0)

    asyncio.run(work())
    assert total / 100 > AHEAD


def test_no_punctuation_still_flows():
    async def work():
        async with proxied(saying("a" * 10_000)) as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "a" * 10_000
            assert max(map(len, streamed.texts)) <= 400

    asyncio.run(work())


def test_many_streams_at_once():
    async def work():
        async with proxied(saying("One is here. Two is there."), max_concurrent=64) as proxy:
            answers = await asyncio.gather(*(proxy.stream() for _ in range(40)))
            assert {answer.text for answer in answers} == {"One is here. Two is there."}
            assert len(proxy.upstream.bodies) == 40

    asyncio.run(work())
