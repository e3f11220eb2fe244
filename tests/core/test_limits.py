"""Rate limits against a clock in hand, and delays between tries."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.core.limits import TokenBucket, backoff


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_bucket_starts_full_and_refills():
    clock = Clock()
    bucket = TokenBucket(2, per=1.0, burst=3, clock=clock)
    assert [bucket.try_acquire() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.try_acquire() == pytest.approx(0.5)
    clock.now += 0.25
    assert bucket.try_acquire() == pytest.approx(0.25)
    clock.now += 0.25
    assert bucket.try_acquire() == 0.0
    clock.now += 1000.0
    assert bucket.try_acquire(3) == 0.0
    assert bucket.try_acquire(3) == pytest.approx(1.5)


def test_default_burst_is_the_rate_and_at_least_one():
    clock = Clock()
    slow = TokenBucket(0.5, per=60.0, clock=clock)
    assert slow.try_acquire() == 0.0
    assert slow.try_acquire() == pytest.approx(120.0)
    fast = TokenBucket(30, clock=clock)
    assert fast.try_acquire(30) == 0.0
    assert fast.try_acquire(1) == pytest.approx(2.0)


@given(
    rate=st.floats(0.1, 50),
    burst=st.floats(1, 20),
    steps=st.lists(st.tuples(st.floats(0, 3), st.floats(0.01, 20)), max_size=60),
)
def test_no_window_ever_exceeds_the_rate(rate, burst, steps):
    clock = Clock()
    bucket = TokenBucket(rate, per=1.0, burst=burst, clock=clock)
    granted: list[tuple[float, float]] = []
    for pause, wanted in steps:
        clock.now += pause
        if wanted <= burst and bucket.try_acquire(wanted) == 0.0:
            granted.append((clock.now, wanted))
    for first in range(len(granted)):
        taken = 0.0
        for when, amount in granted[first:]:
            taken += amount
            assert taken <= burst + rate * (when - granted[first][0]) + 1e-6


@given(rate=st.floats(0.1, 50), wanted=st.floats(0.01, 1))
def test_waiting_as_long_as_told_is_enough(rate, wanted):
    clock = Clock()
    bucket = TokenBucket(rate, per=1.0, burst=1, clock=clock)
    for _ in range(5):
        while (wait := bucket.try_acquire(wanted)) > 0:
            clock.now += wait
    assert clock.now - 100.0 == pytest.approx(max(0.0, (5 * wanted - 1) / rate), abs=1e-5)


def test_acquire_waits_and_serves_all(monkeypatch):
    clock = Clock()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    monkeypatch.setattr("equipoise.core.limits.asyncio.sleep", sleep)
    bucket = TokenBucket(10, per=1.0, burst=1, clock=clock)

    async def both() -> None:
        await asyncio.gather(*(bucket.acquire() for _ in range(5)))

    asyncio.run(both())
    assert sum(slept) == pytest.approx(0.4)


@pytest.mark.parametrize("options", [{"rate": 0}, {"rate": -1}, {"rate": 1, "per": 0}])
def test_bucket_refuses(options):
    with pytest.raises(InvalidInput, match="rate and per must be > 0 and burst >= 1"):
        TokenBucket(**options)


def test_more_than_fits_is_refused_and_nothing_taken():
    clock = Clock()
    bucket = TokenBucket(1, burst=2, clock=clock)
    for n in (3, 0, -1):
        with pytest.raises(InvalidInput, match=f"cannot take {n} tokens from a bucket of 2"):
            bucket.try_acquire(n)
    assert bucket.try_acquire(2) == 0.0


@given(st.integers(0, 5000), st.integers(0, 2**32))
def test_backoff_stays_within_its_bounds(attempt, seed):
    delay = backoff(attempt, base=0.5, cap=30.0, rng=random.Random(seed))
    assert 0.0 < delay <= min(30.0, 0.5 * 2.0 ** min(attempt, 100))


def test_backoff_is_uniform_and_reproducible():
    rng = random.Random(0)
    delays = [backoff(3, base=1.0, rng=rng) for _ in range(4000)]
    assert sum(delays) / 4000 == pytest.approx(4.0, abs=0.15)
    assert backoff(2, rng=random.Random(1)) == backoff(2, rng=random.Random(1))
    assert 0.0 < backoff(0) <= 0.5
