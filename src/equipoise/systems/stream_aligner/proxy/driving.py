"""The correction loop driven in an event loop; the machine is the one that `align` drives."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol

from equipoise.systems.stream_aligner.correction import Correction
from equipoise.systems.stream_aligner.loop import (
    Answer,
    Close,
    Emit,
    End,
    Failure,
    Open,
    Read,
    Request,
    Review,
    Step,
)


class Source(Protocol):
    """Where a driven answer's text comes from."""

    async def open(self, prefix: str) -> None:
        """Begin a stream that continues the answer from `prefix`."""
        ...

    async def read(self) -> str | End:
        """Return the next piece, or how the stream ended."""
        ...

    async def close(self) -> int:
        """Abandon the stream and return the characters taken from it beyond what was read."""
        ...


async def drive(
    machine: Generator[Request, Any, Answer],
    source: Source,
    review: Callable[[Review], Awaitable[Correction | str | Failure]],
    emit: Callable[[Step, str], Awaitable[None]],
) -> Answer:
    """Answer every request of `review_loop` and return the finished answer.

    Whatever `source` or `emit` raise, and cancellation, passes through after the open stream has
    been closed.

    Args:
        machine: `review_loop(...)`.
        source: the upstream.
        review: asks the corrector; must not raise for a failing one.
        emit: shows a decided step's text, which is final.
    """
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
                    await source.open(prefix)
                case Read():
                    reply = await source.read()
                case Close():
                    reply = await source.close()
                case Review():
                    reply = await review(request)
                case Emit(step, text):
                    await emit(step, text)
    finally:
        await source.close()


async def stop(task: "asyncio.Future[Any]") -> None:
    """Cancel a task and wait for its end, whatever that is.

    Unlike `suppress(CancelledError)` around an `await`, this does not swallow the cancellation of
    the caller, which would then go on as if it had not been told to end.
    """
    task.cancel()
    await asyncio.wait([task])
