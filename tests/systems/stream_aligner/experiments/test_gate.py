import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from equipoise.core.files import to_json
from equipoise.report import Report, figure_svg
from equipoise.systems.stream_aligner.config import DecoderShape, StreamAlignerConfig
from equipoise.systems.stream_aligner.experiments.gate import _parts, run_gate
from equipoise.systems.stream_aligner.experiments.gate_plots import add_gate_plot, plot_gate

pytestmark = pytest.mark.standard
SMALL = StreamAlignerConfig.preset("tiny", gate_questions=40, gate_budget=0.1)
TRAINED = replace(
    SMALL,
    gate_questions=12,
    gate_trained=True,
    steps=3,
    text_questions=2,
    text_epochs=1,
    world_questions=2,
    world_decoder=DecoderShape(width=8, layers=2, heads=1, window=2),
)
FOUND = run_gate(SMALL, 0, lambda: None)


def test_on_text_the_budget_is_kept_and_clean_sentences_skip() -> None:
    done: list[int] = []
    assert run_gate(SMALL, 0, lambda: done.append(1)) == FOUND
    assert len(done) == len(FOUND["rows"]) == 1
    row = FOUND["rows"][0]
    assert (row["world"], row["features"], row["budget"]) == ("text", "text", 0.1)
    assert row["skipped_share"] > 0.3
    assert FOUND["reached"] == (row["miss_rate_low"] <= 0.1)
    assert FOUND["reached"]
    assert row["redrawn"] <= 0.1
    assert (row["passes_saved"], row["work_saved"]) == (None, None)
    assert json.loads(json.dumps(to_json(FOUND))) == to_json(FOUND)


def test_too_small_a_calibration_is_told_and_skips_nothing() -> None:
    row = run_gate(replace(SMALL, gate_budget=0.001), 0, lambda: None)["rows"][0]
    assert (row["threshold"], row["skipped_share"], row["miss_rate"]) == (None, 0, 0)
    assert row["calibration_needed"] == 999
    assert "never skips" in row["note"]


@pytest.mark.parametrize("world", ["text", "arithmetic"])
def test_no_question_is_in_two_parts(world: str) -> None:
    parts = _parts(replace(SMALL, steps=3), world, 3)
    asked = [{row.question for row in part} for part in parts]
    assert all(asked)
    assert len(set.union(*asked)) == sum(map(len, asked))


def test_with_correctors_their_layers_are_gated_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # an untrained corrector writes until it is cut
    monkeypatch.setattr("equipoise.systems.stream_aligner.experiments.gate._COSTED", 2)
    done: list[int] = []
    found = run_gate(TRAINED, 0, lambda: done.append(1))
    assert [(row["world"], row["features"]) for row in found["rows"]] == [
        (world, features)
        for world in ("text", "arithmetic")
        for features in ("text", "layer:1", "layer:2")
    ]
    assert len(done) == 6
    for row in found["rows"]:
        assert row["passes_saved"] <= 1
        if row["features"] == "text":
            assert row["work_saved"] >= 0  # reading text costs no block
        assert row["work_saved"] <= 1
    assert found["below_budget"] <= 6


def test_tiny_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from equipoise.systems.stream_aligner.config import StreamAlignerConfig\n"
        "from equipoise.systems.stream_aligner.experiments.gate import run_gate\n"
        "run_gate(StreamAlignerConfig.preset('tiny', gate_questions=20), 0, lambda: None)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_plot_says_what_it_shows() -> None:
    second = {**FOUND["rows"][0], "world": "arithmetic", "features": "layer:1"}
    svg = figure_svg(plot_gate([*FOUND["rows"], second]), "gate")
    for word in ("budget 10 %", "text world", "arithmetic world", "clean sentences skipped"):
        assert word in svg


def test_what_is_drawn_is_what_was_measured() -> None:
    row = FOUND["rows"][0]
    axes = plot_gate([row]).axes[0]
    assert list(axes.lines[0].get_xdata()) == [100 * miss for _, miss in row["curve"]]
    assert list(axes.lines[0].get_ydata()) == [100 * skipped for skipped, _ in row["curve"]]
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert list(points[0].get_xdata()) == [100 * row["miss_rate"]]
    assert list(points[0].get_ydata()) == [100 * row["skipped_share"]]
    budget = next(line for line in axes.lines if str(line.get_label()).startswith("budget"))
    assert list(budget.get_xdata()) == [10, 10]
    assert axes.get_xlim()[1] >= 105 * row["miss_rate_high"]


@pytest.mark.parametrize("name", ["threshold", "miss_rate", "skipped_share"])
def test_a_gate_without_a_measured_point_has_none_in_the_plot(name: str) -> None:
    axes = plot_gate([{**FOUND["rows"][0], name: None}]).axes[0]
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(points) == 1
    assert list(points[0].get_xdata()) == []


@pytest.mark.parametrize("reached", [True, False])
def test_the_report_says_whether_the_target_was_reached(tmp_path: Path, reached: bool) -> None:
    report = Report("t")
    add_gate_plot(report, "latency", {})
    add_gate_plot(report, "gate", {**FOUND, "reached": reached})
    page = report.save(tmp_path).read_text(encoding="utf-8")
    assert "Sure copies skip the corrector" in page
    assert ("; reached." in page) == reached
    assert ("; not reached." in page) != reached


def test_a_miss_rate_that_was_not_measured_is_not_below_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unseen = {"miss_rate": None, "miss_rate_low": None, "budget": 0.1}
    measured = "equipoise.systems.stream_aligner.experiments.gate.measure_gate"
    monkeypatch.setattr(measured, lambda *_: unseen)
    found = run_gate(SMALL, 0, lambda: None)
    assert (found["below_budget"], found["reached"]) == (0, False)
