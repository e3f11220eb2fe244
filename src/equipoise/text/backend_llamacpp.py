"""Generation by llama.cpp in this process (`llamacpp:NAME_OR_PATH`)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Self, Unpack

from equipoise.text.fingerprints import model_identity
from equipoise.text.interface import (
    AnswerScore,
    BatchOptions,
    Completion,
    GenerationOptions,
    TextStream,
    check_answer,
    iter_delta_text,
    make_request,
    make_requests,
)
from equipoise.text.llama_client import LlamaClient
from equipoise.text.llama_server import llama_server
from equipoise.text.messages import check_text
from equipoise.text.remote import RemoteGeneration
from equipoise.text.transport import Transport


class LlamaCppBackend:
    """A GGUF model run by llama.cpp on this machine.

    Args:
        model: GGUF file, or the name of a stored model.
        n_ctx: tokens of context, shared by what runs at the same time.
        threads: CPU threads; None for `core.threads.thread_limit()`.
        parallel: answers computed at the same time, streams and items of a batch included; further
            ones wait. With 1, equal seeds give equal text. More than 1 is faster, but what happens
            to run beside an answer (an abandoned stream, say) then shifts how its sums are rounded,
            and its text parts at near ties.
        reuse_prompt: see `LlamaClient`.
        timeout: longest silence of the server, s.
        device: see `llama_server`.

    Attributes:
        url: address of the server that answers.
    """

    def __init__(
        self,
        model: str,
        *,
        n_ctx: int = 4096,
        threads: int | None = None,
        parallel: int = 1,
        reuse_prompt: bool = False,
        timeout: float = 600.0,
        device: str = "auto",
    ) -> None:
        self._name = model
        self._n_ctx = n_ctx
        self._stack = ExitStack()
        server = self._stack.enter_context(
            llama_server(model, parallel=parallel, n_ctx=n_ctx, threads=threads, device=device)
        )
        self.url = server.url
        self._path = server.path
        transport = Transport(server.url, timeout=timeout, concurrency=max(8, parallel))
        self._client = LlamaClient(transport, server.url, reuse_prompt=reuse_prompt)
        self._remote = RemoteGeneration(self._client.deltas, batch_concurrency=parallel)

    def generate(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> Completion:
        """Answer `messages`, or continue the answer begun with `prefix`."""
        return self._remote.generate(make_request(messages, options))

    def generate_batch(
        self, batch: Iterable[Iterable[Mapping[str, Any]]], **options: Unpack[BatchOptions]
    ) -> list[Completion]:
        """Answer each list of messages; results in the order given."""
        return self._remote.generate_batch(make_requests(batch, options))

    def stream(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> TextStream:
        """Return an async iterator of the answer's pieces; closing it frees the slot."""
        return self._remote.stream(make_request(messages, options))

    def iter_text(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> Iterator[str]:
        """Yield the answer's pieces; closing the generator frees the slot."""
        return iter_delta_text(self._remote.iterate(make_request(messages, options)))

    def score(
        self, messages: Iterable[Mapping[str, Any]], answer: str, *, prefix: str = ""
    ) -> AnswerScore:
        """Return the log-probabilities of `answer` (after `prefix`), end of turn excluded."""
        request = make_request(messages, {"prefix": prefix})
        return self._remote.run(
            self._client.score(request.messages, check_answer(answer), request.prefix)
        )

    def count_tokens(self, text: str) -> int:
        """Return how many tokens plain `text` is."""
        return self._remote.run(self._client.count_tokens(check_text("text", text)))

    def describe(self) -> dict[str, Any]:
        """Return kind, model and what else changes the answers."""
        return {
            "kind": "llamacpp",
            "model": self._name,
            "weights": model_identity(self._name, [self._path]),
            "n_ctx": self._n_ctx,
            "url": None,
        }

    def close(self) -> None:
        """Stop the server and free the model; more than once is harmless."""
        self._remote.close()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
