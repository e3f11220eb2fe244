"""Feedback and origin: their normal form, their places in a record, and what they refuse."""

import json
from collections import OrderedDict
from dataclasses import replace

import pytest

from equipoise.preference.comparisons import (
    Comparison,
    Feedback,
    FieldProblem,
    Origin,
    Rating,
    Segment,
    from_pair,
)


def test_equal_feedback_is_spelt_equally_whatever_the_order_of_its_dimensions():
    one = Feedback(OrderedDict(b="2", a="1"), {"z": "4", "y": "3"})
    two = Feedback({"a": "1", "b": "2"}, OrderedDict(y="3", z="4"))
    assert one == two
    assert json.dumps(one.to_json()) == json.dumps(two.to_json())
    assert list(one.to_json()["critique"]) == ["a", "b"]


def test_a_refinement_may_be_given_as_words_and_is_kept_as_segments():
    said = Feedback(refinement="better")  # type: ignore[arg-type]
    assert said.refinement == (Segment(text="better"),)
    assert said.to_json()["refinement"] == [{"modality": "text", "text": "better"}]
    assert Feedback().to_json() == {"critique": {}, "suggestion": {}, "refinement": None}


def test_later_changes_of_what_was_given_do_not_reach_a_record():
    critique, flags, extra = {"overall": "short"}, ["late"], {"tags": ["x"]}
    record = replace(
        from_pair("p", "1", "2"),
        feedback={"a": Feedback(critique)},
        origin=Origin(flags=flags),  # type: ignore[arg-type]
        extra=extra,
    )
    before = json.dumps(record.to_json())
    critique["overall"] = "long"
    flags.append("not_counted")
    extra["tags"].append("y")
    assert json.dumps(record.to_json()) == before
    record.to_json()["extra"]["tags"].append("z")
    assert json.dumps(record.to_json()) == before


def test_feedback_and_origin_may_be_given_as_objects():
    feedback = {"critique": {"overall": "dull"}, "refinement": ["brighter"]}
    origin = {"source": "libra", "flags": ["not_counted"], "unheard": 1}
    record = Rating("1", "p", "r", feedback=feedback, origin=origin)  # type: ignore[arg-type]
    assert record.feedback == Feedback({"overall": "dull"}, {}, (Segment(text="brighter"),))
    assert record.origin == Origin("libra", flags=("not_counted",))
    assert "unheard" not in record.to_json()["origin"]


def test_an_origin_is_spelt_with_all_its_keys():
    origin = Origin("s", "who", "CC0-1.0", "sv", "2026-01-01", ("x", "y"))
    spelt = origin.to_json()
    assert list(spelt) == ["source", "annotator", "licence", "language", "time", "flags"]
    assert spelt["flags"] == ["x", "y"]
    assert Origin(**{**spelt, "flags": tuple(spelt["flags"])}) == origin
    assert hash(Origin("s")) == hash(Origin("s"))


@pytest.mark.parametrize(
    ("field", "value", "place", "problem"),
    [
        ("feedback", {"a": "good"}, "feedback.a", "must be an object, got a string"),
        ("feedback", {"a": None}, "feedback.a", "must be an object, got null"),
        ("feedback", {1: {}}, "feedback", "must have strings as keys, got 1"),
        (
            "feedback",
            {"b": {"suggestion": ["x"]}},
            "feedback.b.suggestion",
            "must be an object, got a list",
        ),
        (
            "feedback",
            {"b": {"critique": {"x": None}}},
            "feedback.b.critique.x",
            "must be a string, got null",
        ),
        (
            "feedback",
            {"b": {"refinement": [{"modality": "image", "data": "?"}]}},
            "feedback.b.refinement[0].data",
            "is not base64",
        ),
        ("origin", None, "origin", "must be an object, got null"),
        ("origin", {"source": None}, "origin.source", "must be a string, got null"),
        ("origin", {"licence": True}, "origin.licence", "must be a string, got a boolean"),
        ("origin", {"flags": ["x", 2]}, "origin.flags[1]", "must be a string, got a number"),
        ("origin", {"flags": {"x": 1}}, "origin.flags", "must be a list of strings, got an object"),
        ("origin", {"flags": 4}, "origin.flags", "must be a list of strings, got a number"),
        ("extra", {"x": {"y": {1}}}, "extra.x.y", "must be JSON data, got set"),
        ("extra", {"x": [{2: 3}]}, "extra.x[0]", "must have strings as keys, got 2"),
        (
            "scores",
            {"x": [1, None, 2]},
            "scores.x",
            "must be a list of two (a, then b), got 3 entr",
        ),
        ("scores", {"x": [1, 1e309]}, "scores.x[1]", "must be a finite number, got inf"),
        ("winners", {"x": "B"}, "winners.x", "did you mean 'b'?"),
        ("safe", [None, "no"], "safe[1]", "must be true, false or null, got a string"),
    ],
)
def test_the_place_and_the_problem_are_named(field, value, place, problem):
    plain = from_pair("p", "1", "2").to_json()
    with pytest.raises(FieldProblem) as caught:
        Comparison.from_json({**plain, field: value})
    assert caught.value.field == place
    assert problem in caught.value.problem
    assert str(caught.value) == f"{place}: {caught.value.problem}"
