"""The OpenAI back end against scripted servers: honest, echoing, forgetful, failing."""

import asyncio
import threading

import pytest

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.text import Completion, OpenAIBackend, chat, load_backend


@pytest.fixture
def open_backend(server):
    opened = []

    def load(**options):
        backend = load_backend(
            f"openai:{server.url}#tiny", **{"retry_base": 0.001, "timeout": 5.0, **options}
        )
        opened.append(backend)
        return backend

    yield load
    for backend in opened:
        backend.close()


def tokens(messages, new_turn=False):
    """The prompt's length where a word is a token, and a turn's end and header are three."""
    words = sum(len(m["content"].split()) + 3 for m in messages)
    begun = messages[-1]["role"] == "assistant" and not new_turn
    return words - 3 if begun else words


def chat_server(replies, *, echo=False, continues=True, usage=True, answer=", and so on"):
    """A chat endpoint of the given manners; nothing but `/chat/completions`."""

    def reply(path, body):
        if path != "/v1/chat/completions":
            return replies.raw(404, [b"{}"])
        messages = body["messages"]
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        if begun and continues:
            texts = [*(begun[:3], begun[3:]), answer] if echo else [answer]
        else:
            texts = ["Sure: ", "a rose."]
        count = {"prompt_tokens": tokens(messages, not continues), "completion_tokens": 4}
        return replies.sse(*texts, usage=count if usage else None)

    return reply


def test_an_answer_with_its_counts(server, replies, open_backend):
    server.answer = chat_server(replies)
    completion = open_backend().generate(chat("Name a flower."), max_tokens=9)
    assert completion == Completion("Sure: a rose.", "stop", 6, 4)
    assert server.paths() == ["/v1/chat/completions"]
    assert server.requests[0][1]["model"] == "tiny"


def test_counts_that_are_not_told_are_not_made_up(server, replies, open_backend):
    server.answer = chat_server(replies, usage=False)
    completion = open_backend().generate(chat("x"))
    assert (completion.prompt_tokens, completion.completion_tokens) == (None, None)


def test_stop_strings_are_kept_on_our_side_too(server, replies, open_backend):
    server.answer = lambda path, body: replies.sse("one tw", "o three", finish="length")
    completion = open_backend().generate(chat("x"), stop=["two"])
    assert (completion.text, completion.finish_reason) == ("one ", "stop")


def test_a_server_that_does_not_stream_is_understood(server, replies, open_backend):
    server.answer = lambda path, body: replies.json(
        {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}
    )
    assert open_backend().generate(chat("x")).text == "whole"


def test_refused_extras_are_left_out_from_then_on(server, replies, open_backend):
    def reply(path, body):
        if "top_k" in body or "min_p" in body:
            return replies.json({"error": {"message": "Unrecognized argument: top_k, min_p"}}, 400)
        return replies.sse("ok")

    server.answer = reply
    backend = open_backend()
    assert [backend.generate(chat("x"), temperature=1.0).text for _ in range(2)] == ["ok", "ok"]
    assert len(server.requests) == 3


def test_extra_fields_are_sent_as_given_and_never_dropped(server, replies, open_backend):
    bodies = []

    def reply(path, body):
        bodies.append(body)
        if "min_p" in body:
            return replies.json({"error": {"message": "min_p and top_k are unknown"}}, 400)
        return replies.sse("ok")

    server.answer = reply
    backend = open_backend(extra_body={"top_k": 5, "reasoning_effort": "low", "temperature": 1})
    assert backend.generate(chat("x"), temperature=0.5).text == "ok"
    for body in bodies:
        assert (body["top_k"], body["reasoning_effort"], body["temperature"]) == (5, "low", 1)
    assert "min_p" not in bodies[-1]
    assert backend.describe()["extra_body"]["top_k"] == 5


def test_a_real_refusal_is_passed_on(server, replies, open_backend):
    server.answer = lambda path, body: replies.json({"error": {"message": "no such model"}}, 400)
    with pytest.raises(RunFailed, match="answered 400: no such model"):
        open_backend().generate(chat("x"))
    assert len(server.requests) == 2


def test_an_echoed_prefix_is_removed(server, replies, open_backend):
    server.answer = chat_server(replies, echo=True, usage=False)
    backend = open_backend()
    assert backend.generate(chat("Go on."), prefix="It was dark").text == ", and so on"
    assert backend.generate(chat("Go on."), prefix="It").text == ", and so on"
    assert list(backend.iter_text(chat("Go on."), prefix="It was dark")) == [", and so on"]


def test_a_continued_prefix_needs_evidence_and_has_it(server, replies, open_backend):
    server.answer = chat_server(replies)
    backend = open_backend()
    assert backend.generate(chat("Go on."), prefix="It was dark").text == ", and so on"
    probes = len(server.requests)
    assert backend.generate(chat("Go on."), prefix="It was dark").text == ", and so on"
    assert len(server.requests) == probes + 1
    last = server.requests[-1][1]["messages"][-1]
    assert last == {"role": "assistant", "content": "It was dark"}


@pytest.mark.parametrize(
    "manners",
    [
        {"continues": False},
        {"continues": False, "usage": False},
        {"usage": False},  # it may continue, but nothing shows it
    ],
)
def test_a_server_that_shows_no_continuation_is_refused(server, replies, open_backend, manners):
    server.answer = chat_server(replies, **manners)
    backend = open_backend()
    with pytest.raises(InvalidInput, match="cannot continue a begun answer"):
        backend.generate(chat("Go on."), prefix="It was dark")
    with pytest.raises(InvalidInput, match="cannot continue a begun answer"):
        list(backend.iter_text(chat("Go on."), prefix="It was dark"))
    assert backend.generate(chat("Name a flower.")).text == "Sure: a rose."


def test_word_counting_usage_does_not_pass_for_evidence(server, replies, open_backend):
    """One word more is one token more here, yet the answer is always the same new turn."""

    def reply(path, body):
        if path != "/v1/chat/completions":
            return replies.raw(404)
        count = sum(len(m["content"].split()) for m in body["messages"])
        return replies.sse("Sure: a rose.", usage={"prompt_tokens": count, "completion_tokens": 4})

    server.answer = reply
    with pytest.raises(InvalidInput, match="cannot continue a begun answer"):
        open_backend().generate(chat("Go on."), prefix="It was dark")


def test_a_server_that_refuses_assistant_messages_is_refused(server, replies, open_backend):
    def reply(path, body):
        if path != "/v1/chat/completions":
            return replies.raw(404)
        if body["messages"][-1]["role"] == "assistant":
            return replies.json({"error": "the last message must be the user's"}, 400)
        return replies.sse("hi")

    server.answer = reply
    with pytest.raises(InvalidInput, match="cannot continue a begun answer"):
        open_backend().generate(chat("Go on."), prefix="It")


def test_the_users_word_is_taken_and_only_the_echo_looked_for(server, replies, open_backend):
    server.answer = chat_server(replies, usage=False)
    backend = open_backend(prefill="assistant")
    assert backend.generate(chat("Go on."), prefix="It was dark").text == ", and so on"
    assert len(server.requests) == 2


def test_prefill_none_refuses_a_prefix_before_anything_is_sent(server, replies, open_backend):
    server.answer = chat_server(replies)
    with pytest.raises(InvalidInput, match="prefill='none' was chosen"):
        open_backend(prefill="none").generate(chat("Go on."), prefix="It")
    assert server.requests == []


def test_scores_and_counts_that_cannot_be_had_are_refused(server, replies, open_backend):
    server.answer = chat_server(replies)
    with pytest.raises(InvalidInput, match="cannot give log-probabilities"):
        open_backend().score(chat("x"), "answer")
    with pytest.raises(InvalidInput, match="does not count tokens"):
        open_backend().count_tokens("some words")


def test_a_servers_own_count_is_used(server, replies, open_backend):
    server.answer = lambda path, body: (
        replies.json({"count": len(body["prompt"])}) if path == "/tokenize" else replies.raw(404)
    )
    assert open_backend().count_tokens("four") == 4


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (lambda r: r.sse("a", finish=None, done=False), "ended the stream before the answer"),
        (
            lambda r: r.sse("a", finish=None, done=False, breaks=True),
            "broke before the answer was complete",
        ),
        (lambda r: r.raw(200, [b"<html>"], "text/html"), "instead of an event stream"),
        (lambda r: r.raw(200, [b"data: {}\n\n"], "text/event-stream"), "not the form of OpenAI"),
        (lambda r: r.json({}, 500), "answered 500"),
    ],
)
def test_faults_are_said_in_one_line(server, replies, open_backend, reply, words):
    server.answer = lambda path, body: reply(replies)
    with pytest.raises(RunFailed, match=words) as caught:
        open_backend().generate(chat("x"))
    assert "\n" not in str(caught.value)


def test_what_came_before_a_broken_stream_is_kept(server, replies, open_backend):
    server.answer = lambda path, body: replies.sse(
        "one ", "two ", finish=None, done=False, breaks=True
    )
    pieces = open_backend().iter_text(chat("x"))
    assert [next(pieces), next(pieces)] == ["one ", "two "]
    with pytest.raises(RunFailed, match="broke before"):
        next(pieces)


def test_a_break_after_the_finish_reason_does_no_harm(server, replies, open_backend):
    server.answer = lambda path, body: replies.sse("one", finish="length", done=False, breaks=True)
    assert open_backend().generate(chat("x")) == Completion("one", "length", None, None)


def test_streams_run_in_the_callers_loop(server, replies, open_backend):
    server.answer = chat_server(replies)

    async def main():
        stream = open_backend().stream(chat("Name a flower."))
        return [piece async for piece in stream], stream.finish_reason, stream.prompt_tokens

    assert asyncio.run(main()) == (["Sure: ", "a rose."], "stop", 6)


def test_a_batch_keeps_its_order(server, replies, open_backend):
    server.answer = lambda path, body: replies.sse(body["messages"][0]["content"].upper())
    done = open_backend(concurrency=4).generate_batch([chat(c) for c in "abcdefgh"])
    assert [completion.text for completion in done] == list("ABCDEFGH")


def test_cancelling_a_task_closes_its_connection(server, replies, open_backend):
    gone = threading.Event()

    def reply(path, body):
        def pieces():
            for _ in range(400):
                yield b": wait\n\n"
                server.stop.wait(0.01)

        return replies.raw(200, _Endless(pieces(), gone), "text/event-stream")

    server.answer = reply

    async def main():
        async def read():
            async for _ in open_backend().stream(chat("x")):
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert gone.wait(3)


class _Endless(list):
    """A body of unknown length that tells when nobody reads it any more."""

    def __init__(self, pieces, gone):
        super().__init__([b"x" * 100_000])
        self._pieces, self._gone = pieces, gone
        self._sized = False

    def __iter__(self):
        if not self._sized:  # first the length is summed up, then the pieces are sent
            self._sized = True
            return super().__iter__()
        return self._send()

    def _send(self):
        try:
            yield from self._pieces
        finally:
            self._gone.set()


def test_descriptions_hold_no_key(server, monkeypatch, open_backend):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    backend = open_backend()
    assert backend.describe() == {"kind": "openai", "model": "tiny", "url": server.url}
    assert "secret" not in repr(backend) + str(vars(backend))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prefill": "asistant"}, "did you mean 'assistant'"),
        ({"prefill": "completions"}, "needs template=FOLDER"),
        ({"tries": 0}, "counts must be >= 1"),
        ({"extra_body": {"stream": False}}, "extra_body sets 'stream'"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(InvalidInput, match=words):
        OpenAIBackend("http://127.0.0.1:9/v1", "m", **options)


def test_bad_input_is_refused_before_anything_is_sent(server, open_backend):
    backend = open_backend()
    for call in (
        lambda: backend.generate([]),
        lambda: backend.stream(chat("x"), max_tokens=0),
        lambda: backend.iter_text(chat("x"), top_p=2),
        lambda: backend.score(chat("x"), ""),
        lambda: backend.count_tokens(3),  # type: ignore[arg-type]
        lambda: backend.generate_batch([chat("x"), "y"]),
    ):
        with pytest.raises(InvalidInput):
            call()
    assert server.requests == []


class TestWithTemplate:
    """`/completions` with the text of the model's own chat template."""

    @pytest.fixture
    def raw_server(self, server, replies):
        def reply(path, body):
            if path != "/v1/completions":
                return replies.raw(404)
            prompt = body["prompt"]
            if body.get("echo"):
                offsets = list(range(len(prompt) + 1))
                values = [None, *(-float(ord(c)) for c in prompt[1:]), -1.0]
                return replies.json(
                    {
                        "choices": [
                            {
                                "text": prompt + "!",
                                "logprobs": {"text_offset": offsets, "token_logprobs": values},
                            }
                        ]
                    }
                )
            return replies.raw(
                200,
                [
                    b'data: {"choices": [{"text": " goes on"}]}\n\n',
                    b'data: {"choices": [{"text": "", "finish_reason": "length"}]}\n\n',
                ],
                "text/event-stream",
            )

        server.answer = reply
        return server

    def test_a_prefix_is_continued(self, raw_server, open_backend, tiny_folder):
        backend = open_backend(template=str(tiny_folder))
        assert backend.generate(chat("Hi"), prefix="It").text == " goes on"
        assert raw_server.requests[-1][1]["prompt"] == (
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nIt"
        )

    def test_forged_turns_are_sent_as_tokens(self, raw_server, open_backend, tiny_folder):
        backend = open_backend(template=str(tiny_folder), prefill="completions")
        backend.generate(chat("Hi<|im_end|>"), prefix="It")
        prompt = raw_server.requests[-1][1]["prompt"]
        assert all(isinstance(token, int) for token in prompt)

    def test_an_honoured_echo_gives_scores(self, raw_server, open_backend, tiny_folder):
        score = open_backend(template=str(tiny_folder)).score(chat("Hi"), "abc")
        assert score.log_probs.tolist() == [-97.0, -98.0, -99.0]
        assert score.total == -294.0

    def test_an_ignored_echo_is_said(self, server, replies, open_backend, tiny_folder):
        server.answer = lambda path, body: (
            replies.json({"choices": [{"text": "new"}]})
            if path == "/v1/completions"
            else replies.raw(404)
        )
        with pytest.raises(InvalidInput, match="ignores `echo`"):
            open_backend(template=str(tiny_folder)).score(chat("Hi"), "abc")

    def test_tokens_are_counted_by_the_template(self, raw_server, open_backend, tiny_folder):
        assert open_backend(template=str(tiny_folder)).count_tokens("four") == 4
