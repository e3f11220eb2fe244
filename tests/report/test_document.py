"""`Report`: what rooms call, what is saved, what the page is like."""

import base64
import hashlib
import html as html_module
import json
import re
from dataclasses import dataclass

import numpy as np
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.core.stats import Interval
from equipoise.report import Report, new_figure
from equipoise.report.page import policy, script_hash

HOSTILE = '<script>alert("x")</script>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@dataclass(frozen=True)
class Op:
    kind: str
    original: str
    corrected: str


def full_report() -> Report:
    report = Report("A title", "Why it matters.\n\nAnd how.")
    report.section("Board", "Text")
    report.table([{"model": "a", "score": Interval(np.float64(0.5), 0.4, 0.6), "n": np.int64(3)}])
    figure, axes = new_figure()
    axes.plot([1, 2])
    report.figure(figure, "curve", caption="A curve")
    report.media(PNG, caption="A picture", kind="image")
    report.compare("a b", "a c", titles=("Before", "After"))
    report.link("The paper", "https://example.org/paper")
    return report


def test_saving_writes_data_plots_media_and_page(tmp_path):
    page = full_report().save(tmp_path / "run")
    assert page == tmp_path / "run" / "report.html"
    saved = json.loads((tmp_path / "run/report.json").read_text())
    assert saved["title"] == "A title"
    kinds = [block["type"] for block in saved["blocks"]]
    assert kinds == ["section", "table", "figure", "media", "compare", "link"]
    row = saved["blocks"][1]["rows"][0]
    assert row == {"model": "a", "score": {"estimate": 0.5, "low": 0.4, "high": 0.6}, "n": 3}
    assert (tmp_path / "run/plots/curve.svg").read_text().startswith("<svg")
    assert [p.read_bytes() for p in (tmp_path / "run/media").iterdir()] == [PNG]
    assert not list((tmp_path / "run").glob(".*"))


def test_saving_twice_gives_the_same_bytes(tmp_path):
    first = full_report().save(tmp_path / "a").read_bytes()
    assert full_report().save(tmp_path / "b").read_bytes() == first
    report = full_report()
    report.save(tmp_path / "c")
    assert report.save(tmp_path / "c").read_bytes() == first


def test_the_page_asks_for_nothing_outside_itself(tmp_path):
    page = full_report().save(tmp_path).read_text()
    addresses = re.findall(r"(?:src|href|action|poster|srcset|data)=\"([^\"]*)\"", page)
    fetched = [a for a in addresses if not a.startswith(("data:", "#"))]
    assert fetched == ["https://example.org/paper"]  # a link to follow, not a thing to load
    outside_markup = re.sub(r"<[^>]*>", "", page)
    assert "url(http" not in outside_markup
    assert "@import" not in page
    assert '<link rel="stylesheet"' not in page


def test_the_page_allows_its_own_script_only(tmp_path):
    page = full_report().save(tmp_path).read_text()
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert script_hash() == f"'sha256-{digest}'"
    meta = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert meta is not None
    assert html_module.unescape(meta[1]) == policy()
    assert "default-src 'none'" in policy()
    assert "script-src 'sha256-" in policy()


def test_the_page_suits_phones_themes_and_readers_of_one_language(tmp_path):
    page = full_report().save(tmp_path).read_text()
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert 'name="viewport" content="width=device-width' in page
    assert 'name="color-scheme" content="light dark"' in page
    assert "@media (prefers-color-scheme: dark)" in page


def test_everything_that_people_or_models_wrote_is_text(tmp_path):
    report = Report(HOSTILE, HOSTILE)
    report.section(HOSTILE, HOSTILE)
    report.table([{HOSTILE: HOSTILE, "n": 1}], caption=HOSTILE)
    report.table([{"a": HOSTILE}], columns={"a": HOSTILE})
    figure, axes = new_figure()
    axes.plot([1, 2], label=HOSTILE)
    axes.set_title(HOSTILE)
    axes.legend()
    report.figure(figure, "f", caption=HOSTILE, alt=HOSTILE)
    report.media(PNG, caption=HOSTILE, kind="image")
    report.compare(HOSTILE, "x" + HOSTILE, titles=(HOSTILE, HOSTILE))
    report.link(HOSTILE, "a/" + HOSTILE)
    page = report.save(tmp_path).read_text()
    assert page.count("<script") == 1
    assert page.count("alert(&quot;x&quot;)") + page.count('alert("x")') >= 12


def test_half_a_surrogate_pair_does_not_stop_a_report(tmp_path):
    report = Report("ok \ud800")
    report.table([{"answer": "half \udfff"}])
    assert "half ?" in report.save(tmp_path).read_text(encoding="utf-8")


def test_columns_by_name_or_with_headings(tmp_path):
    report = Report("t")
    report.table([{"a": 1, "b_c": 2, "d": 3}], columns=["b_c", "a"])
    report.table([{"a": 1, "b_c": 2}], columns={"a": "First"})
    assert report.blocks[0]["columns"] == {"b_c": "B c", "a": "A"}
    assert report.blocks[1]["columns"] == {"a": "First"}


def test_rows_may_be_any_iterable_and_records_become_plain():
    report = Report("t")
    report.table({"step": i, "value": np.float32(i), "op": Op("a", "b", "c")} for i in range(2))
    assert report.blocks[0]["rows"][1] == {
        "step": 1,
        "value": 1.0,
        "op": {"kind": "a", "original": "b", "corrected": "c"},
    }


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", ".x", "a.svg", "-a"])
def test_figure_names_are_file_names(name):
    with pytest.raises(InvalidInput, match="letters, digits, '-' and '_' only"):
        Report("t").figure(new_figure()[0], name, caption="c")


def test_a_figure_name_is_used_once_and_drawn_at_once(tmp_path):
    report = Report("t")
    figure, axes = new_figure()
    axes.set_xlabel("first")
    report.figure(figure, "a", caption="c")
    axes.set_xlabel("second")
    with pytest.raises(InvalidInput, match="called 'a' is in this report already"):
        report.figure(figure, "a", caption="c")
    report.save(tmp_path)
    assert "first" in (tmp_path / "plots/a.svg").read_text()
    assert len(report.blocks) == 1


def test_media_inside_the_run_stay_and_others_are_copied(tmp_path):
    run = tmp_path / "run"
    (run / "media").mkdir(parents=True)
    (run / "media/inside.png").write_bytes(PNG)
    (tmp_path / "outside.png").write_bytes(PNG + b"2")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/outside.png").write_bytes(PNG + b"3")
    report = Report("t")
    report.media(run / "media/inside.png", caption="a")
    report.media(str(tmp_path / "outside.png"), caption="b")
    report.media(tmp_path / "other/outside.png", caption="c")
    report.save(run)
    assert [block["file"] for block in report.blocks] == [
        "media/inside.png",
        "media/outside.png",
        "media/2-outside.png",
    ]
    assert (run / "media/outside.png").read_bytes().endswith(b"2")
    assert (run / "media/2-outside.png").read_bytes().endswith(b"3")


def test_media_that_cannot_be_shown_are_refused(tmp_path):
    report = Report("t")
    with pytest.raises(InvalidInput, match="there is no file"):
        report.media(tmp_path / "none.png", caption="c")
    with pytest.raises(InvalidInput, match="unknown kind of media 'vidio': did you mean 'video'"):
        report.media(PNG, caption="c", kind="vidio")
    (tmp_path / "a.exe").write_bytes(b"MZ")
    with pytest.raises(InvalidInput, match="unknown media suffix"):
        report.media(tmp_path / "a.exe", caption="c")
    assert report.blocks == []


def test_compare_takes_pieces_with_attributes_or_finds_its_own():
    report = Report("t")
    ops = (Op("equal", "The sum is ", "The sum is "), Op("replace", "43", "42"))
    report.compare("The sum is 43", "The sum is 42", titles=("a", "b"), ops=ops)
    report.compare("The sum is 43", "The sum is 42", titles=("a", "b"))
    assert report.blocks[0]["ops"] == report.blocks[1]["ops"]
    for side in ("original", "corrected"):
        whole = "".join(op[side] for op in report.blocks[1]["ops"])
        assert whole == {"original": "The sum is 43", "corrected": "The sum is 42"}[side]


def test_very_long_texts_are_shown_uncompared():
    report = Report("t")
    report.compare("a b " * 2000, "c d " * 2000, titles=("a", "b"))
    assert [op["kind"] for op in report.blocks[0]["ops"]] == ["equal"]


def test_a_link_that_could_act_is_refused():
    with pytest.raises(InvalidInput, match="allowed: http, https, mailto, a path"):
        Report("t").link("x", "javascript:alert(1)")


def test_a_number_that_is_none_leaves_its_column_numeric(tmp_path):
    report = Report("t")
    report.table([{"a": float("nan")}, {"a": 1.0}])
    page = report.save(tmp_path).read_text(encoding="utf-8")
    assert page.count('class="num"') >= 2
