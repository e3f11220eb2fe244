"""Stop strings in a stream."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from equipoise.text.stops import StopScanner


def run(scanner: StopScanner, pieces: list[str]) -> list[str]:
    shown = [scanner.feed(piece) for piece in pieces]
    return shown if scanner.stopped else [*shown, scanner.close()]


@given(
    st.text("abc", max_size=30),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 30)),
)
@example("aab", ["ab"], [1, 2])
@example("abca", ["abca", "bc"], [1, 2, 3])
def test_any_cutting_gives_the_text_before_the_stop_that_is_complete_first(text, stops, cuts):
    places = sorted({0, len(text), *(cut for cut in cuts if cut <= len(text))})
    pieces = [text[a:b] for a, b in pairwise(places)]
    scanner = StopScanner(stops)
    found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert "".join(run(scanner, pieces)) == (text[: min(found)[1]] if found else text)
    assert scanner.stopped == bool(found)


def test_text_that_cannot_become_a_stop_comes_at_once():
    scanner = StopScanner(["\n\n"])
    assert scanner.feed("one\n") == "one"
    assert scanner.feed("two") == "\ntwo"


def test_without_stops_everything_passes():
    scanner = StopScanner([])
    assert scanner.feed("anything") == "anything"
    assert scanner.close() == ""


def test_after_a_stop_nothing_comes():
    scanner = StopScanner(["X"])
    assert scanner.feed("aXb") == "a"
    assert scanner.feed("c") == ""
    assert scanner.stopped
