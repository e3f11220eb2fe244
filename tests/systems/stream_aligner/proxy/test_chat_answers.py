"""Answers as they are spelled: chunks, whole bodies, what marks their beginning and end."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.systems.stream_aligner.proxy import chat_answers
from equipoise.systems.stream_aligner.proxy.chat_answers import DONE, HEARTBEAT, AnswerForm, sse

USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
REPORT = {"rounds": 2, "induction": True}
PLAIN = {"index": 0, "logprobs": None, "finish_reason": None}


def event_of(data):
    found = re.fullmatch(rb"data: ([^\r\n]+)\n\n", data)
    assert found is not None, data
    return json.loads(found[1])


def choice_of(data):
    (choice,) = event_of(data)["choices"]
    return choice


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("chat", {"id": "chatcmpl-abc", "object": "chat.completion.chunk"}),
        ("completions", {"id": "cmpl-abc", "object": "text_completion"}),
    ],
)
def test_one_identity_throughout_and_the_report_in_the_finish_chunk_alone(kind, head, monkeypatch):
    times = iter(range(1_700_000_000, 1_700_000_009))
    monkeypatch.setattr(chat_answers.time, "time", lambda: next(times) + 0.9)
    form = AnswerForm(kind, "m", "abc")
    chunks = [form.text("a"), form.text("b"), form.finish("stop", REPORT), form.usage(USAGE)]
    first, second, finish, usage = (event_of(chunk) for chunk in chunks)
    for event in (first, second, finish, usage):
        fixed = {name: event[name] for name in ("id", "object", "created", "model")}
        assert fixed == {**head, "created": 1_700_000_000, "model": "m"}
    assert finish["equipoise"] == REPORT
    assert (usage["choices"], usage["usage"]) == ([], USAGE)
    assert not any("equipoise" in event for event in (first, second, usage))
    assert not any("usage" in event for event in (first, second, finish))


def test_chat_chunks():
    form = AnswerForm("chat", "m", "abc")
    calls = {"tool_calls": [{"index": 0, "function": {"arguments": '{"pl\u00e4ce": '}}]}
    assert choice_of(form.role()) == {**PLAIN, "delta": {"role": "assistant", "content": ""}}
    assert choice_of(form.text("One.")) == {**PLAIN, "delta": {"content": "One."}}
    assert choice_of(form.delta(calls)) == {**PLAIN, "delta": calls}
    finish = choice_of(form.finish("length", REPORT))
    assert finish == {**PLAIN, "delta": {}, "finish_reason": "length"}


def test_completion_chunks_and_the_comment_that_opens_them():
    form = AnswerForm("completions", "m", "abc")
    assert re.fullmatch(rb": [a-z]+\n\n", form.role())
    assert choice_of(form.text("One.")) == {**PLAIN, "text": "One."}
    finish = choice_of(form.finish("stop", REPORT))
    assert finish == {**PLAIN, "text": "", "finish_reason": "stop"}


def test_whole_bodies():
    message = {"role": "assistant", "content": "One.", "refusal": None}
    chat = AnswerForm("chat", "m", "abc").whole(message, "stop", USAGE, REPORT)
    assert (chat["object"], chat["id"], chat["model"]) == ("chat.completion", "chatcmpl-abc", "m")
    assert chat["choices"] == [{**PLAIN, "finish_reason": "stop", "message": message}]
    assert (chat["usage"], chat["equipoise"]) == (USAGE, REPORT)
    form = AnswerForm("completions", "m", "abc")
    for content, text in (("One.", "One."), (None, "")):
        whole = form.whole({**message, "content": content}, "stop", USAGE, REPORT)
        assert (whole["object"], whole["id"]) == ("text_completion", "cmpl-abc")
        assert whole["choices"] == [{**PLAIN, "finish_reason": "stop", "text": text}]


@given(text=st.text() | st.sampled_from(["\r\n\r\n", "data: [DONE]\n\n", "\x00\x85\u2028\u2029"]))
def test_any_text_is_one_event_and_comes_back_as_it_was(text):
    assert choice_of(AnswerForm("chat", "m", "abc").text(text))["delta"] == {"content": text}
    assert event_of(sse(text)) == text


def test_the_end_and_the_heartbeat_are_what_clients_look_for():
    assert DONE == b"data: [DONE]\n\n"
    assert re.fullmatch(rb":[^\n]*\n\n", HEARTBEAT), "a comment, which every client skips"
