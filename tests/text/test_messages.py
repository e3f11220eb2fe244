"""Chat messages: what is accepted, and one clear line for what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.text import chat, check_messages

USER = {"role": "user", "content": "Hello?"}


def test_chat_puts_the_system_message_first():
    assert chat("Why?", system="Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
    ]
    assert chat("Why?", system="")[0] == {"role": "system", "content": ""}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_valid_messages_come_back_as_equal_copies(contents: list[str]):
    messages = [{"role": "user", "content": content} for content in contents]
    checked = check_messages(iter(messages))
    assert list(checked) == messages
    assert all(copy is not message for copy, message in zip(checked, messages))


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "messages is empty"),
        ("Hello", "messages is str"),
        (USER, "messages is dict"),
        (None, "messages is NoneType"),
        (["Hello"], "message 0 is str"),
        ([{"role": "user"}], "message 0 has no 'content'"),
        ([{"content": "x"}], "message 0 has no 'role'"),
        ([{**USER, "name": "A"}], "unknown key of message 0 'name'"),
        ([{"role": "asistant", "content": ""}, USER], "did you mean 'assistant'"),
        ([{"role": "user", "content": 3}], "content of message 0 is int"),
        ([{"role": "user", "content": "a\ud800"}], "lone surrogate at character 1"),
        ([USER, {"role": "assistant", "content": "I"}], "give a begun answer as prefix"),
    ],
)
def test_bad_messages_are_named(messages, words):
    with pytest.raises(InvalidInput) as caught:
        check_messages(messages)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
