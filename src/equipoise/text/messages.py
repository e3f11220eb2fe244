"""Chat messages: what every back end takes, and the checks that come before any model is asked."""

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from equipoise.core.errors import InvalidInput, unknown_name

ROLES = ("system", "user", "assistant", "tool")


class Message(TypedDict):
    """One turn of a conversation: who speaks, and the text."""

    role: str
    content: str


def chat(question: str, *, system: str | None = None) -> list[Message]:
    """Return the messages of one question, after a system message where one is given.

    >>> chat("Hello?")
    [{'role': 'user', 'content': 'Hello?'}]
    """
    turns: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    return [*turns, {"role": "user", "content": question}]


def check_messages(messages: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Return `messages` as a tuple of plain copies, or say what is wrong with them.

    The last message must not be the assistant's: an answer to be continued is the argument `prefix`
    of the back ends, so that "continue this" and "say something new" are never confused.

    Raises:
        InvalidInput: no list of messages, none in it, an unknown role, a key or content that is not
            text, text that is not valid Unicode, or an assistant message at the end.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Iterable):
        raise InvalidInput(
            f"messages is {type(messages).__name__}; give a list like "
            '[{"role": "user", "content": "..."}]'
        )
    checked = tuple(_check_message(place, message) for place, message in enumerate(messages))
    if not checked:
        raise InvalidInput("messages is empty; give at least one user message")
    if checked[-1]["role"] == "assistant":
        raise InvalidInput(
            "the last message is the assistant's; give a begun answer as prefix=..., "
            "not as a message"
        )
    return checked


def check_text(name: str, text: object) -> str:
    """Return `text` if it is a string that UTF-8 can hold, else raise `InvalidInput` naming it."""
    if not isinstance(text, str):
        raise InvalidInput(f"{name} is {type(text).__name__}; it must be text (str)")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{name} holds a lone surrogate at character {error.start}; it is not valid Unicode"
        ) from None
    return text


def _check_message(place: int, message: object) -> Message:
    if not isinstance(message, Mapping):
        raise InvalidInput(
            f"message {place} is {type(message).__name__}; it must be a mapping with role "
            "and content"
        )
    for key in ("role", "content"):
        if key not in message:
            raise InvalidInput(f"message {place} has no {key!r}; it needs role and content")
    for key in message:
        if key not in ("role", "content"):
            raise unknown_name(f"key of message {place}", key, ("role", "content"))
    if message["role"] not in ROLES:
        raise unknown_name(f"role of message {place}", message["role"], ROLES)
    content = check_text(f"content of message {place}", message["content"])
    return {"role": str(message["role"]), "content": content}
