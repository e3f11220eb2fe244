"""Answers in OpenAI's form: streamed chunks, and whole bodies."""

import secrets
import time
from collections.abc import Mapping
from typing import Any

from equipoise.systems.stream_aligner.proxy.errors import dump

DONE = b"data: [DONE]\n\n"
HEARTBEAT = b": waiting\n\n"


class AnswerForm:
    """Spells one answer; its id, time and model stay the same throughout.

    Args:
        kind: `chat` or `completions`.
        model: name of the model in every chunk.
        request_id: what logs call the request; it ends the answer's id.
    """

    def __init__(self, kind: str, model: str, request_id: str) -> None:
        self._chat = kind == "chat"
        self._head = {
            "id": ("chatcmpl-" if self._chat else "cmpl-") + request_id,
            "object": "chat.completion.chunk" if self._chat else "text_completion",
            "created": int(time.time()),
            "model": model,
        }

    def role(self) -> bytes:
        """Return the chunk that opens a chat answer; a completion has none, but a comment."""
        if not self._chat:
            return b": open\n\n"
        return self.delta({"role": "assistant", "content": ""})

    def text(self, text: str) -> bytes:
        """Return a chunk of reviewed text."""
        if self._chat:
            return self.delta({"content": text})
        return self._event({"text": text})

    def delta(self, delta: Mapping[str, Any]) -> bytes:
        """Return a chat chunk with this delta."""
        return self._event({"delta": dict(delta)})

    def finish(self, reason: str, report: Mapping[str, Any]) -> bytes:
        """Return the chunk with the finish reason and the `equipoise` object."""
        content = {"delta": {}} if self._chat else {"text": ""}
        return self._event(content, reason, equipoise=report)

    def usage(self, usage: Mapping[str, int]) -> bytes:
        """Return the chunk of the usage, which has no choice."""
        return sse({**self._head, "choices": [], "usage": usage})

    def whole(
        self,
        message: Mapping[str, Any],
        reason: str,
        usage: Mapping[str, int],
        report: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return the body of an answer that is not streamed; `message` holds `content` at least."""
        content = {"message": dict(message)} if self._chat else {"text": message["content"] or ""}
        head = {**self._head, "object": "chat.completion"} if self._chat else self._head
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": reason}
        return {**head, "choices": [choice], "usage": usage, "equipoise": report}

    def _event(self, content: Mapping[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": reason}
        return sse({**self._head, "choices": [choice], **more})


def sse(value: Any) -> bytes:
    """Return one event of a stream."""
    return b"data: " + dump(value) + b"\n\n"


def new_request_id() -> str:
    """Return a fresh name for a request."""
    return secrets.token_hex(12)
