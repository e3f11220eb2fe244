"""The official client against the proxy: sync and async, streamed and whole, errors, tools."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from equipoise.systems.stream_aligner import Correction
from tests.systems.stream_aligner.scripted import (
    DONE,
    QUESTION,
    Finish,
    Usage,
    proxied,
    saying,
    until,
)

openai = pytest.importorskip("openai")
TEXT = "One is here. Two is there."
ASKED = {"model": "m", "messages": QUESTION}


@pytest.mark.standard
def test_the_asynchronous_client():
    async def work():
        async with (
            proxied(saying(TEXT)) as proxy,
            openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="x", max_retries=0) as client,
        ):
            whole = await client.chat.completions.create(**ASKED)
            assert whole.choices[0].message.content == TEXT
            assert whole.usage.completion_tokens == 6
            assert whole.model_extra["equipoise"]["copies"] == 2
            stream = await client.chat.completions.create(
                **ASKED, stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
            texts = [c.choices[0].delta.content for c in chunks if c.choices]
            assert "".join(text or "" for text in texts) == TEXT
            assert chunks[-1].choices == []
            assert chunks[-1].usage.total_tokens == 13
            reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
            assert reasons[-1] == "stop"
            done = await client.completions.create(model="m", prompt="x")
            assert done.object == "text_completion"
            models = await client.models.list()
            assert [model.id for model in models.data] == ["m"]
            with pytest.raises(openai.BadRequestError) as caught:
                await client.chat.completions.create(**ASKED, n=2)
            assert caught.value.param == "n"
            stream = await client.chat.completions.create(**ASKED, stream=True)
            await anext(stream)
            await stream.close()
            await until(lambda: proxy.upstream.open == 0)

    asyncio.run(work())


@pytest.mark.standard
def test_the_synchronous_client_in_a_thread():
    def use(url):
        with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client:
            whole = client.chat.completions.create(**ASKED).choices[0].message.content
            stream = client.chat.completions.create(**ASKED, stream=True)
            return whole, "".join(c.choices[0].delta.content or "" for c in stream if c.choices)

    async def work():
        async with proxied(saying(TEXT), lambda q, p, s: s.upper()) as proxy:
            with ThreadPoolExecutor(1) as pool:
                return await asyncio.get_running_loop().run_in_executor(pool, use, proxy.url)

    assert asyncio.run(work()) == (TEXT.upper(), TEXT.upper())


@pytest.mark.standard
def test_tools_and_errors_in_a_stream():
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
    rest = {"index": 0, "function": {"arguments": "}"}}

    def script(body, number):
        if number == 0:
            calls = [{"tool_calls": [call]}, {"tool_calls": [rest]}]
            return [*calls, Finish("tool_calls"), Usage(), DONE]
        return ["One is here.", " Two"]

    async def work():
        async with (
            proxied(script, lambda q, p, s: Correction(s, "copy")) as proxy,
            openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="x", max_retries=0) as client,
        ):
            tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
            async with client.chat.completions.stream(**ASKED, tools=tools) as stream:
                final = await stream.get_final_completion()
            called = final.choices[0].message.tool_calls
            assert called is not None
            assert called[0].function.arguments == "{}"
            stream = await client.chat.completions.create(**ASKED, stream=True)
            texts = [(await anext(stream)).choices[0].delta.content for _ in range(2)]
            assert texts == ["", "One is here."]
            with pytest.raises(openai.APIError, match="ended before"):
                await anext(stream)

    asyncio.run(work())
