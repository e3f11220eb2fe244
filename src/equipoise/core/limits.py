"""Rates that are kept before anything is sent, and delays between tries."""

import asyncio
import random
import time
from collections.abc import Callable

from equipoise.core.errors import InvalidInput


class TokenBucket:
    """A rate limit charged before sending: `rate` tokens every `per` seconds, `burst` at once.

    Args:
        rate: tokens added in `per` seconds, > 0.
        per: length of that span, s.
        burst: capacity; the bucket starts full. Default: `rate`, at least 1.
        clock: monotonic time source, s.
    """

    def __init__(
        self,
        rate: float,
        per: float = 60.0,
        burst: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        capacity = max(1.0, rate) if burst is None else burst
        if not rate > 0 or not per > 0 or not capacity >= 1:
            raise InvalidInput(
                f"TokenBucket got rate={rate!r}, per={per!r}, burst={burst!r}; "
                "rate and per must be > 0 and burst >= 1"
            )
        self._per_second = rate / per
        self._capacity = capacity
        self._level = capacity
        self._clock = clock
        self._last = clock()

    def try_acquire(self, n: float = 1.0) -> float:
        """Take `n` tokens and return 0, or take none and return the seconds to wait."""
        if not 0 < n <= self._capacity:
            raise InvalidInput(f"cannot take {n!r} tokens from a bucket of {self._capacity:g}")
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._last) * self._per_second)
        self._last = now
        if self._level >= n - 1e-9:
            self._level -= n
            return 0.0
        return (n - self._level) / self._per_second

    async def acquire(self, n: float = 1.0) -> None:
        """Wait until `n` tokens are there and take them."""
        while (wait := self.try_acquire(n)) > 0:
            await asyncio.sleep(wait)


def backoff(
    attempt: int, *, base: float = 0.5, cap: float = 30.0, rng: random.Random | None = None
) -> float:
    """Return the delay (s) before try `attempt` + 1: exponential with full jitter.

    Uniform in (0, min(cap, base * 2**attempt)]; `attempt` counts failed tries from 0.
    """
    ceiling = min(cap, base * 2.0 ** min(attempt, 60))
    return ceiling * (1.0 - (rng or random).random())
