from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise.report import Report, figure_svg
from equipoise.report.blocks import is_drawing
from equipoise.systems.stream_aligner.config import DecoderShape, StreamAlignerConfig
from equipoise.systems.stream_aligner.experiments.cost import run_cost
from equipoise.systems.stream_aligner.experiments.interpret import TARGETED, straight_line
from equipoise.systems.stream_aligner.experiments.size import summarise_sizes
from equipoise.systems.stream_aligner.experiments.training_plots import (
    add_training_plot,
    plot_cost,
    plot_identity,
    plot_interpreting,
    plot_sizes,
    plot_trained_sums,
)


def around(name: str, value: float, width: float = 0.05) -> dict[str, float]:
    return {name: value, f"{name}_low": value - width, f"{name}_high": min(1.0, value + width)}


def identity() -> dict[str, Any]:
    rows = [
        {"share": share, "schedule": "warmup", **around("copy_rate", c), **around("edit_recall", e)}
        for share, c, e in ((0.0, 0.9, 0.95), (0.2, 0.96, 0.9), (0.5, 0.97, 0.6))
    ]
    rows.append({**rows[1], "schedule": "mixed"})
    return {"rows": rows, "best_share": 0.2, "target": "a peak at 20 %", "reached": True}


def sums() -> dict[str, Any]:
    rows = [
        {"method": "raw", **around("accuracy", 0.43), "closed_form": 0.4304672},
        {"method": "aligner", **around("accuracy", 0.46)},
        {"method": "stream", **around("accuracy", 0.97), "closed_form": 0.92},
    ]
    return {"rows": [], "trained": {"rows": rows}, "target": "within 3 points", "reached": False}


def sizes() -> dict[str, Any]:
    first = np.arange(50) / 50
    hits = np.array([[first < low, first < high] for low, high in ((0.3, 0.8), (0.6, 0.9))])
    shapes = (DecoderShape(width=56, layers=1), DecoderShape(width=200, layers=5))
    return summarise_sizes(shapes, [104_720, 2_990_800], hits)


def interpreting() -> dict[str, Any]:
    coefficients = (-1.0, 0.0, 1.0)
    other = "edits change the result"
    table = [
        {"teacher": teacher, "layer": layer, **around("auc", auc)}
        for teacher, aucs in ((TARGETED, (0.5, 0.8, 0.93)), (other, (0.5, 0.55, 0.6)))
        for layer, auc in enumerate(aucs)
    ]
    values = {TARGETED: (0.2, 0.3, 0.5), other: (0.1, 0.1, 0.1)}
    steering = [
        {"teacher": teacher, "coefficient": at, **around("edit_ratio", ratio)}
        for teacher, ratios in values.items()
        for at, ratio in zip(coefficients, ratios)
    ]
    lines = {teacher: straight_line(coefficients, ratios) for teacher, ratios in values.items()}
    return {
        "rows": table,
        "steering": steering,
        "lines": lines,
        "target": "AUC >= 0.9",
        "reached": None,
    }


def cost() -> dict[str, Any]:
    return run_cost(StreamAlignerConfig.preset("tiny", text_answers=3), 0, lambda: None)


FOUND = {
    "identity": (identity(), plot_identity),
    "arithmetic": (sums(), plot_trained_sums),
    "size": (sizes(), plot_sizes),
    "interpret": (interpreting(), plot_interpreting),
    "cost": (cost(), plot_cost),
}
WORDS = {
    "identity": ["clean sentences copied", "shares mixed", "50%"],
    "arithmetic": ["closed form at the measured rates", "aligner", "answers whose last sum"],
    "size": ["parameters of the corrector", "stream: slope", "3.0 M", "0.1 M"],
    "interpret": ["no change", "coefficient of edit minus copy", TARGETED, "R² = 0.96"],
    "cost": ["published loop", "8.5", "read anew: 4,520", "kept: 1,055", "copy rate"],
}


@pytest.mark.parametrize("name", sorted(FOUND))
def test_plots_say_what_they_show(name: str) -> None:
    found, draw = FOUND[name]
    svg = figure_svg(draw(found), "plot")
    assert is_drawing(svg)
    for word in WORDS[name]:
        assert word in svg


def test_sizes_are_drawn_as_measured() -> None:
    found = FOUND["size"][0]
    (axes,) = plot_sizes(found).axes
    assert axes.get_xscale() == "log"
    lines = {line.get_label().split(":")[0]: line for line in axes.lines if line.get_label()}
    ends = lines["stream"].get_ydata()
    rise = found["slopes"]["stream"]["estimate"]
    # two sizes: the fitted line goes through both
    assert list(ends) == pytest.approx([0.8, 0.9])
    assert rise > 0


def test_shares_are_drawn_in_order_with_their_intervals() -> None:
    (axes,) = plot_identity(FOUND["identity"][0]).axes
    points = axes.containers[0][0]
    assert list(points.get_ydata()) == [0.9, 0.96, 0.97]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0%", "20%", "50%"]
    low = axes.containers[0][2][0].get_segments()[0]
    assert low[:, 1].tolist() == pytest.approx([0.85, 0.95])


def test_only_methods_with_a_closed_form_are_marked() -> None:
    (axes,) = plot_trained_sums(FOUND["arithmetic"][0]).axes
    marks = next(
        line for line in axes.lines if line.get_marker() == "|" and line.get_label()[0] == "c"
    )
    assert list(marks.get_xdata()) == [0.4304672, 0.92]
    assert list(marks.get_ydata()) == [0, 2]


def test_probes_and_line_are_drawn_as_measured() -> None:
    found = FOUND["interpret"][0]
    probes, line = plot_interpreting(found).axes
    assert [label.get_text() for label in probes.get_xticklabels()] == ["input", "1", "2"]
    drawn = [list(bars[0].get_ydata()) for bars in probes.containers]
    assert drawn == [[0.5, 0.8, 0.93], [0.5, 0.55, 0.6]]
    fitted = next(one for one in line.lines if str(one.get_label()).startswith("R²"))
    # values 0.2, 0.3, 0.5 at -1, 0, 1: slope 0.15 about 1/3
    assert list(fitted.get_ydata()) == pytest.approx([1 / 3 - 0.15, 1 / 3, 1 / 3 + 0.15])
    flat = next(one for one in line.lines if one.get_label() == "no change")
    assert set(flat.get_ydata()) == {0.1}


def test_costs_are_drawn_as_counted() -> None:
    found = FOUND["cost"][0]
    upstream, corrector = plot_cost(found).axes
    by_name = {line.get_label(): list(line.get_ydata()) for line in upstream.lines}
    assert by_name["one after the other"] == [row["sequential"] for row in found["curve"]]
    assert by_name["published loop"] == [8.5, 8.5]
    read = {line.get_label(): list(line.get_ydata()) for line in corrector.lines}
    assert read["kept: 1,055"][:2] == [95, 159]
    assert read["read anew: 4,520"][:2] == [95, 215]
    assert corrector.get_ylim()[0] == 0


def test_one_schedule_alone_is_drawn() -> None:
    found = FOUND["identity"][0]
    alone = {**found, "rows": [row for row in found["rows"] if row["schedule"] == "warmup"]}
    assert "mixed" not in figure_svg(plot_identity(alone), "plot")


def test_the_report_says_whether_the_target_was_reached(tmp_path: Path) -> None:
    report = Report("t")
    for name, (found, _) in FOUND.items():
        add_training_plot(report, name, found)
    add_training_plot(report, "methods", {})
    add_training_plot(report, "induction", {"target": "within 4 standard errors", "reached": True})
    page = report.save(tmp_path).read_text(encoding="utf-8")
    assert page.count('<figure class="plot">') == len(FOUND)
    for said in (
        "peak at 20 %; reached.",
        "within 3 points; not reached.",
        "0.9; not judged.",
        "errors; reached.",
    ):
        assert said in page
    names = {path.stem for path in (tmp_path / "plots").iterdir()}
    assert names == set(FOUND)
