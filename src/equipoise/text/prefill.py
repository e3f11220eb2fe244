"""Can a server continue a begun answer? Found out by evidence, never assumed.

A chat endpoint that is handed an assistant message at the end may continue it, may continue it and
repeat it first (an *echo*), or may open a new turn. The answer's look does not tell these apart, so
the probe asks for evidence that does:

- *echo*: two answers begin with the two random words that were begun;
- *continuation*: one more token in the begun answer is exactly one more token in the prompt (a new
  turn adds its end and header as well), and the answer is not the one to the question alone.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.text.interface import Completion, Request
from equipoise.text.messages import Message

PREFILLS = ("auto", "assistant", "completions", "none")

Ask = Callable[[Request, Sequence[Message]], Awaitable[Completion]]


@dataclass(frozen=True)
class Continuation:
    """How a server continues a begun answer.

    Attributes:
        mode: `native` (llama.cpp's own endpoints), `completions` (raw, from the template's text),
            `assistant` (a trailing assistant message), or `none`.
        echo: whether it repeats the begun answer before it goes on.
    """

    mode: str
    echo: bool = False


def check_prefill(prefill: str) -> str:
    """Return `prefill` if it is one of `PREFILLS`, else name the nearest."""
    if prefill not in PREFILLS:
        raise unknown_name("prefill", prefill, PREFILLS)
    return prefill


async def probe_assistant(ask: Ask, *, trusted: bool) -> Continuation:
    """Find out what a trailing assistant message does.

    Args:
        ask: sends a request with the given messages to the chat endpoint.
        trusted: the user says that the server continues; only the echo is looked for.

    Returns:
        Mode `assistant`, or `none` where the evidence is missing.
    """
    question: Message = {"role": "user", "content": "Name a flower and a number."}
    begun = [f"Marigold {secrets.randbelow(90000) + 10000}," for _ in range(2)]

    async def answer(prefix: str, max_tokens: int) -> Completion:
        messages = [question, *([_assistant(prefix)] if prefix else [])]
        return await ask(Request((question,), max_tokens=max_tokens), messages)

    first = await answer(begun[0], 24)
    if first.text.startswith(begun[0]):
        second = await answer(begun[1], 24)
        if second.text.startswith(begun[1]):
            return Continuation("assistant", echo=True)
    if trusted:
        return Continuation("assistant")
    alone = await answer("", 24)
    one = await answer("The", 1)
    if (
        alone.prompt_tokens is not None
        and one.prompt_tokens is not None
        and one.prompt_tokens - alone.prompt_tokens == 1
        and first.text != alone.text
    ):
        return Continuation("assistant")
    return Continuation("none")


def cannot_continue(url: str, prefill: str) -> InvalidInput:
    """Build the error for an endpoint that offers no way to continue an answer."""
    if prefill == "none":
        return InvalidInput(f"prefill='none' was chosen for {url}, so prefix must be empty")
    return InvalidInput(
        f"{url} cannot continue a begun answer: it opens a new turn, or does not show that it does "
        "not. Give template=FOLDER (the model's tokenizer) if it has /completions, or "
        "prefill='assistant' if you know that it continues a trailing assistant message"
    )


def _assistant(content: str) -> Message:
    return {"role": "assistant", "content": content}
