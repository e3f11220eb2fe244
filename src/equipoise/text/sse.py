"""Server-sent events, read incrementally (WHATWG HTML, section 9.2 "Server-sent events")."""

import codecs
from dataclasses import dataclass

from equipoise.core.errors import RunFailed

MAX_EVENT_CHARACTERS = 16 * 2**20
"""A larger event is taken for garbage, not kept in memory."""


@dataclass(frozen=True)
class SseEvent:
    """One event: its data (lines joined by line feeds), type, and id where given."""

    data: str
    event: str = "message"
    id: str | None = None


class SseReader:
    """Turns bytes, cut anywhere, into events.

    Lines end with LF, CR or CRLF; comments and unknown fields are skipped, as is an event without
    data; an event that the end of the stream leaves unfinished is dropped, as the standard says.

    >>> reader = SseReader()
    >>> reader.feed(b"data: a\\r\\ndata: b\\r\\n\\r") + reader.feed(b"\\n: comment\\n")
    [SseEvent(data='a\\nb', event='message', id=None)]
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line: list[str] = []
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self._id: str | None = None
        self._after_cr = False
        self._started = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that `chunk` completes.

        Raises:
            RunFailed: an event grows beyond any sense (`MAX_EVENT_CHARACTERS`).
        """
        text = self._decoder.decode(chunk)
        if text and not self._started:
            self._started = True
            text = text.removeprefix("\ufeff")
        if self._after_cr and text:
            text = text.removeprefix("\n")
            self._after_cr = False
        self._after_cr = self._after_cr or text.endswith("\r")
        *lines, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._size += len(text)
        events = []
        for line in lines:
            self._line.append(line)
            event = self._take_line("".join(self._line))
            self._line.clear()
            if event is not None:
                events.append(event)
        if rest:
            self._line.append(rest)
        if self._size > MAX_EVENT_CHARACTERS:
            raise RunFailed(
                f"an event of the stream is longer than {MAX_EVENT_CHARACTERS:,} characters; "
                "the server does not send server-sent events"
            )
        return events

    def _take_line(self, line: str) -> SseEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._event = value
        elif field == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> SseEvent | None:
        event = SseEvent("\n".join(self._data), self._event or "message", self._id)
        complete = bool(self._data)
        self._data.clear()
        self._event, self._size = "", 0
        return event if complete else None
