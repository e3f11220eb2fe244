"""The live diff page in a real browser: served alone, in the studio, and the page of an audit."""

import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from equipoise.systems.stream_aligner.audit.events import EventHub, SegmentEvent
from equipoise.systems.stream_aligner.audit.log import AuditLog
from equipoise.systems.stream_aligner.audit.report import write_audit_page

pytestmark = pytest.mark.standard

EVIL = "<script>document.title = 'taken'</script>"
SAID = [
    ("First, 61 + 74 = 125.", "First, 61 + 74 = 135.", "edit", "125 -> 135"),
    ("Then 135 + 93 = 228.", "Then 135 + 93 = 228.", "copy", ""),
    (f"Also, {EVIL} <b>is</b> a herb.", "", "drop", EVIL),
    ("That is all there is.", "That is all.", "stop", ""),
    ("A late one.", "A late one.", "unreviewed", "late"),
]


def event(number: int, request_id: str = "r", question: str = f"Add these. {EVIL}") -> SegmentEvent:
    original, corrected, verdict, note = SAID[number % len(SAID)]
    return SegmentEvent(
        *(1_800_000_000.0 + number, request_id, number, question, 0, " ", original, corrected),
        *(verdict, 12.5, "closed", "model-1", "key-1", note),
    )


class Served:
    """A server of the page's routes in a thread of its own."""

    def __init__(self) -> None:
        import uvicorn
        from starlette.applications import Starlette

        from equipoise.systems.stream_aligner.audit.diff_page import routes

        self.hub = EventHub()
        app = Starlette(routes=routes(self.hub))
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{bound.getsockname()[1]}/diff"
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        app.state.is_stopping = lambda: self.server.should_exit
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [bound]})
        self.thread.start()

    def publish(self, *numbers: int, **fields: str) -> None:
        for number in numbers:
            self.hub.publish(event(number, **fields))

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def served() -> Iterator[Served]:
    """A hub and a server of its page, stopped with the test."""
    started = Served()
    yield started
    started.stop()


def rows(page: Any) -> Any:
    return page.locator(".segment:visible")


def counts(page: Any) -> list[int]:
    return [int(text) for text in page.locator(".filter .count").all_inner_texts()]


def fits(page: Any) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_an_edit_a_drop_and_a_script_are_shown_as_they_come(served: Served, page: Any):
    served.publish(0)
    page.goto(served.url)
    rows(page).nth(0).wait_for()  # replayed
    served.publish(1, 2, 3, 4)
    rows(page).nth(4).wait_for()  # live
    edit, copy, drop = (rows(page).nth(place) for place in range(3))
    assert edit.locator(".original").inner_text() == "First, 61 + 74 = 125."
    assert edit.locator(".original del").all_inner_texts() == ["125"]
    assert edit.locator(".corrected ins").all_inner_texts() == ["135"]
    assert edit.locator(".what").inner_text().split() == ["edit", "13", "ms", "125", "->", "135"]
    assert copy.locator("del, ins").count() == 0
    assert drop.locator(".original").inner_text() == SAID[2][0]
    assert drop.locator(".corrected").inner_text() == "left out"
    assert drop.locator(".why").inner_text() == EVIL
    assert page.locator(".answer h2").inner_text() == f"Add these. {EVIL}"
    assert page.locator("#answers script, #answers b").count() == 0
    assert page.title() == "Live diff"
    assert counts(page) == [5, 1, 1, 1, 1, 1]
    said = page.locator("#said[aria-live=polite]")
    until(lambda: "1 copied, 1 edited, 1 dropped" in said.text_content())


def test_what_cannot_be_seen_is_named(served: Served, page: Any):
    hidden = "so\u200bft \u202eegap\0 \N{FAMILY}\u200d\N{BOY} \u05e9\u05dc\u05d5\u05dd"
    first = event(0, question="a\u2066b")
    served.hub.publish(dataclasses.replace(first, original=hidden, corrected="soft page"))
    page.goto(served.url)
    rows(page).nth(0).wait_for()
    said = rows(page).locator(".original").inner_text()
    assert said == hidden.replace("\u200b", "⟨U+200B⟩").replace("\u202e", "⟨U+202E⟩").replace(
        "\0", "⟨U+0000⟩"
    )
    assert page.locator(".answer h2").inner_text() == "a⟨U+2066⟩b"


def test_a_flood_leaves_out_the_oldest_and_says_how_many(served: Served, page: Any):
    served.publish(0)
    page.goto(served.url)
    rows(page).nth(0).wait_for()
    for number in range(1, 4000):
        served.hub.publish(event(number, request_id=f"r{number // 5}"))
    page.locator("#missed:visible").wait_for()
    until(lambda: told(page) == 4000)
    assert page.locator(".segment").count() <= 2000
    assert page.locator(".answer").first.locator(".segment").last.is_visible()


def told(page: Any) -> int:
    """Return how many sentences the page showed or says that it left out."""
    missed = page.locator("#missed").inner_text().split()
    return counts(page)[0] + (int(missed[0]) if missed else 0)


def test_the_newest_answer_stands_first_and_its_sentences_in_order(served: Served, page: Any):
    page.goto(served.url)
    page.locator(".state.live").wait_for()
    served.publish(0, request_id="a", question="First")
    served.publish(0, request_id="b", question="Second")
    served.publish(1, request_id="a", question="First")
    rows(page).nth(2).wait_for()
    assert page.locator(".answer h2").all_inner_texts() == ["Second", "First"]
    assert page.locator(".answer").nth(1).locator(".segment").count() == 2


def test_filters_by_button_and_key(served: Served, page: Any):
    served.publish(*range(5))
    page.goto(served.url)
    rows(page).nth(4).wait_for()
    for key, verdict in enumerate(("copy", "edit", "drop", "stop", "unreviewed"), 1):
        page.keyboard.press(str(key))
        assert rows(page).count() == 1
        assert rows(page).locator(".verdict").inner_text() == verdict
        pressed = page.locator(".filter[aria-pressed=true]")
        assert pressed.get_attribute("data-verdict") == verdict
    page.keyboard.press("0")
    assert rows(page).count() == 5
    page.get_by_role("button", name="drop").click()
    served.publish(5, 6, 7)
    until(lambda: counts(page)[0] == 8)
    assert rows(page).locator(".verdict").all_inner_texts() == ["drop", "drop"]
    page.get_by_role("button", name="drop").click()
    assert rows(page).count() == 8


def test_a_filter_that_fits_nothing_says_so(served: Served, page: Any):
    served.publish(0)
    page.goto(served.url)
    rows(page).nth(0).wait_for()
    page.keyboard.press("3")
    assert page.locator("#empty").inner_text() == "Nothing with the verdict drop so far."
    assert page.locator(".answer:visible").count() == 0


def test_pause_holds_what_comes_and_shows_it_afterwards(served: Served, page: Any):
    served.publish(0)
    page.goto(served.url)
    rows(page).nth(0).wait_for()
    page.keyboard.press("p")
    served.publish(1, 2)
    page.get_by_text("Resume (2 waiting)").wait_for()
    assert rows(page).count() == 1
    assert counts(page)[0] == 1
    page.locator("#pause").click()
    rows(page).nth(2).wait_for()
    assert page.locator("#pause").inner_text() == "Pause"
    assert counts(page)[0] == 3


def test_arrows_go_from_sentence_to_sentence(served: Served, page: Any):
    served.publish(*range(5))
    page.goto(served.url)
    rows(page).nth(4).wait_for()
    for key, place in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1)):
        page.keyboard.press(key)
        assert rows(page).nth(place).evaluate("row => row === document.activeElement")
    page.keyboard.press("4")
    page.keyboard.press("ArrowUp")
    assert rows(page).nth(0).evaluate("row => row === document.activeElement")


def test_after_a_lost_connection_nothing_is_shown_twice(served: Served, page: Any):
    served.publish(0, 1)
    page.goto(served.url)
    rows(page).nth(1).wait_for()
    served.publish(0, 1, 2)  # as a server replays after a break
    rows(page).nth(2).wait_for()
    assert counts(page)[0] == 3


@pytest.mark.parametrize("page", [360], indirect=True)
def test_it_fits_a_phone(served: Served, page: Any):
    served.publish(*range(5), request_id="x" * 90, question="word" * 90)
    page.goto(served.url)
    rows(page).nth(3).wait_for()
    assert fits(page)
    copy = page.locator(".segment.copy")
    assert copy.locator(".original").is_hidden()  # the same text stands below
    assert copy.locator(".corrected").is_visible()
    assert page.locator("#pause").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_have_contrast(served: Served, browser: Any, scheme: str):
    served.publish(*range(5))
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(served.url)
    rows(page).nth(4).wait_for()
    page.wait_for_timeout(1000)  # until the newest row has faded in
    ratios = page.evaluate(
        """() => {
          const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
          const light = (c) => c.slice(0, 3).map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const paper = (e) => { for (; e; e = e.parentElement) {
            const c = rgb(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
          return [...document.querySelectorAll(
            ".segment p, .segment del, .segment ins, .verdict, .ms, .why, .filter, h2, .about")]
            .map((e) => [light(rgb(getComputedStyle(e).color)), light(paper(e)), e.className])
            .map(([a, b, name]) => [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), name]);
        }"""
    )
    context.close()
    assert len(ratios) > 20
    assert min(ratios)[0] >= 4.5, min(ratios)


def test_the_studio_follows_an_audit_file(studio: Any, page: Any):
    page.goto(studio.url + "stream-aligner/")
    assert "No answer has been reviewed here yet" in page.locator("main").inner_text()
    with AuditLog(Path(studio.root) / "stream_aligner" / "run" / "audit.jsonl") as log:
        log.write(event(0))
        page.reload()
        rows(page).nth(0).wait_for()
        log.write(event(2))
        rows(page).nth(1).wait_for()
    assert page.locator(".state").inner_text() == "following"
    assert page.title() == "Stream Aligner · Equipoise"
    assert rows(page).nth(1).locator(".original").inner_text() == SAID[2][0]


@pytest.mark.parametrize("page", [360], indirect=True)
def test_the_studio_fits_a_phone_whatever_a_run_is_called(studio: Any, page: Any):
    folder = Path(studio.root) / "stream_aligner" / ("a-long-name-" * 9)
    with AuditLog(folder / "audit.jsonl") as log:
        log.write(event(0))
    page.goto(studio.url + "stream-aligner/")
    rows(page).nth(0).wait_for()
    assert fits(page)


@pytest.mark.parametrize("page", [1280, 360], indirect=True)
def test_the_audit_page_opens_from_a_file(page: Any, tmp_path: Path):
    records = [event(number).record() for number in range(5)]
    page.goto(write_audit_page(records, tmp_path / "a.html").as_uri())
    assert page.locator("article > h3").inner_text() == f"Add these. {EVIL}"
    assert page.locator("article script").count() == 0
    picture = page.locator("figure.played img")
    picture.evaluate("image => image.decode()")  # fails where it cannot be drawn
    assert fits(page)
    assert page.title() == "Stream Aligner: audit"
