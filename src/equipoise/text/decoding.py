"""Token-by-token decoding with transformers: batched, seeded by row, streamed, closed at will."""

import inspect
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from equipoise.text.interface import SEED_LIMIT, Delta, Request
from equipoise.text.stops import StopScanner

_TAIL = 6  # prompt tokens decoded with the answer, so that a leading blank survives


@dataclass
class _Row:
    """The state of one answer in a batch."""

    place: int
    prompt: list[int]
    request: Request
    limit: int
    scanner: StopScanner
    generator: torch.Generator
    answer: list[int] = field(default_factory=list)
    shown: int = 0


def decode_batch(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    requests: Sequence[Request],
    *,
    end_ids: frozenset[int],
    context: int,
) -> Generator[tuple[int, Delta], None, None]:
    """Yield `(row, piece)` as the answers to a batch grow; each row ends with a finish reason.

    Rows are padded on the left and leave the batch when they end. Each row draws from a generator
    of its own seed, so its sample does not depend on its neighbours.

    Args:
        model: a causal language model, in evaluation mode.
        tokenizer: its tokenizer.
        prompts: tokens of each prompt.
        requests: options of each row (prefix and messages are in the prompt already).
        end_ids: tokens that end a turn.
        context: most tokens of prompt and answer together.
    """
    rows = [
        _Row(i, list(prompt), request, limit, StopScanner(request.stop), _generator(request.seed))
        for i, (prompt, request) in enumerate(zip(prompts, requests))
        if (limit := min(request.max_tokens, context - len(prompt))) > 0
    ]
    longest = max(len(row.prompt) for row in rows)
    ids = torch.tensor([[0] * (longest - len(row.prompt)) + row.prompt for row in rows])
    mask = torch.tensor([[0] * (longest - len(row.prompt)) + [1] * len(row.prompt) for row in rows])
    ids, mask = ids.to(model.device), mask.to(model.device)
    cache = None
    while rows:
        logits, cache = _step(model, ids, mask, cache)
        kept, tokens = [], []
        for index, row in enumerate(rows):
            token = _choose(logits[index], row.request, row.generator)
            delta = _advance(row, token, tokenizer, end_ids)
            if delta.text or delta.finish_reason:
                yield row.place, delta
            if delta.finish_reason is None:
                kept.append(index)
                tokens.append(token)
        if not kept:
            return
        if len(kept) < len(rows):
            rows = [rows[index] for index in kept]
            chosen = torch.tensor(kept, device=model.device)
            mask = mask[chosen]
            cache.batch_select_indices(chosen)
        ids = torch.tensor(tokens, device=model.device)[:, None]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)


@torch.inference_mode()
def answer_log_probs(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """Return the log-probability of each answer token after the prompt, float64 (T,)."""
    ids = torch.tensor([[*prompt, *answer]], device=model.device)
    # the last row predicts what comes after the answer and is not needed
    logits = model(input_ids=ids, logits_to_keep=len(answer) + 1).logits[0, :-1]
    chosen = ids[0, len(prompt) :, None]
    return logits.double().log_softmax(-1).gather(-1, chosen)[:, 0].cpu()


@torch.inference_mode()
def _step(model: Any, ids: torch.Tensor, mask: torch.Tensor, cache: Any) -> tuple[Any, Any]:
    """Run new tokens (B, T); return the logits of the last position (B, V) and the cache."""
    places = {}
    if _takes_positions(model):
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        places = {"position_ids": positions[:, -ids.shape[1] :]}
    output = model(
        input_ids=ids,
        attention_mask=mask,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **places,
    )
    return output.logits[:, -1].float().cpu(), output.past_key_values


def _takes_positions(model: Any) -> bool:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "position_ids" in inspect.signature(inner.forward).parameters


def _generator(seed: int | None) -> torch.Generator:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed % SEED_LIMIT)
    return generator


def _choose(logits: torch.Tensor, request: Request, generator: torch.Generator) -> int:
    """Choose the next token from logits (V,): temperature first, then the nucleus."""
    if request.temperature == 0:
        return int(logits.argmax())
    probabilities = (logits.double() / request.temperature).softmax(-1)
    if request.top_p < 1:
        ordered, places = probabilities.sort(descending=True)
        outside = ordered.cumsum(-1) - ordered >= request.top_p
        probabilities[places[outside]] = 0
    return int(torch.multinomial(probabilities, 1, generator=generator))


def _advance(row: _Row, token: int, tokenizer: Any, end_ids: frozenset[int]) -> Delta:
    """Add a token to a row and return what may be shown."""
    row.answer.append(token)
    counts = (len(row.prompt), len(row.answer))
    if token in end_ids:
        return Delta(row.scanner.close(), "stop", *counts)
    text = row.scanner.feed(_new_text(row, tokenizer))
    if row.scanner.stopped:
        return Delta(text, "stop", *counts)
    if len(row.answer) == row.limit:
        return Delta(text + row.scanner.close(), "length", *counts)
    return Delta(text)


def _new_text(row: _Row, tokenizer: Any) -> str:
    """Return the answer's text that its last token completes; half a character waits."""
    tail = row.prompt[-_TAIL:]
    before = tokenizer.decode(tail, skip_special_tokens=True)
    both = tokenizer.decode(tail + row.answer, skip_special_tokens=True)
    text = both[len(before) :]
    if text.endswith("\ufffd"):
        return ""
    new, row.shown = text[row.shown :], len(text)
    return new
