"""Modes that hold nothing back: text leaves as it comes, whatever the corrector does meanwhile."""

import asyncio
import json
import threading
from typing import Any

import pytest

from equipoise.systems.stream_aligner.proxy.answering import AnswerSession
from equipoise.systems.stream_aligner.proxy.chat_wire import read_request
from equipoise.systems.stream_aligner.proxy.read_ahead import ReadAhead
from equipoise.systems.stream_aligner.proxy.recording import Recorder
from equipoise.systems.stream_aligner.proxy.upstream_parts import UpstreamPart
from tests.systems.stream_aligner.scripted import (
    DONE,
    QUESTION,
    Finish,
    Step,
    proxied,
    saying,
    until,
)

pytestmark = pytest.mark.standard


def shout(question, prefix, sentence):
    return sentence.upper()


async def next_text(events):
    return (await asyncio.wait_for(anext(events), 10))["choices"][0]["delta"]["content"]


@pytest.mark.parametrize("mode", ["detect", "off"])
def test_each_piece_leaves_before_the_next_is_written(mode):
    def script(body, number):
        return ["One is", Step(), " here.", Step(), " Two", Step(), " follows.", Finish(), DONE]

    async def work():
        async with proxied(script, shout, mode=mode) as proxy:
            events = proxy.events()
            role = await asyncio.wait_for(anext(events), 10)
            assert role["choices"][0]["delta"]["role"] == "assistant"
            texts = [await next_text(events)]
            for _ in range(3):
                proxy.upstream.steps.release()
                texts.append(await next_text(events))
            assert texts == ["One is", " here.", " Two", " follows."]
            await events.aclose()

    asyncio.run(work())


def test_detecting_does_not_wait_for_a_corrector():
    go = threading.Event()

    def slow(question, prefix, sentence):
        go.wait(20)
        return sentence.upper()

    async def work():
        async with proxied(saying("One. Two. Three."), slow, mode="detect") as proxy:
            events = proxy.events()
            await asyncio.wait_for(anext(events), 10)
            text = ""
            while text != "One. Two. Three.":
                text += await next_text(events)
            assert not go.is_set()
            go.set()
            *_, last = [event async for event in events if event != "[DONE]"]
            assert last["choices"][0]["finish_reason"] == "stop"
            assert (last["equipoise"]["rounds"], last["equipoise"]["edits"]) == (3, 3)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("policy", "asked", "edits"),
    [("whole", ['{"a": "One. Two."}'], 1), ("pass", [], 0)],
)
def test_detecting_sees_json_as_one_segment(policy, asked, edits):
    seen = []

    def louder(question, prefix, sentence):
        seen.append(sentence)
        return sentence.replace("One", "ONE")

    async def work():
        text = '{"a": "One. Two."}'
        async with proxied(saying(text), louder, mode="detect", json_mode=policy) as proxy:
            whole = (await proxy.chat(response_format={"type": "json_object"})).json()
            assert whole["choices"][0]["message"]["content"] == text
            assert whole["choices"][0]["finish_reason"] == "stop"
            assert whole["equipoise"]["edits"] == edits

    asyncio.run(work())
    assert seen == asked


@pytest.mark.parametrize("mode", ["detect", "off"])
def test_a_stop_string_ends_the_answer_and_is_not_shown(mode):
    pieces = ["One. T", "wo. ST", "OP Three."]

    async def work():
        async with proxied(lambda b, n: [*pieces, Finish(), DONE], shout, mode=mode) as proxy:
            streamed = await proxy.stream(stop=["STOP"])
            assert streamed.text == "One. Two. "
            assert streamed.finish_reason == "stop"

    asyncio.run(work())


@pytest.mark.parametrize("mode", ["detect", "off"])
def test_a_failing_corrector_changes_nothing(mode):
    def broken(question, prefix, sentence):
        raise ValueError("no")

    async def work():
        async with proxied(saying("One. Two."), broken, mode=mode) as proxy:
            streamed = await proxy.stream()
            assert (streamed.text, streamed.finish_reason) == ("One. Two.", "stop")
            assert streamed.report["unreviewed"] == 2

    asyncio.run(work())


def test_a_long_answer_without_a_sentence_passes_whole():
    pieces = ["word "] * 5000

    async def work():
        async with proxied(lambda b, n: [*pieces, Finish(), DONE], mode="detect") as proxy:
            streamed = await proxy.stream()
            assert streamed.text == "".join(pieces)
            assert streamed.report["upstream_tokens"] == 5000
            assert streamed.report["discarded_tokens"] == 0

    asyncio.run(work())


class Upstream:
    """Says all it has to say at once."""

    induction = True

    def __init__(self, pieces):
        self.pieces = pieces

    async def prepare(self, model, key_env=None):
        """Nothing is to be found out."""

    async def answer(self, ask, opened):
        for piece in self.pieces:
            yield UpstreamPart(piece)


class CountedPart:
    """A part that counts how often its text is looked at."""

    reasoning, calls, looks = "", {}, 0

    @property
    def text(self):
        CountedPart.looks += 1
        return "word "


def test_what_waits_is_counted_without_looking_at_all_of_it():
    async def parts():
        for _ in range(500):
            yield CountedPart()

    async def work():
        CountedPart.looks = 0
        counted: Any = parts()
        ahead = ReadAhead(counted, None)
        await until(lambda: ahead.tally.tokens == 500)
        for left in range(499, -1, -1):
            assert await ahead.take() is not None
            assert ahead.waiting_characters == 5 * left
        assert await ahead.take() is None
        assert CountedPart.looks < 500 * 20
        await ahead.close()

    asyncio.run(work())


@pytest.mark.parametrize("mode", ["stream", "detect"])
def test_a_full_disk_shows_the_static_text_behind_all_that_was_shown(mode):
    class Full:
        lines = 0

        def write(self, event):
            self.lines += 1
            if self.lines > 1:
                raise OSError(28, "No space left on device")

        def write_request(self, record):
            raise OSError(28, "No space left on device")

        def close(self):
            """Nothing is open."""

    options = {"mode": mode, "on_failure": "static", "static_text": "(left out)"}
    pieces = ["One is here.", " Two is there.", " Three", Finish(), DONE]

    async def work():
        async with proxied(lambda b, n: pieces, **options) as proxy:
            proxy.app.state.desk.records.audit = Full()
            # each full stop may begin a stop string and is held back until that is decided
            streamed = await proxy.stream(stop=[". Tx", "ee!"])
            assert streamed.finish_reason == "content_filter"
            shown = streamed.text.removesuffix("(left out)")
            assert shown != streamed.text
            if mode == "stream":
                assert shown == "One is here."
            else:  # whatever had come when the disk was found full
                assert shown.startswith("One is here. Two is there.")
                assert "One is here. Two is there. Three".startswith(shown)

    asyncio.run(work())


def test_no_part_is_taken_before_it_was_shown():
    """Else whoever takes it may end the answer, and with it the showing, at a stop string."""

    async def work():
        shown = asyncio.Semaphore(0)

        async def parts():
            yield UpstreamPart("One")
            yield UpstreamPart(" EN")

        async def show(part):
            await shown.acquire()
            return part.text == "One"

        ahead = ReadAhead(parts(), None, show)
        for text in ("One", " EN"):
            taking = asyncio.ensure_future(ahead.take())
            for _ in range(10):
                await asyncio.sleep(0)
            assert not taking.done()
            shown.release()
            part = await asyncio.wait_for(taking, 10)
            assert part is not None
            assert part.text == text
        assert await ahead.take() is None
        await ahead.close()

    asyncio.run(work())


def test_a_slow_client_gets_all_that_stands_before_a_stop_string():
    pieces = [f"Word {number}. " for number in range(40)]

    async def work():
        put: list[str] = []

        async def slowly(output):
            await asyncio.sleep(0.002)
            put.append(output.text)

        async with proxied(saying("x"), mode="off") as proxy:
            desk = proxy.app.state.desk
            body = {"model": "m", "messages": QUESTION, "stop": ["STOP"]}
            request = read_request(json.dumps(body).encode(), "chat")
            named = {"request_id": "r", "question": "q", "model": "m", "key_name": "k"}
            recorder = Recorder(desk.records, desk.settings.config, **named)
            upstream: Any = Upstream([*pieces, "Last. STOP and more."])
            session = AnswerSession(
                request, desk.settings, upstream, recorder, slowly, lambda: None
            )
            assert (await session.run()).reason == "stop"
        assert "".join(put) == "".join(pieces) + "Last. "

    asyncio.run(work())
