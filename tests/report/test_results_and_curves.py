"""Results beside published ones, and metrics as curves."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.report.curves import curve_svg, curves_html, numeric_series
from equipoise.report.results import flatten_results, results_html, tables_by_kind

INTERVAL = {"estimate": 0.5, "low": 0.4, "high": 0.6}


def test_measured_stands_beside_published_with_units():
    html = results_html(
        {"measured": {"a": 0.5, "b": 3}, "published": {"a": 0.6, "c": 9}, "units": {"b": "m/s"}}
    )
    heads = re.findall(r"<th[^>]*>([^<]*)</th>", html)
    assert heads == ["Result", "Measured", "Published", "Unit"]
    text = re.sub(r"<[^>]+>", " ", html).split()
    assert text[4:] == ["a", "0.500", "0.600", "–", "b", "3", "–", "m/s", "c", "–", "9", "–"]


def test_columns_that_would_be_empty_are_left_out():
    html = results_html({"a": 0.5})
    assert re.findall(r"<th[^>]*>([^<]*)</th>", html) == ["Result", "Measured"]


def test_words_stand_apart_so_that_numbers_align():
    html = results_html({"measured": {"a": 0.5, "best": "x", "ok": True, "i": INTERVAL}})
    assert html.count("<table>") == 2
    first, second = html.split("</table>")[:2]
    assert first.count('class="num"') == 3  # heading and two cells
    assert 'class="num"' not in second


def test_lists_of_rows_become_tables_of_their_own():
    html = results_html({"measured": {"board": [{"m": "x", "s": 1}], "n": 2}})
    assert "<caption>Board</caption>" in html
    assert html.count("<table>") == 2


def test_nothing_gives_nothing():
    assert results_html({}) == ""
    assert results_html({"measured": {}, "published": {}, "units": {}}) == ""
    assert tables_by_kind([], ("a",)) == ""


def test_nested_names_are_dotted_and_intervals_whole():
    nested = {"measured": {"a": {"b": 1, "c": {"d": INTERVAL}}, "e": []}}
    assert flatten_results(nested) == {"a.b": 1, "a.c.d": INTERVAL, "e": []}
    assert flatten_results({"x": 1}) == {"x": 1}
    assert flatten_results({"measured": 3}) == {}


def test_series_hold_numbers_by_step():
    records = [
        {"step": 0, "loss": 1.0, "text": "a", "flag": True, "deep": {"kl": 2}},
        {"step": 5, "loss": 0.5},
        {"loss": 0.25},
    ]
    assert numeric_series(records) == {
        "loss": ([0.0, 5.0, 2.0], [1.0, 0.5, 0.25]),
        "deep.kl": ([0.0], [2.0]),
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=4), max_size=4))
def test_any_records_give_series_of_equal_lengths(records):
    for steps, values in numeric_series(records).values():
        assert len(steps) == len(values) > 0


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_any_results_give_html_without_foreign_tags(results):
    html = results_html(results)
    tags = set(re.findall(r"<(\w+)", html))
    assert tags <= {
        "div",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "span",
        "svg",
    } | {
        "path",
        "circle",
    }


def points(svg: str) -> int:
    line = max(re.findall(r' d="(M[^"]*)"', svg), key=len)
    return line.count("L") + 1


def test_a_long_curve_is_thinned_and_keeps_its_extremes():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(100_000)
    values[54_321] = 40.0
    svg = curve_svg("loss", {"": (list(range(100_000)), values.tolist())})
    assert points(svg) <= 1600
    assert ">40<" in svg


def test_two_runs_are_named_and_one_is_not():
    series = ([0.0, 1.0], [1.0, 2.0])
    both = curve_svg("kl", {"A": series, "B": series})
    assert ">A<" in both
    assert ">B<" in both
    assert "legend" not in curve_svg("kl", {"": series})


@pytest.mark.parametrize("name", ["$x$", "a_b", "<b>", "\\frac", "$", "%", "汉字"])
def test_any_name_can_be_a_title(name):
    assert "<svg" in curve_svg(name, {"": ([0.0, 1.0], [1.0, 2.0])})


def test_a_curve_of_nothing_finite_is_still_a_picture():
    assert "<svg" in curve_svg("loss", {"": ([0.0, 1.0], [float("nan"), float("inf")])})


def test_no_series_give_no_curves():
    assert curves_html({}) == ""
    assert curves_html({"a": ([0.0], [1.0])}) == ""
