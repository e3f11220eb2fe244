from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.report import Report
from equipoise.report.blocks import is_drawing
from equipoise.report.figures import figure_svg
from equipoise.systems.stream_aligner.experiments.commands import reproduce
from equipoise.systems.stream_aligner.experiments.pipeline_plots import (
    Bar,
    add_latency_plots,
    first_text_s,
    pipeline_bars,
    plot_first_text,
    plot_pipeline,
)
from equipoise.systems.stream_aligner.latency import simulate_pipeline


def test_who_works_when_known_by_hand():
    bars = pipeline_bars(1.0, 0.5, 0.25, np.array([True, False, True]))
    assert bars == (
        Bar("generate", 0.0, 1.0, 0),
        Bar("copy", 1.0, 1.5, 0),
        Bar("generate", 1.0, 2.0, 1),
        Bar("edit", 2.0, 2.5, 1),
        Bar("discarded", 2.0, 2.5, 2),
        Bar("restart", 2.5, 2.75, 2),
        Bar("generate", 2.75, 3.75, 2),
        Bar("copy", 3.75, 4.25, 2),
    )
    alone = pipeline_bars(1.0, 0.5, 0.0, np.array([True, True]), speculate=False)
    assert [bar.kind for bar in alone] == ["generate", "copy", "generate", "copy"]
    assert alone[-1].end_s == 3.0


seconds = st.floats(0, 5).map(lambda value: round(value, 3))


@given(st.lists(st.booleans(), min_size=1, max_size=9), seconds, seconds, seconds, st.booleans())
def test_bars_fit_the_exact_timeline(copies, generate, correct, restart, speculate):
    copied = np.array(copies)
    line = simulate_pipeline(generate, correct, restart, copied, speculate=speculate)
    bars = pipeline_bars(generate, correct, restart, copied, speculate=speculate)
    reviews = {bar.sentence: bar for bar in bars if bar.kind in ("copy", "edit")}
    for k, bar in reviews.items():
        assert (bar.start_s, bar.end_s) == (line.review_s[k], line.emitted_s[k])
        assert (bar.kind == "copy") == copies[k]
    discarded = [bar for bar in bars if bar.kind == "discarded"]
    assert len(discarded) <= line.discarded
    if generate > 0 and correct > 0:
        assert len(reviews) == len(copies)
        assert len(discarded) == line.discarded
    for bar in bars:
        if bar.kind == "generate":  # nothing is reviewed before it is written
            assert bar.end_s <= line.review_s[bar.sentence] + 1e-9
    upstream = sorted(
        (bar for bar in bars if bar.kind not in ("copy", "edit")), key=lambda bar: bar.start_s
    )
    for one, other in pairwise(upstream):  # one party does one thing at a time
        assert one.end_s <= other.start_s + 1e-9


def test_first_text():
    found = first_text_s(np.arange(1, 33), 0.75, 0.15)
    assert found["stream"] == pytest.approx(np.full(32, 0.9))
    assert found["aligner"][[0, 31]] == pytest.approx([0.9, 24.15])


def test_plots_are_plain_drawings_with_their_words():
    pipeline = figure_svg(plot_pipeline(0.75, 0.45, 0.15, [True, False, True]), "a")
    first = figure_svg(plot_first_text(0.75, 0.15), "b")
    for svg, words in ((pipeline, "thrown away after an edit"), (first, "seconds to the first")):
        assert is_drawing(svg)
        assert words in svg
    assert "pattern" in pipeline  # hatched


def test_a_report_holds_both(tmp_path):
    report = Report("Latency")
    add_latency_plots(report)
    page = report.save(tmp_path).read_text()
    assert page.count('<figure class="plot">') == 2


def test_reproducing_the_latency_draws_both(tmp_path):
    reproduce(only=("latency",), out=tmp_path / "run")
    assert {path.name for path in (tmp_path / "run" / "plots").iterdir()} == {
        "first-text.svg",
        "pipeline.svg",
    }
