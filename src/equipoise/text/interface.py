"""The one interface of all back ends: requests, completions, scores and streams of text."""

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypedDict, Unpack, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.text.messages import Message, check_messages, check_text

SEED_LIMIT = 2**32 - 1
"""Seeds are taken modulo this: llama.cpp reads 32 bits, and the last value means "random" there."""


class GenerationOptions(TypedDict, total=False):
    """How an answer is generated; the same words and meaning in every back end.

    Attributes:
        prefix: the begun answer to continue. It is taken exactly as given and is not part of the
            completion's text. A prefix that ends in white space or inside a word is split into
            tokens otherwise than the model itself would write it: hold such a tail back.
        max_tokens: most tokens to generate, >= 1 (default 256).
        temperature: 0 (default) takes the likeliest token; else logits are divided by it.
        top_p: nucleus, applied after the temperature: the smallest set of likeliest tokens with at
            least this probability (default 1.0, no cut). There is no other cut (top-k, min-p).
        stop: strings that end the answer and are left out of it.
        seed: equal seeds give equal samples; None draws anew. Item i of a batch uses `seed + i`.
    """

    prefix: str
    max_tokens: int
    temperature: float
    top_p: float
    stop: str | Sequence[str]
    seed: int | None


class BatchOptions(GenerationOptions, total=False):
    """`GenerationOptions` of a batch.

    Attributes:
        prefixes: one prefix for each item, instead of `prefix`.
    """

    prefixes: Sequence[str]


@dataclass(frozen=True)
class Completion:
    """A generated answer.

    Attributes:
        text: what the model wrote after the prefix.
        finish_reason: `"stop"` (end of turn or a stop string) or `"length"`, or what a server says.
        prompt_tokens: tokens of the prompt, prefix included; None where a server does not tell.
        completion_tokens: generated tokens, the end of turn included; None where not told.
    """

    text: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True)
class AnswerScore:
    """Log-probabilities of a given answer.

    Attributes:
        log_probs: natural logarithms, one for each token of the answer (T,), end of turn excluded;
            the model's own distribution, before temperature and nucleus.
        total: their sum.
    """

    log_probs: NDArray[np.float64]
    total: float


@dataclass(frozen=True)
class Request:
    """Checked messages and options of one generation."""

    messages: tuple[Message, ...]
    prefix: str = ""
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class Delta:
    """A piece of a streamed answer; the last one carries the finish reason and the counts."""

    text: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class TextStream:
    """Async iterator over the pieces of an answer; closing it ends the generation.

    Attributes:
        finish_reason: None until the answer has ended, then as in `Completion`.
        prompt_tokens: as in `Completion`, once the answer has ended.
        completion_tokens: likewise.
    """

    def __init__(self, deltas: AsyncGenerator[Delta, None]) -> None:
        self._deltas = deltas
        self.finish_reason: str | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        async for delta in self._deltas:
            if delta.finish_reason is not None:
                self.finish_reason = delta.finish_reason
                self.prompt_tokens = delta.prompt_tokens
                self.completion_tokens = delta.completion_tokens
            if delta.text:
                return delta.text
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the generation and free what it holds; more than once is harmless."""
        await self._deltas.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


@runtime_checkable
class Backend(Protocol):
    """A model that answers chat messages. Every method raises `InvalidInput` for unusable input."""

    def generate(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> Completion:
        """Answer `messages`, or continue the answer begun with `prefix`."""
        ...

    def generate_batch(
        self, batch: Iterable[Iterable[Mapping[str, Any]]], **options: Unpack[BatchOptions]
    ) -> list[Completion]:
        """Answer each list of messages; results in the order given."""
        ...

    def stream(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> TextStream:
        """Return an async iterator of the answer's pieces; closing it ends the generation."""
        ...

    def iter_text(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> Iterator[str]:
        """Yield the answer's pieces; the generator's return value is the finish reason."""
        ...

    def score(
        self, messages: Iterable[Mapping[str, Any]], answer: str, *, prefix: str = ""
    ) -> AnswerScore:
        """Return the log-probabilities of `answer` (after `prefix`) given `messages`."""
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many tokens plain `text` is; no template, no special tokens."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what identifies the model, for cache keys and reports: JSON-able, no secret."""
        ...

    def close(self) -> None:
        """Free the model; more than once is harmless."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def make_request(
    messages: Iterable[Mapping[str, Any]], options: Mapping[str, Any] | GenerationOptions
) -> Request:
    """Check messages and options and return them as a `Request`.

    Raises:
        InvalidInput: an unknown option (the nearest is named) or one out of its range.
    """
    fields: dict[str, Any] = {**options}
    valid = tuple(GenerationOptions.__annotations__)
    for name in fields:
        if name not in valid:
            raise unknown_name("generation option", name, valid)
    if "stop" in fields:
        fields["stop"] = _check_stop(fields["stop"])
    request = Request(check_messages(messages), **fields)
    check_text("prefix", request.prefix)
    if not _is_int(request.max_tokens) or request.max_tokens < 1:
        raise InvalidInput(f"max_tokens is {request.max_tokens!r}; it must be an integer >= 1")
    _check_number("temperature", request.temperature, 0.0, 100.0)
    _check_number("top_p", request.top_p, 0.0, 1.0)
    if request.top_p == 0:
        raise InvalidInput(
            "top_p is 0; it must lie in (0, 1], or use temperature=0 for greedy text"
        )
    if request.seed is not None and (not _is_int(request.seed) or request.seed < 0):
        raise InvalidInput(f"seed is {request.seed!r}; it must be an integer >= 0, or None")
    return replace(  # NumPy's numbers would fit no JSON
        request,
        max_tokens=int(request.max_tokens),
        temperature=float(request.temperature),
        top_p=float(request.top_p),
        seed=None if request.seed is None else int(request.seed),
    )


def make_requests(
    batch: Iterable[Iterable[Mapping[str, Any]]], options: Mapping[str, Any] | BatchOptions
) -> list[Request]:
    """Check a batch: one `Request` for each item, with its own prefix and seed."""
    fields: dict[str, Any] = {**options}
    prefixes = fields.pop("prefixes", None)
    requests = [make_request(messages, fields) for messages in batch]
    if prefixes is not None:
        if "prefix" in fields:
            raise InvalidInput("give prefix (one for all) or prefixes (one for each), not both")
        if isinstance(prefixes, str) or len(prefixes) != len(requests):
            raise InvalidInput(
                f"prefixes must be a list of {len(requests)} texts, one for each item"
            )
    return [
        Request(
            **{
                **request.__dict__,
                "prefix": check_text("prefix", prefixes[i]) if prefixes else request.prefix,
                "seed": None if request.seed is None else request.seed + i,
            }
        )
        for i, request in enumerate(requests)
    ]


def check_answer(answer: object) -> str:
    """Return `answer` if it can be scored: text, and not empty."""
    text = check_text("answer", answer)
    if not text:
        raise InvalidInput("answer is empty; it has no tokens whose probability could be given")
    return text


def collect(deltas: Iterable[Delta]) -> Completion:
    """Join the pieces of one answer."""
    texts: list[str] = []
    last = Delta("")
    for delta in deltas:
        texts.append(delta.text)
        last = delta if delta.finish_reason is not None else last
    return Completion(
        "".join(texts), last.finish_reason or "stop", last.prompt_tokens, last.completion_tokens
    )


def iter_delta_text(deltas: Generator[Delta, None, None]) -> Generator[str, None, str | None]:
    """Yield the text of each piece; the generator's return value is the finish reason."""
    reason = None
    try:
        for delta in deltas:
            reason = delta.finish_reason or reason
            if delta.text:
                yield delta.text
    finally:
        deltas.close()
    return reason


def _check_stop(stop: Any) -> tuple[str, ...]:
    strings = (stop,) if isinstance(stop, str) else tuple(stop or ())
    for text in strings:
        if not isinstance(text, str) or not text:
            raise InvalidInput(f"stop holds {text!r}; stop strings must be text and not empty")
    return strings


def _check_number(name: str, value: object, low: float, high: float) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, np.number))
        or not low <= float(value) <= high
    ):
        raise InvalidInput(f"{name} is {value!r}; it must be a number from {low:g} to {high:g}")


def _is_int(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
