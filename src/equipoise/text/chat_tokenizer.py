"""A transformers tokenizer as chat tokenizer: template and contents to tokens."""

from collections.abc import Sequence
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.text.messages import Message
from equipoise.text.prompts import Piece, cut_at_contents, mark_contents, merge_pieces


class ChatTokenizer:
    """Renders chats by a tokenizer's own template and encodes them.

    Args:
        tokenizer: a transformers tokenizer.
        name: what errors call the model.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self._tokenizer = tokenizer
        self._name = name

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Return the tokens of `text`; without `special`, special tokens stay plain text."""
        return self._tokenizer(
            text, add_special_tokens=False, split_special_tokens=not special, verbose=False
        ).input_ids

    def render(self, messages: Sequence[Message]) -> str:
        """Return the template's text for `messages`, ready for an answer.

        Raises:
            InvalidInput: the model has no chat template, or its template refuses the messages.
        """
        from jinja2.exceptions import TemplateError

        if not self._tokenizer.chat_template:
            raise InvalidInput(
                f"{self._name} has no chat template: it is a base model; use its chat version, "
                "or set tokenizer.chat_template and save it"
            )
        try:
            return self._tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise InvalidInput(
                f"the chat template of {self._name} refuses the messages: {error}"
            ) from None

    def prompt_tokens(self, messages: Sequence[Message], prefix: str) -> list[int]:
        """Return the tokens of a prompt; nothing a user wrote becomes a special token."""
        rendered = self.render(messages)
        contents = "\n".join([*(message["content"] for message in messages), prefix])
        if self.encode(contents, special=False) == self.encode(contents, special=True):
            return self.encode(rendered + prefix, special=True)
        marked, marks = mark_contents(messages)
        pieces = cut_at_contents(rendered, self.render(marked), marks, messages)
        tokens: list[int] = []
        for piece in merge_pieces((*pieces, Piece(prefix, False))):
            tokens += self.encode(piece.text, special=piece.special)
        return tokens
