"""Copy-speculative decoding: the sentence under review is the draft of its own correction.

Most sentences are copied, and one forward pass over prompt and draft tells whether this one is.
Speculative decoding (arXiv 2211.17192) with a deterministic draft; ours in this use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput

LogitsFunction = Callable[[NDArray[np.int64]], Any]
"""Tokens (T,) int64 to logits (T, V); row i predicts token i + 1."""

TailFunction = Callable[[list[int], int], NDArray[np.float64]]
"""Tokens and a count to the last `count` rows of their logits, (count, V) float64."""


@dataclass(frozen=True)
class CopyDecode:
    """A decoded correction.

    Attributes:
        tokens: without the end of text.
        passes: calls of the model.
        copied_tokens: tokens accepted from the draft.
        is_copy: the draft, whole and followed by the end of text.
    """

    tokens: tuple[int, ...]
    passes: int
    copied_tokens: int
    is_copy: bool


def copy_decode(
    logits_fn: LogitsFunction,
    prompt_ids: Sequence[int],
    draft_ids: Sequence[int],
    eos_id: int,
    *,
    max_new_tokens: int = 256,
    temperature: float = 0.0,
    rng: np.random.Generator | None = None,
) -> CopyDecode:
    """Decode a correction, offering the draft's tokens for acceptance.

    The result equals plain decoding: exactly (greedy), or in distribution (sampling: a draft token
    is accepted with its probability, and on refusal another one is drawn from the rest).

    Args:
        logits_fn: the model; see `LogitsFunction`.
        prompt_ids: at least one token.
        draft_ids: the sentence under review.
        eos_id: end of text.
        max_new_tokens: most tokens returned.
        temperature: 0 is greedy.
        rng: needed where temperature > 0.
    """

    def tail(tokens: list[int], count: int) -> NDArray[np.float64]:
        rows = np.asarray(logits_fn(np.array(tokens, dtype=np.int64)), dtype=np.float64)
        return rows[len(tokens) - count :]

    return copy_decode_tail(
        tail,
        prompt_ids,
        draft_ids,
        eos_id,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        rng=rng,
    )


def copy_decode_tail(
    tail: TailFunction,
    prompt_ids: Sequence[int],
    draft_ids: Sequence[int],
    eos_id: int,
    *,
    max_new_tokens: int = 256,
    temperature: float = 0.0,
    rng: np.random.Generator | None = None,
) -> CopyDecode:
    """Decode as `copy_decode` does, by a model that returns only the rows asked for.

    Each call's tokens begin as those of the call before, up to where the draft was left: a model
    that keeps keys and values reads only what is new.
    """
    if len(prompt_ids) == 0:
        raise InvalidInput("prompt_ids is empty; the first token needs something to follow")
    if max_new_tokens < 1:
        raise InvalidInput(f"max_new_tokens is {max_new_tokens!r}; it must be >= 1")
    if temperature < 0 or (temperature > 0 and rng is None):
        raise InvalidInput(f"temperature is {temperature!r}; > 0 needs an rng, < 0 has no meaning")
    prompt = [int(token) for token in prompt_ids]
    draft = [int(token) for token in draft_ids]
    tokens: list[int] = []
    passes = copied = joined = since = 0  # the text left the draft at `joined`, `since` tokens ago
    while len(tokens) < max_new_tokens:
        offer = draft[joined + since :][: max_new_tokens - len(tokens)]
        rows = tail([*prompt, *tokens, *offer], len(offer) + 1)
        passes += 1
        accepted, token = _accept(rows, offer, eos_id, temperature, rng)
        tokens += offer[:accepted]
        copied += accepted
        if accepted:
            joined, since = joined + since + accepted, 0
        if token == eos_id:
            return CopyDecode(tuple(tokens), passes, copied, is_copy=tokens == draft)
        if len(tokens) == max_new_tokens:
            break
        tokens.append(token)
        joined, since = _rejoin(draft, joined, since, token)
    return CopyDecode(tuple(tokens), passes, copied, is_copy=False)


def _accept(
    rows: NDArray[np.float64],
    offer: list[int],
    eos_id: int,
    temperature: float,
    rng: np.random.Generator | None,
) -> tuple[int, int]:
    """Return how many offered tokens are accepted, and the token that follows them."""
    for place, drafted in enumerate(offer):
        token = _next_token(rows[place], drafted, temperature, rng)
        if token != drafted or token == eos_id:
            return place, token
    return len(offer), _next_token(rows[len(offer)], None, temperature, rng)


def _next_token(
    logits: NDArray[np.float64],
    drafted: int | None,
    temperature: float,
    rng: np.random.Generator | None,
) -> int:
    if temperature == 0 or rng is None:
        return int(logits.argmax())
    weights = np.exp((logits - logits.max()) / temperature)
    weights /= weights.sum()
    if drafted is not None:
        if rng.random() < weights[drafted]:
            return drafted
        weights[drafted] = 0.0
        weights /= weights.sum()
    return int(rng.choice(len(weights), p=weights))


def _rejoin(draft: list[int], joined: int, since: int, token: int) -> tuple[int, int]:
    """Where the draft goes on after `token`, which it did not offer here.

    After the token's next occurrence, where it has one (something was left out or put in); else as
    if the token stood in the place of a drafted one.
    """
    if token in draft[joined:]:
        return draft.index(token, joined) + 1, 0
    return joined, since + 1
