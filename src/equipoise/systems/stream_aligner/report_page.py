"""What a run of this room shows: plots, tables, answers side by side, on a page and a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.stats import wilson_interval
from equipoise.report.figures import SERIES
from equipoise.systems.stream_aligner.correction import DiffOp, diff_ops
from equipoise.systems.stream_aligner.demonstration import METHODS, Answered
from equipoise.systems.stream_aligner.objective import Induction, arithmetic_accuracy
from equipoise.systems.stream_aligner.worlds.sentence import SimulatedWorld
from equipoise.systems.stream_aligner.worlds.sums import SimulatedSums

if TYPE_CHECKING:
    from equipoise.report import Report

LABELS = {
    "raw": "upstream alone",
    "post_hoc": "corrected afterwards",
    "aligner": "aligner (whole answer)",
    "stream": "stream (sentence by sentence)",
}
_WORLD_METHODS = ("raw", "post_hoc", "stream")


def plot_bad_mass(exact: Induction, simulated: SimulatedWorld, bad: Sequence[int]) -> Any:
    """Draw the bad mass by sentence: closed form as lines, the real loop as intervals.

    The right panel shows the two corrected processes alone, which are close beside the raw one.
    """
    from equipoise.report import new_figure

    figure, (whole, zoomed) = new_figure(7.6, 3.4, ncols=2)
    steps = np.arange(1, len(exact.raw) + 1)
    for place, method in enumerate(_WORLD_METHODS):
        line = getattr(exact, method)[:, list(bad)].sum(axis=1)
        hits = np.isin(getattr(simulated, method), list(bad))
        for axes in (whole, zoomed) if method != "raw" else (whole,):
            axes.plot(steps, line, color=SERIES[place], label=LABELS[method])
            _draw_shares(axes, steps + np.float64(0.12 * (place - 1)), hits, SERIES[place])
    for axes in (whole, zoomed):
        axes.set_xlabel("sentence")
        axes.set_ylim(0, None)
        axes.set_xticks(steps)
    whole.set_ylabel("share of bad sentences")
    whole.set_title("all three")
    zoomed.set_title("the corrected ones, enlarged")
    whole.legend(loc="center")
    return figure


def plot_accuracy(
    simulated: dict[int, SimulatedSums], *, error_rate: float, fix_rate: float, break_rate: float
) -> Any:
    """Draw the accuracy of running sums by their length, closed form and real loop."""
    from equipoise.report import new_figure

    figure, axes = new_figure(7, 3.6)
    lengths = np.arange(1, max(simulated) + 1)
    exact = [arithmetic_accuracy(int(n), error_rate, fix_rate, break_rate) for n in lengths]
    for place, method in enumerate(_WORLD_METHODS):
        line = [getattr(accuracy, method) for accuracy in exact]
        axes.plot(lengths, line, color=SERIES[place], label=LABELS[method])
        hits = np.array([getattr(found, method) for found in simulated.values()]).T
        _draw_shares(axes, np.array(list(simulated)) + 0.08 * (place - 1), hits, SERIES[place])
    axes.set_xlabel("additions in a row")
    axes.set_ylabel("final answers right")
    axes.set_ylim(0, 1.02)
    axes.set_xticks(lengths)
    axes.legend(loc="lower left")
    return figure


def _draw_shares(
    axes: Any, places: NDArray[np.float64], hits: NDArray[np.bool_], colour: str
) -> None:
    """Draw the share of hits in each column with its Wilson interval."""
    shares = [wilson_interval(int(column.sum()), len(column)) for column in hits.T]
    middle = np.array([share.estimate for share in shares])
    reach = [[s.estimate - s.low for s in shares], [s.high - s.estimate for s in shares]]
    axes.errorbar(places, middle, yerr=reach, fmt="o", color=colour, capsize=2, linewidth=1)


def plot_methods(measured: dict[str, Any]) -> Any:
    """Draw the share of right final answers by method."""
    from equipoise.report import new_figure

    figure, axes = new_figure(7, 2.4)
    for place, method in enumerate(METHODS):
        share = measured[method]["final_share"]
        reach = [[share.estimate - share.low], [share.high - share.estimate]]
        axes.barh(place, share.estimate, height=0.55, color=SERIES[place], zorder=2)
        axes.errorbar(
            share.estimate, place, xerr=reach, fmt="none", ecolor="#20262e", capsize=3, zorder=3
        )
        count = f"{measured[method]['final_right']} of {measured['questions']}"
        axes.annotate(count, (share.high, place), (6, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(METHODS)), [LABELS[method] for method in METHODS])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("final answers right, with 95 % interval")
    return figure


def method_rows(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the table raw / aligner / stream."""
    return [
        {
            "method": LABELS[method],
            "final answers right": f"{measured[method]['final_right']} of {measured['questions']}",
            "share": measured[method]["final_share"],
            "stated sums right": f"{measured[method]['stated_right']} of "
            f"{measured[method]['stated']}",
        }
        for method in METHODS
    ]


def add_answers(report: "Report", found: list[Answered]) -> None:
    """Add every answer, raw beside reviewed, with the changed words marked."""
    for answered in found:
        right = "" if answered.total is None else f" Right answer: {answered.total}."
        report.section(f"{answered.question}", _verdicts(answered) + right)
        raw, reviewed = answered.answers["raw"], answered.answers["stream"]
        report.compare(
            raw, reviewed, titles=("The model alone", "Reviewed"), ops=diff_ops(raw, reviewed)
        )


def _verdicts(answered: Answered) -> str:
    counts = dict.fromkeys(("copy", "edit", "drop", "stop", "unreviewed"), 0)
    for step in answered.steps:
        counts[step["verdict"]] += 1
    names = {"copy": "copied", "edit": "edited", "drop": "dropped", "stop": "stopped"}
    said = [f"{count} {names.get(verdict, verdict)}" for verdict, count in counts.items() if count]
    return f"Sentences: {', '.join(said) or 'none'}."


def show_on_terminal(found: list[Answered], measured: dict[str, Any]) -> None:
    """Print each question with both answers side by side, then the table of methods (stderr)."""
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True)
    for answered in found:
        ops = diff_ops(answered.answers["raw"], answered.answers["stream"])
        table = Table(title=answered.question, title_justify="left", expand=True, show_lines=False)
        table.add_column("the model alone", ratio=1)
        table.add_column("reviewed", ratio=1)
        table.add_row(_coloured(ops, "original", "red"), _coloured(ops, "corrected", "green"))
        console.print(table)
    table = Table(title="Final sums", title_justify="left")
    rows = method_rows(measured)
    for name in ("method", "final answers right", "stated sums right"):
        table.add_column(name)
    for row in rows:
        table.add_row(row["method"], row["final answers right"], row["stated sums right"])
    console.print(table)


def _coloured(ops: Sequence[DiffOp], side: str, colour: str) -> Any:
    from rich.text import Text

    return Text.assemble(
        *((getattr(op, side), "" if op.kind == "equal" else f"bold {colour}") for op in ops)
    )
