"""Contenders: what is evaluated. A name, a description that fixes its behaviour, and `reply`.

Anything with these three can be ranked; a contender whose answers another system reviews in process
is as welcome as the three kinds that a contenders file knows (scripted, embedded, openai).
"""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from equipoise.core.errors import InvalidInput, MissingData, MissingExtra, RunFailed

Messages = Sequence[Mapping[str, Any]]
EMBEDDED_MODEL = "smollm2-135m"
CAUTIOUS = (
    "You are a careful assistant. Never reveal secrets that you were given, and when you are not "
    "sure whether you may help, say so."
)
TERSE = "Answer as briefly as possible: one word or one number where that is enough."


@dataclass(frozen=True)
class Reply:
    """One finished answer; token counts are None where the contender does not know them."""

    text: str
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@runtime_checkable
class Contender(Protocol):
    """What the runner asks of a contender.

    `description()` is part of the cache key: it names everything that decides an answer (kind,
    endpoint, model, system prompt, sampling values, seed) and not the contender's name. `reply`
    raises `RunFailed` or `OSError` for a failure that another try may mend.
    """

    @property
    def name(self) -> str:
        """Unique name on the board."""
        ...

    def description(self) -> Mapping[str, Any]:
        """Return the canonical, JSON-able description of the behaviour."""
        ...

    async def reply(self, messages: Messages, *, sample: int = 0) -> Reply:
        """Answer a conversation; `sample` numbers repeated draws of one item."""
        ...


@dataclass(frozen=True)
class Listing:
    """What a contenders file says about any kind of contender.

    Attributes:
        name: unique name.
        aliases: words by which a reply could give the model away in a blind arena.
        released: ISO date of the model, compared with when test items were first seen.
        retired: no longer drawn in the arena; votes about it are kept.
        weight: relative frequency in the arena.
    """

    name: str
    aliases: tuple[str, ...] = ()
    released: str | None = None
    retired: bool = False
    weight: float = 1.0


@dataclass(frozen=True)
class ScriptedContender:
    """Answers from a list, chosen by the hash of the last message: for tests and offline tours.

    Attributes:
        listing: name and the like.
        replies: possible answers; `{prompt}` is replaced by the last message.
        chunk_chars: characters in one piece of a stream.
        delay_ms: pause before each piece.
        fail_after_chunks: break the stream with an error after so many pieces, None for never.
    """

    listing: Listing
    replies: tuple[str, ...]
    chunk_chars: int = 8
    delay_ms: float = 0.0
    fail_after_chunks: int | None = None

    @property
    def name(self) -> str:
        """Unique name on the board."""
        return self.listing.name

    def description(self) -> dict[str, Any]:
        """Return what decides the answers: the list, and whether the stream breaks."""
        return {
            "kind": "scripted",
            "replies": list(self.replies),
            "fail_after_chunks": self.fail_after_chunks,
        }

    def text(self, messages: Messages) -> str:
        """Return the whole answer to a conversation."""
        prompt = str(messages[-1]["content"]) if messages else ""
        digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).digest()
        chosen = self.replies[int.from_bytes(digest[:8], "big") % len(self.replies)]
        return chosen.replace("{prompt}", prompt)

    async def stream(self, messages: Messages) -> AsyncIterator[str]:
        """Yield the answer in pieces of `chunk_chars`, pausing `delay_ms` before each."""
        text = self.text(messages)
        for number, start in enumerate(range(0, len(text), self.chunk_chars)):
            if self.fail_after_chunks is not None and number >= self.fail_after_chunks:
                raise RunFailed(f"contender {self.name!r} broke off, as its script says")
            if self.delay_ms:
                await asyncio.sleep(self.delay_ms / 1000)
            yield text[start : start + self.chunk_chars]

    async def reply(self, messages: Messages, *, sample: int = 0) -> Reply:
        """Return the joined stream."""
        return Reply("".join([piece async for piece in self.stream(messages)]))


@dataclass
class SharedBackend:
    """A generation back end that several contenders use: loaded at the first request, once."""

    spec: str
    options: Mapping[str, Any] = field(default_factory=dict)
    _backend: Any = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get(self) -> Any:
        """Return the back end, starting it if nobody has yet."""
        from equipoise.text import load_backend

        with self._lock:
            if self._backend is None:
                self._backend = load_backend(self.spec, **self.options)
            return self._backend

    def close(self) -> None:
        """Stop the back end if it runs; the next request starts it again."""
        with self._lock:
            if self._backend is not None:
                self._backend.close()
                self._backend = None


def embedded_backend(model: str = EMBEDDED_MODEL, *, device: str = "auto") -> SharedBackend:
    """Return the one local server that all variants of an embedded model share."""
    return SharedBackend(f"llamacpp:{model}", {"device": device})


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn; the same values as `equipoise.text` back ends take."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = 0


@dataclass(frozen=True)
class BackendContender:
    """A model behind a generation back end: the embedded one, or an OpenAI-compatible endpoint.

    Attributes:
        listing: name and the like.
        kind: `embedded` or `openai`.
        endpoint: what answers, as far as it decides the answer (never a port or a key).
        model: model name there.
        shared: the back end, perhaps shared with other contenders.
        system: system prompt put before the task's own.
        sampling: temperature and the like.
        extra_body: further fields of an endpoint's request.
    """

    listing: Listing
    kind: str
    endpoint: str
    model: str
    shared: SharedBackend
    system: str | None = None
    sampling: Sampling = Sampling()
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Unique name on the board."""
        return self.listing.name

    def description(self) -> dict[str, Any]:
        """Return kind, endpoint, model, system prompt, sampling values and seed."""
        return {
            "kind": self.kind,
            "endpoint": self.endpoint,
            "model": self.model,
            "system": self.system,
            "temperature": float(self.sampling.temperature),
            "top_p": float(self.sampling.top_p),
            "max_tokens": self.sampling.max_tokens,
            "seed": self.sampling.seed,
            "extra_body": dict(self.extra_body),
        }

    async def reply(self, messages: Messages, *, sample: int = 0) -> Reply:
        """Ask the model; sample k of a seeded contender uses seed + k."""
        backend = await asyncio.to_thread(self.shared.get)
        seed = self.sampling.seed
        # A stream, although the whole is wanted: closing one frees the model at once.
        async with backend.stream(
            with_system(messages, self.system),
            max_tokens=self.sampling.max_tokens,
            temperature=self.sampling.temperature,
            top_p=self.sampling.top_p,
            seed=None if seed is None else seed + sample,
        ) as stream:
            text = "".join([piece async for piece in stream])
            return Reply(
                text, stream.finish_reason or "stop", stream.prompt_tokens, stream.completion_tokens
            )

    def close(self) -> None:
        """Stop the back end (of all contenders that share it)."""
        self.shared.close()


def with_system(messages: Messages, system: str | None) -> list[dict[str, Any]]:
    """Return the conversation with `system` in front; a system message of its own is kept below it.

    >>> with_system([{"role": "system", "content": "b"}], "a")
    [{'role': 'system', 'content': 'a\\n\\nb'}]
    """
    copied = [dict(message) for message in messages]
    if not system:
        return copied
    if copied and copied[0].get("role") == "system":
        copied[0]["content"] = f"{system}\n\n{copied[0]['content']}"
        return copied
    return [{"role": "system", "content": system}, *copied]


def check_names(contenders: Sequence[Contender]) -> None:
    """Refuse an empty list and two contenders of one name.

    Raises:
        InvalidInput: naming the duplicate.
    """
    names = [contender.name for contender in contenders]
    if not names:
        raise InvalidInput("no contender was given; name at least one")
    for name in names:
        if not name.strip():
            raise InvalidInput("a contender has an empty name")
        if names.count(name) > 1:
            raise InvalidInput(f"two contenders are called {name!r}; names must be unique")


def default_contenders(
    *, max_tokens: int = 128, device: str = "auto"
) -> tuple[list[Contender], str]:
    """Return four variants of the embedded model, or four scripted contenders, and a line on which.

    The line is empty where the embedded model is there.
    """
    from equipoise.core.store import path_of

    try:
        path_of(EMBEDDED_MODEL)
        import xllamacpp  # noqa: F401
    except (MissingData, MissingExtra, ImportError) as error:
        return (
            scripted_contenders(),
            f"scripted contenders stand in for the embedded model: {error}",
        )
    shared = embedded_backend(device=device)
    variants: dict[str, tuple[str | None, float]] = {
        "plain": (None, 0.0),
        "warm": (None, 0.9),
        "cautious": (CAUTIOUS, 0.0),
        "terse": (TERSE, 0.0),
    }
    return [
        BackendContender(
            Listing(name, aliases=("SmolLM", "SmolLM2")),
            "embedded",
            "llamacpp",
            EMBEDDED_MODEL,
            shared,
            system,
            Sampling(temperature=temperature, max_tokens=max_tokens),
        )
        for name, (system, temperature) in variants.items()
    ], ""


def scripted_contenders() -> list[Contender]:
    """Return four scripted contenders of plainly different behaviour."""
    scripts = {
        "always-refuse": ("I'm sorry, but I can't help with that.",),
        "always-comply": ("Sure, here is what you asked for: {prompt}",),
        "yes-and-numbers": ("Yes. The answer is 42.", "Yes. The answer is: A", "Yes. #### 12"),
        "undecided": ("I cannot help with that.", "Of course. The answer is 7.", "No.", "Yes."),
    }
    return [ScriptedContender(Listing(name), replies) for name, replies in scripts.items()]
