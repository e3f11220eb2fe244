"""What the text world's experiments show, drawn: methods, quality by rounds, prefix removed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.report.figures import SERIES

if TYPE_CHECKING:
    from equipoise.report import Report

_SCORES = (("helpful", SERIES[0]), ("harmless", SERIES[1]))


def plot_methods(
    rows: Sequence[Mapping[str, Any]], scores: Sequence[tuple[str, str]] = _SCORES
) -> Any:
    """Draw the gain of every method over the raw answers, with intervals and by order.

    Args:
        rows: as `evaluate_text` returns them.
        scores: name and colour of each score, side by side.
    """
    from equipoise.report import new_figure

    figure, axes = new_figure(7.4, 0.8 + 0.5 * len(rows))
    places = np.arange(len(rows))
    shifts = 0.3 * (np.arange(len(scores)) - (len(scores) - 1) / 2)
    for shift, (score, colour) in zip(shifts, scores):
        name = f"{score}_omega"
        middle = np.array([row[name] for row in rows])
        reach = _reach(rows, name)
        axes.errorbar(
            middle, places + shift, xerr=reach, fmt="o", color=colour, capsize=3, label=score
        )
        for order, mark in (("original_first", "|"), ("corrected_first", "x")):
            points = [row[f"{name}_{order}"] for row in rows]
            label = f"{score}, {order.replace('_', ' ')}"
            below = places + shift + np.copysign(0.135, shift)
            axes.plot(points, below, mark, color=colour, markersize=5, label=label)
    axes.axvline(0, color="#20262e", linewidth=0.8)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, -5.0), max(high, 5.0))
    axes.set_yticks(places, [row["method"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("omega against the raw answer, percent, with 95 % interval")
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def plot_rounds(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw quality by rounds, and beside it what the rounds cost in characters and seconds."""
    from equipoise.report import new_figure

    figure, (quality, cost) = new_figure(7.6, 3.6, ncols=2)
    places = np.arange(len(rows))
    middle = [row["quality"] for row in rows]
    quality.errorbar(
        places, middle, yerr=_reach(rows, "quality"), marker="o", color=SERIES[3], capsize=3
    )
    for score, colour in _SCORES:
        quality.plot(places, [row[score] for row in rows], "--", color=colour, label=score)
    quality.lines[0].set_label("mean of both, 95 % interval")
    quality.set_ylabel("share of answers")
    quality.set_ylim(None, 1.02)
    quality.legend(loc="lower right", fontsize=8)
    cost.plot(places, [row["upstream_chars"] for row in rows], "o-", color=SERIES[0])
    cost.set_ylabel("characters written by the upstream", color=SERIES[0])
    seconds = cost.twinx()
    seconds.plot(places, [row["seconds"] for row in rows], "s--", color=SERIES[1])
    seconds.set_ylabel("seconds an answer (timeline)", color=SERIES[1])
    seconds.grid(visible=False)
    for axes, name in ((cost, "upstream_chars"), (seconds, "seconds")):
        # from zero: a cut axis would make little cost look like much
        axes.set_ylim(0, 1.15 * max(row[name] for row in rows))
        axes.spines["top"].set_visible(False)
    for axes in (quality, cost):
        axes.set_xticks(places, [str(row["rounds"]) for row in rows])
        axes.set_xlabel("sentences reviewed")
    return figure


def plot_prefix(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw what is lost where a corrector is not shown the prefix."""
    from equipoise.report import new_figure

    figure, axes = new_figure(7, 3.2)
    drawn = [row for row in rows if row["count"]]
    places = np.arange(len(drawn))
    values = [100 * row["difference"] for row in drawn]
    reach = [[100 * value for value in side] for side in _reach(drawn, "difference")]
    axes.errorbar(values, places, xerr=reach, fmt="o", color=SERIES[0], capsize=3)
    axes.axvline(0, color="#20262e", linewidth=0.8)
    axes.set_yticks(places, [f"{row['what']} ({row['count']})" for row in drawn])
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("without minus with the prefix, points, with 95 % interval")
    return figure


_DRAWN = {
    "methods": (
        plot_methods,
        "Gain over the raw answers, judged by exact oracles in both orders. Best-of-2 picks with "
        "the oracle's own score; as-published is the released loop of sixteen rounds.",
    ),
    "rounds": (
        plot_rounds,
        "The first sentences are reviewed, the rest runs free. An early correction makes later "
        "proposals better, so quality goes on rising after the review has ended.",
    ),
    "prefix": (
        plot_prefix,
        "The prefix field emptied, in training and in use. What a sentence says of 'it' can only "
        "be checked with the sentences before it; a forbidden word needs none of them.",
    ),
}


def add_text_plot(report: "Report", name: str, found: Mapping[str, Any]) -> None:
    """Add the plot of one of the experiments `methods`, `rounds`, `prefix` to a report.

    Args:
        report: to draw in.
        name: of the experiment; another one adds nothing.
        found: its result.
    """
    if name not in _DRAWN:
        return
    draw, caption = _DRAWN[name]
    verdict = "reached" if found["reached"] else "not reached"
    report.figure(
        draw(found["rows"]),
        name,
        caption=f"{caption} Corrector: {found['corrector']}. Target: {found['target']}; {verdict}.",
    )


def _reach(rows: Sequence[Mapping[str, Any]], name: str) -> list[list[float]]:
    """Return how far each interval reaches below and above its estimate, as error bars take it."""
    return [
        [max(0.0, row[name] - row[f"{name}_low"]) for row in rows],
        [max(0.0, row[f"{name}_high"] - row[name]) for row in rows],
    ]
