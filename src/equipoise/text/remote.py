"""Generation through an async source of pieces, for callers with and without an event loop."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, TypeVar

from equipoise.core.errors import RunFailed
from equipoise.text.interface import Completion, Delta, Request, TextStream

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own, started with the first call."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise RunFailed("this back end has been closed; load it again")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
                self._thread.start()
            return self._loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end and return its result; an interrupt cancels it."""
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._running())
        except BaseException:
            work.close()
            raise
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, source: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """Yield what `source` yields, at most one item ahead; closing ends the source."""
        queue: asyncio.Queue[tuple[bool, Any]] = asyncio.Queue(maxsize=1)

        async def pump() -> None:
            try:
                async for item in source:
                    await queue.put((True, item))
                await queue.put((False, None))
            except Exception as error:  # noqa: BLE001 - handed on to the reading thread
                await queue.put((False, error))
            finally:
                await source.aclose()

        task = asyncio.run_coroutine_threadsafe(pump(), self._running())
        try:
            while True:
                more, item = self.run(queue.get())
                if more:
                    yield item
                elif item is not None:
                    raise item
                else:
                    return
        finally:
            task.cancel()

    def close(self) -> None:
        """Cancel what still runs and end the thread; more than once is harmless."""
        with self._lock:
            self._closed = True
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        with suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(_cancel_others(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(timeout=10)
        if not loop.is_running():
            loop.close()


class RemoteGeneration:
    """The generating half of a back end that talks to a server.

    Args:
        deltas: opens the answer to a request.
        batch_concurrency: requests of one batch that are open at the same time.
    """

    def __init__(
        self, deltas: Callable[[Request], AsyncGenerator[Delta, None]], *, batch_concurrency: int
    ) -> None:
        self._deltas = deltas
        self._batch_concurrency = batch_concurrency
        self._thread = LoopThread()

    def generate(self, request: Request) -> Completion:
        """Answer one request."""
        return self.run(self._complete(request))

    def generate_batch(self, requests: list[Request]) -> list[Completion]:
        """Answer all requests, in order; the first failure ends the others."""

        async def answer_all() -> list[Completion]:
            gate = asyncio.Semaphore(self._batch_concurrency)

            async def answer(request: Request) -> Completion:
                async with gate:
                    return await self._complete(request)

            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(answer(request)) for request in requests]
            except BaseExceptionGroup as problems:
                raise problems.exceptions[0] from None
            return [task.result() for task in tasks]

        return self.run(answer_all())

    def stream(self, request: Request) -> TextStream:
        """Answer in pieces, in the caller's event loop."""
        return TextStream(self._deltas(request))

    def iterate(self, request: Request) -> Generator[Delta, None, None]:
        """Answer in pieces, for callers without an event loop."""
        return self._thread.iterate(self._deltas(request))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the back end for a caller without an event loop."""
        return self._thread.run(work)

    def close(self) -> None:
        """End the thread and what still runs in it."""
        self._thread.close()

    async def _complete(self, request: Request) -> Completion:
        stream = TextStream(self._deltas(request))
        async with stream:
            text = "".join([piece async for piece in stream])
        return Completion(
            text, stream.finish_reason or "stop", stream.prompt_tokens, stream.completion_tokens
        )


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
