import re
from html import unescape

import pytest

from equipoise.report.blocks import is_drawing
from equipoise.report.figures import figure_svg
from equipoise.systems.stream_aligner.audit.events import SegmentEvent
from equipoise.systems.stream_aligner.audit.log import redacted
from equipoise.systems.stream_aligner.audit.report import (
    edit_share,
    plot_edit_distances,
    with_diff,
    write_audit_page,
)

EVIL = "<script>document.title = 'taken'</script>"


def lines(request_id: str, *pairs: tuple[str, str], question: str = "Why?") -> list[dict]:
    """Return the lines of an answer; an empty correction is a drop."""
    found, length = [], 0
    for number, (original, corrected) in enumerate(pairs):
        verdict = "copy" if original == corrected else "edit" if corrected else "drop"
        event = SegmentEvent(
            *(1.0, request_id, number, question, length, " ", original, corrected, verdict, 2.0),
            *("closed", "model-1", "key-1", "a reason" if verdict == "edit" else ""),
        )
        found.append(event.record())
        length += 1 + len(corrected) if corrected else 0
    return found


SMALL = lines("small", ("It is 3.", "It is 4."), ("Fine.", "Fine."), question="A small one")
LARGE = lines("large", ("Ferns are blue and tall.", "Moss."), ("Go.", ""), question="A large one")
NONE = lines("none", ("All is well.", "All is well."), question="Nothing changed")
LOST = [{"time": 1, "request_id": "lost", "event": "upstream_lost"}]


def page_of(tmp_path, records, **options) -> str:
    return write_audit_page(records, tmp_path / "a.html", **options).read_text(encoding="utf-8")


def words(page: str) -> str:
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S)).split())


def test_one_card_per_answer_worst_edits_first(tmp_path):
    page = page_of(tmp_path, [*SMALL, *NONE, *LARGE, *LOST])
    assert re.findall(r"<article><h3>(.*?)</h3>", page) == [
        "A large one",
        "A small one",
        "Nothing changed",
    ]
    text = words(page)
    assert "5 sentences of 3 answers: 2 copied, 2 edited, 1 dropped." in text
    for fact in ("requests 4", "segments 5", "copies 2", "edits 2", "drops 1", "edit rate 40.0%"):
        assert fact in text
    assert "upstream_lost 1" in text
    assert "a reason" in text
    assert "model-1 · key-1" in text


def test_both_texts_stand_whole_with_the_changed_words_marked(tmp_path):
    page = page_of(tmp_path, SMALL)
    proposed, shown = re.findall(r'<div class="said">(.*?)</div>', page)
    assert proposed == " It is <del>3</del>. Fine."
    assert shown == " It is <ins>4</ins>. Fine."
    _, shown = re.findall(r'<div class="said">(.*?)</div>', page_of(tmp_path, LARGE))
    assert "Go." not in shown
    assert shown.rstrip() == shown  # the blank before a dropped sentence was not shown either


def test_corrections_that_were_only_recorded_are_said_to_be_so(tmp_path):
    detected = lines("d", ("Ferns are blue.", "Moss."), ("Go on.", "Go."), ("End.", "End."))
    for record, length in zip(detected, (0, 16, 23)):
        record["prefix_chars"] = length  # of the original text
    assert "In 1 of 1 corrections were only recorded" in words(page_of(tmp_path, detected))
    assert "only recorded" not in words(page_of(tmp_path, [*SMALL, *LARGE]))


def test_what_a_model_wrote_is_text_and_nothing_is_asked_for(tmp_path):
    evil = lines("x", (EVIL, f"{EVIL} new"), question=EVIL)
    page = page_of(tmp_path, [*evil, {"request_id": "y", "event": EVIL}])
    assert page.count("<script>") == 1  # the report's own, allowed by its hash
    assert EVIL in unescape(page)
    assert "script-src 'sha256-" in page
    assert not re.search(r'(?:src|href)="(?!data:)[^"#]', page)


def test_the_answers_that_do_not_fit_are_counted(tmp_path):
    records = [line for n in range(5) for line in lines(f"r{n}", ("a" * (n + 1), "b"))]
    page = page_of(tmp_path, records, most=2)
    assert page.count("<article>") == 2
    assert "3 answers in which less was changed are not shown" in words(page)


def test_the_recording_plays_inside_the_page(tmp_path):
    page = page_of(tmp_path, [*SMALL, *LARGE])
    assert '<img src="data:image/svg+xml;base64,' in page
    assert "As it was seen" in words(page)
    assert "As it was seen" not in words(page_of(tmp_path, NONE))


def test_a_redacted_log_shows_lengths_and_no_hashes(tmp_path):
    page = page_of(tmp_path, [redacted(line) for line in SMALL])
    assert redacted(SMALL[0])["original"] not in page
    assert "Question of 11 characters, not kept" in words(page)
    assert "Texts were not kept" in words(page)
    assert "As it was seen" not in words(page)


def test_an_empty_log_and_one_of_requests_only_make_a_page(tmp_path):
    assert "No sentence has been reviewed yet." in words(page_of(tmp_path, []))
    assert "upstream_lost" in words(page_of(tmp_path, LOST))


def test_a_difference_in_the_file_is_not_trusted(tmp_path):
    forged = SMALL[0] | {"diff": [["equal", "none", "none"], "x", 3]}
    assert list(with_diff(forged)["diff"]) == [tuple(op) for op in SMALL[0]["diff"]]
    hidden = redacted(SMALL[0]) | {"diff": [["replace", "a", None]], "chars": 5}
    assert with_diff(hidden)["diff"] == []
    assert edit_share(with_diff(hidden)) == 0
    assert "<article>" in page_of(tmp_path, [forged, hidden | {"request_id": "h"}])


@pytest.mark.parametrize(
    ("original", "corrected", "share"),
    [("aa bb", "aa cc", 0.4), ("aa", "", 1.0), ("same", "same", 0.0), ("a", "a b c d", 6 / 7)],
)
def test_edit_share(original, corrected, share):
    record = with_diff({"original": original, "corrected": corrected})
    assert edit_share(record) == pytest.approx(share)


def test_the_histogram_is_a_plain_drawing():
    svg = figure_svg(plot_edit_distances([0.0, 0.1, 0.95, 1.0]), "x")
    assert is_drawing(svg)
    assert "share of the sentence that was changed" in svg
