"""The figures of `stream_aligner`: segmenter, proxy, corrector and training beside peers.

`python -m benchmarks.stream_aligner` measures all and writes
`benchmarks/results/stream_aligner.json`; `--only NAME` (repeatable) renews a part and keeps the
others as recorded. All took 17 minutes on two cores that others were using. Peers are looked for in
the folder that `EQUIPOISE_PEERS` names (`benchmarks.stream_aligner_peers` says how to make them);
one that is absent is recorded as absent, with its reason. Targets are data here, never a test.
"""

import os
from collections.abc import Callable
from typing import Any

from benchmarks import stream_aligner_crowd as crowd
from benchmarks import stream_aligner_models as models
from benchmarks import stream_aligner_served as served
from benchmarks.parts import RESULTS, measure_parts
from benchmarks.stream_aligner_lines import LINES
from benchmarks.stream_aligner_segmenter import segmenter
from equipoise.core.errors import MissingData, MissingExtra
from equipoise.core.files import write_atomic


def recorded(measure: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Return `measure` that notes the machine's load before it, or why data for it are missing."""

    def part() -> dict[str, Any]:
        load = round(os.getloadavg()[0], 1)
        try:
            return measure() | {"load_before": load}
        except (MissingData, MissingExtra) as why:
            return {"absent": str(why)}

    return part


def first_text() -> dict[str, Any]:
    """Measure the time to the first text and draw it beside the results."""
    part = served.first_text()
    write_atomic(RESULTS / "stream_aligner-first-text.svg", served.draw_first_text(part))
    return part


_MEASURED: dict[str, Callable[[], dict[str, Any]]] = {
    "segmenter": segmenter,
    "proxy": served.proxied,
    "streams": crowd.streams,
    "speculation": served.speculation,
    "first_text": first_text,
    "copying": models.copying_and_reading,
    "training": models.training,
    "faults": crowd.faults,
}
PARTS = {name: recorded(measure) for name, measure in _MEASURED.items()}


if __name__ == "__main__":
    measure_parts("stream_aligner", PARTS, LINES, str(__doc__))
