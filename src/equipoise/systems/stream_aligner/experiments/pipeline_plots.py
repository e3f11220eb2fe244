"""What reviewing costs in time, drawn: who works when, and when the first text is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from equipoise.report.figures import INK, SERIES
from equipoise.systems.stream_aligner.latency import simulate_pipeline

if TYPE_CHECKING:
    from equipoise.report import Report

_SECONDS = (0.75, 0.45, 0.15)
_COPIES = (True, True, False, True, True, False, True, True)
_KINDS = {
    "generate": ("upstream writes", SERIES[0], ""),
    "discarded": ("thrown away after an edit", SERIES[0], "////"),
    "restart": ("upstream starts again", SERIES[4], ""),
    "copy": ("corrector copies", SERIES[2], ""),
    "edit": ("corrector edits", SERIES[1], ""),
}


@dataclass(frozen=True)
class Bar:
    """Work of one party on one sentence.

    Attributes:
        kind: `generate`, `discarded` (run ahead, then thrown away), `restart`, `copy` or `edit`.
        start_s: seconds from the start.
        end_s: likewise.
        sentence: which, from 0.
    """

    kind: str
    start_s: float
    end_s: float
    sentence: int


def pipeline_bars(
    generate_s: ArrayLike,
    correct_s: ArrayLike,
    restart_s: float,
    copies: ArrayLike,
    *,
    speculate: bool = True,
) -> tuple[Bar, ...]:
    """Return who works when in the timeline of `simulate_pipeline`, which takes the same.

    Speculating, the upstream writes the next sentence while the corrector reviews; after an edit
    what it had written of it is thrown away.
    """
    copied = np.asarray(copies)
    line = simulate_pipeline(generate_s, correct_s, restart_s, copied, speculate=speculate)
    writes = np.broadcast_to(np.asarray(generate_s, dtype=np.float64), copied.shape)
    bars = [Bar("generate", 0.0, float(writes[0]), 0)]
    for k, (start, end) in enumerate(zip(line.review_s, line.emitted_s)):
        bars.append(Bar("copy" if copied[k] else "edit", float(start), float(end), k))
        if k + 1 == copied.size:
            break
        begun = start
        if not (speculate and copied[k]):
            if speculate:
                stopped = min(end, start + writes[k + 1])
                bars.append(Bar("discarded", float(start), float(stopped), k + 1))
            begun = end + restart_s
            bars.append(Bar("restart", float(end), float(begun), k + 1))
        bars.append(Bar("generate", float(begun), float(begun + writes[k + 1]), k + 1))
    return tuple(bar for bar in bars if bar.end_s > bar.start_s)


def plot_pipeline(
    generate_s: float, correct_s: float, restart_s: float, copies: Sequence[bool]
) -> Any:
    """Draw who works when, one panel without and one with speculation; diamonds are shown text."""
    from equipoise.report import new_figure

    figure, panels = new_figure(7.4, 4.2, nrows=2, sharex=True)
    for axes, speculate in zip(panels, (False, True)):
        given = (generate_s, correct_s, restart_s, np.array(copies, dtype=np.bool_))
        line = simulate_pipeline(*given, speculate=speculate)
        for bar in pipeline_bars(*given, speculate=speculate):
            _draw_bar(axes, bar)
        axes.plot(line.emitted_s, np.full(len(copies), 2), "D", color=INK, markersize=4)
        axes.set_yticks([0, 1, 2], ["upstream", "corrector", "shown"])
        axes.set_ylim(2.6, -0.6)
        axes.grid(visible=False, axis="y")
        how = "the upstream runs ahead" if speculate else "one after the other"
        axes.set_title(f"{how}: {line.period_s:.2f} s a sentence")
    panels[-1].set_xlabel("seconds")
    handles = [_swatch(kind) for kind in _KINDS]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
    return figure


def _draw_bar(axes: Any, bar: Bar) -> None:
    _, colour, hatch = _KINDS[bar.kind]
    axes.barh(
        1 if bar.kind in ("copy", "edit") else 0,
        bar.end_s - bar.start_s,
        left=bar.start_s,
        height=0.62,
        color="none" if hatch else colour,
        edgecolor=colour if hatch else "none",
        hatch=hatch or None,
        linewidth=0.8 if hatch else 0,
    )


def _swatch(kind: str) -> Any:
    from matplotlib.patches import Patch

    label, colour, hatch = _KINDS[kind]
    if hatch:
        return Patch(facecolor="none", edgecolor=colour, hatch=hatch, linewidth=0.8, label=label)
    return Patch(facecolor=colour, label=label)


def first_text_s(sentences: ArrayLike, generate_s: float, correct_s: float) -> dict[str, Any]:
    """Return when the first text is shown, seconds, by method: `aligner` N U + A, `stream` U + A.

    >>> first_text_s([1, 8], 0.5, 0.25)["aligner"].tolist()
    [0.75, 4.25]
    """
    counts = np.asarray(sentences, dtype=np.float64)
    return {
        "aligner": counts * generate_s + correct_s,
        "stream": np.full(counts.shape, generate_s + correct_s),
    }


def plot_first_text(generate_s: float, correct_s: float, most: int = 32) -> Any:
    """Draw the time to the first text by the length of the answer, aligner and stream."""
    from equipoise.report import new_figure

    figure, axes = new_figure(7, 3.2)
    sentences = np.arange(1, most + 1)
    found = first_text_s(sentences, generate_s, correct_s)
    for method, colour in (("aligner", SERIES[1]), ("stream", SERIES[3])):
        label = "aligner (whole answer)" if method == "aligner" else "stream (by sentence)"
        axes.plot(sentences, found[method], color=colour, label=label)
    axes.set_xlabel("sentences of the answer")
    axes.set_ylabel("seconds to the first text")
    axes.set_xlim(1, most)
    axes.set_ylim(0, None)
    axes.legend(loc="upper left")
    return figure


def add_latency_plots(report: "Report") -> None:
    """Add both plots to a report, for a sentence of 0.75 s, its review 0.45 s, a restart 0.15 s."""
    generate_s, correct_s, restart_s = _SECONDS
    report.figure(
        plot_pipeline(generate_s, correct_s, restart_s, _COPIES),
        "pipeline",
        caption=f"Eight sentences, two of them edited; {generate_s:g} s to write one, "
        f"{correct_s:g} s to review it, {restart_s:g} s to start again. Running ahead hides the "
        "review of what is copied; what was written during the review of an edit is lost.",
    )
    report.figure(
        plot_first_text(generate_s, correct_s),
        "first-text",
        caption="Nothing that reviews whole sentences can show text before one is written and "
        "reviewed; reviewing the whole answer waits for all of it.",
    )
