"""Request bodies and answers in OpenAI's form."""

import pytest

from equipoise.core.errors import RunFailed
from equipoise.text import chat
from equipoise.text.interface import SEED_LIMIT, make_request
from equipoise.text.openai_wire import Dialect, Part, chat_body, completion_body, read_event

BEGUN = {"role": "assistant", "content": "I"}


def body(dialect=None, messages=None, **options):
    request = make_request(chat("x"), options)
    return chat_body("m", request, messages or request.messages, dialect or Dialect())


def test_a_greedy_request_sends_what_every_server_knows():
    assert body(max_tokens=5) == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 1.0,
        "messages": [{"role": "user", "content": "x"}],
    }


def test_a_sampled_request_switches_the_servers_own_cuts_off():
    sent = body(temperature=0.5, top_p=0.9, seed=SEED_LIMIT + 3, stop=list("abcdef"))
    assert (sent["top_k"], sent["min_p"], sent["samplers"]) == (0, 0.0, ["temperature", "top_p"])
    assert (sent["temperature"], sent["top_p"], sent["seed"]) == (0.5, 0.9, 3)
    assert sent["stop"] == list("abcd")


def test_a_begun_answer_is_marked_as_such():
    sent = body(messages=[*chat("x"), BEGUN])
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)
    assert "continue_final_message" not in body()


def test_raw_prompts_are_text_or_tokens():
    request = make_request(chat("x"), {})
    assert completion_body("m", request, "text", Dialect())["prompt"] == "text"
    assert completion_body("m", request, [1, 2], Dialect())["prompt"] == [1, 2]


def test_named_fields_are_dropped_others_stay():
    dialect = Dialect()
    sent = body(dialect, temperature=1.0)
    assert dialect.adapt(sent, "Unrecognized request argument supplied: top_k")
    again = body(dialect, temperature=1.0)
    assert "top_k" not in again
    assert "min_p" in again


def test_an_unclear_refusal_drops_all_that_is_optional_once():
    dialect = Dialect()
    assert dialect.adapt(body(dialect, messages=[*chat("x"), BEGUN]), "bad request")
    plain = body(dialect, messages=[*chat("x"), BEGUN])
    assert {"stream_options", "continue_final_message", "add_generation_prompt"}.isdisjoint(plain)
    assert not dialect.adapt(plain, "bad request")


def test_the_other_name_of_the_limit_is_learnt():
    dialect = Dialect()
    assert dialect.adapt(body(dialect), "Use 'max_completion_tokens' instead of 'max_tokens'.")
    assert body(dialect, max_tokens=9)["max_completion_tokens"] == 9
    assert "max_tokens" not in body(dialect)


USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


@pytest.mark.parametrize(
    ("event", "part"),
    [
        ({"choices": [{"delta": {"role": "assistant", "content": None}}]}, Part()),
        ({"choices": [{"delta": {"content": "a"}, "finish_reason": None}]}, Part("a")),
        ({"choices": [{"delta": {"reasoning_content": "hm"}}]}, Part()),
        ({"choices": [{"delta": {}, "finish_reason": "length"}]}, Part("", "length")),
        ({"choices": [], "usage": USAGE}, Part("", None, 3, 2)),
        ({"usage": USAGE}, Part("", None, 3, 2)),
        ({"choices": [{"text": "raw", "finish_reason": "stop"}]}, Part("raw", "stop")),
        (
            {"choices": [{"message": {"content": "all"}, "finish_reason": "stop"}], "usage": USAGE},
            Part("all", "stop", 3, 2),
        ),
    ],
)
def test_answers_are_read(event, part):
    assert read_event(event) == part


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"choices": "x"},
        {"choices": [3]},
        {"choices": [{"delta": {"content": 3}}]},
        {"usage": 1},
    ],
)
def test_other_forms_are_refused(event):
    with pytest.raises(RunFailed, match="not the form of OpenAI's API"):
        read_event(event)
