"""The segmenter, fed piece by piece, against splitting the growing text again at every piece."""

import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.stream_aligner_peers import Absent, python_of
from equipoise.systems.stream_aligner import Segmenter

PIECE = 4
"""Characters of a piece, about a token."""

_PYSBD = """
import json, sys, time
import pysbd
given = json.load(sys.stdin)
splitter = pysbd.Segmenter(language="en", clean=False)
splitter.segment("Warm. Up.")
found = []
for text in given["texts"]:
    begun = time.perf_counter()
    for end in range(given["piece"], len(text) + 1, given["piece"]):
        splitter.segment(text[:end])
    found.append(time.perf_counter() - begun)
print(json.dumps(found))
"""


_WORDS = """river stone the a walks slowly over and under house green old bridge one with water of
for to her road morning small long light which then they we e.g. 3.14"""


def prose(size: int, seed: int = 0) -> str:
    """Return `size` characters of made-up sentences, with a decimal or `e.g.` here and there."""
    chance, words = np.random.default_rng(seed), _WORDS.split()
    parts: list[str] = []
    length = 0
    while length < size:
        count = int(chance.integers(6, 18))
        sentence = " ".join(words[i] for i in chance.integers(0, len(words), count))
        sentence = f"It {sentence} ends{'.?!'[int(chance.integers(3))]} "
        parts.append(sentence)
        length += len(sentence)
    return "".join(parts)[:size]


def feed(text: str, piece: int) -> float:
    """Return the seconds to cut a text fed in pieces."""
    begun = time.perf_counter()
    cutter = Segmenter()
    for start in range(0, len(text), piece):
        cutter.feed(text[start : start + piece])
    cutter.close()
    return time.perf_counter() - begun


def segmenter(
    small: int = 100_000, sizes: Sequence[int] = (2000, 4000, 8000), repeats: int = 5
) -> dict[str, Any]:
    """Measure how the cost grows, and compare with pysbd 0.3.4 on the growing text.

    Splitting 100 kB again at every piece would take hours: pysbd is measured on `sizes`, and its
    seconds at `small` follow from the power law fitted to them.
    """
    long, short = prose(10 * small), prose(small)
    feed(short, 1)
    times: dict[str, list[float]] = {"long": [], "short": [], "pieces": []}
    for _ in range(repeats):
        times["short"].append(feed(short, 1))
        times["long"].append(feed(long, 1))
        times["pieces"].append(feed(short, PIECE))
    median = {name: statistics.median(values) for name, values in times.items()}
    found: dict[str, Any] = {
        "characters": small,
        "seconds": median["short"],
        "ten_times_seconds": median["long"],
        "growth": median["long"] / median["short"],
        "piece": PIECE,
        "piece_seconds": median["pieces"],
    }
    try:
        found["pysbd"] = against_pysbd(short, sizes, repeats) | {"characters": small}
    except Absent as why:
        found["pysbd"] = {"absent": str(why)}
    else:
        found["pysbd"]["ratio"] = found["pysbd"]["extrapolated_seconds"] / median["pieces"]
    return found


def against_pysbd(text: str, sizes: Sequence[int], repeats: int = 3) -> dict[str, Any]:
    """Return pysbd's seconds on the growing beginnings of a text, and those fitted for all of it.

    Raises:
        Absent: pysbd is not there, or fails.
    """
    given = json.dumps({"texts": [text[:size] for size in sizes], "piece": PIECE})
    command = [str(python_of("pysbd")), "-W", "ignore", "-c", _PYSBD]
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    if done.returncode:
        raise Absent(f"pysbd: {done.stderr.strip().splitlines()[-1]}")
    seconds = json.loads(done.stdout)
    power, base = np.polyfit(np.log(sizes), np.log(seconds), 1)
    ours = [statistics.median(feed(text[:size], PIECE) for _ in range(repeats)) for size in sizes]
    return {
        "sizes": list(sizes),
        "seconds": seconds,
        "our_seconds": ours,
        "measured_ratio": seconds[-1] / ours[-1],
        "power": float(power),
        "extrapolated_seconds": float(np.exp(base) * len(text) ** power),
    }
