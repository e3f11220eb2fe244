"""What an upstream sends back, piece by piece, and what it is asked; the proxy's vocabulary."""

import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from equipoise.core.errors import RunFailed

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class UpstreamPart:
    """One piece of an answer; several fields may be set, the finish reason stands in the last.

    Attributes:
        text: what the answer goes on with.
        reasoning: what the model thinks before it answers.
        calls: fields of the delta that call tools, as the upstream sent them.
        finish_reason: why the answer ended.
        usage: the upstream's own count of tokens.
    """

    text: str = ""
    reasoning: str = ""
    calls: Mapping[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class UpstreamAsk:
    """One request to an upstream.

    Attributes:
        kind: `chat` or `completions`.
        body: the client's fields, the limit of tokens and the seed already adapted.
        prefix: the begun answer to continue.
        question: the last user message, for upstreams that look answers up.
        key_env: environment variable with the key to send, None for the upstream's own.
    """

    kind: str
    body: Mapping[str, Any]
    prefix: str
    question: str = ""
    key_env: str | None = None


class AnswerUpstream(Protocol):
    """A model that the proxy stands in front of."""

    @property
    def induction(self) -> bool:
        """Whether it can continue a begun answer, so that edits are fed back."""
        ...

    async def prepare(self, model: str | None, key_env: str | None = None) -> None:
        """Find out what must be known before the first answer; never fails."""
        ...

    async def models(self, key_env: str | None = None) -> Any:
        """Return the answer to `/v1/models`."""
        ...

    def answer(
        self, ask: UpstreamAsk, opened: Callable[[], object]
    ) -> AsyncGenerator[UpstreamPart, None]:
        """Answer; `opened` is called once the upstream has begun to."""
        ...

    async def aclose(self) -> None:
        """Close the connections that the running event loop keeps."""
        ...

    def close(self) -> None:
        """Free what else it holds."""
        ...


class UpstreamFailed(RunFailed):
    """The upstream did not answer, or not to the end.

    Attributes:
        status: HTTP status that the client gets.
        code: `upstream_error`, `upstream_timeout`, `upstream_lost` or `upstream_refused`.
        retry_after: seconds to wait, where the upstream asked for it.
    """

    def __init__(
        self, message: str, status: int = 502, code: str = "upstream_error", retry_after: float = 0
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


def read_part(event: Mapping[str, Any]) -> UpstreamPart:
    """Return what one chunk of a streamed chat or completion answer (or a whole answer) says.

    A refusal is text like any other: it is reviewed.

    Raises:
        RunFailed: it has not the form of OpenAI's answers.
    """
    try:
        usage = event.get("usage") or None
        if not isinstance(usage, dict | None):
            raise TypeError
        choices = event.get("choices", [] if usage else None)
        if choices == []:
            return UpstreamPart(usage=usage)
        choice = choices[0]  # pyright: ignore[reportOptionalSubscript]
        delta = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
        return UpstreamPart(
            _text(delta.get("content")) + _text(delta.get("refusal")),
            _text(delta.get("reasoning_content") or delta.get("reasoning")),
            {name: delta[name] for name in ("tool_calls", "function_call") if delta.get(name)},
            choice.get("finish_reason"),
            usage,
        )
    except (AttributeError, TypeError, KeyError, IndexError):
        said = json.dumps(event, ensure_ascii=True)[:200]
        raise RunFailed(f"the answer has not the form of OpenAI's API: {said}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str | None):
        raise TypeError
    return whole_characters(value or "")


def whole_characters(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair, which cannot be sent.

    >>> whole_characters("a\\ud800b") == "a\\ufffdb"
    True
    """
    return _SURROGATE.sub("\ufffd", text)
