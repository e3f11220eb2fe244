"""Errors in OpenAI's form: status, type, param, code, headers, and what a client never reads."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.serving.admission import QueueFull
from equipoise.serving.keys import RateExceeded
from equipoise.systems.stream_aligner.proxy.errors import (
    ProxyError,
    as_proxy_error,
    bad,
    dump,
)
from equipoise.systems.stream_aligner.proxy.upstream_parts import UpstreamFailed


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "invalid_request_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (502, "upstream_error"),
        (503, "overloaded_error"),
        (504, "upstream_error"),
    ],
)
def test_the_whole_answer_of_an_error(status, kind):
    response = ProxyError(status, "No.", param="n", code="wrong").response()
    error = {"message": "No.", "type": kind, "param": "n", "code": "wrong"}
    assert response.status_code == status
    assert json.loads(bytes(response.body)) == {"error": error}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in response.headers) is (status == 401)
    bare = ProxyError(status, "No.").body()["error"]
    assert bare == {**error, "param": None, "code": None}


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(0, None), (0.01, "1"), (1.0, "1"), (7.2, "8"), (3600, "3600"), (math.inf, "86400")],
)
def test_retry_after_is_whole_seconds_rounded_up(seconds, header):
    response = ProxyError(429, "Slow down.", retry_after=seconds).response()
    assert response.headers.get("retry-after") == header


def test_a_field_at_fault_is_named_and_a_body_at_fault_has_none():
    field, body = bad("n must be 1", "n"), bad("no JSON")
    assert (field.status, field.param, field.code) == (400, "n", "invalid_value")
    assert (body.status, body.param, body.code) == (400, None, "invalid_body")


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (UpstreamFailed("m"), 502, "upstream_error", 0),
        (UpstreamFailed("m", retry_after=9.5), 502, "upstream_error", 9.5),
        (UpstreamFailed("m", 504, "upstream_timeout"), 504, "upstream_timeout", 0),
        (UpstreamFailed("m", 429, "upstream_refused", 7), 429, "upstream_refused", 7),
        (UpstreamFailed("m", 401, "upstream_refused"), 401, "upstream_refused", 0),
        (QueueFull("m"), 503, "queue_full", 1),
        (RateExceeded("m", 12.5), 429, "rate_limit", 12.5),
        (InvalidInput("m"), 400, "invalid_value", 0),
        (RunFailed("m"), 502, "upstream_error", 0),
        (ProxyError(413, "m", code="too_large"), 413, "too_large", 0),
    ],
)
def test_each_fault_has_its_status_its_code_and_its_words(error, status, code, retry_after):
    found = as_proxy_error(error)
    assert (found.status, found.code, found.retry_after) == (status, code, retry_after)
    assert str(found) == "m"


@pytest.mark.parametrize("error", [KeyError("sk-secret"), OSError("/home/me"), ValueError("text")])
def test_nothing_of_an_unforeseen_error_is_told(error):
    found = as_proxy_error(error)
    assert (found.status, found.code) == (500, "internal_error")
    assert error.args[0] not in str(found.body())


@given(st.lists(st.sampled_from([*'a"\\\n', "\u00e9", "\u2028", "\U0001f642", "\ud83d", "\ude42"])))
def test_what_is_written_is_utf8_on_one_line_whatever_stood_in_it(characters):
    text = "".join(characters)
    joined = re.sub("\ud83d\ude42", "\U0001f642", text)
    mended = re.sub("[\ud800-\udfff]", "\ufffd", joined)
    written = dump({text: [text, 1, None]})
    assert json.loads(written.decode()) == {mended: [mended, 1, None]}
    assert b"\n" not in written
