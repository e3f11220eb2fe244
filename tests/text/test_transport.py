"""HTTP to a server that is down, slow, overloaded, garbled or dying."""

import asyncio
import socket
import time
from contextlib import aclosing
from email.utils import formatdate

import pytest

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.text.transport import DONE, HttpStatusError, Transport, is_loopback


def transport(server, **options) -> Transport:
    return Transport(server.url, **{"retry_base": 0.001, "timeout": 5.0, **options})


def ask(server, **options):
    return asyncio.run(transport(server, **options).json("POST", "/x", {"a": 1}))


def events(server, **options):
    async def main():
        async with aclosing(transport(server, **options).events("/x", {})) as stream:
            return [event async for event in stream]

    return asyncio.run(main())


def test_json_goes_out_and_comes_back(server, replies):
    server.answer = lambda path, body: replies.json({"path": path, "body": body})
    assert ask(server) == {"path": "/v1/x", "body": {"a": 1}}
    assert "authorization" not in server.requests[0][2]


def test_another_root_may_be_asked(server, replies):
    server.answer = lambda path, body: replies.json(path)
    root = server.url.removesuffix("/v1")
    assert asyncio.run(transport(server).json("GET", "/props", root=root)) == "/props"


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_overload_is_tried_again(server, replies, status):
    server.answer = lambda path, body: (
        replies.json("fine") if len(server.requests) == 3 else replies.json({}, status)
    )
    assert ask(server) == "fine"
    assert len(server.requests) == 3


def test_it_gives_up_after_five_tries(server, replies):
    server.answer = lambda path, body: replies.json({"error": {"message": "too busy"}}, 503)
    with pytest.raises(
        HttpStatusError, match=r"answered 503: too busy \(tried 5 times\)"
    ) as caught:
        ask(server)
    assert caught.value.status == 503
    assert len(server.requests) == 5


@pytest.mark.parametrize("status", [400, 404, 422])
def test_refusals_are_not_tried_again(server, replies, status):
    server.answer = lambda path, body: replies.json({"error": "no such thing"}, status)
    with pytest.raises(HttpStatusError, match=f"answered {status}: no such thing$"):
        ask(server)
    assert len(server.requests) == 1


def test_retry_after_in_seconds_is_obeyed(server, replies):
    server.answer = lambda path, body: (
        replies.json("fine")
        if len(server.requests) == 2
        else replies.json({}, 429, Retry_After="0.4")
    )
    begin = time.monotonic()
    assert ask(server) == "fine"
    assert time.monotonic() - begin >= 0.4


def test_retry_after_as_a_date_is_obeyed(server, replies):
    date = formatdate(time.time() + 120, usegmt=True)
    server.answer = lambda path, body: replies.json({}, 429, Retry_After=date)
    with pytest.raises(HttpStatusError, match=r"it asks to wait 1[12]\d s"):
        ask(server)
    assert len(server.requests) == 1


def test_a_retry_after_that_is_no_number_asks_for_nothing(server, replies):
    server.answer = lambda path, body: replies.json({}, 429, Retry_After="\u00b2")
    with pytest.raises(HttpStatusError) as caught:
        ask(server, tries=1)
    assert caught.value.retry_after is None


def test_the_wait_a_server_asks_for_is_told_to_who_tries_again(server, replies):
    server.answer = lambda path, body: replies.json({}, 429, Retry_After="0.4")
    with pytest.raises(HttpStatusError) as caught:
        ask(server, tries=1)
    assert caught.value.retry_after == 0.4
    server.answer = lambda path, body: replies.json({}, 404)
    with pytest.raises(HttpStatusError) as caught:
        ask(server)
    assert caught.value.retry_after is None


def test_a_server_that_is_down_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(RunFailed, match=rf"cannot reach {url}; is the server running\?"):
        asyncio.run(Transport(url, retry_base=0.001).json("GET", "/models"))


def test_a_silent_server_is_named_and_not_tried_again(server, replies):
    server.answer = lambda path, body: replies.raw(200, [b"{}"], delay=5.0)
    with pytest.raises(RunFailed, match=r"was silent for 0.2 s; raise timeout="):
        ask(server, timeout=0.2)
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b"{", b"\xff\xfe"])
def test_no_json_is_said_with_the_beginning_of_what_came(server, replies, body):
    server.answer = lambda path, body_: replies.raw(200, [body])
    with pytest.raises(RunFailed, match="answered no JSON: ") as caught:
        ask(server)
    assert "\n" not in str(caught.value)


def test_a_long_error_page_is_cut(server, replies):
    server.answer = lambda path, body: replies.raw(404, [b"<p>" + b"long " * 1000], "text/html")
    with pytest.raises(HttpStatusError) as caught:
        ask(server)
    assert len(str(caught.value)) < 300


def test_events_end_with_done(server, replies):
    server.answer = lambda path, body: replies.sse("a", "b")
    got = events(server)
    assert got[-1] is DONE
    assert [e["choices"][0]["delta"].get("content") for e in got[1:3]] == ["a", "b"]


def test_one_json_answer_is_one_event(server, replies):
    server.answer = lambda path, body: replies.json({"choices": []})
    assert events(server) == [{"choices": []}]


def test_html_instead_of_a_stream_is_said(server, replies):
    server.answer = lambda path, body: replies.raw(200, [b"<h1>Hello</h1>"], "text/html")
    with pytest.raises(
        RunFailed, match=r"answered text/html instead of an event stream: <h1>Hello"
    ):
        events(server)


@pytest.mark.parametrize("data", [b"data: {nonsense\n\n", b"data: 3\n\n", b"data: []\n\n"])
def test_garbage_in_a_stream_is_said(server, replies, data):
    server.answer = lambda path, body: replies.raw(200, [data], "text/event-stream")
    with pytest.raises(RunFailed, match="sent garbage in its stream"):
        events(server)


@pytest.mark.parametrize("said", ["out of memory", "half a character: \\ud800"])
def test_an_error_event_is_said(server, replies, said):
    data = f'data: {{"error": {{"message": "{said}"}}}}\n\n'.encode()
    server.answer = lambda path, body: replies.raw(200, [data], "text/event-stream")
    with pytest.raises(RunFailed, match=f"error while answering: {said[:12]}"):
        events(server)


def test_a_broken_stream_is_said_and_never_tried_again(server, replies):
    server.answer = lambda path, body: replies.sse("a", breaks=True)
    with pytest.raises(RunFailed, match="broke before the answer was complete"):
        events(server)
    assert len(server.requests) == 1


def test_requests_are_bounded(server, replies):
    open_now, most = 0, 0

    def answer(path, body):
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        time.sleep(0.03)
        open_now -= 1
        return replies.json("fine")

    server.answer = answer

    async def main():
        one = transport(server, concurrency=3)
        return await asyncio.gather(*(one.json("GET", "/x") for _ in range(12)))

    assert asyncio.run(main()) == ["fine"] * 12
    assert 1 < most <= 3


def test_the_key_is_sent_and_never_shown(server, replies, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    server.answer = lambda path, body: replies.json({"error": "bad key sk-very-secret"}, 401)
    one = transport(server, api_key_env="SOME_KEY")
    with pytest.raises(HttpStatusError) as caught:
        asyncio.run(one.json("GET", "/x"))
    assert server.requests[0][2]["authorization"] == "Bearer sk-very-secret"
    assert "very-secret" not in str(caught.value) + repr(one) + caught.value.detail
    assert "set the key in the environment variable SOME_KEY" in str(caught.value)


def test_an_unset_key_is_not_sent(server, replies, monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    server.answer = lambda path, body: replies.json(1)
    assert ask(server, api_key_env="SOME_KEY") == 1
    assert "authorization" not in server.requests[0][2]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8000", "is no URL of a server"),
        ("ftp://host/v1", "is no URL of a server"),
        ("http://", "is no URL of a server"),
        ("http://me:secret@host/v1", "user name or password"),
        ("http://host/v1?key=secret", "holds a query"),
    ],
)
def test_a_bad_url_is_refused_without_its_secret(url, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        Transport(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("options", [{"tries": 0}, {"concurrency": 0}, {"timeout": 0.0}])
def test_bad_options_are_refused(options):
    with pytest.raises(InvalidInput, match="counts must be >= 1"):
        Transport("http://127.0.0.1/v1", **options)


def test_loopback_is_told_from_the_rest():
    assert all(map(is_loopback, ("http://127.0.0.1:1/v1", "http://localhost", "http://[::1]:2")))
    assert not any(map(is_loopback, ("https://example.org", "http://127.example.org.evil")))


def test_the_beginning_of_a_stream_is_told_before_its_first_event(server, replies):
    told = []

    async def main():
        stream = transport(server).events("/x", {}, opened=lambda: told.append("opened"))
        async with aclosing(stream) as found:
            async for event in found:
                told.append(event is DONE)

    server.answer = lambda path, body: replies.sse(finish=None)
    asyncio.run(main())
    assert told[0] == "opened"
    assert told[-1] is True
    told.clear()
    server.answer = lambda path, body: replies.json({"choices": []})
    asyncio.run(main())
    assert told == [False], "one JSON object is no stream"
