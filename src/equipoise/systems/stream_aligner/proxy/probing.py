"""What a server does with a begun answer, found out before it is needed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from equipoise.core.errors import RunFailed
from equipoise.text.interface import Completion, Request
from equipoise.text.messages import Message
from equipoise.text.openai_wire import CONTINUE_EXTRAS
from equipoise.text.prefill import Continuation, probe_assistant
from equipoise.text.transport import HttpStatusError, Transport

Complete = Callable[[Request, Sequence[Message]], Awaitable[Completion]]


async def is_llamacpp(transport: Transport, root: str) -> bool:
    """Return whether a server has llama.cpp's own endpoints; `root` is its URL without `/v1`.

    Raises:
        RunFailed: it cannot be reached.
    """
    try:
        properties = await transport.json("GET", "/props", root=root)
    except HttpStatusError:
        return False
    except RunFailed as error:
        if "no JSON" not in str(error):  # some other server's page
            raise
        return False
    return isinstance(properties, dict) and "chat_template" in properties


async def first_model(transport: Transport) -> str:
    """Return the first model that a server names, `default` where it names none."""
    listed = await transport.json("GET", "/models")
    try:
        return str(listed["data"][0]["id"])
    except (KeyError, IndexError, TypeError):
        return "default"


async def find_continuation(
    complete: Complete, refused: set[str], tell: Callable[[str], object]
) -> Continuation:
    """Probe a chat endpoint with a trailing assistant message.

    Args:
        complete: sends a request with the given messages.
        refused: optional fields that the server does not know; those it names are added.
        tell: told on what evidence a server without token counts is taken to continue.

    Returns:
        Mode `assistant`, with an echo or without, or `none`.
    """
    answered: dict[str, Completion] = {}

    async def ask(request: Request, messages: Sequence[Message]) -> Completion:
        try:
            answer = await complete(request, messages)
        except HttpStatusError as error:
            named = {field for field in CONTINUE_EXTRAS if field in error.detail}
            if error.status not in (400, 422) or not named - refused:
                raise
            refused.update(named)
            answer = await complete(request, messages)
        last = messages[-1]
        answered[last["content"] if last["role"] == "assistant" else ""] = answer
        return answer

    try:
        way = await probe_assistant(ask, trusted=False)
    except HttpStatusError as error:
        if error.status in (400, 422):  # it refuses a trailing assistant message outright
            return Continuation("none")
        raise
    if way.mode == "none" and _counts_nothing(answered):
        tell("its token counts say nothing of turns, its answers do not start anew")
        return Continuation("assistant")
    return way


def _counts_nothing(answered: Mapping[str, Completion]) -> bool:
    """Return whether a probed server continues as far as can be seen, where it counts no tokens.

    The probe proves a continuation by the count of prompt tokens. Where that is not given, or does
    not grow with the prompt, an answer that differs from the one to the question alone must do.
    """
    alone, one = answered.get(""), answered.get("The")
    if alone is None or one is None:
        return False
    counts = (alone.prompt_tokens, one.prompt_tokens)
    if counts[0] is not None and counts[1] is not None and counts[1] > counts[0]:
        return False
    begun = [answer for prefix, answer in answered.items() if prefix not in ("", "The")]
    return bool(begun) and all(answer.text != alone.text for answer in begun)
