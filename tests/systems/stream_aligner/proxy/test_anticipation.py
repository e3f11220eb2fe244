"""A corrector that can read ahead is told of a sentence while it is being written."""

import asyncio

import pytest

from equipoise.systems.stream_aligner.correction import Correction, TokenMeter
from equipoise.systems.stream_aligner.proxy.reviewing import Reviewer
from tests.systems.stream_aligner.scripted import DONE, Finish, Step, proxied, until

pytestmark = pytest.mark.standard
PIECES = ["The river is long", " and it is rather wide", " too. ", "It", " freezes over in winter."]


class Reader:
    """Copies, counts its tokens as characters and notes what it was told ahead."""

    def __init__(self, answers_at_once=1):
        self.answers_at_once = answers_at_once
        self.ahead, self.meter = [], TokenMeter()

    def anticipate(self, question, prefix, begun):
        self.ahead.append((prefix, begun))
        self.meter.tokens = len(begun)

    def __call__(self, question, prefix, sentence):
        self.meter.tokens = len(sentence)
        return sentence


def stepped(body, number):
    script = [piece for text in PIECES for piece in (text, Step())]
    return [*script, Finish(), DONE]


def test_what_has_come_is_read_while_the_rest_is_awaited():
    reader = Reader()
    first = "".join(PIECES[:3]).strip()
    expected = [  # what has come so far, where that is at least 24 characters more
        ("", ""),
        ("", "".join(PIECES[:2])),
        (first, ""),
        (first, "".join(PIECES[3:])),
    ]

    async def work():
        async with proxied(stepped, reader) as proxy:
            task = asyncio.ensure_future(proxy.stream())
            for count in (1, 2, 3, 3, 4):
                await until(lambda count=count: len(reader.ahead) >= count)
                await asyncio.sleep(0.05)
                proxy.upstream.steps.release()
            streamed = await task
            assert streamed.text == "".join(PIECES)
            assert reader.ahead == expected
            spoken = len(first) + len("".join(PIECES[3:]))
            spoken += sum(len(begun) for _, begun in expected)
            assert streamed.report["corrector_tokens"] == spoken

    asyncio.run(work())


@pytest.mark.parametrize(("users", "told"), [(1, 1), (2, 1), (3, 0)])
def test_no_more_answers_than_it_keeps_the_reading_of(users, told):
    async def work():
        reader = Reader(answers_at_once=2)
        reviewer = Reviewer(reader)
        for _ in range(users):
            reviewer.acquire()
        reviewer.anticipate("q", "", "It")
        said = await reviewer.review("q", "", "It snows.")
        await asyncio.sleep(0.05)
        assert (len(reader.ahead), said.tokens) == (told, len("It snows."))

    asyncio.run(work())


def test_a_failing_one_harms_nothing_and_is_tried_again():
    class Broken(Reader):
        def anticipate(self, question, prefix, begun):
            super().anticipate(question, prefix, begun)
            raise ValueError("too long")

    async def work():
        reader = Broken()
        reviewer = Reviewer(reader)
        for count in (1, 2):
            reviewer.anticipate("q", "", "It")
            await until(lambda count=count: len(reader.ahead) == count)
            await asyncio.sleep(0.05)
        said = await reviewer.review("q", "", "It snows.")
        assert said.said == Correction("It snows.", "copy")

    asyncio.run(work())


def test_correctors_that_cannot_are_not_asked():
    async def work():
        reviewer = Reviewer(lambda question, prefix, sentence: sentence)
        reviewer.anticipate("q", "", "It")
        said = await reviewer.review("q", "", "It snows.")
        assert (said.said, said.tokens) == (Correction("It snows.", "copy"), 0)

    asyncio.run(work())


@pytest.mark.parametrize("rounds", [0, 1])
@pytest.mark.parametrize("mode", ["stream", "detect"])
def test_what_is_not_to_be_reviewed_is_not_read_ahead(mode, rounds):
    reader = Reader()

    async def work():
        async with proxied(stepped, reader, mode=mode, rounds=rounds) as proxy:
            for _ in PIECES:
                proxy.upstream.steps.release()
            streamed = await proxy.stream()
            assert streamed.text == "".join(PIECES)
            assert streamed.report["rounds"] == rounds
        assert {prefix for prefix, _ in reader.ahead} == ({""} if rounds else set())

    asyncio.run(work())
