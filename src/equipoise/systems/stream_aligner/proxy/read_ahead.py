"""An open upstream stream, read a bounded way ahead of who takes from it, and its tokens."""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable

from equipoise.systems.stream_aligner.proxy.driving import stop
from equipoise.systems.stream_aligner.proxy.upstream_parts import UpstreamPart

AHEAD = 8_000
"""Characters that are read ahead; beyond them the upstream has to wait."""

_MOST_PARTS = 4_000  # the same for parts that hold next to nothing
_LONG = 16  # characters; a longer piece is not one token


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text is, where nobody counts them: four characters each.

    >>> estimate_tokens("The sum is 42.")
    4
    """
    return 0 if not text else max(1, round(len(text) / 4))


class TokenTally:
    """Which tokens a stream's characters belong to: a piece is a token, a long piece several."""

    def __init__(self) -> None:
        self._ends: list[int] = []  # characters up to the end of each piece
        self._tokens: list[int] = []  # tokens up to there
        self.characters = 0
        self.tokens = 0

    def add(self, piece: str) -> None:
        """Count the next piece."""
        self.characters += len(piece)
        self.tokens += 1 if len(piece) <= _LONG else estimate_tokens(piece)
        self._ends.append(self.characters)
        self._tokens.append(self.tokens)

    def until(self, characters: int) -> int:
        """Return how many tokens the first `characters` are; one begun counts whole."""
        if characters <= 0 or not self._ends:
            return 0
        return self._tokens[min(bisect_left(self._ends, characters), len(self._ends) - 1)]


class ReadAhead:
    """Takes parts from an upstream in the background and hands them on in order.

    Args:
        parts: the upstream's stream; it is closed here.
        ahead: characters read before they are asked for; 0 reads only when asked, None all.
        seen: is given each part as it arrives, before it can be taken, and may let the upstream
            wait; where it returns False no more is read.

    Attributes:
        waiting_characters: of text, which were read and not taken.
        tally: tokens of the text that was read.
        thought_tokens, call_tokens: pieces of reasoning and of tool calls; each is a token.
    """

    def __init__(
        self,
        parts: AsyncGenerator[UpstreamPart, None],
        ahead: int | None = AHEAD,
        seen: Callable[[UpstreamPart], Awaitable[bool]] | None = None,
    ) -> None:
        self._parts, self._ahead, self._seen = parts, ahead, seen
        self._queue: deque[UpstreamPart] = deque()
        self._size = 0
        self._wanted = 0
        self.waiting_characters = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._error: BaseException | None = None
        self._ended = False
        self.tally = TokenTally()
        self.thought_tokens = self.call_tokens = 0
        self._task = asyncio.create_task(self._pump())

    async def take(self) -> UpstreamPart | None:
        """Return the next part, None at the end; raises what the upstream raised."""
        self._wanted += 1
        self._room.set()
        try:
            while not self._queue:
                if self._ended:
                    if self._error is not None:
                        raise self._error
                    return None
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._wanted -= 1
        part = self._queue.popleft()
        self._size -= _weight(part)
        self.waiting_characters -= len(part.text)
        self._room.set()
        return part

    async def close(self) -> None:
        """Abandon the stream: its connection is closed when this returns."""
        await stop(self._task)

    async def _pump(self) -> None:
        try:
            while True:
                while self._is_full():
                    self._room.clear()
                    await self._room.wait()
                part = await anext(self._parts)
                if part.text:
                    self.tally.add(part.text)
                self.thought_tokens += bool(part.reasoning)
                self.call_tokens += bool(part.calls)
                goes_on = self._seen is None or await self._seen(part)
                self._queue.append(part)
                self._size += _weight(part)
                self.waiting_characters += len(part.text)
                self._changed.set()
                if not goes_on:
                    return
        except StopAsyncIteration:
            return
        except Exception as error:  # noqa: BLE001 - handed on to whoever takes
            self._error = error
        finally:
            self._ended = True
            self._changed.set()
            await self._parts.aclose()

    def _is_full(self) -> bool:
        if self._ahead is None:
            return False
        if self._ahead == 0:
            return not self._wanted or bool(self._queue)
        return self._size >= self._ahead or len(self._queue) >= _MOST_PARTS


def _weight(part: UpstreamPart) -> int:
    return len(part.text) + len(part.reasoning) + (len(str(part.calls)) if part.calls else 0)
