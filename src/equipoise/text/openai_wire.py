"""OpenAI's wire format: request bodies, and what streamed or whole answers say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.text.interface import SEED_LIMIT, Request
from equipoise.text.messages import Message

MAX_STOPS = 4
"""OpenAI's endpoints take no more; further ones are watched for on our side only."""

RESERVED = ("model", "messages", "prompt", "stream", "stream_options")
"""Fields of a request that are the package's own."""

# What not every server knows. A server that refuses them is asked again without.
SAMPLING_EXTRAS = {"top_k": 0, "min_p": 0.0, "samplers": ["temperature", "top_p"]}
CONTINUE_EXTRAS = {"continue_final_message": True, "add_generation_prompt": False}


@dataclass
class Dialect:
    """What a server is sent beside the request itself, and what it turned out not to understand.

    Attributes:
        extra: further fields of every request, as the user gave them.
        refused: fields that are no longer sent.
        max_tokens_field: what it calls the limit of generated tokens.
    """

    extra: Mapping[str, Any] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    max_tokens_field: str = "max_tokens"

    def __post_init__(self) -> None:
        for name in RESERVED:
            if name in self.extra:
                raise InvalidInput(f"extra_body sets {name!r}, which is not for it to set")

    def adapt(self, body: dict[str, Any], detail: str) -> bool:
        """Learn from a refusal (status 400 or 422); return whether another try may help."""
        if "max_completion_tokens" in detail and self.max_tokens_field == "max_tokens":
            self.max_tokens_field = "max_completion_tokens"
            return True
        optional = {*SAMPLING_EXTRAS, *CONTINUE_EXTRAS, "stream_options"} & body.keys()
        optional -= self.extra.keys()
        named = {name for name in optional if name in detail}
        self.refused |= named or optional
        return bool(optional)


@dataclass(frozen=True)
class Part:
    """What one event says: text, and where given the finish reason and the token counts."""

    text: str = ""
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def chat_body(
    model: str, request: Request, messages: Sequence[Message], dialect: Dialect
) -> dict[str, Any]:
    """Return the body of a streamed chat request; an assistant message last is to be continued."""
    body = {**_shared(model, request, dialect), "messages": list(messages)}
    if messages[-1]["role"] == "assistant":
        body |= CONTINUE_EXTRAS
    return _without(body, dialect)


def completion_body(
    model: str, request: Request, prompt: str | list[int], dialect: Dialect
) -> dict[str, Any]:
    """Return the body of a streamed raw completion request."""
    return _without({**_shared(model, request, dialect), "prompt": prompt}, dialect)


def read_event(event: dict[str, Any]) -> Part:
    """Return what a chunk, or a whole answer, says.

    Raises:
        RunFailed: it has not the form of OpenAI's answers.
    """
    try:
        usage = event.get("usage") or {}
        choices = event.get("choices", [] if usage else None)
        prompt_tokens, completion_tokens = (
            usage.get("prompt_tokens"),
            usage.get("completion_tokens"),
        )
        if not choices and isinstance(choices, list):
            return Part("", None, prompt_tokens, completion_tokens)
        choice = choices[0]
        holder = choice.get("delta") or choice.get("message") or choice
        text = holder.get("content") or holder.get("text") or ""
        if not isinstance(text, str):
            raise TypeError
        return Part(text, choice.get("finish_reason"), prompt_tokens, completion_tokens)
    except (AttributeError, TypeError, KeyError, IndexError):
        raise RunFailed(
            f"the answer has not the form of OpenAI's API: {str(event)[:200]}"
        ) from None


def _shared(model: str, request: Request, dialect: Dialect) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        dialect.max_tokens_field: request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
    }
    if request.temperature > 0:
        body |= SAMPLING_EXTRAS
    if request.stop:
        body["stop"] = list(request.stop[:MAX_STOPS])
    if request.seed is not None:
        body["seed"] = request.seed % SEED_LIMIT
    return body | dict(dialect.extra)


def _without(body: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    refused = dialect.refused - dialect.extra.keys()
    return {name: value for name, value in body.items() if name not in refused}
