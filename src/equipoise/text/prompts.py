"""From a rendered chat template to tokens, with everything a user wrote kept as plain text.

A tokenizer that reads special tokens turns the *text* `<|im_end|>` inside a message into the real
end of a turn, so a user could forge turns. Where a content holds such text, the template is
rendered once more with marks in the contents' places, cut there, and each content is encoded on its
own with special tokens off. Where none does, the whole text is encoded at once,
as the model was trained.
"""

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from equipoise.core.errors import InvalidInput
from equipoise.text.messages import Message


@dataclass(frozen=True)
class Piece:
    """A part of a prompt: the template's own text (`special`), or a user's, which stays plain."""

    text: str
    special: bool


def mark_contents(messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
    """Return the messages with an unguessable word for each content, and those words."""
    marks = [f"mark{secrets.token_hex(12)}" for _ in messages]
    marked: list[Message] = [
        {"role": message["role"], "content": mark} for message, mark in zip(messages, marks)
    ]
    return marked, marks


def cut_at_contents(
    rendered: str, marked: str, marks: Sequence[str], messages: Sequence[Message]
) -> tuple[Piece, ...]:
    """Cut `rendered` into template text and contents, by the same template `marked` with marks.

    Raises:
        InvalidInput: the template rewrites contents, so that they cannot be told from its own text.
    """
    contents = {mark: message["content"] for mark, message in zip(marks, messages)}
    pattern = "(" + "|".join(map(re.escape, marks)) + ")"
    parts = [part for part in re.split(pattern, marked) if part]
    for content in (contents, {mark: text.strip() for mark, text in contents.items()}):
        pieces = tuple(Piece(content.get(part, part), part not in content) for part in parts)
        if "".join(piece.text for piece in pieces) == rendered:
            return pieces
    raise InvalidInput(
        "a message holds the text of a special token and this model's chat template rewrites "
        "contents, so it cannot be kept as plain text; remove it from the message"
    )


def merge_pieces(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Yield the pieces with neighbours of one kind joined and empty ones left out."""
    held: Piece | None = None
    for piece in pieces:
        if not piece.text:
            continue
        if held is None:
            held = piece
        elif held.special == piece.special:
            held = Piece(held.text + piece.text, held.special)
        else:
            yield held
            held = piece
    if held is not None:
        yield held
