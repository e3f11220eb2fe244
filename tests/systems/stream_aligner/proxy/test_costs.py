"""What an answer costs, stream by stream: shown, discarded, and as the upstream counts."""

import json
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.systems.stream_aligner.proxy.chat_wire import read_request
from equipoise.systems.stream_aligner.proxy.costs import AnswerCosts
from equipoise.systems.stream_aligner.proxy.read_ahead import TokenTally
from equipoise.systems.stream_aligner.segments import Segment

REPORTED = [
    *("rounds", "copies", "edits", "drops", "stops", "unreviewed", "corrector_calls"),
    *("upstream_requests", "upstream_tokens", "discarded_tokens", "corrector_tokens"),
    *("cached_tokens", "induction"),
]


def request(**fields):
    body = {"messages": [{"role": "user", "content": "Why?"}], **fields}
    return read_request(json.dumps(body).encode(), "chat")


def begin(costs, *pieces, thoughts=0, calls=0):
    stream: Any = SimpleNamespace(tally=TokenTally(), thought_tokens=thoughts, call_tokens=calls)
    for piece in pieces:
        stream.tally.add(piece)
    costs.begin(stream)


def decide(costs, raw, text=None):
    costs.decided(Segment("", raw), raw if text is None else text)


def end(costs, prompt=None, completion=None, cached=None):
    counted = {"prompt_tokens": prompt, "completion_tokens": completion}
    costs.told({**counted, "prompt_tokens_details": {"cached_tokens": cached}})
    costs.settle()


def usage(costs):
    found = costs.usage(request())
    assert found["total_tokens"] == found["prompt_tokens"] + found["completion_tokens"]
    return found["prompt_tokens"], found["completion_tokens"]


def test_an_answer_shown_as_it_was_costs_what_the_upstream_says():
    costs = AnswerCosts()
    begin(costs, "One", " is", ".", " Two.")
    decide(costs, "One is.")
    decide(costs, " Two.")
    assert costs.answer_tokens == 4, "by piece, until the upstream tells"
    end(costs, 7, 9, cached=3)
    assert usage(costs) == (7, 9)
    assert costs.counts == {"upstream_tokens": 9, "discarded_tokens": 0, "cached_tokens": 3}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("S", 1), ("So.", 1), ("So it.", 1), ("So it is", 2), ("So it is, I say.", 4)],
)
def test_an_edit_costs_in_proportion_to_its_length_and_not_what_was_proposed(text, tokens):
    costs = AnswerCosts()
    begin(costs, "So it", " is.")
    decide(costs, "So it is.", text)
    end(costs, 7, 9)
    assert usage(costs) == (7, tokens)
    assert costs.counts["upstream_tokens"] == 9
    assert costs.counts["discarded_tokens"] == 0, "it was decided, not read in vain"


def test_a_restart_discards_what_was_read_ahead_and_adds_up():
    costs = AnswerCosts()
    begin(costs, "One.", " Two", " was", " here.")
    decide(costs, "One.", "1234")
    end(costs, 10, 4, cached=2)
    assert (costs.counts["discarded_tokens"], costs.answer_tokens) == (3, 1)
    begin(costs, " Three", ".")
    assert costs.consumed == 0
    decide(costs, " Three.")
    end(costs, 14, 5, cached=8)
    assert usage(costs) == (10, 6), "the first prompt, and the second stream as it was told"
    assert costs.counts == {"upstream_tokens": 9, "discarded_tokens": 3, "cached_tokens": 10}
    begin(costs, " Four.")
    costs.settle()
    assert costs.counts["upstream_tokens"] == 10, "what one stream told says nothing of the next"


def test_a_begun_answer_is_no_part_of_the_prompt():
    costs = AnswerCosts()
    begin(costs, "One.", " Two.")
    decide(costs, "One.")
    end(costs)
    begin(costs, " And", " so on.")
    decide(costs, " And so on.")
    end(costs, 21, 5)
    assert usage(costs) == (20, 6)


def test_an_answer_that_ends_within_a_piece_does_not_pay_for_what_follows():
    costs = AnswerCosts()
    begin(costs, "One. T")
    decide(costs, "One.")
    end(costs, 7, 3)
    assert usage(costs) == (7, 1)


@pytest.mark.parametrize(("told", "upstream"), [(None, 6), (30, 30)])
def test_thoughts_are_the_upstreams_tokens_and_not_the_answers(told, upstream):
    costs = AnswerCosts()
    begin(costs, "Yes.", thoughts=5)
    decide(costs, "Yes.")
    end(costs, 7, told)
    assert costs.counts["upstream_tokens"] == upstream
    assert usage(costs) == (7, 1)


@pytest.mark.parametrize(("passed", "tokens"), [(2, 12), (1, 2)])
def test_calls_count_where_they_were_passed_on(passed, tokens):
    costs = AnswerCosts()
    begin(costs, "Yes.", calls=2)
    decide(costs, "Yes.")
    for _ in range(passed):
        costs.called()
    end(costs, 7, 12)
    assert usage(costs) == (7, tokens)


def test_a_stream_is_added_up_once():
    costs = AnswerCosts()
    costs.settle()
    begin(costs, "One.", " Two.")
    end(costs, 7, 2, cached=1)
    costs.settle()
    assert costs.counts == {"upstream_tokens": 2, "discarded_tokens": 2, "cached_tokens": 1}


@pytest.mark.parametrize("told", [{}, {"prompt_tokens": "7", "completion_tokens": "9"}])
def test_what_an_upstream_does_not_count_is_counted_here(told):
    costs = AnswerCosts()
    begin(costs, "One", " is.")
    decide(costs, "One is.")
    costs.told(told)
    costs.settle()
    estimate, shown = usage(costs)
    assert (shown, costs.counts["upstream_tokens"], costs.counts["cached_tokens"]) == (2, 2, 0)
    assert estimate > 0
    completion = read_request(b'{"prompt": "Once upon a time"}', "completions")
    assert costs.usage(completion)["prompt_tokens"] == 4


@given(
    pieces=st.lists(st.text("ab ", min_size=1, max_size=40), max_size=8),
    cuts=st.sets(st.integers(1, 320)),
    last=st.integers(0, 320),
)
def test_no_token_of_an_unchanged_answer_is_counted_twice_or_lost(pieces, cuts, last):
    text = "".join(pieces)
    last = min(last, len(text))
    costs = AnswerCosts()
    begin(costs, *pieces)
    for start, stop in pairwise([0, *sorted(cut for cut in cuts if cut < last), last]):
        decide(costs, text[start:stop])
    costs.settle()
    total, discarded = costs.counts["upstream_tokens"], costs.counts["discarded_tokens"]
    assert costs.answer_tokens + discarded == total
    assert discarded == 0 or last < len(text)


def test_the_report_has_every_count_and_no_other():
    costs = AnswerCosts()
    costs.counts.update(copies=2, unreviewed=1, own_matter=5)
    costs.reviewed(3)
    costs.reviewed(4)
    counted = {"copies": 2, "unreviewed": 1, "corrector_tokens": 7, "induction": False}
    report = costs.report(request(), induction=False)
    assert report == {**dict.fromkeys(REPORTED, 0), **counted}
