"""How many requests a server works on at once, and how many wait their turn."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from equipoise.core.errors import InvalidInput, RunFailed


class QueueFull(RunFailed):
    """More requests wait already than the server lets wait."""


class Admission:
    """Lets `concurrent` requests in at once, in the order of their coming.

    Args:
        concurrent: requests worked on at once, at least 1.
        queue: further ones that wait; the next is refused.

    Attributes:
        active: requests inside.
    """

    def __init__(self, concurrent: int, queue: int) -> None:
        if concurrent < 1 or queue < 0:
            raise InvalidInput(
                f"got concurrent={concurrent}, queue={queue}; they must be >= 1 and >= 0"
            )
        self._concurrent, self._queue = concurrent, queue
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.active = 0

    @property
    def waiting(self) -> int:
        """Requests that wait their turn."""
        return len(self._waiting)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Wait for a place and hold it for the length of a `with` block.

        Raises:
            QueueFull: too many wait already.
        """
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    async def _enter(self) -> None:
        if self.active < self._concurrent and not self._waiting:
            self.active += 1
            return
        if len(self._waiting) >= self._queue:
            raise QueueFull(
                f"{self.active} requests are being answered and {len(self._waiting)} wait; "
                "try again later"
            )
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn  # who leaves hands its place on, so the count stays
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            else:
                with suppress(ValueError):  # who left just now has passed it over
                    self._waiting.remove(turn)
            raise

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.active -= 1
