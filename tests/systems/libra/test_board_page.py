"""The board as text, CSV, plots and a report page."""

import csv
import io
import re
import time
import warnings
from typing import Any

import numpy as np
import pytest

from equipoise.core.stats import Interval
from equipoise.report import Report
from equipoise.systems.libra import (
    add_board,
    board_csv,
    board_report,
    board_text,
    build_board,
    plot_forest,
    plot_heat_map,
    plot_scatter,
)
from equipoise.systems.libra.plots import rank_text


def rows_for(models: dict[str, tuple[float, float]], items: int = 24) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    rows = []
    for model, rates in models.items():
        for dimension, rate in zip(("capability", "safety"), rates):
            scores = (rng.random(items) < rate).astype(float).tolist()
            rows.append(
                {
                    "model": model,
                    "task": f"{dimension} task",
                    "dimension": dimension,
                    "score": float(np.mean(scores)),
                    "n": items,
                    "scores": scores,
                    "task_hash": "ab" * 32,
                }
            )
    return rows


@pytest.fixture(scope="module")
def board():
    models = {f"model-{k}": (0.5 + 0.02 * k, 0.6 - 0.02 * k) for k in range(9)}
    return build_board(rows_for(models), replicates=100)


@pytest.fixture(scope="module")
def safety_only():
    rows = [
        row for row in rows_for({"a": (0, 0.5), "=b": (0, 0.7)}) if row["dimension"] == "safety"
    ]
    return build_board(rows, replicates=50)


def test_text_has_a_line_per_model_with_rank_and_interval(board):
    lines = board_text(board).splitlines()
    assert lines[0].split() == ["rank", "model", "score", "capability", "safety", "items"]
    assert len(lines) == 10
    assert all(re.match(r"#\d \(\d(-\d)?\) +model-\d +0\.\d{3} \[0\.\d{3}, ", x) for x in lines[1:])


def test_text_tells_remarks_skipped_models_and_warnings():
    matrix = {"a": {"advbench": 0.5}, "b": {"bbq": "N/A"}}
    text = board_text(build_board(matrix, capability_scores={"a": 0.5}, replicates=10))
    assert "b: skipped, " in text
    assert "a: no interval" in text
    ratings = {"a": 1.0, "c": 2.0}
    both = {"a": {"advbench": 0.5}, "c": {"advbench": 0.1}}
    warned = board_text(build_board(both, capability_scores=ratings, minmax=True))
    assert "warning: capability is min-max normalised" in warned


def test_csv_has_the_columns_of_the_json_and_no_formula(board, safety_only):
    rows = list(csv.DictReader(io.StringIO(board_csv(board))))
    assert list(rows[0]) == list(board.to_json()["rows"][0])
    assert float(rows[0]["score"]) == board.rows[0].score
    assert rows[0]["categories"].startswith("uncategorised=0.")
    cells = list(csv.DictReader(io.StringIO(board_csv(safety_only))))
    assert cells[0]["model"] == "'=b"
    assert cells[0]["score"] == ""


@pytest.mark.parametrize("start", ["\t=", "\r=", " =", "\t", "@", "+", "\n-"])
def test_a_cell_that_a_spreadsheet_would_run_is_quoted(start):
    text = board_csv(build_board({f"{start}b": {"t": 0.5}}, replicates=0))
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["model"] == f"'{start}b".replace("\r", " ")


def test_names_with_dollars_and_foreign_letters_are_drawn_as_they_are(tmp_path):
    names = ("$x_$", "a $5 b", "\\frac$y$", "模型", "m^{$")
    rows = rows_for(dict.fromkeys(names, (0.5, 0.6)))
    rows = [row | {"task": f"$\\bad {row['dimension']}$ 任务"} for row in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = build_board(rows, replicates=10)
        board_report(made).save(tmp_path)
    for name in ("board-scatter", "board-forest", "board-tasks"):
        drawn = (tmp_path / "plots" / f"{name}.svg").read_text(encoding="utf-8")
        assert "a $5 b" in drawn
        assert "$x_$" in drawn


def test_labels_of_two_hundred_models_take_little_time():
    rng = np.random.default_rng(0)
    rates = {f"some-model-{k}": tuple(rng.random(2)) for k in range(200)}
    made = build_board(rows_for(rates), replicates=20)
    begun = time.perf_counter()
    plot_scatter(made)
    assert time.perf_counter() - begun < 90.0


def test_rank_text(board):
    assert rank_text(board.rows[0]).startswith("#1 (1-")


def overlap(first, second) -> bool:
    beside = first.x1 <= second.x0 or second.x1 <= first.x0
    return not (beside or first.y1 <= second.y0 or second.y1 <= first.y0)


def test_labels_of_the_scatter_do_not_collide(board):
    from matplotlib.backends.backend_agg import RendererAgg

    figure = plot_scatter(board)
    axes = figure.axes[0]
    renderer = RendererAgg(figure.bbox.width, figure.bbox.height, figure.dpi)
    labels = [text for text in axes.texts if text.get_text().startswith("model-")]
    assert len(labels) == 9
    boxes = [label.get_window_extent(renderer) for label in labels]
    frame = axes.get_window_extent(renderer)
    for place, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in boxes[place + 1 :])
        assert frame.x0 - 12 < box.x0
        assert box.x1 < frame.x1 + 12


def test_every_plot_names_its_axes_and_n(board):
    scatter, forest, heat = (plot(board) for plot in (plot_scatter, plot_forest, plot_heat_map))
    assert "capability" in scatter.axes[0].get_xlabel()
    assert "safety" in scatter.axes[0].get_ylabel()
    assert forest.axes[0].get_xlabel() == "balanced score U (0 to 1)"
    assert [label.get_text() for label in forest.axes[0].get_yticklabels()] == [
        row.model for row in board.rows
    ]
    low, high = forest.axes[0].get_xlim()
    assert low <= min(row.score_low or 1 for row in board.rows)
    assert high >= max(row.score_high or 0 for row in board.rows)
    assert "9 models x 2 tasks" in heat.axes[0].get_title()
    assert all("n = 9" in f.axes[0].get_title() for f in (scatter, forest))


@pytest.mark.parametrize(("weights", "p"), [((0.5, 0.5), 1.0), ((1, 0), 2.0), ((0.2, 0.8), 1e9)])
def test_arcs_are_drawn_for_any_weights_and_order(weights, p):
    made = build_board(rows_for({"a": (0.5, 0.5), "b": (0.9, 0.9)}), weights=weights, p=p)
    assert plot_scatter(made).axes[0].get_xlim() == (-0.02, 1.02)


def test_plots_of_safety_alone(safety_only):
    assert plot_forest(safety_only).axes[0].get_xlabel() == "safety (0 to 1)"
    assert plot_scatter(safety_only).axes[0].get_title().startswith("n = 0")


def test_a_gap_in_the_heat_map_stays_blank():
    rows = [{"model": "a", "task": "s", "score": 0.5}, {"model": "b", "task": "t", "score": 0.5}]
    axes = plot_heat_map(build_board(rows, replicates=0)).axes[0]
    assert len(axes.texts) == 2


def test_report_page_holds_table_plots_and_provenance(board, tmp_path):
    page = board_report(board).save(tmp_path).read_text(encoding="utf-8")
    assert board.version in page
    assert "model-4" in page
    assert "abababababab" in page
    assert {file.name for file in (tmp_path / "plots").iterdir()} == {
        "board-scatter.svg", "board-forest.svg", "board-tasks.svg",
    }  # fmt: skip


def test_a_board_is_added_to_a_report_of_others(safety_only):
    report = Report("Whole")
    report.section("before")
    add_board(report, safety_only, heading="Ranking")
    titles = [block["title"] for block in report.blocks if block["type"] == "section"]
    assert titles == ["before", "Ranking", "Where the numbers come from"]
    figures = [block["file"] for block in report.blocks if block["type"] == "figure"]
    assert figures == ["plots/board-forest.svg", "plots/board-tasks.svg"]


def test_intervals_reach_the_table_as_intervals(board):
    from equipoise.systems.libra.board_page import _cells

    cells = _cells(board.rows[0])
    assert isinstance(cells["score"], Interval)
    assert cells["score"].estimate == board.rows[0].score
