"""The timed parts of the proxy: beside peers, speculation against its formula, first text."""

import asyncio
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks.stream_aligner_load import (
    STAMP,
    TOKEN_S,
    Heard,
    ask,
    gaps,
    proxy,
    spread,
    stats,
    upstream,
)
from benchmarks.stream_aligner_peers import SERVERS, Absent, peer
from equipoise.systems.stream_aligner import Segmenter, pipeline_period, simulate_pipeline


def added_at_first(rounds: int = 150, tokens: int = 5, correct_s: float = 0.0) -> dict[str, Any]:
    """Return the seconds between U + A and our first sentence, over rounds that alternate.

    U is the direct connection's median time to the token that decides the first sentence. Of what
    is added, `asked_later_s` passes before the upstream is asked.
    """
    with upstream(sentences=2, tokens=tokens, gap=TOKEN_S) as address, proxy(address) as (_, ours):
        direct, behind, asked = [], [], ([], [])
        asyncio.run(ask(ours))  # the first opens files and connections
        for _ in range(rounds):
            heard = asyncio.run(ask(f"{address}/v1", pieces=tokens + 1))
            reviewed = asyncio.run(ask(ours, pieces=1))
            direct.append(decided(heard))
            behind.append(reviewed.first)
            for kept, one in zip(asked, (heard, reviewed)):
                kept.append(first_written(one) - TOKEN_S)
    needed = statistics.median(direct) + correct_s
    return {
        "direct_first_s": spread(direct),
        "first_s": spread(behind),
        "added_s": spread([value - needed for value in behind]),
        "asked_later_s": statistics.median(asked[1]) - statistics.median(asked[0]),
        "direct_jitter_s": spread([value - needed for value in direct]),
    }


def decided(heard: Heard) -> float:
    """Return the seconds after which the first sentence of a direct answer could be told."""
    cutter = Segmenter()
    for when, text in zip(heard.times, heard.texts):
        if cutter.feed(text):
            return when - heard.begun
    return heard.total


def first_written(heard: Heard) -> float:
    """Return the seconds after which the upstream wrote an answer's first token."""
    return int(STAMP.findall(heard.texts[0])[0]) / 1e6 - heard.begun


def at_once(rounds: int = 20) -> dict[str, Any]:
    """Return how old each chunk is on arrival: direct, and through modes in which none waits."""
    ages: dict[str, list[float]] = {}
    with ExitStack() as stack:
        address = stack.enter_context(upstream(sentences=2, tokens=10, gap=TOKEN_S))
        urls = {"direct": f"{address}/v1"}
        for mode in ("detect", "off"):
            urls[mode] = stack.enter_context(proxy(address, mode=mode))[1]
        for round_ in range(rounds + 1):
            for name, url in urls.items():
                heard = asyncio.run(ask(url))
                if round_ > 0:
                    ages.setdefault(name, []).extend(heard.ages())
    found: dict[str, Any] = {f"{name}_age_s": spread(values) for name, values in ages.items()}
    for name in ("detect", "off"):
        found[f"{name}_added_s"] = found[f"{name}_age_s"]["p50"] - found["direct_age_s"]["p50"]
    return found


def beside_peers(rounds: int = 8, sentences: int = 8, tokens: int = 10) -> dict[str, Any]:
    """Return what each way of asking takes for the same answer, rounds alternating."""
    found: dict[str, Any] = {}
    urls: dict[str, str] = {}
    counters: dict[str, str] = {}
    with ExitStack() as stack:
        for name in ("direct", "ours", *SERVERS):
            # one upstream each, so that its tokens are counted apart
            address = stack.enter_context(upstream(sentences=sentences, tokens=tokens, gap=TOKEN_S))
            counters[name] = address
            try:
                if name == "direct":
                    urls[name] = f"{address}/v1"
                elif name == "ours":
                    urls[name] = stack.enter_context(proxy(address))[1]
                else:
                    urls[name] = stack.enter_context(peer(name, address))
            except Absent as why:
                found[name] = {"absent": str(why)}
        heard = _alternate(urls, rounds)
        for name, answers in heard.items():
            if isinstance(answers, str):
                found[name] = {"absent": answers}
                continue
            asked = stats(counters[name])
            found[name] = {
                "first_s": spread([one.first for one in answers]),
                "gaps_s": gaps(answers),
                "total_s": spread([one.total for one in answers]),
                "pieces": statistics.median(len(one.texts) for one in answers),
                "upstream_tokens": asked["tokens"] / (rounds + 1),
                "upstream_requests": asked["requests"] / (rounds + 1),
            }
    return found


def _alternate(urls: dict[str, str], rounds: int) -> dict[str, list[Heard] | str]:
    """Return the answers of each address, or why it gave none; the first round is left out."""
    heard: dict[str, list[Heard]] = {name: [] for name in urls}
    broken: dict[str, str] = {}
    for round_ in range(rounds + 1):
        for name, url in urls.items():
            if name in broken:
                continue
            try:
                one = asyncio.run(ask(url, seconds=60))
            except (OSError, ValueError, asyncio.IncompleteReadError) as error:
                broken[name] = f"{type(error).__name__}: {error}"[:300]
            else:
                if round_ > 0:
                    heard[name].append(one)
    return {name: broken.get(name, heard[name]) for name in urls}


def proxied(rounds: int = 8, firsts: int = 150) -> dict[str, Any]:
    """Measure the proxy against the direct connection and the peers on one scripted upstream."""
    return {
        "token_s": TOKEN_S,
        "first_segment": added_at_first(firsts),
        "at_once": at_once(2 * rounds),
        "beside": beside_peers(rounds),
    }


POINTS = ((0.3, 0.1, 0.05, 0.8), (0.2, 0.2, 0.02, 0.9), (0.1, 0.2, 0.0, 1.0), (0.2, 0.06, 0.1, 0.5))
"""(U, A, R, q): seconds to generate, to correct, to restart, and the share of copies."""


def speculation(
    points: Sequence[tuple[float, float, float, float]] = POINTS, rounds: int = 3, count: int = 11
) -> dict[str, Any]:
    """Measure the period of sentences, sequential and speculative, against section 2.8."""
    return {"rounds": rounds, "points": [_point(point, rounds, count) for point in points]}


def edited(count: int, copy_rate: float) -> list[int]:
    """Return which of the first `count` - 1 sentences are edited, spread evenly."""
    edits = round((1 - copy_rate) * (count - 1))
    return [int((place + 0.5) * (count - 1) / edits) for place in range(edits)]


def _point(point: tuple[float, float, float, float], rounds: int, count: int) -> dict[str, Any]:
    generate, correct, restart, copy_rate = point
    tokens = max(2, round(generate / TOKEN_S))
    edits = edited(count, copy_rate)
    script = {"sentences": count, "tokens": tokens, "gap": generate / tokens}
    taken: dict[bool, list[float]] = {True: [], False: []}
    with upstream(**script, restart=restart, trailing=True) as address, ExitStack() as stack:
        urls = {
            speculate: stack.enter_context(
                proxy(address, correct_s=correct, edits=edits, speculate=speculate)
            )[1]
            for speculate in (True, False)
        }
        for _ in range(rounds):
            for speculate, url in urls.items():
                heard = asyncio.run(ask(url))
                taken[speculate].append((heard.times[-1] - heard.times[0]) / (count - 1))
    expected = pipeline_period(generate, correct, restart, copy_rate)
    copies = [place not in edits for place in range(count)]
    line = simulate_pipeline(generate, correct, restart, copies)
    sequential, speculative = (statistics.median(taken[way]) for way in (False, True))
    return {
        "generate_s": generate, "correct_s": correct, "restart_s": restart, "copy_rate": copy_rate,
        "sequential_s": sequential, "speculative_s": speculative,
        "speedup": sequential / speculative,
        "expected_sequential_s": expected.sequential_s,
        "expected_speculative_s": expected.speculative_s,
        "expected_speedup": expected.speedup,
        "timeline_speculative_s": line.period_s,
        "off_by": abs(sequential / speculative / expected.speedup - 1),
    }  # fmt: skip


def first_text(
    counts: Sequence[int] = (1, 2, 4, 8, 16, 32), rounds: int = 3, tokens: int = 5
) -> dict[str, Any]:
    """Measure when the first text is shown: whole answer reviewed, against sentence by sentence."""
    correct = 0.05
    generate = tokens * TOKEN_S
    rows = []
    for count in counts:
        firsts: dict[str, list[float]] = {"aligner": [], "stream": []}
        script = {"sentences": count, "tokens": tokens, "gap": TOKEN_S}
        with upstream(**script, trailing=True) as address, ExitStack() as stack:
            urls = {
                mode: stack.enter_context(proxy(address, correct_s=correct, mode=mode))[1]
                for mode in firsts
            }
            for round_ in range(rounds + 1):
                for mode, url in urls.items():
                    first = asyncio.run(ask(url, pieces=1)).first
                    if round_ > 0:
                        firsts[mode].append(first)
        row: dict[str, Any] = {mode: statistics.median(values) for mode, values in firsts.items()}
        rows.append({
            "sentences": count, **row,
            "expected_aligner": count * generate + correct,
            "expected_stream": generate + correct,
        })  # fmt: skip
    return {"generate_s": generate, "correct_s": correct, "rounds": rounds, "rows": rows}


def draw_first_text(part: dict[str, Any]) -> str:
    """Return an SVG of the first text's time by sentences: measured, on the formulas' lines."""
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    from equipoise.report.figures import figure_svg, new_figure

    figure, axes = new_figure()
    counts = [row["sentences"] for row in part["rows"]]
    names = {"aligner": "whole answer: N U + A", "stream": "sentence by sentence: U + A"}
    for mode, label in names.items():
        (drawn,) = axes.loglog(counts, [row[f"expected_{mode}"] for row in part["rows"]])
        measured = [row[mode] for row in part["rows"]]
        axes.loglog(counts, measured, "o", color=drawn.get_color(), label=label)
    for axis, ticks in ((axes.xaxis, counts), (axes.yaxis, [0.1, 0.2, 0.5, 1, 2, 4])):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("sentences of the answer")
    axes.set_ylabel("seconds to the first text")
    axes.legend(frameon=False)
    title = "Seconds to the first text by sentences: the whole answer reviewed, or each sentence"
    return figure_svg(figure, "stream-aligner-first-text", title)
