"""The board for people: a plain table, a CSV file, and its part of a report."""

import csv
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from equipoise.core.stats import Interval
from equipoise.systems.libra.board import Board
from equipoise.systems.libra.board_rows import BoardRow
from equipoise.systems.libra.plots import plot_forest, plot_heat_map, plot_scatter, rank_text

if TYPE_CHECKING:
    from equipoise.report import Report

LEAD = (
    "Models by closeness to the ideal point (capability 1, safety 1). A model that is strong on "
    "one side only ranks below one that is fair on both."
)


def board_report(board: Board, *, title: str = "Balanced board", lead: str = LEAD) -> "Report":
    """Return a report that shows the board alone."""
    from equipoise.report import Report

    report = Report(title, lead)
    add_board(report, board)
    return report


def add_board(report: "Report", board: Board, *, heading: str = "The board") -> None:
    """Append the board to a report: table, three plots, where each number comes from, settings."""
    level = board.settings["level"]
    count = len(board.rows)
    report.section(heading, "\n\n".join(board.settings["warnings"]))
    report.table(
        [_cells(row) for row in board.rows],
        caption=f"{count} models; {level:.0%} intervals from {board.settings['replicates']} joint "
        f"replicates; version {board.version[:12]}",
    )
    if any(row.capability is not None and row.safety is not None for row in board.rows):
        report.figure(
            plot_scatter(board),
            "board-scatter",
            caption="Capability against safety. Arcs join points of equal score; closer to the "
            "star is better, and crosses show the intervals.",
            alt=f"Scatter plot of {count} models, capability against safety",
        )
    if board.rows:
        report.figure(
            plot_forest(board),
            "board-forest",
            caption="Score, interval, and rank with the range of ranks that the data allow.",
            alt=f"Scores of {count} models with intervals",
        )
        report.figure(
            plot_heat_map(board),
            "board-tasks",
            caption="Every task score behind the board.",
            alt=f"Task scores of {count} models as colours",
        )
    notes = [{"model": row.model, "remark": note} for row in board.rows for note in row.notes]
    notes += [{"model": entry["model"], "remark": entry["reason"]} for entry in board.skipped]
    if notes:
        report.table(notes, caption="Remarks")
    report.section("Where the numbers come from")
    report.table(provenance(board), caption="Task rows; hashes cover the task file and every item")
    settings = {key: value for key, value in board.settings.items() if key != "warnings"}
    report.table(
        [
            {"setting": key, "value": "-" if value is None else str(value)}
            for key, value in settings.items()
        ],
        caption=f"Settings of version {board.version}",
    )


def _cells(row: BoardRow) -> dict[str, Any]:
    """Return one row of the page's table, with intervals as `Interval`."""
    return {
        "rank": rank_text(row),
        "model": row.model,
        "score": _interval(row.score, row.score_low, row.score_high),
        "capability": _interval(row.capability, row.capability_low, row.capability_high),
        "safety": _interval(row.safety, row.safety_low, row.safety_high),
        "items": row.items,
        "battles": int(row.battles),
        "missing": ", ".join(row.missing),
    }


def _interval(
    value: float | None, low: float | None, high: float | None
) -> Interval | float | None:
    return value if value is None or low is None else Interval(value, low, high)


def provenance(board: Board) -> list[dict[str, Any]]:
    """Return, for every task row behind the board, what it rests on."""
    return [
        {
            "model": row.model,
            "task": row.task,
            "dimension": row.dimension,
            "category": row.category,
            "score": row.score,
            "items": row.n,
            "missing": row.missing,
            "judge": row.judge or "rule",
            "hash": row.task_hash[:12],
            "remarks": "; ".join(row.notes),
        }
        for row in board.results
    ]


def board_text(board: Board) -> str:
    """Return the board as a table of plain text, warnings below."""
    head = ("rank", "model", "score", "capability", "safety", "items")
    lines: list[tuple[str, ...]] = [head]
    for row in board.rows:
        lines.append(
            (
                rank_text(row) or "-",
                row.model,
                _ends_text(row.score, row.score_low, row.score_high),
                _ends_text(row.capability, row.capability_low, row.capability_high),
                _ends_text(row.safety, row.safety_low, row.safety_high),
                str(row.items),
            )
        )
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines
    ]
    text += [f"{row.model}: {note}" for row in board.rows for note in row.notes]
    text += [f"{entry['model']}: skipped, {entry['reason']}" for entry in board.skipped]
    text += [f"warning: {warning}" for warning in board.settings["warnings"]]
    return "\n".join(text)


def _ends_text(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def board_csv(board: Board) -> str:
    """Return the board as CSV with the JSON's columns; lists joined by `;`, gaps empty."""
    buffer = io.StringIO()
    rows = board.to_json()["rows"]
    writer = csv.DictWriter(buffer, list(BoardRow.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _csv_cell(value) for key, value in row.items()})
    return buffer.getvalue()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, list):
        value = ";".join(value)
    elif isinstance(value, Mapping):
        value = ";".join(f"{key}={number:.6g}" for key, number in value.items())
    if not isinstance(value, str):
        return value
    value = value.replace("\r", " ")  # Python's writer leaves it bare, where it ends the line
    # A spreadsheet would run a cell that starts like a formula, blanks before it or not.
    return "'" + value if re.match(r"[\s\x00-\x1f]*[=+\-@]|\t", value) else value
