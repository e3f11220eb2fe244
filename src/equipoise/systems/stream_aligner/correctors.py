"""Correctors by name: identity, rules, arithmetic, an instruction-prompted or a trained model."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from equipoise.core.errors import InvalidInput, nearest, unknown_name
from equipoise.systems.stream_aligner.arithmetic import correct_sums
from equipoise.systems.stream_aligner.correction import Correction, Corrector, TokenMeter, settled
from equipoise.systems.stream_aligner.prompts import corrector_prompt
from equipoise.systems.stream_aligner.rules import read_rules

if TYPE_CHECKING:
    from equipoise.text import Backend

INSTRUCTIONS = (
    "You review an answer while it is being written. You are given the question, the answer so far "
    "and its last sentence. If the last sentence is right and fits, repeat it exactly. If not, "
    "rewrite it as one sentence that continues the answer so far. Reply with that sentence only, "
    "or with nothing where it should be left out."
)
"""System message of a prompted corrector."""

_BRACKETED = re.compile(r"CORRECTION:\s*\[\[(.*?)\]\]", re.DOTALL | re.IGNORECASE)
_ENDS = re.compile(r"EOS:\s*\[\[\s*TRUE\s*\]\]", re.IGNORECASE)
_STOP = "[[STOP]]"


def identity(question: str, prefix: str, sentence: str) -> str:
    """Copy every sentence (the corrector that changes nothing)."""
    return sentence


def chain(*correctors: Corrector) -> Corrector:
    """Return a corrector that applies several in order, each to what the one before it left.

    A drop or a stop ends the chain. Notes are joined.

    >>> chain(correct_sums, lambda q, p, s: s.upper())("", "", "one: 1 + 1 = 3").text
    'ONE: 1 + 1 = 2'
    """

    def chained(question: str, prefix: str, sentence: str) -> Correction:
        text, notes, verdict = sentence, [], None
        for corrector in correctors:
            found = settled(corrector(question, prefix, text), text)
            text = found.text
            notes += [found.note] if found.note else []
            if found.verdict in ("drop", "stop"):
                verdict = found.verdict
                break
        return Correction(text, verdict, "; ".join(notes))

    return chained


class PromptedCorrector:
    """An instruction-prompted model as corrector (the paper's baseline).

    It is given `INSTRUCTIONS` and the corrector prompt and answers greedily. Read are a plain reply
    (the corrected sentence; empty is a drop, a leading `[[STOP]]` a stop) and the bracketed form
    `CORRECTION: [[...]]`, `EOS: [[TRUE]]`.

    Attributes:
        backend: the model; `close` frees it.
        max_tokens: longest reply.
        meter: tokens of the last reply and its prompt, where the back end tells.
    """

    def __init__(self, backend: "Backend", *, max_tokens: int = 256) -> None:
        self.backend = backend
        self.max_tokens = max_tokens
        self.meter = TokenMeter()

    def __call__(self, question: str, prefix: str, sentence: str) -> Correction:
        """Review one sentence."""
        messages = [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": corrector_prompt(question, prefix, sentence)},
        ]
        reply = self.backend.generate(messages, max_tokens=self.max_tokens)
        self.meter.tokens = (reply.prompt_tokens or 0) + (reply.completion_tokens or 0)
        return read_reply(reply.text)

    def close(self) -> None:
        """Free the model."""
        self.backend.close()


def read_reply(reply: str) -> Correction:
    """Return what a model corrector's reply says.

    >>> read_reply(" [[STOP]] That is all. ")
    Correction(text='That is all.', verdict='stop', note='')
    """
    bracketed = _BRACKETED.findall(reply)
    text = (bracketed[-1] if bracketed else reply).strip()
    stops = bool(bracketed) and _ENDS.search(reply) is not None
    if text.startswith(_STOP):
        stops, text = True, text.removeprefix(_STOP).strip()
    return Correction(text, "stop" if stops else None)


def make_corrector(spec: str, **options: Any) -> Corrector:
    """Return the corrector that `spec` names.

    Args:
        spec: `identity`; `arithmetic`; `rules:FILE`; `prompted:URL#MODEL` (an OpenAI-compatible
            endpoint) or `prompted:BACKEND` (`BACKEND` as `equipoise.text.load_backend` names it);
            `model:PATH` (a trained corrector: its checkpoint or run folder).
        **options: `rules` takes `search_seconds`; `prompted` takes `max_tokens` and what
            `load_backend` takes; `model` takes `style` and `base` (another one is refused),
            `device` and `sessions`; the others take none.

    Raises:
        InvalidInput: an unknown spec (the nearest is named), or a file that cannot be used.
        MissingData: no model at that path.
    """
    if not isinstance(spec, str):
        raise InvalidInput(f"a corrector spec is text, got {type(spec).__name__}")
    kind, colon, argument = spec.partition(":")
    if kind not in _FORMS:
        close = nearest(kind, _FORMS)
        raise (
            unknown_name("corrector", spec, _FORMS.values())
            if close is None
            else InvalidInput(
                f"unknown corrector {spec!r}: did you mean {_FORMS[close]!r}? "
                f"Valid: {', '.join(_FORMS.values())}"
            )
        )
    if bool(argument) != (":" in _FORMS[kind]) or (colon and not argument):
        raise InvalidInput(f"corrector {spec!r}: write it as {_FORMS[kind]}")
    return _MAKERS[kind](argument, options)


def _without_options(name: str, corrector: Corrector) -> Callable[..., Corrector]:
    def make(argument: str, options: Mapping[str, Any]) -> Corrector:
        if options:
            raise InvalidInput(f"corrector {name!r} takes no options, got {', '.join(options)}")
        return corrector

    return make


def _make_rules(path: str, options: Mapping[str, Any]) -> Corrector:
    for option in options:
        if option != "search_seconds":
            raise unknown_name("option of corrector 'rules'", option, ["search_seconds"])
    return read_rules(path, **options)


def _make_prompted(name: str, options: Mapping[str, Any]) -> Corrector:
    from equipoise.text import load_backend

    rest = dict(options)
    max_tokens = rest.pop("max_tokens", 256)
    backend = f"openai:{name}" if name.startswith(("http://", "https://")) else name
    return PromptedCorrector(load_backend(backend, **rest), max_tokens=max_tokens)


def _make_model(path: str, options: Mapping[str, Any]) -> Corrector:
    from equipoise.systems.stream_aligner.model_corrector import make_model_corrector

    return make_model_corrector(path, **options)


_FORMS = {
    "identity": "identity",
    "rules": "rules:FILE",
    "arithmetic": "arithmetic",
    "prompted": "prompted:URL#MODEL or prompted:BACKEND",
    "model": "model:PATH",
}
_MAKERS: dict[str, Callable[[str, Mapping[str, Any]], Corrector]] = {
    "identity": _without_options("identity", identity),
    "rules": _make_rules,
    "arithmetic": _without_options("arithmetic", correct_sums),
    "prompted": _make_prompted,
    "model": _make_model,
}
