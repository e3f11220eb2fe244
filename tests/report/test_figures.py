"""Figures: house style, both themes, same bytes every time, several in one page."""

import re
import xml.dom.minidom

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from equipoise.report import figure_svg, new_figure
from equipoise.report.blocks import is_drawing
from equipoise.report.figures import GRID, INK, PAPER, QUIET, SERIES


def drawn(**labels):
    figure, axes = new_figure()
    axes.plot([0, 1, 2], [1, 3, 2], label="one")
    axes.fill_between([0, 1, 2], [0, 2, 1], [2, 4, 3], alpha=0.2)
    axes.set_title(labels.get("title", "Title"))
    axes.set_xlabel("time (s)")
    axes.legend()
    return figure


def test_the_same_figure_gives_the_same_bytes_without_a_date():
    first, second = figure_svg(drawn(), "a"), figure_svg(drawn(), "a")
    assert first == second
    assert figure_svg(drawn(), "a") == first
    figure = drawn()
    assert figure_svg(figure, "a") == figure_svg(figure, "a")
    assert "date" not in first.lower()
    assert "<metadata" not in first


def test_colours_of_the_house_are_variables_with_their_light_value_behind():
    svg = figure_svg(drawn())
    for colour in (INK, QUIET, GRID, PAPER, SERIES[0]):
        bare = re.sub(r"var\(--plot-\w+,\s*#\w+\)", "", svg)
        assert colour not in bare
    assert f"var(--plot-s0, {SERIES[0]})" in svg
    assert "prefers-color-scheme:dark" in svg


def test_words_are_words_and_have_a_readable_colour_in_both_themes():
    svg = figure_svg(drawn())
    assert ">time (s)<" in svg
    assert ">one<" in svg
    assert "fill:var(--plot-ink" in svg  # what sets no colour of its own takes this one
    assert "#000000" not in svg


def test_a_colour_bar_and_a_legend_made_later_follow_the_theme_too():
    figure, axes = new_figure()
    image = axes.imshow(np.arange(4.0).reshape(2, 2))
    figure.colorbar(image)
    svg = figure_svg(figure)
    assert not re.search(r"(?<![,(] )#000000", svg)
    assert is_drawing(svg)


def test_titles_stand_left_and_bold_whoever_set_them():
    figure = drawn(title="Reward <over> time")
    svg = figure_svg(figure)
    assert "Reward &lt;over&gt; time" in svg
    assert figure.axes[0].get_title(loc="left") == "Reward <over> time"
    assert figure.axes[0].get_title() == ""


def test_names_in_two_figures_do_not_collide():
    ids = [set(re.findall(r' id="([^"]+)"', figure_svg(drawn(), name))) for name in ("a", "b")]
    assert ids[0]
    assert not ids[0] & ids[1]
    svg = figure_svg(drawn(), "a")
    for reference in re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg):
        assert f'id="{reference}"' in svg


def test_it_is_well_formed_xml_and_only_draws():
    svg = figure_svg(drawn(), "plot", alt='Three <points> & a "band"')
    root = xml.dom.minidom.parseString(svg).documentElement
    assert root is not None
    assert root.getAttribute("aria-label") == 'Three <points> & a "band"'
    assert root.getAttribute("role") == "img"
    assert root.getAttribute("viewBox") == "0 0 504 288"
    assert is_drawing(svg)


def test_a_foreign_figure_keeps_its_colours_on_white():
    figure = Figure()
    figure.subplots().plot([1, 2], color="#0072b2")
    svg = figure_svg(figure)
    assert 'class="plain-plot wide"' in svg
    assert "var(--plot" not in svg
    assert "#0072b2" in svg


def test_several_axes_and_no_trace_in_the_settings_or_in_pyplot():
    before = dict(mpl.rcParams)
    figure, axes = new_figure(8, 3, nrows=1, ncols=2, sharey=True)
    figure_svg(figure)
    assert axes.shape == (2,)
    assert (figure.get_figwidth(), figure.get_figheight()) == (8, 3)
    assert dict(mpl.rcParams) == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def test_narrow_figures_are_not_stretched_on_a_phone():
    assert "wide" in figure_svg(new_figure(7, 4)[0])[:400]
    assert "wide" not in figure_svg(new_figure(3.5, 2)[0])[:400]


def _luminance(colour):
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("dark", "least"), [(False, 2.0), (True, 4.5)])
def test_every_series_stands_out_from_the_paper(dark, least):
    svg = figure_svg(new_figure()[0])
    values = dict(re.findall(r"--plot-(\w+):(#\w+)", svg))
    paper = values["paper"] if dark else PAPER
    for index, light in enumerate(SERIES):
        assert contrast(values[f"s{index}"] if dark else light, paper) >= least
    assert contrast(values["ink"] if dark else INK, paper) >= 7
    assert contrast(values["quiet"] if dark else QUIET, paper) >= 4.5
