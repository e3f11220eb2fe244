"""Requests, completions and streams: the words that all back ends share."""

import asyncio
import inspect

import numpy as np
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.text import (
    Backend,
    LlamaCppBackend,
    OpenAIBackend,
    TextStream,
    TransformersBackend,
    chat,
)
from equipoise.text.interface import (
    Completion,
    Delta,
    check_answer,
    collect,
    iter_delta_text,
    make_request,
    make_requests,
)

DELTAS = [Delta("Hel"), Delta(""), Delta("lo"), Delta("!", "length", 7, 3)]


async def source(closed: list[bool]):
    try:
        for delta in DELTAS:
            yield delta
    finally:
        closed.append(True)


def test_defaults_are_those_of_the_specification():
    request = make_request(chat("x"), {})
    assert (request.prefix, request.max_tokens, request.temperature, request.top_p) == (
        "",
        256,
        0,
        1,
    )
    assert request.stop == ()
    assert request.seed is None


def test_one_stop_string_may_stand_alone():
    assert make_request(chat("x"), {"stop": "END"}).stop == ("END",)
    assert make_request(chat("x"), {"stop": ["a", "b"]}).stop == ("a", "b")
    assert make_request(chat("x"), {"stop": None}).stop == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_token": 3}, "did you mean 'max_tokens'"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": 2.5}, "max_tokens is 2.5"),
        ({"max_tokens": True}, "max_tokens is True"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"top_p": 0}, "top_p is 0"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.0}, "seed is 1.0"),
        ({"stop": [""]}, "stop holds ''"),
        ({"stop": [3]}, "stop holds 3"),
        ({"prefix": None}, "prefix is NoneType"),
        ({"prefix": "\udfff"}, "prefix holds a lone surrogate"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(InvalidInput) as caught:
        make_request(chat("x"), options)
    assert words in str(caught.value)


def test_numpy_numbers_are_numbers():
    request = make_request(
        chat("x"), {"max_tokens": np.int64(3), "temperature": np.float32(0.5), "seed": np.int32(2)}
    )
    assert (request.max_tokens, request.seed) == (3, 2)


def test_items_of_a_batch_have_their_own_seed_and_prefix():
    requests = make_requests([chat("a"), chat("b")], {"seed": 5, "prefixes": ["x", ""]})
    assert [(request.seed, request.prefix) for request in requests] == [(5, "x"), (6, "")]
    assert [r.prefix for r in make_requests([chat("a"), chat("b")], {"prefix": "p"})] == ["p", "p"]
    assert make_requests([], {}) == []


def test_prefixes_must_fit_the_batch():
    with pytest.raises(InvalidInput, match="list of 2 texts"):
        make_requests([chat("a"), chat("b")], {"prefixes": ["x"]})
    with pytest.raises(InvalidInput, match="not both"):
        make_requests([chat("a")], {"prefixes": ["x"], "prefix": "y"})


def test_an_answer_to_score_is_text_and_not_empty():
    assert check_answer("yes") == "yes"
    for bad in ("", None):
        with pytest.raises(InvalidInput, match="answer is"):
            check_answer(bad)


def test_collect_joins_text_and_takes_the_last_counts():
    assert collect(DELTAS) == Completion("Hello!", "length", 7, 3)


def test_the_generators_return_value_is_the_finish_reason():
    def deltas():
        yield from DELTAS

    pieces = iter_delta_text(deltas())
    assert [next(pieces) for _ in range(3)] == ["Hel", "lo", "!"]
    with pytest.raises(StopIteration) as caught:
        next(pieces)
    assert caught.value.value == "length"


def test_closing_the_text_closes_its_source():
    closed = []

    def deltas():
        try:
            yield from DELTAS
        finally:
            closed.append(True)

    pieces = iter_delta_text(deltas())
    next(pieces)
    pieces.close()
    assert closed == [True]


def test_a_stream_gives_text_then_reason_and_counts():
    async def main():
        closed: list[bool] = []
        stream = TextStream(source(closed))
        assert stream.finish_reason is None
        assert [piece async for piece in stream] == ["Hel", "lo", "!"]
        assert (stream.finish_reason, stream.prompt_tokens, stream.completion_tokens) == (
            "length",
            7,
            3,
        )
        assert closed == [True]

    asyncio.run(main())


def test_closing_a_stream_closes_its_source():
    async def main():
        closed: list[bool] = []
        async with TextStream(source(closed)) as stream:
            assert await anext(stream) == "Hel"
        await stream.aclose()
        assert closed == [True]

    asyncio.run(main())


@pytest.mark.parametrize("kind", [LlamaCppBackend, OpenAIBackend, TransformersBackend])
def test_every_back_end_has_the_interface(kind):
    for name, member in vars(Backend).items():
        if not name.startswith("_") and inspect.isfunction(member):
            own = inspect.signature(getattr(kind, name))
            assert list(own.parameters) == list(inspect.signature(member).parameters), name


def test_numpy_numbers_become_plain_ones():
    options = {"seed": np.int64(5), "max_tokens": np.int32(7), "temperature": np.float32(0.5)}
    request = make_request([{"role": "user", "content": "x"}], options)
    kinds = [type(getattr(request, name)) for name in options]
    assert kinds == [int, int, float]
    assert (request.seed, request.max_tokens, request.temperature) == (5, 7, 0.5)
