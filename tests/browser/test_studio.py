"""The studio in a real browser, started by its command line."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.runs import Run
from equipoise.report import Report

pytestmark = pytest.mark.standard

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The distribution's Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("the distribution's Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield launched
        launched.close()


class Studio:
    """A studio in a process of its own."""

    def __init__(self, root: Path, *options: str) -> None:
        command = [sys.executable, "-m", "equipoise", "studio", "--port", "0", "--runs", str(root)]
        self.root = root
        self.process = subprocess.Popen(
            [*command, *options], stderr=subprocess.PIPE, text=True, env=os.environ.copy()
        )
        assert self.process.stderr is not None
        ready = self.process.stderr.readline()
        found = re.fullmatch(r"ready (http://\S+)\n", ready)
        assert found, ready
        self.url = found[1]

    def stop(self, number: int = signal.SIGINT) -> tuple[int, float, str]:
        """Send a signal; return exit code, seconds until the end, and standard error."""
        start = time.monotonic()
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=20)
        return self.process.returncode, time.monotonic() - start, err


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """A studio over an empty folder."""
    started = Studio(tmp_path / "runs")
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.communicate()


@pytest.fixture
def page(browser: Any, request: Any) -> Iterator[Any]:
    """A page, of phone width where the test asks for it; no complaint may reach its console."""
    width = getattr(request, "param", 1280)
    context = browser.new_context(viewport={"width": width, "height": 800})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda asked: complaints.append(f"{asked.failure}: {asked.url}"))
    yield opened
    context.close()
    # leaving a page ends what it still asks for
    assert [text for text in complaints if not text.startswith("net::ERR_ABORTED")] == []


def write_run(root: Path, seed: int = 0, room: str = "libra") -> Path:
    """Write a finished run with a report that holds a table, a plot, words of a model, a link."""
    config = {"steps": 4, "rate": 0.1 * (seed + 1)}
    with Run.create(room, "demo", config, seed=seed, root=root) as run:
        for step in range(4):
            run.log(step, loss=(seed + 1) / (step + 1))
        run.finish({"accuracy": 0.5 + 0.1 * seed})
    report = Report("Who answers best", "One sentence.")
    report.table([{"model": name, "score": 1 / (len(name))} for name in ("a", "bb", "ccc")])
    report.section("Said", "<script>parent.document.title = 'taken'</script>")
    report.link("The room inside", "rooms/inner/report.html")
    report.save(run.path)
    Report("The inner room").save(run.path / "rooms" / "inner")
    return run.path


def fits(page: Any) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_start_page_shows_rooms_and_a_new_run_without_a_reload(studio: Studio, page: Any):
    page.goto(studio.url)
    assert page.title() == "Equipoise"
    assert page.locator(".card").count() == 10
    assert page.locator("#room-libra .badge").count() == 0
    write_run(studio.root)
    page.locator("#room-libra .badge.done").wait_for(timeout=12_000)


def test_a_new_run_appears_and_what_was_picked_stays(studio: Studio, page: Any):
    first = write_run(studio.root)
    page.goto(studio.url + "runs")
    page.check(f"input[value='libra/{first.name}']")
    second = write_run(studio.root, seed=1)
    page.locator(f"input[value='libra/{second.name}']").wait_for(timeout=8_000)
    assert page.is_checked(f"input[value='libra/{first.name}']")
    page.select_option("#status", "failed")
    page.locator("#runs .empty").wait_for(timeout=5_000)
    assert "status=failed" in page.url
    page.wait_for_timeout(2_500)  # a refresh keeps the filter
    assert page.locator("#runs .empty").count() == 1


def test_a_report_opens_sorts_links_and_cannot_reach_the_studio(studio: Studio, page: Any):
    write_run(studio.root)
    page.goto(studio.url + "runs")
    page.locator("#runs a").first.click()
    report = page.frame_locator("iframe")
    assert report.locator("h1").inner_text() == "Who answers best"
    assert "<script>parent" in report.locator("body").inner_text()
    report.locator("thead button").first.click()
    assert report.locator("tbody td").first.inner_text() == "a"
    assert page.frames[1].evaluate("window.origin") == "null"
    report.locator("a", has_text="The room inside").click()
    report.locator("h1", has_text="The inner room").wait_for()
    assert page.title() != "taken"


def test_two_picked_runs_are_compared(studio: Studio, page: Any):
    write_run(studio.root)
    write_run(studio.root, seed=1)
    page.goto(studio.url + "runs")
    for box in page.locator("#runs input").all():
        box.check()
    page.get_by_role("button", name="Compare").click()
    page.locator("h2", has_text="Curves").wait_for()
    text = page.locator("main").inner_text()
    assert "rate" in text
    assert "accuracy" in text
    picture = page.locator(".plots img").first
    picture.scroll_into_view_if_needed()
    picture.evaluate("image => image.decode()")  # fails where it cannot be drawn
    assert picture.evaluate("image => image.naturalWidth") > 0


@pytest.mark.parametrize("page", [360], indirect=True)
def test_pages_fit_a_phone(studio: Studio, page: Any):
    one, two = write_run(studio.root), write_run(studio.root, seed=1)
    names = [f"libra/{folder.name}" for folder in (one, two)]
    paths = ["", "runs", f"runs/{names[0]}", f"compare?run={names[0]}&run={names[1]}"]
    for path in paths:
        page.goto(studio.url + path)
        assert fits(page), path
    page.goto(studio.url + f"runs/{names[0]}/report.html")
    assert fits(page)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_while_a_page_is_open(studio: Studio, browser: Any, number: int):
    opened = browser.new_page()
    opened.goto(studio.url + "runs")
    code, seconds, err = studio.stop(number)
    opened.close()
    assert code == 0
    assert seconds < 4
    assert err == ""


def test_elsewhere_than_on_loopback_a_token_is_needed(browser: Any, tmp_path: Path, monkeypatch):
    monkeypatch.delenv("EQUIPOISE_TOKEN", raising=False)
    write_run(tmp_path)
    studio = Studio(tmp_path, "--host", "0.0.0.0")
    try:
        address, _, token = studio.url.partition("?token=")
        assert len(token) >= 32
        context = browser.new_context()
        page = context.new_page()
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 401
        page.fill("#token", token)
        page.click("button")
        page.wait_for_selector(".card")
        assert token not in page.url
        page.goto(address + "runs")
        page.locator("#runs a").first.click()
        report = page.frame_locator("iframe")
        report.locator("a", has_text="The room inside").click()
        report.locator("h1", has_text="The inner room").wait_for()
        context.close()
        assert studio.stop()[0] == 0
    finally:
        studio.process.kill()
        studio.process.communicate()
