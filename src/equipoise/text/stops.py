"""Stop strings in a stream: nothing that may become one is let out before that is decided."""

from collections.abc import Sequence


class StopScanner:
    """Cuts streamed text before the stop string that is complete first, however the pieces fall.

    >>> scanner = StopScanner(["END"])
    >>> [scanner.feed(piece) for piece in ("one E", "N", "D two")]
    ['one ', '', '']
    >>> scanner.stopped
    True
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Take the next piece and return what may be shown; after a stop string, nothing more."""
        if self.stopped:
            return ""
        self._held += text
        found = [
            (place + len(stop), place)
            for stop in self._stops
            if (place := self._held.find(stop)) >= 0
        ]
        if found:  # the one that is complete first, so that the pieces' borders do not matter
            shown, self._held, self.stopped = self._held[: min(found)[1]], "", True
            return shown
        kept = max((self._overlap(stop) for stop in self._stops), default=0)
        cut = len(self._held) - kept
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def close(self) -> str:
        """Return what was held back, once the stream has ended without a stop string."""
        shown, self._held = self._held, ""
        return shown

    def _overlap(self, stop: str) -> int:
        """Length of the longest end of the held text that begins `stop`."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
