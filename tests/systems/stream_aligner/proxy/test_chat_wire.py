"""Requests as they are read: what is refused, what is understood, what goes upstream."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import RunFailed
from equipoise.systems.stream_aligner.proxy.chat_wire import (
    CallCollector,
    read_request,
)
from equipoise.systems.stream_aligner.proxy.errors import ProxyError

ASKED = [{"role": "user", "content": "Why?"}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
NO_TEXT = {"type": "text"}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}


def read_chat(**fields):
    return read_request(json.dumps({"messages": ASKED, **fields}).encode(), "chat")


def read_completion(**fields):
    return read_request(json.dumps({"prompt": "Once", **fields}).encode(), "completions")


def refusal(read, *args, **fields):
    with pytest.raises(ProxyError) as caught:
        read(*args, **fields)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize("read", [read_chat, read_completion])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n", [2, 0, "1", 1.0, True]),
        ("best_of", [2, True]),
        ("max_tokens", [0, -1, 1.5, "5", True, []]),
        ("max_completion_tokens", [0, -1, 1.5, "5", True]),
        ("seed", [1.5, "7", True]),
        ("temperature", ["1", [], False]),
        ("top_p", ["1", {}]),
        ("frequency_penalty", ["0"]),
        ("presence_penalty", [True]),
        ("stream", [1, "true", []]),
        ("stream_options", [True, [], {}, {"include_usage": True}]),
        ("stop", ["", [""], [1], ["a", None], {"a": 1}, 3, list("abcde")]),
        ("response_format", ["json_object", []]),
        ("tools", [{}, "look"]),
        ("model", [3, ["m"]]),
    ],
)
def test_a_value_of_the_wrong_form_is_refused_by_its_name(read, name, values):
    for value in values:
        error = refusal(read, **{name: value})
        assert (error.param, error.code) == (name, "invalid_value"), value
        assert name in str(error), value


@pytest.mark.parametrize(
    ("read", "name", "refused", "accepted"),
    [
        (read_chat, "logprobs", [True, 1], [False, None]),
        (read_chat, "top_logprobs", [1, 5], [0, None]),
        (read_chat, "modalities", [["audio"], ["text", "audio"], []], [["text"], None]),
        (read_chat, "audio", [{"voice": "x", "format": "wav"}, {}], [None]),
        (read_completion, "logprobs", [0, 1, True], [None, False]),
        (read_completion, "echo", [True], [None, False]),
        (read_completion, "suffix", ["end"], [None, ""]),
        (read_completion, "prompt", [None, [], ["a", "b"], [1, 2], [[1, 2]], 3], ["a", ["a"]]),
    ],
)
def test_what_no_review_covers_is_refused_and_its_absence_spelled_out_is_not(
    read, name, refused, accepted
):
    for value in refused:
        assert refusal(read, **{name: value}).param == name, value
    for value in accepted:
        assert read(**{name: value}).question, value


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ({}, "messages"),
        (["Why?"], "messages[0]"),
        ([*ASKED, {"role": 1, "content": "x"}], "messages[1]"),
        ([*ASKED, {"role": "user", "content": {"text": "x"}}], "messages[1].content"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content"),
        ([{"role": "user", "content": [{"text": "x"}]}], "messages[0].content"),
        ([{"role": "user", "content": [IMAGE, NO_TEXT]}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "x", "text": 5}]}], "messages[0].content"),
    ],
)
def test_the_message_at_fault_is_named(messages, param):
    assert refusal(read_chat, messages=messages).param == param


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b'["messages"]', None),
        (b'{"model": "\xff"}', None),
        (b"[" * 100_000, None),
        (b'{"seed": ' + b"1" * 5000 + b"}", None),
        (b'{"user\\udc00": "x"}', None),
        (b'{"user": "\\ud83d"}', "user"),
        (b'{"user": "\xed\xa0\xbd"}', "user"),
        (b'{"messages": [{"role": "user", "content": "a\\ude42\\ud83d"}]}', "messages"),
        (b'{"model": "m", "metadata": {"a": ["\\ud800"]}}', "metadata"),
        (b'{"top_p": NaN}', "top_p"),
        (b'{"model": "m", "metadata": {"a": 1e999}}', "metadata"),
    ],
)
def test_bodies_that_cannot_be_sent_on_are_refused(raw, param):
    error = refusal(read_request, raw, "chat")
    assert error.param == param
    assert error.code == ("invalid_value" if param else "invalid_body")


def test_both_halves_of_an_escaped_pair_are_one_character():
    raw = b'{"messages": [{"role": "user", "content": "\\ud83d\\ude42"}]}'
    assert read_request(raw, "chat").question == "\U0001f642"


@pytest.mark.parametrize(
    ("content", "question"),
    [
        ("How?", "How?"),
        (None, ""),
        ([], ""),
        ([IMAGE], ""),
        (
            [IMAGE, {"type": "text", "text": "What"}, {"type": "text", "text": "is it?"}],
            "What\nis it?",
        ),
    ],
)
@pytest.mark.parametrize("after", [[], [{"role": "assistant", "content": "It"}]])
def test_the_corrector_sees_the_text_of_the_last_user_message_and_the_upstream_all(
    content, question, after
):
    messages = [*ASKED, {"role": "user", "content": content}, *after]
    request = read_chat(messages=messages)
    assert request.question == question
    assert request.body["messages"] == messages


def test_fields_of_the_answers_form_stay_here_and_all_others_go_upstream():
    own = {"n": 1, "best_of": 1, "logprobs": False, "top_logprobs": 0, "echo": False}
    own |= {"stream": True, "stream_options": {"include_usage": True}}
    others = {"model": "m", "stop": ["a"], "tools": [{"type": "function"}], "x_new": {"a": [1]}}
    assert read_chat(**own, **others).body == {"messages": ASKED, **others}
    assert read_completion(prompt=["a"], stop="b", **own).body == {"prompt": "a", "stop": "b"}


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ({}, {"stream": False, "include_usage": False, "stop": (), "max_tokens": None}),
        ({"stream": None, "stream_options": None}, {"stream": False, "include_usage": False}),
        ({"stream": True}, {"stream": True, "include_usage": False}),
        ({"stream": True, "stream_options": {}}, {"include_usage": False}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"include_usage": True}),
        ({"stop": None}, {"stop": ()}),
        ({"stop": []}, {"stop": ()}),
        ({"stop": "end"}, {"stop": ("end",)}),
        ({"stop": ["a", "\n", "b", "c"]}, {"stop": ("a", "\n", "b", "c")}),
        ({"max_tokens": None}, {"max_tokens": None}),
        ({"max_completion_tokens": 1}, {"max_tokens": 1}),
        ({"max_tokens": 9, "max_completion_tokens": None}, {"max_tokens": 9}),
        ({"max_tokens": 9, "max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"response_format": None}, {"json_mode": False}),
        ({"response_format": {}}, {"json_mode": False}),
        ({"response_format": {"type": "text"}}, {"json_mode": False}),
        ({"response_format": {"type": "json_object"}}, {"json_mode": True}),
        ({"response_format": SCHEMA}, {"json_mode": True}),
    ],
)
@pytest.mark.parametrize("reader", [read_chat, read_completion])
def test_every_form_of_a_field_is_understood(reader, fields, read):
    request = reader(**fields)
    assert {name: getattr(request, name) for name in read} == read


@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "max_tokens": st.none() | st.integers(1, 100),
            "max_completion_tokens": st.none() | st.integers(1, 100),
            "seed": st.none() | st.integers(-(2**63), 2**63),
            "temperature": st.none() | st.floats(0, 2),
        },
    ),
    spent=st.integers(0, 150),
    asked=st.integers(0, 9),
)
def test_each_further_request_has_what_is_left_of_the_limit_and_a_seed_of_its_own(
    fields, spent, asked
):
    request = read_chat(**fields)
    before = copy.deepcopy(request.body)
    expected: dict[str, Any] = {"messages": ASKED, **fields}
    for name in ("max_tokens", "max_completion_tokens"):
        if fields.get(name) is not None:
            expected[name] = max(1, fields[name] - spent)
    if fields.get("seed") is not None:
        expected["seed"] = fields["seed"] + asked
    assert request.upstream_body(spent, asked) == expected
    assert request.body == before


def collected(deltas):
    collector = CallCollector()
    for delta in deltas:
        collector.add(delta)
    return collector.fields()


@given(data=st.data(), arguments=st.lists(st.text(max_size=12), min_size=1, max_size=3))
def test_calls_are_whole_however_their_deltas_are_cut_and_mixed(data, arguments):
    whole, queues = [], []
    for index, text in enumerate(arguments):
        head, function = {"id": f"c{index}", "type": "function"}, {"name": f"f{index}"}
        whole.append({**head, "function": {**function, "arguments": text}})
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        rest = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
        queues.append([{"index": index, **head, "function": function}, *rest])
    turns = data.draw(st.permutations([i for i, queue in enumerate(queues) for _ in queue]))
    mixed = [queues[turn].pop(0) for turn in turns]
    together = data.draw(st.integers(0, len(mixed)))
    deltas = [{"tool_calls": mixed[:together]}, *({"tool_calls": [d]} for d in mixed[together:])]
    assert collected(deltas) == {"tool_calls": whole}


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        ([None, []], None),
        ([[{"index": 1, "id": "b"}], [{"index": 0, "id": "a"}]], [{"id": "a"}, {"id": "b"}]),
        ([[{"id": "a"}], [{"id": "b"}]], [{"id": "a"}, {"id": "b"}]),
        ([[{"index": None, "id": "a"}], [{"index": 1, "id": "b"}]], [{"id": "a"}, {"id": "b"}]),
        ([[{"index": 0, "id": "a"}], [{"index": 0, "id": None}]], [{"id": "a"}]),
        ([[{"index": 0, "id": "a"}], [{"index": 0, "id": "a"}]], [{"id": "a"}]),
    ],
)
def test_order_is_by_index_where_there_is_one_and_what_is_repeated_is_one(deltas, calls):
    fields = collected([{"tool_calls": delta} for delta in deltas])
    assert fields == ({} if calls is None else {"tool_calls": calls})


def test_the_older_form_of_a_call_is_joined_too():
    deltas = [{"name": "f", "arguments": ""}, {"arguments": "{"}, None, {"arguments": "}"}]
    fields = collected([{"function_call": delta} for delta in deltas])
    assert fields == {"function_call": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": 3},
        {"tool_calls": "look"},
        {"tool_calls": ["look"]},
        {"tool_calls": [{"index": [0]}]},
        {"tool_calls": [{"index": "0"}, {"index": 1}]},
        {"tool_calls": [{"index": 0, "function": "f"}, {"index": 0, "function": {"a": 1}}]},
        {"function_call": "look"},
    ],
)
def test_calls_of_another_form_are_the_upstreams_fault(delta):
    with pytest.raises(RunFailed, match="tool calls"):
        collected([delta])
