"""Generation by transformers (`transformers:NAME_OR_PATH`): any model, unpacked GGUF, LoRA."""

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, Unpack

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.text.chat_tokenizer import ChatTokenizer
from equipoise.text.fingerprints import model_identity
from equipoise.text.interface import (
    AnswerScore,
    BatchOptions,
    Completion,
    Delta,
    GenerationOptions,
    Request,
    TextStream,
    check_answer,
    collect,
    iter_delta_text,
    make_request,
    make_requests,
)
from equipoise.text.local_models import find_model, load_source
from equipoise.text.messages import check_text

# Ends of a turn under the names that published templates use; llama.cpp stops at these as well.
_TURN_ENDS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
    "</s>",
)


class TransformersBackend:
    """A language model run by transformers.

    Args:
        model: name or path; `equipoise.text.local_models` says what it may be.
        dtype: `float32`, `bfloat16` or `float16`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        batch_size: most answers that are decoded together.
        download: whether a hub name may be downloaded.

    Attributes:
        model: the torch model.
        tokenizer: its tokenizer.
    """

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "float32",
        device: str = "auto",
        batch_size: int = 8,
        download: bool = False,
    ) -> None:
        if batch_size < 1:
            raise InvalidInput(f"batch_size is {batch_size!r}; it must be >= 1")
        self._name, self._dtype, self._batch_size = model, dtype, batch_size
        self._source = find_model(model)
        self.model: Any
        self.model, self.tokenizer = load_source(
            self._source, dtype=dtype, device=device, download=download
        )
        self._chat = ChatTokenizer(self.tokenizer, model)
        self._end_ids = _end_ids(self.model, self.tokenizer)
        config = self.model.config.get_text_config()
        self._context = int(getattr(config, "max_position_embeddings", None) or 2**31)

    def generate(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> Completion:
        """Answer `messages`, or continue the answer begun with `prefix`."""
        return collect(self._deltas(make_request(messages, options)))

    def generate_batch(
        self, batch: Iterable[Iterable[Mapping[str, Any]]], **options: Unpack[BatchOptions]
    ) -> list[Completion]:
        """Answer each list of messages, several at once; results in the order given."""
        requests = make_requests(batch, options)
        prompts = [self._prompt(request) for request in requests]
        # prompts of like length share a batch, so that little of it is padding
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        deltas: dict[int, list[Delta]] = {i: [] for i in order}
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            for row, delta in self._decode(
                [prompts[i] for i in chosen], [requests[i] for i in chosen]
            ):
                deltas[chosen[row]].append(delta)
        return [collect(deltas[i]) for i in range(len(requests))]

    def stream(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> TextStream:
        """Return an async iterator of the answer's pieces; closing it ends the generation."""
        return TextStream(_in_thread(self._deltas(make_request(messages, options))))

    def iter_text(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> Iterator[str]:
        """Yield the answer's pieces; the generator's return value is the finish reason."""
        return iter_delta_text(self._deltas(make_request(messages, options)))

    def score(
        self, messages: Iterable[Mapping[str, Any]], answer: str, *, prefix: str = ""
    ) -> AnswerScore:
        """Return the log-probabilities of `answer` (after `prefix`), end of turn excluded."""
        from equipoise.text.decoding import answer_log_probs

        request = make_request(messages, {"prefix": prefix})
        tokens = self._chat.encode(check_answer(answer), special=False)
        prompt = self._prompt(request, room=len(tokens))
        log_probs = answer_log_probs(self.model, prompt, tokens).numpy().astype(np.float64)
        return AnswerScore(log_probs, float(log_probs.sum()))

    def count_tokens(self, text: str) -> int:
        """Return how many tokens plain `text` is."""
        return len(self._chat.encode(check_text("text", text), special=False))

    def describe(self) -> dict[str, Any]:
        """Return kind, model and what else changes the answers."""
        return {
            "kind": "transformers",
            "model": self._name,
            "weights": model_identity(self._name, self._source.files),
            "dtype": self._dtype,
            "url": None,
        }

    def close(self) -> None:
        """Let go of the model; more than once is harmless."""
        self.model = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _prompt(self, request: Request, room: int = 1) -> list[int]:
        prompt = self._chat.prompt_tokens(request.messages, request.prefix)
        if len(prompt) + room > self._context:
            raise InvalidInput(
                f"the prompt is too long: {len(prompt)} tokens and {room} to come exceed the "
                f"model's context of {self._context}; shorten it"
            )
        return prompt

    def _deltas(self, request: Request) -> Generator[Delta, None, None]:
        prompt = self._prompt(request)
        return (delta for _, delta in self._decode([prompt], [request]))

    def _decode(
        self, prompts: list[list[int]], requests: list[Request]
    ) -> Generator[tuple[int, Delta], None, None]:
        from equipoise.text.decoding import decode_batch

        if self.model is None:
            raise InvalidInput("this back end has been closed; load it again")
        return decode_batch(
            self.model,
            self.tokenizer,
            prompts,
            requests,
            end_ids=self._end_ids,
            context=self._context,
        )


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end a turn: as configured, and those with the usual names."""
    found: set[int] = set()
    settings = (getattr(model, "generation_config", None), model.config)
    for ids in [getattr(holder, "eos_token_id", None) for holder in settings]:
        found.update([ids] if isinstance(ids, int) else ids or ())
    if tokenizer.eos_token_id is not None:
        found.add(tokenizer.eos_token_id)
    special = {
        str(token): i for i, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    return frozenset(found | {special[name] for name in _TURN_ENDS if name in special})


async def _in_thread(deltas: Generator[Delta, None, None]) -> AsyncGenerator[Delta, None]:
    """Run a generator in a thread, one step when one is asked for; closing closes it there."""
    import asyncio

    executor = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()
    end = object()
    try:
        while (delta := await loop.run_in_executor(executor, next, deltas, end)) is not end:
            yield delta  # pyright: ignore[reportReturnType]
    finally:
        executor.submit(deltas.close)
        executor.shutdown(wait=False)
