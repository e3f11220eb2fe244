"""The studio in a real browser, started by its command line."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.runs import Run
from equipoise.report import Report

pytestmark = pytest.mark.standard


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


def test_start_page_shows_rooms_and_a_new_run_without_a_reload(studio: Any, page: Any):
    page.goto(studio.url)
    assert page.title() == "Equipoise"
    assert page.locator(".card").count() == 10
    assert page.locator("#room-libra .badge").count() == 0
    write_run(studio.root)
    page.locator("#room-libra .badge.done").wait_for(timeout=12_000)


def test_a_new_run_appears_and_what_was_picked_stays(studio: Any, page: Any):
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


def test_a_report_opens_sorts_links_and_cannot_reach_the_studio(studio: Any, page: Any):
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


def test_two_picked_runs_are_compared(studio: Any, page: Any):
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
def test_pages_fit_a_phone(studio: Any, page: Any):
    one, two = write_run(studio.root), write_run(studio.root, seed=1)
    names = [f"libra/{folder.name}" for folder in (one, two)]
    paths = ["", "runs", f"runs/{names[0]}", f"compare?run={names[0]}&run={names[1]}"]
    for path in paths:
        page.goto(studio.url + path)
        assert fits(page), path
    page.goto(studio.url + f"runs/{names[0]}/report.html")
    assert fits(page)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_while_a_page_is_open(studio: Any, browser: Any, number: int):
    opened = browser.new_page()
    opened.goto(studio.url + "runs")
    code, err = studio.stop(number)
    opened.close()
    assert code == 0
    assert err == ""


def test_elsewhere_than_on_loopback_a_token_is_needed(
    browser: Any, tmp_path: Path, start_studio: Callable[..., Any], monkeypatch
):
    monkeypatch.delenv("EQUIPOISE_TOKEN", raising=False)
    write_run(tmp_path)
    studio = start_studio(tmp_path, "--host", "0.0.0.0")
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
