"""Generation by any OpenAI-compatible endpoint (`openai:URL#MODEL`)."""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, Unpack

from equipoise.core.errors import InvalidInput
from equipoise.text.chat_tokenizer import ChatTokenizer
from equipoise.text.interface import (
    AnswerScore,
    BatchOptions,
    Completion,
    Delta,
    GenerationOptions,
    Request,
    TextStream,
    check_answer,
    iter_delta_text,
    make_request,
    make_requests,
)
from equipoise.text.llama_client import LlamaClient
from equipoise.text.messages import Message, check_text
from equipoise.text.openai_answers import read_answer, read_echo, without_echo
from equipoise.text.openai_wire import Dialect, chat_body, completion_body
from equipoise.text.prefill import Continuation, cannot_continue, check_prefill, probe_assistant
from equipoise.text.remote import RemoteGeneration
from equipoise.text.transport import HttpStatusError, Transport


class OpenAIBackend:
    """A model behind an OpenAI-compatible HTTP interface: llama.cpp, vLLM, Ollama, hosted.

    Messages go to `/chat/completions`. What needs more than that (a prefix, scores, token counts)
    is done by llama.cpp's own endpoints where the server has them, else through `/completions` with
    the text of `template`, else, for a prefix, by a trailing assistant message where a probe shows
    that the server continues it; where nothing works, that is said.

    Args:
        url: base URL, usually ending in `/v1`.
        model: the model's name there.
        api_key_env: environment variable with the bearer key; not set: no key is sent.
        prefill: how a prefix is continued: `auto` (one probe, with the first prefix), `assistant`
            (you know that the server continues a trailing assistant message), `completions` (raw,
            needs `template`), `none`.
        template: folder or name of a model whose tokenizer and chat template the server's model
            uses; not needed for llama.cpp. Default: `model` where that is a folder.
        extra_body: further fields of every request, sent as they are and never left out.
        timeout: longest silence, s.
        connect_timeout: longest time to connect, s.
        tries: see `Transport`.
        retry_base: see `Transport`.
        concurrency: requests open at the same time.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key_env: str | None = "OPENAI_API_KEY",
        prefill: str = "auto",
        template: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: float = 60.0,
        connect_timeout: float = 10.0,
        tries: int = 5,
        retry_base: float = 0.5,
        concurrency: int = 8,
    ) -> None:
        self._transport = Transport(
            url,
            timeout=timeout,
            connect_timeout=connect_timeout,
            tries=tries,
            retry_base=retry_base,
            concurrency=concurrency,
            api_key_env=api_key_env,
        )
        self.url, self._model = self._transport.url, model
        self._prefill = check_prefill(prefill)
        self._template = template or (model if Path(model).is_dir() else None)
        if prefill == "completions" and self._template is None:
            raise InvalidInput("prefill='completions' needs template=FOLDER, the model's tokenizer")
        self._dialect = Dialect(dict(extra_body or {}))
        self._native = LlamaClient(self._transport, self.url.removesuffix("/v1"))
        self._is_native: bool | None = None
        self._continuation: Continuation | None = None
        self._chat: ChatTokenizer | None = None
        self._remote = RemoteGeneration(self._deltas, batch_concurrency=concurrency)

    def __repr__(self) -> str:
        return f"OpenAIBackend({self.url!r}, {self._model!r})"

    def generate(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> Completion:
        """Answer `messages`, or continue the answer begun with `prefix`.

        Raises:
            InvalidInput: bad input, or a prefix that this server cannot continue.
            RunFailed: the server cannot be reached, is late, fails or answers garbage.
        """
        return self._remote.generate(make_request(messages, options))

    def generate_batch(
        self, batch: Iterable[Iterable[Mapping[str, Any]]], **options: Unpack[BatchOptions]
    ) -> list[Completion]:
        """Answer each list of messages, up to `concurrency` at once; results in the order given."""
        return self._remote.generate_batch(make_requests(batch, options))

    def stream(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> TextStream:
        """Return an async iterator of the answer's pieces; closing it closes the connection."""
        return self._remote.stream(make_request(messages, options))

    def iter_text(
        self, messages: Iterable[Mapping[str, Any]], **options: Unpack[GenerationOptions]
    ) -> Iterator[str]:
        """Yield the answer's pieces; closing the generator closes the connection."""
        return iter_delta_text(self._remote.iterate(make_request(messages, options)))

    def score(
        self, messages: Iterable[Mapping[str, Any]], answer: str, *, prefix: str = ""
    ) -> AnswerScore:
        """Return the log-probabilities of `answer` (after `prefix`), end of turn excluded.

        Raises:
            InvalidInput: this server offers no way to learn them.
        """
        request = make_request(messages, {"prefix": prefix})
        return self._remote.run(self._score(request, check_answer(answer)))

    def count_tokens(self, text: str) -> int:
        """Return how many tokens plain `text` is.

        Raises:
            InvalidInput: the server does not tell and no `template` was given.
        """
        return self._remote.run(self._count(check_text("text", text)))

    def describe(self) -> dict[str, Any]:
        """Return kind, model, address and further fields; never a key."""
        said = {"kind": "openai", "model": self._model, "url": self.url}
        extra = dict(self._dialect.extra)
        return said | ({"extra_body": extra} if extra else {})

    def close(self) -> None:
        """End what still runs; more than once is harmless."""
        self._remote.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    async def _deltas(self, request: Request) -> AsyncGenerator[Delta, None]:
        if not request.prefix:
            source = self._chat_deltas(request, request.messages)
        else:
            way = await self._find_continuation()
            if way.mode == "native":
                source = self._native.deltas(request)
            elif way.mode == "completions":
                prompt = self._raw_prompt(request)
                source = self._raw_deltas(request, prompt)
                if isinstance(prompt, str):
                    source = without_echo(source, prompt, required=False)
            else:
                begun: Message = {"role": "assistant", "content": request.prefix}
                source = self._chat_deltas(request, [*request.messages, begun])
                if way.echo:
                    source = without_echo(source, request.prefix, required=True)
        async with aclosing(source) as deltas:
            async for delta in deltas:
                yield delta

    def _chat_deltas(
        self, request: Request, messages: Sequence[Message]
    ) -> AsyncGenerator[Delta, None]:
        build = partial(chat_body, self._model, request, messages, self._dialect)
        return self._endpoint_deltas("/chat/completions", request, build)

    def _raw_deltas(self, request: Request, prompt: str | list[int]) -> AsyncGenerator[Delta, None]:
        build = partial(completion_body, self._model, request, prompt, self._dialect)
        return self._endpoint_deltas("/completions", request, build)

    async def _endpoint_deltas(
        self, path: str, request: Request, build: Callable[[], dict[str, Any]]
    ) -> AsyncGenerator[Delta, None]:
        """Yield the answer of an endpoint, asking again without the fields that it refuses."""
        while True:
            body = build()
            events = self._transport.events(path, body)
            try:
                async with aclosing(read_answer(events, request.stop, self.url)) as deltas:
                    async for delta in deltas:
                        yield delta
                return
            except HttpStatusError as error:
                refused = error.status in (400, 422)
                if not refused or not self._dialect.adapt(body, error.detail):
                    raise

    async def _find_continuation(self) -> Continuation:
        """Return how this server continues a prefix, probing it the first time."""
        if self._continuation is None:
            self._continuation = await self._probe()
        if self._continuation.mode == "none":
            raise cannot_continue(self.url, self._prefill)
        return self._continuation

    async def _probe(self) -> Continuation:
        if self._prefill in ("none", "completions"):
            return Continuation(self._prefill)
        if self._prefill == "auto":
            if await self._native_server():
                return Continuation("native")
            if self._template is not None:
                return Continuation("completions")

        async def ask(request: Request, messages: Sequence[Message]) -> Completion:
            stream = TextStream(self._chat_deltas(request, messages))
            text = "".join([piece async for piece in stream])
            return Completion(text, stream.finish_reason or "", stream.prompt_tokens, None)

        try:
            return await probe_assistant(ask, trusted=self._prefill == "assistant")
        except HttpStatusError as error:
            if error.status in (400, 422):  # it refuses a trailing assistant message outright
                return Continuation("none")
            raise

    async def _native_server(self) -> bool:
        """Return whether the server has llama.cpp's own endpoints."""
        if self._is_native is None:
            try:
                root = self.url.removesuffix("/v1")
                properties = await self._transport.json("GET", "/props", root=root)
                self._is_native = isinstance(properties, dict) and "chat_template" in properties
            except HttpStatusError as error:
                if error.status in (401, 403):
                    raise
                self._is_native = False
        return self._is_native

    def _tokenizer(self) -> ChatTokenizer:
        if self._chat is None:
            from equipoise.text.local_models import load_chat_tokenizer

            assert self._template is not None
            self._chat = load_chat_tokenizer(self._template)
        return self._chat

    def _raw_prompt(self, request: Request) -> str | list[int]:
        """Return the prompt for `/completions`: text, or tokens where text would forge some."""
        chat = self._tokenizer()
        text = chat.render(request.messages) + request.prefix
        tokens = chat.prompt_tokens(request.messages, request.prefix)
        return text if tokens == chat.encode(text, special=True) else tokens

    async def _score(self, request: Request, answer: str) -> AnswerScore:
        if await self._native_server():
            return await self._native.score(request.messages, answer, request.prefix)
        if self._template is None:
            raise InvalidInput(
                f"{self.url} cannot give log-probabilities of a given answer: it is no llama.cpp "
                "server; give template=FOLDER (the model's tokenizer) if its /completions can echo"
            )
        prompt = self._raw_prompt(request)
        if not isinstance(prompt, str):
            raise InvalidInput(
                "a message holds the text of a special token; it cannot be scored here"
            )
        body = {
            "model": self._model,
            "prompt": prompt + answer,
            "max_tokens": 1,
            "temperature": 0,
            "echo": True,
            "logprobs": 1,
        }
        return read_echo(await self._transport.json("POST", "/completions", body), prompt, answer)

    async def _count(self, text: str) -> int:
        if self._template is not None:
            return len(self._tokenizer().encode(text, special=False))
        if await self._native_server():
            return await self._native.count_tokens(text)
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        root = self.url.removesuffix("/v1")
        with suppress(HttpStatusError, KeyError, TypeError, ValueError):
            return int((await self._transport.json("POST", "/tokenize", body, root=root))["count"])
        raise InvalidInput(
            f"{self.url} does not count tokens; give template=FOLDER (the model's tokenizer)"
        )
