"""One corrector behind the proxy: in threads of its own, under a time limit and a breaker."""

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from equipoise.systems.stream_aligner.audit.events import LATE
from equipoise.systems.stream_aligner.correction import Correction, Corrector, settled
from equipoise.systems.stream_aligner.loop import Failure
from equipoise.systems.stream_aligner.proxy.breakers import Breaker
from equipoise.systems.stream_aligner.proxy.upstream_parts import whole_characters


class Reviewed(NamedTuple):
    """What a review came to.

    Attributes:
        said: the corrector's word, or how it failed.
        seconds: that it took.
        tokens: that the corrector's model read and wrote for it, 0 where it does not count them.
    """

    said: Correction | str | Failure
    seconds: float
    tokens: int = 0


class Reviewer:
    """Asks a blocking corrector without blocking the event loop.

    A thread that a time limit has given up on goes on until its corrector returns and keeps its
    place until then, so that a hanging corrector cannot fill the machine with threads. Threads are
    daemons: none holds up the end of the process.

    Args:
        corrector: any callable `(question, prefix, sentence)`.
        timeout: longest review, s, waiting for a free thread included.
        threads: reviews at the same time.
        breaker: counts failures in a row.

    Attributes:
        corrector: what is asked.
        timeout: as given; may be changed at any time.
    """

    def __init__(
        self,
        corrector: Corrector,
        *,
        timeout: float = 5.0,
        threads: int = 32,
        breaker: Breaker | None = None,
    ) -> None:
        self.corrector, self.timeout = corrector, timeout
        self._breaker = breaker or Breaker()
        self._threads = threads
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = self._unfinished = 0
        self._users = 0
        self._retired = self._anticipates = False

    async def review(self, question: str, prefix: str, sentence: str) -> Reviewed:
        """Return what the corrector said, or how it failed."""
        if (wait := self._breaker.closed_in()) > 0:
            reason = f"the corrector failed several times in a row; asked again in {wait:.0f} s"
            return Reviewed(Failure(reason), 0.0)
        begun, tokens = time.perf_counter(), 0
        said: Correction | str | Failure
        try:
            async with asyncio.timeout(self.timeout):
                said, tokens = await self._run(question, prefix, sentence)
        except TimeoutError:
            said = Failure(f"{LATE}: no word from the corrector in {self.timeout:g} s")
        if isinstance(said, Failure):
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        return Reviewed(said, time.perf_counter() - begun, tokens)

    def anticipate(
        self,
        question: str,
        prefix: str,
        begun: str,
        spent: Callable[[int], object] = lambda tokens: None,
    ) -> None:
        """Let a corrector that can read a sentence while it is still being written, unless busy.

        With more answers under way than it keeps the reading of, one would undo another's. `spent`
        is told the tokens that it read, in the running event loop.
        """
        read: Callable[..., Any] | None = getattr(self.corrector, "anticipate", None)
        if read is None or self._anticipates:
            return
        if self._users > getattr(self.corrector, "answers_at_once", 1):
            return

        loop = asyncio.get_running_loop()

        def work() -> None:
            try:
                read(question, prefix, begun)
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(spent, self._tokens())
            except Exception:  # noqa: BLE001 - the review itself will fail, and say why
                return
            finally:
                self._anticipates = False

        self._anticipates = True
        self._do(work)

    def _tokens(self) -> int:
        """Return the tokens of the corrector's last work in this thread, where it counts them."""
        return getattr(getattr(self.corrector, "meter", None), "tokens", 0)

    async def _run(
        self, question: str, prefix: str, sentence: str
    ) -> tuple[Correction | str | Failure, int]:
        loop = asyncio.get_running_loop()
        result: asyncio.Future[tuple[Correction | str | Failure, int]] = loop.create_future()

        def finish(said: Correction | str | Failure, tokens: int) -> None:
            if not result.done():
                result.set_result((said, tokens))

        def work() -> None:
            if result.done():  # given up on while it waited for a thread
                return
            said: Correction | str | Failure
            tokens = 0
            try:
                found = settled(self.corrector(question, prefix, sentence), sentence)
                said = replace(found, text=whole_characters(found.text))
                tokens = self._tokens()
            except Exception as error:  # noqa: BLE001 - any failure follows the policy
                said = Failure(f"{type(error).__name__}: {error}")
            with suppress(RuntimeError):  # the loop has ended; nobody waits for this any more
                loop.call_soon_threadsafe(finish, said, tokens)

        self._do(work)
        return await result

    def _do(self, job: Callable[[], None]) -> None:
        """Have a thread do a job; a new one only where all there are have something to do."""
        # a thread that waits takes a job 50 times faster than a new one starts
        with self._lock:
            self._unfinished += 1
            starts = self._started < min(self._unfinished, self._threads)
            self._started += starts
        self._jobs.put(job)
        if starts:
            threading.Thread(target=self._work, daemon=True, name="corrector").start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            with self._lock:
                self._unfinished -= 1

    def acquire(self) -> "Reviewer":
        """Count one answer that uses this corrector."""
        self._users += 1
        return self

    def release(self) -> None:
        """Count one less; a retired corrector is closed with its last answer."""
        self._users -= 1
        self._close_if_unused()

    def retire(self) -> None:
        """Another corrector has taken its place: close it when its last answer has ended."""
        self._retired = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._retired and self._users == 0:
            for _ in range(self._started):
                self._jobs.put(None)
            close: Callable[[], Any] | None = getattr(self.corrector, "close", None)
            if close is not None:
                close()


def breaks_json(original: str, said: Correction | str | Failure) -> bool:
    """Return whether a corrector made something else than JSON of JSON."""
    if isinstance(said, Failure):
        return False
    verdict = None if isinstance(said, str) else said.verdict
    text = said if isinstance(said, str) else getattr(said, "text", "")
    if verdict in ("drop", "stop") or not isinstance(text, str) or not text or text == original:
        return False
    return _is_json(original) and not _is_json(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
