"""Notes and progress on standard error: plain lines, or a bar on a terminal."""

import io

import pytest

from equipoise.core import console
from equipoise.core.console import note, progress


def test_note_goes_to_standard_error(capsys):
    note("one line")
    assert capsys.readouterr() == ("", "one line\n")


def test_plain_progress_says_the_start_then_every_ten_seconds(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with progress("counting", 20) as bar:
        bar.advance()
        now[0] = 11.0
        bar.advance(2)
        bar.describe("still counting")
        bar.advance()
        now[0] = 22.0
        bar.advance(0.5)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["counting ...", "counting: 3 of 20", "still counting: 4.5 of 20"]


def test_plain_progress_without_a_total(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with progress("counting") as bar:
        now[0] = 10.0
        bar.advance()
    assert capsys.readouterr().err.splitlines() == ["counting ...", "counting: 1"]


def test_errors_pass_through():
    with pytest.raises(KeyError), progress("failing"):
        raise KeyError


@pytest.mark.parametrize("total", [4, None])
def test_a_terminal_gets_a_bar(total, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress("counting", total) as bar:
        bar.advance(2)
        bar.describe("summing")
        bar.advance(2)
    shown = terminal.getvalue()
    assert "summing" in shown
    assert ("4/4" in shown) == (total is not None)
