"""Paths and inline bytes of a segment, against the path and base64 modules of the library."""

# Constructors also take bytes and bring them to the declared form.
# pyright: reportArgumentType=false

import base64
import binascii
import re
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.preference.comparisons import FieldProblem, Segment
from equipoise.preference.comparisons.segments import MODALITIES, parse_segments

MEDIA = ("image", "audio", "video", "behaviour")


def _accepted(**fields):
    try:
        Segment("image", **fields)
    except FieldProblem:
        return False
    return True


@given(st.text("ab./\\:~ \n\0-+é0", max_size=9))
@example("a+b:c")
@example("a0-.:c")
@example("-a:c")
def test_a_path_is_kept_exactly_where_it_stays_in_the_folder(path):
    inside = (
        path != ""
        and not PurePosixPath(path).is_absolute()
        and ".." not in path.split("/")
        and not re.match("[A-Za-z][A-Za-z0-9+.-]*:", path)
        and not set(path) & {"\\", "\0"}
    )
    assert _accepted(path=path) == inside


@given(st.text("AZaz09+/=-_ \n", max_size=9))
def test_inline_text_is_kept_exactly_where_it_is_strict_base64(data):
    try:
        base64.b64decode(data, validate=True)
        strict = len(data) % 4 == 0
    except binascii.Error:
        strict = False
    assert _accepted(data=data) == strict


@given(st.binary(max_size=60), st.sampled_from(MEDIA), st.sampled_from([bytes, bytearray]))
def test_inline_bytes_come_back(payload, modality, kind):
    segment = Segment(modality, data=kind(payload))
    assert segment.read() == payload
    again = Segment(modality, data=segment.data)
    assert again == segment


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_segment_spells_only_what_is_set(modality):
    own = {"path": "x"} if modality in MEDIA else {"text": ""}
    segment = Segment(modality, **own)
    assert segment.to_json() == {"modality": modality, **own}
    full = Segment(modality, **own, media_type="x/y", role="tool", sha256="00")
    assert list(full.to_json()) == ["modality", *own, "media_type", "role", "sha256"]
    assert parse_segments([full.to_json(), full], "prompt") == (full, full)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"modality": "Image", "path": "x"}, r"^modality: .*got 'Image'; did you mean 'image'\?$"),
        ({"modality": None, "text": "x"}, "^modality: must be one of .*got None$"),
        ({"text": b"x"}, "^text: must be a string, got bytes$"),
        ({"text": "x", "role": "asistant"}, r"^role: .*did you mean 'assistant'\?$"),
        ({"text": "x", "media_type": 3}, "^media_type: must be a string, got a number$"),
        ({"modality": "action", "path": "x"}, "^text: is missing; a action segment has text$"),
        ({"modality": "action", "text": "x", "data": ""}, "^data: a action segment has text"),
        ({"modality": "video", "text": "x"}, "^text: a video segment has path or data, not text$"),
        ({"modality": "audio"}, "^path: a audio segment has exactly one of .*got neither$"),
        ({"modality": "audio", "path": "x", "data": ""}, "^path: .*got both$"),
        ({"modality": "audio", "path": 5}, "^path: must be a string, got a number$"),
        ({"modality": "audio", "data": 5}, "^data: must be a string, got a number$"),
        ({"modality": "image", "path": "a" * 99 + "\\"}, r"^path: .*got 'a{56}\.\.\.$"),
    ],
)
def test_what_a_segment_cannot_be_is_said_on_one_line(fields, message):
    with pytest.raises(InvalidInput, match=message):
        Segment(**fields)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (b"text", "prompt[0]"),
        (7, "prompt"),
        ((), "prompt"),
        (iter([]), "prompt"),
        (["fine", None], "prompt[1]"),
        ([["nested"]], "prompt[0]"),
        (["fine", {"text": "x"}, {"modality": "audio", "path": ".."}], "prompt[2].path"),
    ],
)
def test_the_place_of_a_bad_segment_is_named(value, field):
    with pytest.raises(FieldProblem) as caught:
        parse_segments(value, "prompt")
    assert caught.value.field == field
