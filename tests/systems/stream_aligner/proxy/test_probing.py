"""What a server does with a begun answer, found out from servers that are played."""

import asyncio
from typing import Any

import pytest

from equipoise.core.errors import RunFailed
from equipoise.systems.stream_aligner.proxy.probing import (
    find_continuation,
    first_model,
    is_llamacpp,
)
from equipoise.text.interface import Completion
from equipoise.text.prefill import Continuation
from equipoise.text.transport import HttpStatusError

FIELDS = {"continue_final_message", "add_generation_prompt"}
NONE = Continuation("none")


class Played:
    """A server that continues, echoes or opens a new turn, and counts prompt tokens or not."""

    def __init__(self, way="continues", counts="each", refuse=lambda: None):
        self.way, self.counts, self.refuse = way, counts, refuse
        self.answers, self.refusals = 0, 0

    async def __call__(self, request, messages):
        last = messages[-1]
        begun = last["content"] if last["role"] == "assistant" else ""
        if begun and (error := self.refuse()) is not None:
            self.refusals += 1
            raise error
        self.answers += 1
        text = "A rose is red."
        if self.way == "moody turns" or (begun and self.way != "turns"):
            text = (begun if self.way == "echoes" else "") + f" so it goes, {self.answers}."
        turn = 4 if begun and "turns" in self.way else 0
        told = {"each": 10 + len(begun.split()) + turn, "constant": 7, "none": None}
        return Completion(text, "stop", told[self.counts], None)


def status(code, detail=""):
    return HttpStatusError(f"answered {code}", code, detail)


def find(complete, refused=None):
    told = []
    refused = set() if refused is None else refused
    return asyncio.run(find_continuation(complete, refused, told.append)), len(told)


@pytest.mark.parametrize(
    ("way", "counts", "found", "reasons"),
    [
        ("continues", "each", Continuation("assistant"), 0),
        ("continues", "constant", Continuation("assistant"), 1),
        ("continues", "none", Continuation("assistant"), 1),
        ("echoes", "each", Continuation("assistant", echo=True), 0),
        ("echoes", "none", Continuation("assistant", echo=True), 0),
        ("turns", "each", NONE, 0),
        ("turns", "constant", NONE, 0),
        ("turns", "none", NONE, 0),
        ("moody turns", "each", NONE, 0),
    ],
)
def test_what_the_server_does_is_found_out_and_thin_evidence_is_said(way, counts, found, reasons):
    assert find(Played(way, counts)) == (found, reasons)


@pytest.mark.parametrize("code", [400, 422])
@pytest.mark.parametrize("unknown", [{"continue_final_message"}, FIELDS])
def test_fields_that_the_server_does_not_know_are_left_out_and_remembered(code, unknown):
    refused = {"temperature"}
    error = status(code, f"unknown: {sorted(unknown)}")
    server = Played(refuse=lambda: None if unknown <= refused else error)
    assert find(server, refused) == (Continuation("assistant"), 0)
    assert refused == {"temperature", *unknown}
    assert server.refusals == 1


@pytest.mark.parametrize("code", [400, 422])
@pytest.mark.parametrize(
    ("detail", "refused", "tries"),
    [
        ("the last message must be the user's", set(), 1),
        (f"unknown: {sorted(FIELDS)}", set(), 2),
        (f"unknown: {sorted(FIELDS)}", FIELDS, 1),
    ],
)
def test_a_server_that_goes_on_refusing_does_not_continue(code, detail, refused, tries):
    server = Played(refuse=lambda: status(code, detail))
    assert find(server, set(refused)) == (NONE, 0)
    assert (server.refusals, server.answers) == (tries, 0)


@pytest.mark.parametrize("code", [401, 404, 429, 500, 503])
def test_other_faults_decide_nothing_even_where_they_name_a_field(code):
    error, refused = status(code, f"{FIELDS}"), set()
    with pytest.raises(HttpStatusError) as caught:
        find(Played(refuse=lambda: error), refused)
    assert caught.value is error
    assert refused == set()


class Answering:
    """A transport that gives one answer, or raises it, and keeps what it was asked."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    async def json(self, method, path, body=None, *, root=None):
        self.asked.append((method, path, root))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "is_one"),
    [
        ({"chat_template": "", "total_slots": 1}, True),
        ({"name": "another server"}, False),
        (["chat_template"], False),
        (None, False),
        (status(404), False),
        (status(401), False),
        (RunFailed("http://x answered no JSON: <html>"), False),
    ],
)
def test_llamacpp_is_known_by_its_own_endpoint(answer, is_one):
    transport: Any = Answering(answer)
    assert asyncio.run(is_llamacpp(transport, "http://x")) is is_one
    assert transport.asked == [("GET", "/props", "http://x")]


def test_a_server_that_cannot_be_reached_is_not_taken_for_another():
    transport: Any = Answering(RunFailed("http://x cannot be reached"))
    with pytest.raises(RunFailed, match="reached"):
        asyncio.run(is_llamacpp(transport, "http://x"))


@pytest.mark.parametrize(
    ("listed", "name"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}]}, "a"),
        ({"data": []}, "default"),
        ({"data": [{}]}, "default"),
        ({}, "default"),
        (None, "default"),
    ],
)
def test_the_first_model_that_is_named_is_asked(listed, name):
    transport: Any = Answering(listed)
    assert asyncio.run(first_model(transport)) == name
    assert transport.asked == [("GET", "/models", None)]
