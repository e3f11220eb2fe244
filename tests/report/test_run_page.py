"""The page of a run folder: whole, half-written, broken, newer, hostile."""

import json
import math

import numpy as np
import pytest

from equipoise.core.errors import MissingData
from equipoise.core.runs import Run
from equipoise.report import Report, new_figure, render_run, run_html, write_video
from equipoise.report.run_page import duration

HOSTILE = '<script>alert("x")</script>'


def make_run(tmp_path, steps=5):
    run = Run.create("toy_room", "demo", {"steps": 3, "opt": {"lr": 0.1}}, root=tmp_path)
    for step in range(steps):
        run.log(step, loss=1.0 / (step + 1), note="text", nested={"kl": 0.1 * step})
    return run


def finished(tmp_path, steps=1):
    """A run that is done; with one step there are no curves to draw, which takes time."""
    run = make_run(tmp_path, steps)
    run.finish(
        {
            "measured": {"accuracy": {"estimate": 0.5, "low": 0.4, "high": 0.6}, "steps": 3},
            "published": {"accuracy": 0.61},
            "units": {"steps": "1"},
        }
    )
    return run


def test_a_finished_run_shows_results_curves_settings_and_facts(tmp_path):
    run = finished(tmp_path, steps=5)
    path = render_run(run.path)
    assert path == run.path / "report.html"
    page = path.read_text()
    assert page == run_html(run.path)
    for words in ("toy-room · demo", ">done</span>", "Results", "Published", "Curves", "opt.lr"):
        assert words in page
    assert "0.500" in page
    assert "0.610" in page
    assert page.count('class="eq-plot') == 2  # loss and nested.kl, not the note
    assert ">nested.kl<" in page
    assert 'class="problem"' not in page


def test_the_rooms_own_blocks_come_first_and_are_not_shown_twice(tmp_path):
    run = finished(tmp_path)
    report = Report("What we found", "In short.")
    figure, axes = new_figure()
    axes.plot([1, 2])
    report.figure(figure, "own", caption="Own plot")
    clip = write_video(run.media / "clip.gif", np.zeros((2, 8, 8, 3), np.uint8))
    report.media(clip, caption="Own clip")
    report.save(run.path)
    (run.plots / "left-over.svg").write_text("<svg><script>x</script></svg>")
    page = render_run(run.path).read_text()
    assert "<h1>What we found</h1>" in page
    assert page.index("Own plot") < page.index(">Results<")
    assert page.count("Own clip</figcaption>") == 1
    assert page.count("data:image/gif") == 1
    assert "Left over" in page
    assert page.count("<script>") == 1


def test_plots_and_media_of_every_kind_are_found(tmp_path):
    run = finished(tmp_path)
    write_video(run.media / "deep" / "clip.mp4", np.zeros((2, 8, 8, 3), np.uint8))
    (run.media / "notes.txt").write_text("not shown")
    (run.media / ".hidden.png").write_bytes(b"\x89PNG")
    (run.plots / "scan.png").write_bytes(b"\x89PNG1234")
    page = run_html(run.path)
    assert "data:video/mp4" in page
    assert page.count("data:image/png") == 1
    assert "notes.txt" not in page
    assert ".hidden" not in page


@pytest.mark.parametrize("size", [0, 1, 37, 200])
@pytest.mark.parametrize(
    "name", ["run.json", "config.json", "results.json", "report.json", "metrics.jsonl"]
)
def test_a_file_cut_anywhere_does_not_break_the_page(tmp_path, name, size):
    run = finished(tmp_path)
    Report("Own title").save(run.path)
    data = (run.path / name).read_bytes()
    (run.path / name).write_bytes(data[:size])
    page = run_html(run.path)
    assert "</html>" in page
    if size < len(data):
        assert 'class="problem"' in page or size == 0


@pytest.mark.parametrize(
    "content", ["[]", "3", "null", '"x"', "{}", "{" * 100000, "\x00", '{"a": NaN}', "é"]
)
@pytest.mark.parametrize(
    "name", ["run.json", "config.json", "results.json", "report.json", "metrics.jsonl"]
)
def test_a_file_of_another_shape_does_not_break_the_page(tmp_path, name, content):
    run = finished(tmp_path)
    (run.path / name).write_text(content, encoding="utf-16" if content == "é" else "utf-8")
    assert "</html>" in run_html(run.path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("report.json", {"blocks": [1, None, {"type": "table", "rows": [{"a": {}}]}]}),
        ("report.json", {"title": ["a"], "lead": {"b": 1}, "blocks": {}}),
        ("results.json", {"measured": 3, "published": [], "units": "x"}),
        ("results.json", {"measured": {"a": [1, {"b": 2}], "c": [[1]], "d": None}}),
        ("results.json", {"measured": {"rows": [{"a": 1}, {"b": [1]}]}}),
        ("config.json", {"a": {"b": {"c": [1, {"d": None}]}}}),
        ("run.json", {"format": 1, "room": 3, "verb": [], "seconds": "x", "started": 5}),
    ],
)
def test_strange_values_do_not_break_the_page(tmp_path, name, value):
    run = finished(tmp_path)
    (run.path / name).write_text(json.dumps(value))
    assert "</html>" in run_html(run.path)


def test_a_half_written_metrics_line_is_named_and_the_rest_drawn(tmp_path):
    run = make_run(tmp_path)
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 5, "lo')
    page = run_html(run.path)
    assert "metrics.jsonl: 1 unreadable line(s) left out (line 6)." in page
    assert page.count('class="eq-plot') == 2


def test_a_run_that_goes_on_or_failed_says_so(tmp_path):
    run = make_run(tmp_path)
    assert ">running</span>" in run_html(run.path)
    run.mark("failed", "OSError: <disk> full")
    page = run_html(run.path)
    assert ">failed</span>" in page
    assert "This run is failed: OSError: &lt;disk&gt; full" in page


def test_a_folder_of_a_newer_version_says_why(tmp_path):
    run = finished(tmp_path)
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(record | {"format": 99}))
    page = run_html(run.path)
    assert "newer equipoise (run format 99" in page
    assert ">broken</span>" in page


def test_no_folder_is_an_error_and_an_empty_one_a_page(tmp_path):
    with pytest.raises(MissingData, match="there is no run folder"):
        render_run(tmp_path / "none")
    page = render_run(tmp_path).read_text()
    assert "it has no run.json" in page


def test_nothing_in_a_run_becomes_markup(tmp_path):
    run = Run.create("toy_room", HOSTILE.replace("/", ""), {HOSTILE: HOSTILE}, root=tmp_path)
    run.log(0, **{HOSTILE: 1.0})
    run.log(1, **{HOSTILE: 2.0})
    run.finish(
        {"measured": {HOSTILE: HOSTILE, "rows": [{HOSTILE: HOSTILE}]}, "units": {HOSTILE: "x"}}
    )
    run.mark("failed", HOSTILE)
    page = run_html(run.path)
    assert page.count("<script") == 1
    assert page.count("&lt;script&gt;") >= 6


def test_numbers_that_are_none_and_one_point_make_no_curve(tmp_path):
    run = Run.create("toy_room", "demo", {}, root=tmp_path)
    run.log(0, lonely=1.0, loss=math.nan)
    run.log(1, loss=math.inf)
    run.log(2, loss=1.0)
    page = run_html(run.path)
    assert page.count('class="eq-plot') == 1
    assert "lonely" not in page


def test_many_quantities_are_named_where_they_are_not_drawn(tmp_path):
    run = Run.create("toy_room", "demo", {}, root=tmp_path)
    for step in range(2):
        run.log(step, **{f"m{index:02d}": step for index in range(26)})
    page = run_html(run.path)
    assert page.count('class="eq-plot') == 24
    assert "Not drawn: m24, m25." in page


@pytest.mark.parametrize("name", ["results.json", "metrics.jsonl"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    run = finished(tmp_path)
    (run.path / name).unlink()
    (run.path / name).mkdir()
    assert f"{name} cannot be read" in run_html(run.path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7200, "2 h 0 min"),
    ],
)
def test_lengths_of_time(seconds, text):
    assert duration(seconds) == text
