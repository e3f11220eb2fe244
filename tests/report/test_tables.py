"""Tables: rounding, alignment, intervals, escaping."""

import math
import re
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.report.tables import (
    cell_html,
    decimals_for,
    format_number,
    heading,
    interval_text,
    is_interval,
    is_number,
    merge_intervals,
    table_html,
)

INTERVAL = {"estimate": 0.5, "low": 0.4, "high": 0.6}


class Cells(HTMLParser):
    """Collects the text of each cell, row by row, and every tag that was opened."""

    def __init__(self):
        super().__init__()
        self.rows, self.tags, self.inside = [], set(), False

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.inside = True
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def read(html: str) -> Cells:
    parser = Cells()
    parser.feed(html)
    return parser


def cells(html: str) -> list[list[str]]:
    return read(html).rows


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([0.5, 0.1234], 3),
        ([0.012], 4),
        ([1.5, 0.2], 2),
        ([12.5], 1),
        ([131.25], 0),
        ([98_765.4], 0),
        ([0.0, 0.0], 0),
        ([3, 4], 0),
        ([3, 0.5], 2),
        ([math.nan, math.inf], 0),
        ([], 0),
        ([True, "x", None], 0),
    ],
)
def test_decimals_show_three_digits_of_the_largest(values, decimals):
    assert decimals_for(values) == decimals


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (1234567, 0, "1,234,567"),
        (-3, 0, "−3"),
        (0.5, 3, "0.500"),
        (-0.25, 2, "−0.25"),
        (1.23e-5, 3, "1.2e-05"),
        (-1.23e-5, 3, "−1.2e-05"),
        (0.0, 3, "0.000"),
        (2.5e13, 0, "2.5e+13"),
        (math.nan, 2, "not a number"),
        (math.inf, 2, "∞"),
        (-math.inf, 2, "−∞"),
    ],
)
def test_numbers_are_written_for_people(value, decimals, text):
    assert format_number(value, decimals) == text


@given(st.floats(-1e300, 1e300))
def test_a_shown_number_is_near_the_number(value):
    text = format_number(value, decimals_for([value])).replace("−", "-").replace(",", "")
    assert float(text) == pytest.approx(value, rel=0.06)


def test_a_truth_value_is_no_number_and_intervals_are_recognised():
    assert is_number(1)
    assert is_number(1.0)
    assert not is_number(True)
    assert is_interval(INTERVAL)
    assert not is_interval({"estimate": 1, "low": 0})
    assert not is_interval({"estimate": "a", "low": 0, "high": 1})
    assert not is_interval(0.5)


def test_columns_are_the_keys_of_all_rows_in_order():
    rows = [{"model_name": "a", "score": 0.5}, {"model_name": "b", "extra": 1}]
    assert cells(table_html(rows))[0] == ["Model name", "Score", "Extra"]


def test_named_columns_choose_order_and_heading():
    rows = [{"a": 1, "b": 2, "c": 3}]
    assert cells(table_html(rows, {"c": "Third", "a": "First"})) == [["Third", "First"], ["3", "1"]]


def test_numbers_of_a_column_share_their_decimals_and_align_right():
    html = table_html([{"x": 0.5}, {"x": 0.1234}, {"x": None}])
    assert cells(html)[1:] == [["0.500"], ["0.123"], ["–"]]
    assert html.count('class="num"') == 3
    assert 'data-v="0.1234"' in html


def test_without_one_scale_each_number_is_rounded_by_itself():
    html = table_html([{"x": 134515008}, {"x": 0.5}, {"x": 1e-7}], one_scale=False)
    assert cells(html)[1:] == [["134,515,008"], ["0.500"], ["1.0e-07"]]
    assert "<svg" not in html


def test_a_mixed_column_is_text():
    html = table_html([{"x": 0.5}, {"x": "none"}])
    assert 'class="num"' not in html
    assert cells(html)[1:] == [["0.500"], ["none"]]


def test_low_and_high_fold_into_one_interval():
    rows = [{"model": "a", "score": 0.5, "score_low": 0.4, "score_high": 0.6, "rank_best": 1}]
    merged = merge_intervals(rows)
    assert merged == [{"model": "a", "score": INTERVAL, "rank_best": 1}]
    assert rows[0]["score_low"] == 0.4  # the input is left alone


def test_words_that_only_look_like_ends_stay():
    rows = [{"tide": "in", "tide_low": "3 am", "tide_high": "9 am"}]
    assert merge_intervals(rows) == rows


def test_intervals_are_drawn_on_the_scale_of_their_column():
    other = {"estimate": 1.5, "low": 1.4, "high": 1.6}
    html = table_html([{"x": INTERVAL}, {"x": other}])
    spans = re.findall(r'class="span" d="M([\d.]+) 6H([\d.]+)"', html)
    assert [tuple(map(float, span)) for span in spans] == [(4.0, 14.7), (57.3, 68.0)]
    assert cells(html)[1] == ["0.50 [0.40, 0.60]"]


def test_one_interval_alone_or_with_an_open_end_is_not_a_fault():
    open_end = {"estimate": 0.5, "low": None, "high": 0.6}
    html = table_html([{"x": open_end}, {"x": INTERVAL}])
    assert cells(html)[1] == ["0.500 [–, 0.600]"]
    assert html.count("<svg") == 1


def test_no_rows_say_so():
    assert cells(table_html([]))[-1] == ["no rows"]
    assert 'colspan="2"' in table_html([], {"a": "A", "b": "B"})


def test_a_table_scrolls_in_its_box_and_has_its_caption():
    html = table_html([{"x": 1}], caption="What <it> shows")
    assert html.startswith('<div class="scroll" tabindex="0"><table>')
    assert "<caption>What &lt;it&gt; shows</caption>" in html


TEXT = st.text(min_size=1, max_size=30)


@given(st.lists(st.dictionaries(TEXT, TEXT | st.none() | st.booleans()), max_size=4), TEXT)
def test_nothing_in_a_table_becomes_markup(rows, caption):
    html = table_html(rows, caption=caption)
    allowed = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "span"}
    assert read(html).tags <= allowed


@pytest.mark.parametrize(
    ("value", "html"),
    [
        (None, '<span class="quiet">–</span>'),
        ("", '<span class="quiet">–</span>'),
        (True, "yes"),
        (False, "no"),
        (3, "3"),
        ("<b>", "&lt;b&gt;"),
        ([1, "a&b"], "1, a&amp;b"),
        (list(range(20)), "20 values"),
        ({"<k>": "v"}, "&lt;k&gt;: v"),
    ],
)
def test_single_values(value, html):
    assert cell_html(value) == html


def test_interval_in_a_text_column_and_headings():
    assert unescape(cell_html(INTERVAL)) == interval_text(INTERVAL, 3)
    assert heading("tokens_per_second") == "Tokens per second"
    assert heading("") == ""
