"""A browser, a studio started by its command line, and a page whose console stays silent."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Send a signal; return exit code and standard error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@pytest.fixture
def start_studio() -> Iterator[Callable[..., Studio]]:
    """What starts a studio over a folder; all end with the test."""
    started: list[Studio] = []

    def start(root: Path, *options: str) -> Studio:
        started.append(Studio(root, *options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


@pytest.fixture
def studio(start_studio: Callable[..., Studio], tmp_path: Path) -> Studio:
    """A studio over an empty folder."""
    return start_studio(tmp_path / "runs")


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
