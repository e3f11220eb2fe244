"""Upstreams: whatever continues a begun answer, as the loop asks for it."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.files import JsonlProblem, iter_jsonl
from equipoise.systems.stream_aligner.segments import segment

if TYPE_CHECKING:
    from equipoise.text import Backend

TextUpstream = Callable[[str, str], Iterator[str]]

_EXAMPLE = "http://127.0.0.1:8000/v1#MODEL"
_FORMS = ("URL#MODEL", "local:MODEL", "transformers:PATH", "replay:FILE")


def upstream_from_backend(
    backend: "Backend",
    *,
    system: str | None = None,
    examples: Sequence[tuple[str, str]] = (),
    max_tokens: int = 512,
    temperature: float = 0.0,
    top_p: float = 1.0,
    stop: Sequence[str] = (),
    seed: int | None = None,
) -> TextUpstream:
    """Return an upstream that has a back end continue the answer.

    Args:
        backend: the model; it is not closed here.
        system: system message, or None for the model's own.
        examples: worked questions and answers, shown as earlier turns.
        max_tokens: tokens of a whole answer, restarts included; what the prefix uses up is taken
            from it, and an answer that has none left ends with `length`.
        temperature, top_p, stop: as in `Backend.generate`.
        seed: for sampling. Asking again at an unchanged prefix (after a drop) takes the next seed.
    """
    turns = [
        turn
        for said, reply in examples
        for turn in ({"role": "user", "content": said}, {"role": "assistant", "content": reply})
    ]
    opening = [] if system is None else [{"role": "system", "content": system}]
    last = threading.local()  # an answer is written in one thread

    def upstream(question: str, prefix: str) -> Generator[str, None, str]:
        again = getattr(last, "asked", None) == (question, prefix)
        attempt = last.attempt + 1 if again else 0
        last.asked, last.attempt = (question, prefix), attempt
        left = max_tokens - (backend.count_tokens(prefix) if prefix else 0)
        if left < 1:
            return "length"
        reason = yield from _pieces(
            backend.iter_text(
                [*opening, *turns, {"role": "user", "content": question}],
                prefix=prefix,
                max_tokens=left,
                temperature=temperature,
                top_p=top_p,
                stop=tuple(stop),
                seed=None if seed is None else seed + attempt,
            )
        )
        return reason if isinstance(reason, str) else "stop"

    return upstream


def _pieces(pieces: Iterator[str]) -> Generator[str, None, object]:
    """Pass on an iterator's pieces, its return value and its closing."""
    return (yield from pieces)


def scripted_upstream(answers: Callable[[str], str]) -> TextUpstream:
    """Return an upstream that reads from stored answers.

    A prefix that begins the stored answer is continued exactly; after an edit the answer goes on at
    the sentence whose number comes next, so nothing is *induced*: the stored text cannot react.

    Args:
        answers: question to whole answer.
    """

    def upstream(question: str, prefix: str) -> Iterator[str]:
        answer = answers(question)
        if answer.startswith(prefix):
            yield answer[len(prefix) :]
            return
        for part in segment(answer)[len(segment(prefix)) :]:
            yield part.raw

    return upstream


def read_answers(path: str | Path) -> dict[str, str]:
    """Read stored answers: JSONL with `question` (or `prompt`) and `answer` (or `result`).

    Raises:
        InvalidInput: no such file, a broken line (its number is named), or no answers in it.
    """
    found: dict[str, str] = {}
    for number, record in read_lines(path):
        question = record.get("question", record.get("prompt"))
        answer = record.get("answer", record.get("result"))
        if not isinstance(question, str) or not isinstance(answer, str):
            raise InvalidInput(
                f"{path}, line {number}: expected texts 'question' (or 'prompt') and 'answer' "
                "(or 'result')"
            )
        found[question] = answer
    if not found:
        raise InvalidInput(f"{path} holds no answers")
    return found


def read_lines(path: str | Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield line number and object of a JSONL file; a broken line raises and is named."""
    if not Path(path).is_file():
        raise InvalidInput(f"there is no file {path}")
    for number, record in iter_jsonl(path):
        if isinstance(record, JsonlProblem):
            raise InvalidInput(f"{path}, line {number}: {record.reason}")
        if not isinstance(record, dict):
            kind = type(record).__name__
            raise InvalidInput(f"{path}, line {number}: expected an object, got {kind}")
        yield number, record


@contextmanager
def open_upstream(
    spec: str,
    *,
    system: str | None = None,
    examples: Sequence[tuple[str, str]] = (),
    max_tokens: int = 512,
    temperature: float = 0.0,
    seed: int | None = None,
    requests: int = 8,
    **options: Any,
) -> Iterator[TextUpstream]:
    """Open the upstream that `spec` names, for the length of a `with` block.

    Args:
        spec: `URL#MODEL` (an OpenAI-compatible endpoint), `local:MODEL` (llama.cpp),
            `transformers:PATH`, or `replay:FILE` (stored answers). The back ends' own spellings
            `openai:` and `llamacpp:` are understood as well.
        system, examples, max_tokens, temperature, seed: as in `upstream_from_backend`.
        requests: open at the same time, to a URL.
        **options: of `load_backend`.
    """
    from equipoise.text import load_backend

    kind, _, target = spec.partition(":")
    if kind == "replay":
        answers = read_answers(target)

        def find(question: str) -> str:
            if question not in answers:
                raise InvalidInput(f"{target} holds no answer to {question!r}")
            return answers[question]

        yield scripted_upstream(find)
        return
    name = backend_name(spec)
    with load_backend(name, **options, **connections(name, requests)) as backend:
        yield upstream_from_backend(
            backend,
            system=system,
            examples=examples,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )


def connections(name: str, requests: int) -> dict[str, Any]:
    """Return the option of `load_backend` that lets a back end open so many requests."""
    return {"concurrency": requests} if name.startswith("openai:") else {}


def at_once_of(spec: str | None, requests: int, correctors: Iterable[object] = ()) -> int:
    """Return how many questions to ask at the same time: a model in this machine takes one.

    Args:
        spec: of an upstream or a judge; None for nobody to be asked.
        requests: to a model behind a URL.
        correctors: of the answers; one that keeps the reading of a few is asked for no more.

    Raises:
        InvalidInput: fewer than one request.

    >>> at_once_of("local:smollm2-135m", 8), at_once_of("http://127.0.0.1:8000/v1#m", 8)
    (1, 8)
    """
    if requests < 1:
        raise InvalidInput(f"requests is {requests}; it must be >= 1")
    if not (spec or "").startswith(("http:", "https:", "openai:")):
        return 1
    return min([requests, *(getattr(one, "answers_at_once", requests) for one in correctors)])


def backend_name(spec: str, what: str = "upstream") -> str:
    """Return the back end that `spec` names, as `load_backend` spells it.

    Args:
        spec: `URL#MODEL`, `local:MODEL` or `transformers:PATH`, or the back end's own spelling.
        what: the model is for, in the refusal of anything else.

    >>> backend_name("local:smollm2-135m")
    'llamacpp:smollm2-135m'
    """
    kind, _, target = spec.partition(":")
    if kind in ("http", "https"):
        kind, target = "openai", spec
    kinds = {"local": "llamacpp", **{name: name for name in ("openai", "llamacpp", "transformers")}}
    if kind not in kinds or not target:
        raise unknown_name(what, spec, _FORMS if what == "upstream" else _FORMS[:3])
    if kind == "openai" and not all(target.partition("#")):
        raise InvalidInput(f"{what} {spec!r} must name URL and model, e.g. {_EXAMPLE}")
    return f"{kinds[kind]}:{target}"
