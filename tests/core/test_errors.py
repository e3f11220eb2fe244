"""The root error, its kinds, and the nearest valid name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import (
    EquipoiseError,
    InvalidInput,
    MissingData,
    MissingExtra,
    RunFailed,
    nearest,
    unknown_name,
)


@pytest.mark.parametrize(
    ("kind", "standard", "code"),
    [
        (InvalidInput, ValueError, 2),
        (MissingExtra, ImportError, 1),
        (MissingData, FileNotFoundError, 1),
        (RunFailed, RuntimeError, 1),
    ],
)
def test_kinds_are_also_the_standard_ones(kind, standard, code):
    error = kind("what, allowed, do")
    assert isinstance(error, EquipoiseError)
    assert isinstance(error, standard)
    assert str(error) == "what, allowed, do"
    assert error.exit_code == code


@pytest.mark.parametrize(
    ("name", "valid", "answer"),
    [
        ("tinny", ["tiny", "small", "paper"], "tiny"),
        ("tin", ["tiny", "small", "paper"], "tiny"),
        ("papper", ["tiny", "small", "paper"], "paper"),
        ("SMALL", ["tiny", "small"], "small"),
        ("stream_aligner", ["stream-aligner", "libra"], "stream-aligner"),
        ("Stream Aligner", ["stream-aligner", "libra"], "stream-aligner"),
        ("smol", ["smollm2-135m", "all-minilm-l6-v2"], "smollm2-135m"),
        ("demoo", ["demo", "train"], "demo"),
        ("presett", ["p", "rate"], None),
        ("qqq", ["tiny", "small"], None),
        ("", ["tiny"], None),
        ("tiny", [], None),
    ],
)
def test_nearest(name, valid, answer):
    assert nearest(name, valid) == answer


@given(st.lists(st.text(min_size=1), min_size=1, unique_by=str.casefold))
def test_a_valid_name_is_nearest_to_itself(valid):
    for name in valid:
        close = nearest(name, valid)
        assert close is not None
        fold = [c.casefold().replace("-", "_").replace(" ", "_") for c in (close, name)]
        assert fold[0] == fold[1]


def test_unknown_name_says_nearest_and_all():
    assert str(unknown_name("room", "libr", ["libra", "mpo"])) == (
        "unknown room 'libr': did you mean 'libra'? Valid: libra, mpo"
    )
    assert str(unknown_name("room", "zzz", ["libra"])) == "unknown room 'zzz'. Valid: libra"
    assert str(unknown_name("room", 3, [])) == "unknown room '3'. Valid: (none)"
    assert isinstance(unknown_name("room", "x", iter(["y"])), InvalidInput)
