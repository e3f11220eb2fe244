from pathlib import Path

import pytest

from equipoise.report import Report, figure_svg
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.experiments.commands import add_experiment
from equipoise.systems.stream_aligner.experiments.smollm2 import run_smollm2
from equipoise.systems.stream_aligner.experiments.smollm2_plots import (
    add_smollm2_plot,
    plot_answers,
    plot_edit_distances,
    plot_passes,
)

FOUND = run_smollm2(StreamAlignerConfig.preset("tiny", smollm2_answers=4), 0, lambda: None)
PASSES = [
    {
        "copy_rate": rate,
        "speculative_passes": 2 - rate,
        "plain_passes": 16.0,
        "speculative_s": 0.1 * (2 - rate),
        "plain_s": 0.8,
    }
    for rate in (0.5, 0.8, 0.95)
]


def test_answers_are_drawn_as_measured() -> None:
    figure = plot_answers(FOUND["rows"])
    (axes,) = figure.axes
    final, stated = axes.containers
    assert list(final.lines[0].get_xdata()) == [100 * row["accuracy"] for row in FOUND["rows"]]
    assert list(stated.lines[0].get_xdata()) == [100 * row["stated_share"] for row in FOUND["rows"]]
    svg = figure_svg(figure, "plot")
    for word in ("post-hoc (4)", "oracle (4)", "final answers right", "95 % interval"):
        assert word in svg


def test_every_sentence_is_in_the_histogram() -> None:
    distances = [0.0] * 7 + [0.04, 0.5, 1.0, 3.5]
    (axes,) = plot_edit_distances(distances).axes
    copied, changed = axes.containers
    assert [bar.get_height() for bar in copied] == [7]
    heights = [bar.get_height() for bar in changed]
    assert sum(heights) == 4
    assert heights[0] == 1
    assert heights[-1] == 2  # what is longer than its original stands with what is all new
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {
        "copied: 7",
        "changed: 4",
    }


def test_passes_and_seconds_start_at_zero() -> None:
    figure = plot_passes(PASSES)
    passes, seconds = figure.axes
    assert [bar.get_height() for bar in passes.containers[0]] == [1.5, 1.2, 1.05]
    assert [bar.get_height() for bar in seconds.containers[1]] == [0.8, 0.8, 0.8]
    assert passes.get_ylim()[0] == seconds.get_ylim()[0] == 0


@pytest.mark.parametrize(
    ("reached", "checks", "words"),
    [
        (True, {"edit precision": True}, "; reached."),
        (False, {"edit precision": False, "x": True}, "not reached: edit precision."),
        (None, {}, "not asked of an exact oracle"),
    ],
)
def test_the_report_says_what_was_reached(
    tmp_path: Path, reached: bool | None, checks: dict[str, bool], words: str
) -> None:
    report = Report("t")
    found = {**FOUND, "reached": reached, "checks": checks, "passes": PASSES}
    add_smollm2_plot(report, "smollm2", found)
    add_smollm2_plot(report, "methods", {})
    page = report.save(tmp_path).read_text(encoding="utf-8")
    assert words in page
    drawn = sorted(file.name for file in (tmp_path / "plots").iterdir() if file.suffix == ".svg")
    assert drawn == ["smollm2-benign.svg", "smollm2-passes.svg", "smollm2.svg"]


def test_without_measured_passes_nothing_is_drawn_of_them(tmp_path: Path) -> None:
    report = Report("t")
    add_smollm2_plot(report, "smollm2", FOUND)
    report.save(tmp_path)
    assert not list((tmp_path / "plots").glob("smollm2-passes*"))


def test_a_missing_model_is_told_once_and_draws_nothing(tmp_path: Path) -> None:
    report = Report("t")
    missing = {"rows": [], "reached": None, "missing": "get it by: equipoise models pull x"}
    add_experiment(report, "smollm2", missing)
    page = report.save(tmp_path).read_text(encoding="utf-8")
    assert page.count("Not run: get it by: equipoise models pull x") == 1
    assert not list(tmp_path.glob("plots/*"))
