"""Chunks of upstreams, as they come: what each one says, and which are no answer at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import RunFailed
from equipoise.systems.stream_aligner.proxy.upstream_parts import (
    UpstreamPart,
    read_part,
    whole_characters,
)

USAGE = {"prompt_tokens": 7, "completion_tokens": 5}
CALL = [{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"pl\u00e4ce": '}}]
OLD_CALL = {"name": "f"}


def chunk(delta, **choice):
    return {"id": "x", "choices": [{"index": 0, "delta": delta, **choice}]}


@pytest.mark.parametrize(
    ("event", "part"),
    [
        (chunk({"role": "assistant", "content": None}), UpstreamPart()),
        (chunk({}), UpstreamPart()),
        (chunk(None), UpstreamPart()),
        ({"choices": [{}]}, UpstreamPart()),
        (chunk({"content": "a"}, finish_reason=None), UpstreamPart("a")),
        (chunk({}, finish_reason="length"), UpstreamPart(finish_reason="length")),
        (chunk({"content": "a"}, finish_reason="stop"), UpstreamPart("a", finish_reason="stop")),
        (chunk({"content": "a", "refusal": "b"}), UpstreamPart("ab")),
        (chunk({"content": None, "refusal": "No."}), UpstreamPart("No.")),
        (chunk({"reasoning_content": "hm"}), UpstreamPart(reasoning="hm")),
        (chunk({"reasoning_content": None, "reasoning": "hm"}), UpstreamPart(reasoning="hm")),
        (chunk({"reasoning_content": "hm", "reasoning": "hm"}), UpstreamPart(reasoning="hm")),
        (chunk({"content": "a", "reasoning_content": "hm"}), UpstreamPart("a", "hm")),
        (chunk({"content": None, "tool_calls": CALL}), UpstreamPart(calls={"tool_calls": CALL})),
        (chunk({"tool_calls": [], "function_call": None}), UpstreamPart()),
        (chunk({"function_call": OLD_CALL}), UpstreamPart(calls={"function_call": OLD_CALL})),
        ({"choices": [{"text": "a"}]}, UpstreamPart("a")),
        (
            {"choices": [{"text": None, "finish_reason": "stop"}]},
            UpstreamPart(finish_reason="stop"),
        ),
        (
            {"choices": [{"message": {"content": "a"}}], "usage": USAGE},
            UpstreamPart("a", usage=USAGE),
        ),
        ({"usage": USAGE}, UpstreamPart(usage=USAGE)),
        ({"choices": [], "prompt_filter_results": []}, UpstreamPart()),
        ({**chunk({"content": "a"}), "usage": None}, UpstreamPart("a")),
        ({**chunk({"content": "a"}), "usage": {}}, UpstreamPart("a")),
        ({**chunk({"content": "a"}), "usage": USAGE}, UpstreamPart("a", usage=USAGE)),
    ],
)
def test_what_a_chunk_says(event, part):
    assert read_part(event) == part


@pytest.mark.parametrize(
    "event",
    [
        {"choices": None},
        {"choices": {}},
        {"choices": [None]},
        {"usage": None},
        {"choices": [], "usage": 3},
        chunk("a"),
        chunk({"content": [{"type": "text", "text": "a"}]}),
        chunk({"refusal": {"a": 1}, "content": "a"}),
        chunk({"reasoning": 3}),
        {"choices": [{"text": ["a"]}]},
    ],
)
def test_what_is_no_answer_is_refused(event):
    with pytest.raises(RunFailed, match="form of OpenAI"):
        read_part(event)


def test_no_more_than_a_beginning_of_what_is_no_answer_is_said():
    with pytest.raises(RunFailed, match="detail") as caught:
        read_part({"detail": "\ud83d" + "x" * 10_000})
    assert len(str(caught.value).encode()) < 300


def test_half_characters_in_each_text_are_replaced():
    delta = {"content": "a\ud83d", "refusal": "\ude42b", "reasoning": "c\udfff"}
    assert read_part(chunk(delta)) == UpstreamPart("a\ufffd\ufffdb", "c\ufffd")


@given(st.lists(st.sampled_from([*"ab\n", "\u00e9", "\U0001f642", "\ud83d", "\ude42"])))
def test_whole_characters_can_be_sent_and_nothing_else_changes(characters):
    text = "".join(characters)
    whole = whole_characters(text)
    assert whole == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert whole_characters(whole) == whole.encode().decode() == whole
