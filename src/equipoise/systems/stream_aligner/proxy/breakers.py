"""A circuit breaker: what failed several times in a row is left alone for a while."""

import time
from collections.abc import Callable


class Breaker:
    """Opens after `failures` in a row, for `seconds`; then one try decides whether it closes.

    Args:
        failures: in a row, until it opens.
        seconds: how long it stays open.
        clock: monotonic time, s.

    >>> breaker = Breaker(failures=2, clock=lambda: 0.0)
    >>> breaker.failed(), breaker.closed_in(), breaker.failed(), breaker.closed_in()
    (None, 0.0, None, 10.0)
    """

    def __init__(
        self,
        failures: int = 5,
        seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._seconds, self._clock = failures, seconds, clock
        self._failures = 0
        self._open_until: float | None = None

    def closed_in(self) -> float:
        """Return the seconds until the next try is allowed; 0 where it is now.

        The caller of a try that 0 allows after an opening is alone: others wait once more.
        """
        if self._open_until is None:
            return 0.0
        left = self._open_until - self._clock()
        if left > 0:
            return left
        self._open_until = self._clock() + self._seconds  # until this try has shown its result
        return 0.0

    def failed(self) -> None:
        """Count a failure."""
        self._failures += 1
        if self._failures >= self._limit:
            self._open_until = self._clock() + self._seconds

    def succeeded(self) -> None:
        """Count a success, which closes the breaker."""
        self._failures, self._open_until = 0, None
