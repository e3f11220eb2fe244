"""`align` and `align_stream`: the correction loop driven in the calling thread."""

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.correction import Correction, Corrector
from equipoise.systems.stream_aligner.loop import (
    Answer,
    Close,
    Emit,
    End,
    Failure,
    LoopOptions,
    Open,
    Read,
    Review,
    Step,
    review_loop,
)

_SURROGATE = re.compile("[\ud800-\udfff]")
Upstream = Callable[[str, str], Iterable[str]]
"""`(question, prefix) -> pieces`: continues the answer begun by `prefix`. A generator's return
value, where it is text, is the finish reason; its `close` is called when it is abandoned."""


def align(
    question: str,
    upstream: Upstream,
    corrector: Corrector,
    *,
    mode: str = "stream",
    rounds: int | None = None,
    then: str = "free",
    speculate: bool = False,
    max_segments: int = 64,
    max_chars: int = 400,
    join: str = "exact",
    on_failure: str = "closed",
    static_text: str = "",
) -> Answer:
    """Answer a question with an upstream whose every sentence is reviewed.

    The options are those of `LoopOptions`. Whatever the upstream raises passes through, after its
    stream has been closed; what the corrector raises follows `on_failure`.

    Raises:
        InvalidInput: an option out of range, or an upstream that does not yield text.

    >>> align("?", lambda q, p: ["One. Two."], lambda q, p, s: s, speculate=True).text
    'One. Two.'
    """
    steps = align_stream(
        question,
        upstream,
        corrector,
        mode=mode,
        rounds=rounds,
        then=then,
        speculate=speculate,
        max_segments=max_segments,
        max_chars=max_chars,
        join=join,
        on_failure=on_failure,
        static_text=static_text,
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def align_stream(
    question: str, upstream: Upstream, corrector: Corrector, **options: Any
) -> Generator[Step, None, Answer]:
    """Yield each `Step` when it is decided; the generator's return value is the `Answer`.

    Takes the options of `align`. Closing the generator closes the upstream's stream.
    """
    return _drive(question, upstream, corrector, LoopOptions(**options))


def _drive(
    question: str, upstream: Upstream, corrector: Corrector, options: LoopOptions
) -> Generator[Step, None, Answer]:
    machine = review_loop(options)
    pieces: Iterator[str] = iter(())
    reply: Any = None
    try:
        while True:
            try:
                request = machine.send(reply)
            except StopIteration as end:
                return end.value
            reply = None
            match request:
                case Open(prefix):
                    pieces = iter(upstream(question, prefix))
                case Read():
                    reply = _read(pieces)
                case Close():
                    _close(pieces)
                case Review(prefix, sentence):
                    reply = _consult(corrector, question, prefix, sentence)
                case Emit(step):
                    yield step
    finally:
        _close(pieces)


def _read(pieces: Iterator[str]) -> str | End:
    try:
        piece = next(pieces)
    except StopIteration as end:
        return End(end.value if isinstance(end.value, str) else "stop")
    if not isinstance(piece, str):
        raise InvalidInput(f"the upstream yielded {type(piece).__name__}; it must yield text (str)")
    return _SURROGATE.sub("\ufffd", piece)  # half a character fits no file


def _close(pieces: Iterator[str]) -> None:
    close = getattr(pieces, "close", None)
    if close is not None:
        close()


def _consult(
    corrector: Corrector, question: str, prefix: str, sentence: str
) -> Correction | str | Failure:
    try:
        return corrector(question, prefix, sentence)
    except Exception as error:  # noqa: BLE001 - any failure follows the policy, none gets past it
        return Failure(f"{type(error).__name__}: {error}")
