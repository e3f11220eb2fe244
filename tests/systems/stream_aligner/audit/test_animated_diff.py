import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.audit.animated_diff import animated_diff

SVG = "{http://www.w3.org/2000/svg}"


def line(original="1 + 1 = 3.", corrected="1 + 1 = 2.", verdict="edit", **more):
    record = {"request_id": "r", "question": "Sum?", "original": original, "corrected": corrected}
    return record | {"verdict": verdict, "corrector_ms": 3.2} | more


def words(svg: str, name: str = "") -> list[str]:
    """Return the text elements (of a class), spans joined."""
    root = ElementTree.fromstring(svg)
    return [
        "".join(element.itertext())
        for element in root.iter(f"{SVG}text")
        if not name or element.get("class") == name
    ]


def test_every_segment_appears_once_in_order_and_the_counts_run():
    verdicts = ["edit", "copy", "edit", "drop"]
    records = [line(corrected="" if v == "drop" else "x", verdict=v) for v in verdicts]
    svg = animated_diff(records, seconds_per_segment=2)
    assert words(svg, "v") == verdicts
    assert words(svg, "h") == ["Sum?"]
    assert words(svg, "q").count("left out") == 1
    counts = [words(svg, f"n{step}")[0].split() for step in range(4)]
    assert counts[0] == ["1", "edit"]
    assert counts[3] == ["1", "copy", "2", "edit", "1", "drop"]
    starts = re.findall(r"@keyframes r(\d)\{(?:0%,[\d.]+%\{opacity:0\})?([\d.]+)%", svg)
    assert starts == [("0", "0.00"), ("1", "18.18"), ("2", "36.36"), ("3", "54.55")]  # of 11 s
    assert "animation:all 11s" in svg


def test_changed_words_are_marked_on_their_side():
    root = ElementTree.fromstring(animated_diff([line()]))
    marked = {
        span.get("class"): span.text for span in root.iter(f"{SVG}tspan") if span.get("class")
    }
    assert (marked["d"], marked["i"]) == ("3", "2")
    assert words(animated_diff([line()]), "o") == ["1 + 1 = 3."]


def test_a_new_question_stands_above_each_answer():
    records = [line(request_id=name, question=name) for name in ("a", "a", "b")]
    assert words(animated_diff(records), "h") == ["a", "b"]


def test_it_follows_the_newest_segment_and_rests_where_motion_is_unwanted():
    svg = animated_diff([line("word " * 30, "words " * 30)] * 8, height=200)
    shifts = [float(y) for y in re.findall(r"translate\(0,-([\d.]+)px\)", svg)]
    assert shifts == sorted(shifts)
    rest = re.search(r'class="all" transform="translate\(0 -([\d.]+)\)"', svg)
    assert rest is not None
    assert float(rest[1]) == shifts[-1] > 0
    before, _, after = svg.partition("@media (prefers-reduced-motion:no-preference){")
    assert "keyframes" not in before
    assert "keyframes" in after


hostile = st.text() | st.sampled_from(
    ["<script>alert(1)</script>", "a\0b", "\u202e", "\ud800", "毎" * 99]
)


@given(st.lists(st.tuples(hostile, hostile, hostile), min_size=1, max_size=4))
def test_any_text_makes_a_well_formed_picture_without_scripts(texts):
    records = [line(a, b, question=q) for a, b, q in texts]
    svg = animated_diff(records)
    root = ElementTree.fromstring(svg.encode("utf-8"))
    names = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert names <= {"svg", "style", "rect", "g", "text", "tspan", "path"}
    assert not any(key.startswith("on") or "href" in key for e in root.iter() for key in e.attrib)


def test_long_words_and_texts_stay_in_their_column():
    svg = animated_diff([line("x" * 500, "毎日 " * 300)])
    root = ElementTree.fromstring(svg)
    for element in root.iter(f"{SVG}text"):
        if element.get("class") in ("o", "c"):
            lines = [span for span in element if span.get("x")]
            assert len(lines) <= 8
            assert all(len(span.text or "") <= 44 for span in lines)


@pytest.mark.parametrize(
    ("records", "options", "words"),
    [
        ([], {}, "at least one segment"),
        ([line()], {"width": 100}, "480 x 160"),
        ([line()], {"height": 10}, "480 x 160"),
        ([line()], {"seconds_per_segment": 0}, "must be positive"),
        ([line()], {"seconds_per_segment": float("nan")}, "must be positive"),
    ],
)
def test_what_cannot_be_drawn_is_said(records, options, words):
    with pytest.raises(InvalidInput, match=words):
        animated_diff(records, **options)
