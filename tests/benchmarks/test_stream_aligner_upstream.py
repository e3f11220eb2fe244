"""The benchmark's own upstream, client and proxy process: what they say, count and time."""

import asyncio
import json
import math
import sys
import time

import pytest

from benchmarks.stream_aligner_load import (
    STAMP,
    Heard,
    _take,
    answers,
    ask,
    gaps,
    proxy,
    spread,
    started,
    stats,
    upstream,
)
from benchmarks.stream_aligner_proxy import build, sleeping
from benchmarks.stream_aligner_upstream import Script, chunk, event


def said(script, begun=""):
    """The text of a script with every stamp as an x."""
    return STAMP.sub("x", "".join(script.words(begun)))


def test_words_put_their_blank_before_them_as_models_do():
    assert said(Script(sentences=2, tokens=3)) == "x x x. x x x."


def test_trailing_words_put_it_behind():
    assert said(Script(sentences=2, tokens=2, trailing=True)) == "x x. x x. "


@pytest.mark.parametrize("trailing", [False, True])
def test_a_begun_answer_is_continued_with_its_next_sentence(trailing):
    script = Script(sentences=3, tokens=2, trailing=trailing)
    assert said(script, "ONE x.").strip() == "x x. x x."
    assert said(script, "ONE x.").startswith(" ")
    assert said(script, "x. x. x.") == ""


def test_words_spell_when_they_are_written():
    script = Script(sentences=1, tokens=1)
    before = time.monotonic()
    word = next(script.words(""))
    assert before - 1e-5 <= int(STAMP.findall(word)[0]) / 1e6 <= time.monotonic() + 1e-5


def test_a_continuation_waits_for_its_restart():
    assert Script(gap=0.02, restart=0.1).delay == pytest.approx(0.12)


def test_events_are_openai_chunks():
    line = event({"content": "a"}, "stop", usage={"total_tokens": 3})
    assert line.startswith(b"data: ")
    assert line.endswith(b"\n\n")
    found = json.loads(line[6:])
    assert found["choices"] == [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]
    assert found["usage"] == {"total_tokens": 3}
    assert json.loads(event(None)[6:])["choices"] == []


def test_a_chunk_says_its_length_in_hexadecimal():
    assert chunk(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"


def test_heard_takes_text_finish_and_end():
    heard = Heard(10.0)
    _take(heard, event({"role": "assistant", "content": ""}).strip(), 10.5)
    assert math.isnan(heard.first)
    _take(heard, event({"content": " t1000000 t10500000"}).strip(), 11.0)
    _take(heard, event({}, "length").strip(), 11.5)
    _take(heard, b": a comment", 12.0)
    _take(heard, b"data: [DONE]", 13.0)
    assert (heard.first, heard.total, heard.finish, heard.done) == (1.0, 3.0, "length", True)
    assert heard.ages() == [pytest.approx(0.5)]


def test_an_error_inside_a_stream_is_raised():
    with pytest.raises(ConnectionError, match="too bad"):
        _take(Heard(0.0), b'data: {"error": {"message": "too bad"}}', 1.0)


def test_spread_and_gaps_of_known_values():
    assert spread([3.0, 1.0, 2.0]) == {"p50": 2.0, "p99": pytest.approx(2.98), "n": 3}
    found = gaps([Heard(0.0, times=[1.0, 2.0]), Heard(0.0, times=[5.0, 8.0])])
    assert (found["p50"], found["n"]) == (2.0, 2)
    assert math.isnan(gaps([Heard(0.0, times=[1.0])])["p50"])


def test_the_sleeping_corrector_edits_the_sentences_that_it_is_told():
    correct = sleeping(0.0, {1})
    assert correct("q", "", "one.") == "one."
    assert correct("q", "One.", "two.") == "TWO."
    assert correct("q", "One. TWO.", "three.") == "three."


def test_a_process_that_says_nothing_is_an_error():
    with pytest.raises(RuntimeError, match="said nothing"), started([sys.executable, "-c", ""]):
        pass


@pytest.mark.standard
def test_upstream_and_client_in_their_own_processes():
    with upstream(sentences=2, tokens=3, gap=0.001) as address:
        heard = asyncio.run(ask(f"{address}/v1"))
        left = asyncio.run(ask(f"{address}/v1", pieces=2))
        with pytest.raises(ConnectionError):
            asyncio.run(ask("http://127.0.0.1:1/v1"))
        found = stats(address)
    assert len(heard.texts) == 6
    assert (heard.finish, heard.done) == ("stop", True)
    assert all(age >= 0 for age in heard.ages())
    assert len(left.texts) == 2
    assert not left.done
    assert found["requests"] == 2
    assert 8 <= found["tokens"] <= 12


@pytest.mark.standard
def test_the_proxy_process_reviews_sentences_and_edits_as_told():
    with upstream(sentences=3, tokens=2, gap=0.001, trailing=True) as address:
        with proxy(address, correct_s=0.0, edits=[1]) as (pid, url):
            heard = asyncio.run(ask(url))
        found = stats(address)
    assert pid > 0
    assert [STAMP.sub("x", text).strip() for text in heard.texts[::2]] == ["x x.", "x x."]
    assert "T" in heard.texts[1]
    assert found["requests"] == 2  # the edit made the proxy ask anew
    assert found["open"] == 0


def test_build_leaves_the_proxy_as_it_was():
    from equipoise.systems.stream_aligner.proxy import reloading

    kept = reloading.make_corrector
    app = build({"upstream": "http://127.0.0.1:9/v1", "corrector": "identity", "correct_s": 0.0})
    try:
        assert reloading.make_corrector is kept
        corrector = app.state.desk.settings.reviewer.corrector
        assert corrector("q", "", "a.") == "a."
    finally:
        app.state.desk.close()


def test_answers_gives_up_when_the_process_has_ended():
    with started([sys.executable, "-c", "print('here')"]) as (process, said_):
        process.wait()
        assert said_ == "here"
        assert not answers("http://127.0.0.1:9/", 5, process)
