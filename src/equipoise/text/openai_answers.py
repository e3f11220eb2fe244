"""What OpenAI endpoints send back: streamed answers, repeated beginnings, echoed prompts."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.text.interface import AnswerScore, Delta
from equipoise.text.openai_wire import Part, read_event
from equipoise.text.stops import StopScanner
from equipoise.text.transport import DONE, HttpStatusError


async def read_answer(
    events: AsyncGenerator[dict[str, Any], None], stop: tuple[str, ...], url: str
) -> AsyncGenerator[Delta, None]:
    """Turn events into pieces; the last one has the finish reason and the counts."""
    scanner = StopScanner(stop)
    last, done = Part(), False
    async with aclosing(events):
        try:
            async for event in events:
                if event is DONE:
                    done = True
                    break
                part = read_event(event)
                last = Part(
                    "",
                    part.finish_reason or last.finish_reason,
                    part.prompt_tokens if part.prompt_tokens is not None else last.prompt_tokens,
                    part.completion_tokens or last.completion_tokens,
                )
                if text := scanner.feed(part.text):
                    yield Delta(text)
                if scanner.stopped:
                    last, done = replace(last, finish_reason="stop"), True
                    break
        except HttpStatusError:
            raise
        except RunFailed:
            if last.finish_reason is None:
                raise
    if last.finish_reason is None and not done:
        raise RunFailed(f"{url} ended the stream before the answer was finished")
    yield Delta(
        scanner.close(), last.finish_reason or "stop", last.prompt_tokens, last.completion_tokens
    )


async def without_echo(
    deltas: AsyncGenerator[Delta, None], begun: str, *, required: bool
) -> AsyncGenerator[Delta, None]:
    """Cut the begun text from the front of an answer that repeats it.

    Raises:
        RunFailed: it must repeat it (`required`) and does not.
    """
    held, passed = "", False
    async with aclosing(deltas):
        async for delta in deltas:
            if passed:
                yield delta
                continue
            held += delta.text
            if not held.startswith(begun):
                if begun.startswith(held) and delta.finish_reason is None:
                    continue
                if required:
                    raise RunFailed("the server repeated the begun answer wrongly, or not at all")
            passed = True
            yield replace(delta, text=held.removeprefix(begun))


def read_echo(answer: Any, prompt: str, given: str) -> AnswerScore:
    """Read the log-probabilities of `given` from an echoed completion, if it really was echoed."""
    try:
        choice = answer["choices"][0]
        if not choice["text"].startswith(prompt + given):
            raise InvalidInput(
                "the server ignores `echo`, so it cannot give log-probabilities of a given answer"
            )
        offsets, values = choice["logprobs"]["text_offset"], choice["logprobs"]["token_logprobs"]
        begin, end = len(prompt), len(prompt) + len(given)
        chosen = [value for offset, value in zip(offsets, values) if begin <= offset < end]
        if begin not in offsets or (end not in offsets and offsets[-1] >= end):
            raise InvalidInput(
                "a token of the server's model spans the border of the answer; begin it at a word"
            )
        log_probs = np.array(chosen, dtype=np.float64)
        return AnswerScore(log_probs, float(log_probs.sum()))
    except (KeyError, IndexError, TypeError, AttributeError):
        raise InvalidInput(
            "the server gives no log-probabilities with `echo`, so a given answer cannot be scored"
        ) from None
