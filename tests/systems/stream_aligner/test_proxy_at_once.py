"""Modes that hold nothing back: text leaves as it comes, whatever the corrector does meanwhile."""

import asyncio
import threading

import pytest

from tests.systems.stream_aligner.scripted import DONE, Finish, Step, proxied, saying

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
