"""What the experiment `gate` shows, drawn: how much a gate skips for how many misses."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from equipoise.report.figures import INK, SERIES

if TYPE_CHECKING:
    from equipoise.report import Report

_REACH = 6
"""Budgets that the axis of miss rates spans at least."""


def plot_gate(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Draw the skipped share of clean sentences against the miss rate, a panel a world.

    Lines run over all thresholds on fresh sentences; points are the calibrated thresholds with
    95 % intervals both ways. What is calibrated well lies at or left of the budget, intervals
    aside. A gate that never skips, or met no sentence of a kind, has no point.

    Args:
        rows: as `run_gate` returns them.
    """
    from equipoise.report import new_figure

    worlds = list(dict.fromkeys(row["world"] for row in rows))
    width = 5.2 if len(worlds) == 1 else 4 * len(worlds)
    figure, panels = new_figure(width, 3.8, ncols=len(worlds), squeeze=False, sharey=True)
    colours = dict(zip(dict.fromkeys(row["features"] for row in rows), SERIES))
    for axes, world in zip(panels[0], worlds):
        here = [row for row in rows if row["world"] == world]
        for row in here:
            _draw(axes, row, colours[row["features"]])
        budget = 100 * here[0]["budget"]
        axes.axvline(budget, color=INK, linestyle=":", label=f"budget {budget:g} %")
        highest = max([_REACH * budget, *(105 * row["miss_rate_high"] for row in _placed(here))])
        axes.set_xlim(-0.02 * highest, highest)
        axes.set_ylim(-3, 103)
        axes.set_title(f"{world} world")
        axes.set_xlabel("bad sentences let pass, percent")
    panels[0][0].set_ylabel("clean sentences skipped, percent")
    drawn = panels[0][0].get_legend_handles_labels()
    figure.legend(*drawn, loc="outside lower center", ncols=4, fontsize=9)
    return figure


def _draw(axes: Any, row: Mapping[str, Any], colour: str) -> None:
    misses = [100 * miss for _, miss in row["curve"]]
    axes.plot(misses, [100 * skipped for skipped, _ in row["curve"]], color=colour, linewidth=1.2)
    style = {"color": colour, "marker": "o", "linestyle": "-", "label": row["features"]}
    if not _placed([row]):
        axes.plot([], [], **style)
        return
    reach = {
        axis: [
            [100 * (row[name] - row[f"{name}_low"])],
            [100 * (row[f"{name}_high"] - row[name])],
        ]
        for axis, name in (("xerr", "miss_rate"), ("yerr", "skipped_share"))
    }
    axes.errorbar(
        [100 * row["miss_rate"]], [100 * row["skipped_share"]], capsize=3, **style, **reach
    )


def _placed(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows that have a point."""
    return [
        row
        for row in rows
        if None not in (row["threshold"], row["miss_rate"], row["skipped_share"])
    ]


def add_gate_plot(report: "Report", name: str, found: Mapping[str, Any]) -> None:
    """Add the plot of the experiment `gate` to a report.

    Args:
        report: to draw in.
        name: of the experiment; another one adds nothing.
        found: its result.
    """
    if name != "gate":
        return
    verdict = "reached" if found["reached"] else "not reached"
    report.figure(
        plot_gate(found["rows"]),
        name,
        caption="Sure copies skip the corrector. Lines: all thresholds of a gate on fresh "
        "sentences; points: the threshold calibrated on other answers, with 95 % intervals. "
        f"Target: {found['target']}; {verdict}.",
    )
