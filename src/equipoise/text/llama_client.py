"""llama.cpp's own HTTP interface: exact prompts as token ids, continuation, and answer scores.

Nothing is left to the chat endpoint: the template is rendered by the server, contents are encoded
as plain text, and token ids are sent, so a prefix is continued exactly and nothing is echoed.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.text.interface import SEED_LIMIT, AnswerScore, Delta, Request
from equipoise.text.messages import Message
from equipoise.text.prompts import Piece, cut_at_contents, mark_contents, merge_pieces
from equipoise.text.transport import HttpStatusError, Transport

_FINISH = {"eos": "stop", "word": "stop", "limit": "length", "none": "stop"}


class LlamaClient:
    """Speaks with a llama.cpp server at `root` (the URL without `/v1`).

    Args:
        transport: how requests are sent.
        root: base URL of the native endpoints.
        reuse_prompt: let the server reuse what it has computed for the beginning of a prompt. That
            is faster after a restart, but the numbers then depend on what ran before (up to 0.2 nat
            on quantised weights), so equal seeds no longer promise equal text.
    """

    def __init__(self, transport: Transport, root: str, *, reuse_prompt: bool = False) -> None:
        self._transport = transport
        self._root = root
        self._reuse = reuse_prompt

    async def encode(self, text: str, *, special: bool, bos: bool = False) -> list[int]:
        """Return the tokens of `text`; `special` reads special ones, `bos` adds the first."""
        body = {"content": text, "parse_special": special, "add_special": bos}
        answer = await self._post("/tokenize", body)
        return [int(token) for token in _field(answer, "tokens", list)]

    async def render(self, messages: Sequence[Message]) -> str:
        """Return the chat template's text for `messages`, ready for an answer."""
        answer = await self._post("/apply-template", {"messages": list(messages)})
        return _field(answer, "prompt", str)

    async def prompt_tokens(self, messages: Sequence[Message], prefix: str) -> list[int]:
        """Return the tokens of a prompt; nothing a user wrote becomes a special token."""
        rendered = await self.render(messages)
        contents = "\n".join([*(message["content"] for message in messages), prefix])
        plain = await self.encode(contents, special=False)
        if plain == await self.encode(contents, special=True):
            return await self.encode(rendered + prefix, special=True, bos=True)
        marked, marks = mark_contents(messages)
        pieces = cut_at_contents(rendered, await self.render(marked), marks, messages)
        tokens: list[int] = []
        for place, piece in enumerate(merge_pieces((*pieces, Piece(prefix, False)))):
            tokens += await self.encode(piece.text, special=piece.special, bos=place == 0)
        return tokens

    async def deltas(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Yield the answer to a request."""
        prompt = await self.prompt_tokens(request.messages, request.prefix)
        body: dict[str, Any] = {
            "prompt": prompt,
            "stream": True,
            "n_predict": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": 0,
            "min_p": 0.0,
            # temperature before nucleus, as in transformers; the server's own order differs
            "samplers": ["temperature", "top_p"],
            "stop": list(request.stop),
            "cache_prompt": self._reuse,
        }
        if request.seed is not None:
            body["seed"] = request.seed % SEED_LIMIT
        events = self._transport.events("/completion", body, root=self._root)
        try:
            async for event in events:
                yield self._delta(event)
                if event.get("stop"):
                    return
        except HttpStatusError as error:
            raise _as_input_error(error) from None
        finally:
            await events.aclose()
        raise RunFailed(f"{self._transport.url} ended the stream before the answer was finished")

    def _delta(self, event: dict[str, Any]) -> Delta:
        text = _field(event, "content", str)
        if not event.get("stop"):
            return Delta(text)
        return Delta(
            text,
            _FINISH.get(str(event.get("stop_type")), "stop"),
            event.get("tokens_evaluated"),
            event.get("tokens_predicted"),
        )

    async def score(self, messages: Sequence[Message], answer: str, prefix: str) -> AnswerScore:
        """Return the log-probabilities of `answer`, made inevitable by a grammar of its tokens."""
        prompt = await self.prompt_tokens(messages, prefix)
        tokens = await self.encode(answer, special=False)
        body = {
            "prompt": prompt,
            "grammar": "root ::= " + " ".join(f"<[{token}]>" for token in tokens),
            "n_predict": len(tokens) + 1,
            "n_probs": 1,
            "temperature": 0,
            "return_tokens": True,
            # the server's cache would make a score depend on what was asked before
            "cache_prompt": False,
        }
        result = await self._post("/completion", body)
        forced = _field(result, "tokens", list)[: len(tokens)]
        if forced != tokens:
            raise RunFailed(
                f"{self._transport.url} did not follow the grammar of the answer's tokens "
                f"({len(forced)} of {len(tokens)} came back); the context may be "
                "too short: raise n_ctx"
            )
        rows = _field(result, "completion_probabilities", list)[: len(tokens)]
        log_probs = np.array([row["logprob"] for row in rows], dtype=np.float64)
        return AnswerScore(log_probs, float(log_probs.sum()))

    async def count_tokens(self, text: str) -> int:
        """Return how many tokens plain `text` is."""
        return len(await self.encode(text, special=False)) if text else 0

    async def _post(self, path: str, body: object) -> Any:
        try:
            return await self._transport.json("POST", path, body, root=self._root)
        except HttpStatusError as error:
            raise _as_input_error(error) from None


def _as_input_error(error: HttpStatusError) -> Exception:
    """Tell a prompt that is too long, or a template that refuses a role, from a failing server."""
    if error.status != 400:
        return error
    if "context" in error.detail:
        return InvalidInput(f"the prompt is too long: {error.detail}; shorten it or raise n_ctx")
    return InvalidInput(f"the llama.cpp server refuses the request: {error.detail}")


def _field(answer: Any, name: str, kind: type) -> Any:
    value = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise RunFailed(f"the llama.cpp server's answer lacks {name!r} ({kind.__name__})")
    return value
