from typing import Any

import numpy as np
import pytest

from equipoise.report import Report, figure_svg
from equipoise.systems.stream_aligner import report_page
from equipoise.systems.stream_aligner.demonstration import Answered, measure
from equipoise.systems.stream_aligner.worlds.sentence import (
    contagious_world,
    simulate_world,
)
from equipoise.systems.stream_aligner.worlds.sums import simulate_sums

STEP = {"leading": "", "original": "x", "corrected": "x", "verdict": "copy", "note": ""}
FOUND = [
    Answered(
        "Add 1, 2 and 3.",
        {
            "raw": "1 + 2 = 4. 4 + 3 = 7.",
            "aligner": "1 + 2 = 3. 4 + 3 = 7.",
            "stream": "1 + 2 = 3. 3 + 3 = 6.",
        },
        ({**STEP, "verdict": "edit"}, STEP),
        6,
    ),
    Answered(
        "<b>Why?</b>",
        {"raw": "A. B.", "aligner": "A. B.", "stream": "A."},
        (STEP, {**STEP, "verdict": "drop"}, {**STEP, "verdict": "drop"}),
    ),
]


def test_measures() -> None:
    measured = measure(FOUND)
    assert measured["questions"] == 1
    for method, right, stated in (("raw", 0, 1), ("aligner", 0, 2), ("stream", 1, 2)):
        assert measured[method]["final_right"] == right
        assert (measured[method]["stated_right"], measured[method]["stated"]) == (stated, 2)
        assert measured[method]["final_share"].estimate == right
    assert measured["open_sentences"] == 3
    assert measured["open_copy_rate"].estimate == pytest.approx(1 / 3)


def test_measures_of_nothing() -> None:
    measured = measure([])
    assert (measured["questions"], measured["open_sentences"]) == (0, 0)
    share = measured["stream"]["final_share"]
    assert np.isnan(share.estimate)
    assert (share.low, share.high) == (0.0, 1.0)


def test_rows_of_the_table() -> None:
    rows = report_page.method_rows(measure(FOUND))
    assert [row["final answers right"] for row in rows] == ["0 of 1", "0 of 1", "1 of 1"]
    assert [row["stated sums right"] for row in rows] == ["1 of 2", "2 of 2", "2 of 2"]
    assert rows[2]["method"] == "stream (sentence by sentence)"


def draw(name: str) -> Any:
    rng = np.random.default_rng(0)
    if name == "bad mass":
        world = contagious_world()
        simulated = simulate_world(world, 3, 30, rng)
        return report_page.plot_bad_mass(world.closed_form(3), simulated, world.bad)
    if name == "accuracy":
        sums = {n: simulate_sums(n, 20, rng, error_rate=0.1, fix_rate=0.9) for n in (1, 3)}
        return report_page.plot_accuracy(sums, error_rate=0.1, fix_rate=0.9, break_rate=0.0)
    return report_page.plot_methods(measure(FOUND))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bad mass", ["share of bad sentences", "corrected afterwards", "enlarged"]),
        ("accuracy", ["additions in a row", "final answers right", "upstream alone"]),
        ("methods", ["1 of 1", "aligner (whole answer)", "95 % interval"]),
    ],
)
def test_plots_say_what_they_show(name: str, words: list[str]) -> None:
    svg = figure_svg(draw(name), "plot")
    for word in words:
        assert word in svg


def test_the_bad_mass_plot_draws_the_closed_form() -> None:
    figure = draw("bad mass")
    whole, zoomed = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in whole.get_lines()}
    exact = contagious_world().closed_form(3)
    np.testing.assert_allclose(lines["stream (sentence by sentence)"], exact.stream[:, 1])
    np.testing.assert_allclose(lines["upstream alone"], exact.raw[:, 1])
    assert "upstream alone" not in {line.get_label() for line in zoomed.get_lines()}


def test_answers_are_shown_side_by_side_and_escaped(tmp_path: Any) -> None:
    report = Report("t")
    report_page.add_answers(report, FOUND)
    page = report.save(tmp_path).read_text(encoding="utf-8")
    assert "Sentences: 1 copied, 1 edited. Right answer: 6." in page
    assert "Sentences: 1 copied, 2 dropped." in page
    assert "<b>Why?</b>" not in page
    assert "&lt;b&gt;Why?" in page


def test_the_terminal_shows_both_answers_and_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    report_page.show_on_terminal(FOUND, measure(FOUND))
    captured = capsys.readouterr()
    assert captured.out == ""
    for words in ("Add 1, 2 and 3.", "1 + 2 = 4.", "3 + 3 = 6.", "stated sums right", "1 of 1"):
        assert words in captured.err
