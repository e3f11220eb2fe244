"""The crowded parts of the proxy: many streams at once, and clients that leave."""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import psutil

from benchmarks.stream_aligner_load import TOKEN_S, Heard, ask, proxy, spread, stats, upstream


def streams(levels: Sequence[int] = (1, 50, 200, 512), sentences: int = 5) -> dict[str, Any]:
    """Measure concurrent streams: dropped ones, memory of the proxy's process, first text."""
    return {
        "token_s": TOKEN_S,
        "tokens": 10 * sentences,
        "levels": [_streams_at(level, sentences) for level in levels],
    }


def _streams_at(level: int, sentences: int) -> dict[str, Any]:
    options = {"max_concurrent": 1024, "queue": 1024}
    with (
        upstream(sentences=sentences, tokens=10, gap=TOKEN_S) as address,
        proxy(address, **options) as (pid, url),
    ):
        for _ in range(5):
            asyncio.run(ask(url))
        process = psutil.Process(pid)
        before = process.memory_info().rss
        answers, peak = asyncio.run(_at_the_same_time(url, level, process))
        after = process.memory_info().rss
        _, second = asyncio.run(_at_the_same_time(url, level, process))
        heard = [one for one in answers if isinstance(one, Heard)]
        whole = [one for one in heard if one.done and one.finish == "stop"]
        seen = stats(address)
    return {
        "streams": level,
        "dropped": level - len(whole),
        "growth_bytes_per_stream": max(0, peak - before) / level,
        "kept_bytes_per_stream": max(0, after - before) / level,
        "second_wave_bytes_per_stream": max(0, second - peak) / level,
        "rss_before": before,
        "rss_peak": peak,
        "first_s": spread([one.first for one in whole] or [float("nan")]),
        "total_s": spread([one.total for one in whole] or [float("nan")]),
        "upstream_open_afterwards": seen["open"],
    }


async def _at_the_same_time(
    url: str, level: int, process: psutil.Process
) -> tuple[list[Heard | BaseException], int]:
    tasks = [asyncio.create_task(ask(url, seconds=180)) for _ in range(level)]
    peak = process.memory_info().rss
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0.1)
        peak = max(peak, process.memory_info().rss)
    return await asyncio.gather(*tasks, return_exceptions=True), peak


def faults(count: int = 1000, parallel: int = 20, seed: int = 0) -> dict[str, Any]:
    """Leave answers at random moments; count the upstream requests that stay open."""
    with upstream(sentences=20, tokens=5, gap=0.005) as address, proxy(address) as (_, url):
        asyncio.run(ask(url))
        before = stats(address)["requests"]
        left = asyncio.run(_leave(url, count, parallel, seed))
        begun, after = time.monotonic(), stats(address)
        at_once_open = after["open"]
        while after["open"] and time.monotonic() - begun < 10:
            time.sleep(0.01)
            after = stats(address)
        closed_s = time.monotonic() - begun
        alive = asyncio.run(ask(url)).done
    return {
        "aborts": left,
        "upstream_requests": after["requests"] - before,
        "open_at_once": at_once_open,
        "open": after["open"],
        "closed_s": closed_s,
        "answers_afterwards": alive,
    }


async def _leave(url: str, count: int, parallel: int, seed: int) -> int:
    chance, room = random.Random(seed), asyncio.Semaphore(parallel)

    async def one(seconds: float) -> bool:
        async with room:
            return not (await ask(url, seconds=seconds)).done

    moments = [chance.uniform(0.001, 0.3) for _ in range(count)]
    return sum(await asyncio.gather(*(one(moment) for moment in moments)))
