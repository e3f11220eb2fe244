"""What happened to one segment, and the hub that tells everyone who watches.

The proxy publishes; the live page, and whoever else reads `/equipoise/events`, subscribes. A slow
reader never holds up an answer: it loses the oldest events and is told how many.
"""

import asyncio
import re
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.correction import DiffOp, diff_ops

SEGMENT_VERDICTS = ("copy", "edit", "drop", "stop", "unreviewed")
"""What can be said of a segment: a corrector's verdicts, and that there was none."""

LATE = "late"
"""A note that is this word, or begins with it, says that the corrector came too late."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_COMPARED = 40_000  # characters; the comparison of words takes quadratic time


@dataclass(frozen=True)
class SegmentEvent:
    """One decided segment of one answer.

    Attributes:
        time: seconds since 1970.
        request_id: of the answer.
        round: which segment of the answer, from 0.
        question: the last user message.
        prefix_chars: length of the corrected answer before the segment.
        leading: whitespace before the sentence.
        original: what the upstream proposed.
        corrected: what the corrector made of it; empty for a drop.
        verdict: copy, edit, drop, stop or unreviewed.
        corrector_ms: how long the corrector took, milliseconds.
        policy: what happens where the corrector fails.
        model: the upstream's.
        key_name: whose key asked, never the key.
        note: why; for a corrector that came too late `late`.
    """

    time: float
    request_id: str
    round: int
    question: str
    prefix_chars: int
    leading: str
    original: str
    corrected: str
    verdict: str
    corrector_ms: float
    policy: str
    model: str
    key_name: str
    note: str = ""

    def record(self) -> dict[str, Any]:
        """Return the audit line: every field and `diff`, `[kind, original, corrected]` by words.

        Halves of surrogate pairs, which no file can hold, become U+FFFD. A note that is empty is
        left out.
        """
        found: dict[str, Any] = {}
        for field in fields(self):
            found[field.name] = whole(getattr(self, field.name))
            if field.name == "verdict":
                found["diff"] = self._diff
        if not self.note:
            del found["note"]
        return found

    @cached_property
    def _diff(self) -> list[list[str]]:
        """The difference, found once however many ask."""
        ops = bounded_diff(whole(self.original), whole(self.corrected))
        return [[op.kind, op.original, op.corrected] for op in ops]


def whole(value: Any) -> Any:
    """Return a text with U+FFFD for halves of surrogate pairs; any other value as it is."""
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


def bounded_diff(original: str, corrected: str) -> tuple[DiffOp, ...]:
    """Return `diff_ops` of two texts; very long ones that differ are one replacement.

    >>> [op.kind for op in bounded_diff("a" * 50_000, "b")]
    ['replace']
    """
    if original == corrected:
        return (DiffOp("equal", original, corrected),) if original else ()
    if len(original) + len(corrected) > _LONGEST_COMPARED:
        return (DiffOp("replace", original, corrected),)
    return diff_ops(original, corrected)


def is_late(note: str) -> bool:
    """Return whether a note says that the corrector came too late.

    >>> is_late("late"), is_late("late: 5 s"), is_late("latent")
    (True, True, False)
    """
    return re.match(rf"{LATE}\b", note) is not None


@dataclass(frozen=True)
class Missed:
    """Told to a slow subscriber: `count` events were lost before the next one."""

    count: int


class EventHub:
    """Passes events on to all who subscribed, without ever waiting for one of them.

    May be used from several threads; every subscriber lives in its own event loop.
    """

    def __init__(self, backlog: int = 200) -> None:
        """Start a hub.

        Args:
            backlog: events kept for those who come later, and the most that wait for a slow one.
        """
        if isinstance(backlog, bool) or not isinstance(backlog, int) or backlog < 1:
            raise InvalidInput(f"backlog is {backlog!r}; it must be an integer >= 1")
        self._backlog: deque[SegmentEvent] = deque(maxlen=backlog)
        self._subscribers: set[_Subscriber] = set()
        self._lock = threading.Lock()

    @property
    def subscribers(self) -> int:
        """How many are reading."""
        return len(self._subscribers)

    def publish(self, event: SegmentEvent) -> None:
        """Pass an event on; returns at once."""
        global _latest
        with self._lock:
            self._backlog.append(event)
            for subscriber in self._subscribers:
                subscriber.put(event)
        _latest = weakref.ref(self)

    async def subscribe(self) -> AsyncGenerator[SegmentEvent | Missed, None]:
        """Yield the backlog, then every event as it comes; a `Missed` stands where some were lost.

        Ends when it is closed.
        """
        subscriber = _Subscriber(asyncio.get_running_loop(), self._backlog.maxlen or 1)
        with self._lock:
            for event in self._backlog:
                subscriber.put(event)
            self._subscribers.add(subscriber)
        try:
            while True:
                lost, events = await subscriber.take()
                if lost:
                    yield Missed(lost)
                for event in events:
                    yield event
        finally:
            with self._lock:
                self._subscribers.discard(subscriber)


class _Subscriber:
    """The events that wait for one reader."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._loop = loop
        self._waiting: deque[SegmentEvent] = deque(maxlen=limit)
        self._lost = 0
        self._lock = threading.Lock()
        self._some = asyncio.Event()
        self._told = False

    def put(self, event: SegmentEvent) -> None:
        """Add an event, in any thread; the oldest makes room for it."""
        with self._lock:
            self._lost += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(event)
            told, self._told = self._told, True
        if not told:
            try:
                self._loop.call_soon_threadsafe(self._some.set)
            except RuntimeError:  # its loop has ended, it will not read any more
                return

    async def take(self) -> tuple[int, list[SegmentEvent]]:
        """Return how many were lost, and what waits; waits for at least one event."""
        await self._some.wait()
        with self._lock:
            self._some.clear()
            events, lost = list(self._waiting), self._lost
            self._waiting.clear()
            self._lost, self._told = 0, False
        return lost, events


_latest: "weakref.ref[EventHub] | None" = None


def live_hub() -> EventHub | None:
    """Return the hub of this process that published last, None where there is none any more."""
    return None if _latest is None else _latest()
