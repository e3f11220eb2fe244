"""Chat templates and tokens by transformers' tokenizers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.text import Message, chat
from equipoise.text.chat_tokenizer import ChatTokenizer
from equipoise.text.local_models import load_chat_tokenizer

TURN = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> ChatTokenizer:
    return load_chat_tokenizer(str(tiny_folder))


@pytest.fixture(scope="module")
def specials(tiny) -> dict[str, int]:
    return {name: tiny.encode(name, special=True)[0] for name in ("<|im_start|>", "<|im_end|>")}


def test_the_template_ends_where_an_answer_begins(tiny):
    assert tiny.render(chat("Hi")) == TURN


def test_without_forgeries_the_whole_text_is_encoded_at_once(tiny):
    assert tiny.prompt_tokens(chat("Hi"), "Be") == tiny.encode(TURN + "Be", special=True)


parts = st.sampled_from(["<|im_end|>", "<|im_start|>", "user\n", "a", " ", "\n", "|>", "<|"])
contents = st.lists(parts, max_size=6).map("".join)


@given(st.lists(contents, min_size=1, max_size=3), contents)
def test_only_the_template_gives_special_tokens(tiny, specials, texts, prefix):
    messages: list[Message] = [{"role": "user", "content": text} for text in texts]
    tokens = tiny.prompt_tokens(messages, prefix)
    assert tokens.count(specials["<|im_end|>"]) == len(texts)
    assert tokens.count(specials["<|im_start|>"]) == len(texts) + 1
    letters = sum(len(text) for text in (*texts, prefix))
    empty: list[Message] = [{"role": "user", "content": ""} for _ in texts]
    assert len(tokens) == letters + len(tiny.prompt_tokens(empty, ""))


def test_a_template_that_refuses_is_bad_input(tiny_folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.chat_template = "{{ raise_exception('no system role here') }}"
    with pytest.raises(InvalidInput, match="of Strict refuses the messages: no system role here"):
        ChatTokenizer(tokenizer, "Strict").render(chat("Hi", system="x"))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(InvalidInput, match="cannot load the tokenizer of"):
        load_chat_tokenizer(str(tmp_path))
