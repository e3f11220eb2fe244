"""What the experiment `smollm2` shows, drawn: answers by method, benign edits, decoding passes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.report.figures import SERIES

if TYPE_CHECKING:
    from equipoise.report import Report

_SHARES = (
    ("accuracy", "final answers right", "o", SERIES[0]),
    ("stated_share", "stated sums right", "s", SERIES[1]),
)
_BINS = 20


def plot_answers(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw shares of right final answers and right stated sums by method, with intervals.

    Args:
        rows: as `evaluation.smollm2.measure_real` returns them.
    """
    from equipoise.report import new_figure

    figure, axes = new_figure(7, 1.1 + 0.45 * len(rows))
    places = np.arange(len(rows))
    for shift, (name, label, mark, colour) in zip((-0.14, 0.14), _SHARES):
        middle = [100 * row[name] for row in rows]
        reach = [
            [100 * max(0.0, row[name] - row[f"{name}_low"]) for row in rows],
            [100 * max(0.0, row[f"{name}_high"] - row[name]) for row in rows],
        ]
        axes.errorbar(
            middle, places + shift, xerr=reach, fmt=mark, color=colour, capsize=3, label=label
        )
    axes.set_yticks(places, [f"{row['method']} ({row['answers']})" for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("percent, with 95 % interval; answers in brackets")
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def plot_edit_distances(distances: Sequence[float]) -> Any:
    """Draw how much of each benign sentence was changed; copies stand apart at 0.

    Args:
        distances: share of each sentence's characters changed, at least 0; over 1 where more was
            put in than there was.
    """
    from equipoise.report import new_figure

    figure, axes = new_figure(7, 3)
    changed = [min(distance, 1.0) for distance in distances if distance > 0]
    copies = len(distances) - len(changed)
    counts, edges = np.histogram(changed, bins=_BINS, range=(0.0, 1.0))
    width = edges[1] - edges[0]
    bars = axes.bar([-width], [copies], width * 0.9, color=SERIES[2], label=f"copied: {copies}")
    axes.bar_label(bars, fontsize=9)
    axes.bar(
        edges[:-1] + width / 2,
        counts,
        width * 0.9,
        color=SERIES[1],
        label=f"changed: {len(changed)}",
    )
    axes.set_xticks([-width, 0, 0.25, 0.5, 0.75, 1], ["copy", "0", "0.25", "0.5", "0.75", ">= 1"])
    axes.set_xlabel("characters changed, share of the sentence")
    axes.set_ylabel("benign sentences")
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper right", fontsize=9)
    return figure


def plot_passes(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw passes and seconds a sentence by copy rate, with the sentence as draft and without.

    Args:
        rows: as `decoding_passes.measure_passes` returns them.
    """
    from equipoise.report import new_figure

    figure, both = new_figure(7.4, 3.4, ncols=2)
    places = np.arange(len(rows))
    for axes, unit, title in zip(both, ("passes", "s"), ("passes", "seconds")):
        for shift, way, colour, label in (
            (-0.2, "speculative", SERIES[0], "sentence as draft"),
            (0.2, "plain", SERIES[1], "token by token"),
        ):
            values = [row[f"{way}_{unit}"] for row in rows]
            bars = axes.bar(places + shift, values, 0.36, color=colour, label=label)
            axes.bar_label(bars, fmt="%.3g", fontsize=8)
        axes.set_xticks(places, [f"{row['copy_rate']:g}" for row in rows])
        axes.set_xlabel("copy rate")
        axes.set_ylabel(f"{title} a sentence")
        axes.grid(visible=False, axis="x")
    figure.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def add_smollm2_plot(report: "Report", name: str, found: Mapping[str, Any]) -> None:
    """Add the plots of the experiment `smollm2` to a report.

    Args:
        report: to draw in.
        name: of the experiment; another one adds nothing.
        found: its result; one without rows, where the model was missing, adds nothing.
    """
    if name != "smollm2" or not found["rows"]:
        return
    report.figure(
        plot_answers(found["rows"]),
        name,
        caption="Running sums answered by the model, by how they were corrected. Correcting a "
        "finished answer mends each sum where it stands; only review sentence by sentence lets "
        f"the model build on the right one. Corrector: {found['corrector']}, upstream: "
        f"{found['model']}. Target: {found['target']}; {_verdict(found)}.",
    )
    report.figure(
        plot_edit_distances(found["edit_distances"]),
        "smollm2-benign",
        caption="How much of the sentences of ordinary answers was changed; less is better.",
    )
    if found["passes"]:
        report.figure(
            plot_passes(found["passes"]),
            "smollm2-passes",
            caption="Offering the sentence as the draft of its own correction makes a copy cost "
            "one pass. The prompt had been read in both cases.",
        )


def _verdict(found: Mapping[str, Any]) -> str:
    if found["reached"] is None:
        return "not asked of an exact oracle on scripted answers"
    missed = [part for part, met in found["checks"].items() if not met]
    return f"not reached: {', '.join(missed)}" if missed else "reached"
