from pathlib import Path
from typing import Any

import pytest

from equipoise.report import Report, figure_svg
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.evaluation.text_plots import (
    add_text_plot,
    plot_methods,
    plot_prefix,
    plot_rounds,
)
from equipoise.systems.stream_aligner.experiments.text import run_methods, run_prefix, run_rounds

SMALL = StreamAlignerConfig.preset("tiny", text_worlds=2, text_answers=6)
FOUND = {
    "methods": run_methods(SMALL, 0, lambda: None),
    "rounds": run_rounds(SMALL, 0, lambda: None),
    "prefix": run_prefix(SMALL, 0, lambda: None),
}


@pytest.mark.parametrize(
    ("name", "draw", "words"),
    [
        ("methods", plot_methods, ["best-of-2", "as-published", "95 % interval", "harmless"]),
        ("rounds", plot_rounds, ["sentences reviewed", "share of answers", "seconds an answer"]),
        ("prefix", plot_prefix, ["forbidden repaired", "without minus with"]),
    ],
)
def test_plots_say_what_they_show(name: str, draw: Any, words: list[str]) -> None:
    svg = figure_svg(draw(FOUND[name]["rows"]), "plot")
    for word in words:
        assert word in svg


def test_what_is_drawn_is_what_was_measured() -> None:
    figure = plot_rounds(FOUND["rounds"]["rows"])
    quality, cost, seconds = figure.axes
    rows = FOUND["rounds"]["rows"]
    assert list(quality.lines[0].get_ydata()) == [row["quality"] for row in rows]
    assert list(cost.lines[0].get_ydata()) == [row["upstream_chars"] for row in rows]
    assert list(seconds.lines[0].get_ydata()) == [row["seconds"] for row in rows]
    assert cost.get_ylim()[0] == seconds.get_ylim()[0] == 0


def test_kinds_that_never_occurred_are_not_drawn() -> None:
    rows = [
        {**row, "count": 0} if row["what"] == "forbidden repaired" else row
        for row in FOUND["prefix"]["rows"]
    ]
    assert "forbidden repaired" not in figure_svg(plot_prefix(rows), "plot")


def test_the_report_says_whether_the_target_was_reached(tmp_path: Path) -> None:
    report = Report("t")
    for name, found in FOUND.items():
        add_text_plot(report, name, {**found, "reached": name == "rounds"})
    add_text_plot(report, "latency", {})
    page = report.save(tmp_path).read_text(encoding="utf-8")
    assert page.count("; not reached.") == 2 * page.count("; reached.") > 0
    assert "oracle that overlooks 30% of the bad sentences" in page
