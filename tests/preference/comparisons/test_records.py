"""Records: construction, normal form, JSON and back, swapping, pairs, single ratings."""

# Constructors also take strings, lists and bytes and bring them to the declared form.
# pyright: reportArgumentType=false

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.preference.comparisons import (
    Comparison,
    Feedback,
    FieldProblem,
    Origin,
    Rating,
    Segment,
    from_pair,
    ratings_of,
    to_pair,
)

FULL = {
    "schema": "equipoise.comparison/1",
    "kind": "comparison",
    "id": "q17-3",
    "prompt": [{"modality": "text", "text": "draw a large red disc", "role": "user"}],
    "response_a": [
        {"modality": "image", "path": "media/9f3a.png", "media_type": "image/png", "sha256": "9f3a"}
    ],
    "response_b": [{"modality": "image", "data": "iVBORw0=", "media_type": "image/png"}],
    "winner": "a",
    "probability": 0.83,
    "winners": {"instruction_following": "a", "safety": "tie"},
    "scores": {"instruction_following": [3, 1], "safety": [3, None]},
    "safe": [True, None],
    "feedback": {
        "b": {
            "critique": {"overall": "colour should be red"},
            "suggestion": {"overall": "change the colour to red"},
            "refinement": [{"modality": "image", "path": "media/77c0.png"}],
        }
    },
    "models": ["m-1", None],
    "weight": 1.0,
    "origin": {
        "source": "libra",
        "annotator": "salted-1c9e",
        "licence": "CC-BY-4.0",
        "language": "en",
        "time": "2026-11-23T15:00:00Z",
        "flags": [],
    },
    "extra": {},
}

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
numbers = st.floats(allow_nan=False, allow_infinity=False)
winners = st.sampled_from(["a", "b", "tie", "both_bad", None])
free = st.recursive(
    st.none() | st.booleans() | numbers | st.integers() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
roles = st.sampled_from(["system", "user", "assistant", "tool", None])
media_names = st.sampled_from(["media/a.png", "b.wav", "deep/er/clip.mp4", "ü ü.npz", "..a/b..c"])
segments = st.one_of(
    st.builds(Segment, st.sampled_from(["text", "action"]), text=text, role=roles),
    st.builds(
        Segment,
        st.sampled_from(["image", "audio", "video", "behaviour"]),
        path=media_names,
        media_type=st.none() | text,
        role=roles,
        sha256=st.none() | text,
    ),
    st.builds(Segment, st.just("image"), data=st.binary(max_size=20), role=roles),
)
parts = st.lists(segments, min_size=1, max_size=3).map(tuple)
feedbacks = st.builds(
    Feedback,
    st.dictionaries(text, text, max_size=2),
    st.dictionaries(text, text, max_size=2),
    st.none() | parts,
)
origins = st.builds(
    Origin, text, st.none() | text, st.none() | text, st.none() | text, st.none() | text,
    st.lists(text, max_size=2).map(tuple),
)  # fmt: skip
weights = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
OWN = set(FULL) | {"response", "desirable", "model"}
extras = st.dictionaries(text.filter(lambda key: key not in OWN), free, max_size=3)
comparisons = st.builds(
    Comparison, names, parts, parts, parts, winners,
    st.none() | st.floats(0, 1),
    st.dictionaries(text, st.tuples(st.none() | numbers, st.none() | numbers), max_size=3),
    st.dictionaries(text, winners, max_size=3),
    st.dictionaries(st.sampled_from(["a", "b"]), feedbacks, max_size=2),
    st.tuples(*[st.sampled_from([True, False, None])] * 2),
    st.tuples(st.none() | text, st.none() | text),
    weights, origins, extras,
)  # fmt: skip
single_ratings = st.builds(
    Rating, names, parts, parts, st.sampled_from([True, False, None]),
    st.dictionaries(text, numbers, max_size=3), st.none() | feedbacks,
    st.sampled_from([True, False, None]), st.none() | text, weights, origins, extras,
)  # fmt: skip


def test_full_line_is_read_whole_and_spelt_in_its_key_order():
    record = Comparison.from_json(FULL)
    assert record.scores == {"instruction_following": (3.0, 1.0), "safety": (3.0, None)}
    assert record.feedback["b"].refinement == (Segment("image", path="media/77c0.png"),)
    assert record.origin.annotator == "salted-1c9e"
    assert record.to_json() == FULL
    assert list(record.to_json()) == list(FULL)


def test_defaults_of_absent_keys():
    record = Comparison.from_json({"id": "1", "prompt": "p", "response_a": "a", "response_b": "b"})
    assert record == Comparison(
        "1", (Segment(text="p"),), (Segment(text="a"),), (Segment(text="b"),)
    )
    assert record.winner is None
    assert record.safe == (None, None)
    assert record.weight == 1.0
    assert record.origin == Origin()
    assert record.extra == {}


def test_strings_and_objects_mix_in_a_segment_list():
    obj = {"id": "1", "prompt": ["look", {"modality": "image", "path": "i.png"}], "response": "x"}
    rating = Rating.from_json({**obj, "kind": "rating"})
    assert rating.prompt == (Segment(text="look"), Segment("image", path="i.png"))


def test_unknown_top_level_keys_go_to_extra_and_stay_there():
    obj = {**FULL, "extra": {"z": 1}, "colour": {"b": [1, 2.5]}, "note": None}
    record = Comparison.from_json(obj)
    assert record.extra == {"z": 1, "colour": {"b": [1, 2.5]}, "note": None}
    again = record.to_json()
    assert again["extra"] == dict(record.extra)
    assert "colour" not in again
    assert Comparison.from_json(again) == record


def test_equal_records_are_spelt_equally():
    one = Comparison("1", "p", "a", "b", scores={"x": (1, 2), "y": (3, 4)}, weight=1, probability=1)
    two = Comparison(
        "1", "p", "a", "b", scores={"y": (3.0, 4.0), "x": (1.0, 2.0)}, weight=1.0, probability=1.0
    )
    assert one == two
    assert json.dumps(one.to_json()) == json.dumps(two.to_json())


@given(comparisons | single_ratings)
def test_json_round_trip(record):
    spelt = json.loads(json.dumps(record.to_json()))
    assert type(record).from_json(spelt) == record


@given(comparisons)
def test_swapped_exchanges_everything_and_twice_is_identity(record):
    other = record.swapped()
    assert (other.response_a, other.response_b) == (record.response_b, record.response_a)
    assert other.models == record.models[::-1]
    assert other.safe == record.safe[::-1]
    assert set(other.feedback) == {{"a": "b", "b": "a"}[side] for side in record.feedback}
    assert all(other.scores[name] == pair[::-1] for name, pair in record.scores.items())
    assert other.swapped() == record
    if record.winner in ("a", "b"):
        assert (other.chosen, other.rejected) == (record.chosen, record.rejected)
    else:
        assert other.winner == record.winner


def test_swapped_probability_is_the_complement():
    record = Comparison("1", "p", "a", "b", probability=0.83)
    assert record.swapped().probability == pytest.approx(0.17)
    changed = dataclasses.replace(record.swapped(), probability=0.25)
    assert changed.swapped().probability == 0.75


@pytest.mark.parametrize("winner", ["tie", "both_bad", None])
def test_chosen_and_rejected_exist_only_for_a_decision(winner):
    record = Comparison("q9", "p", "x", "y", winner=winner)
    for name in ("chosen", "rejected"):
        with pytest.raises(InvalidInput, match=r"'q9'.*only winner 'a' or 'b'"):
            getattr(record, name)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": [5]}, "prompt[0]"),
        ({"response_a": {"modality": "text", "text": "x"}}, "response_a"),
        ({"response_a": [{"modality": "smell", "text": "x"}]}, "response_a[0].modality"),
        ({"response_a": [{"modality": "text"}]}, "response_a[0].text"),
        ({"response_a": [{"modality": "text", "text": None}]}, "response_a[0].text"),
        ({"response_a": [{"modality": "text", "text": "x", "path": "p"}]}, "response_a[0].path"),
        ({"response_b": [{"modality": "image"}]}, "response_b[0].path"),
        (
            {"response_b": [{"modality": "image", "path": "p", "data": "AA=="}]},
            "response_b[0].path",
        ),
        ({"response_b": ["ok", {"modality": "image", "data": "A"}]}, "response_b[1].data"),
        ({"response_b": [{"modality": "image", "data": "A A="}]}, "response_b[0].data"),
        (
            {"response_b": [{"modality": "text", "text": "x", "role": "judge"}]},
            "response_b[0].role",
        ),
        ({"winner": "c"}, "winner"),
        ({"winner": True}, "winner"),
        ({"winners": {"safety": "x"}}, "winners.safety"),
        ({"winners": []}, "winners"),
        ({"kind": "compare"}, "kind"),
        ({"schema": "equipoise.comparison/2"}, "schema"),
        ({"schema": "other/1"}, "schema"),
        ({"schema": None}, "schema"),
        ({"probability": 1.01}, "probability"),
        ({"probability": -0.1}, "probability"),
        ({"probability": "0.5"}, "probability"),
        ({"probability": float("nan")}, "probability"),
        ({"weight": -1}, "weight"),
        ({"weight": None}, "weight"),
        ({"weight": float("inf")}, "weight"),
        ({"weight": 10**400}, "weight"),
        ({"weight": True}, "weight"),
        ({"scores": {"x": 3}}, "scores.x"),
        ({"scores": {"x": [1, 2, 3]}}, "scores.x"),
        ({"scores": {"x": [1, "2"]}}, "scores.x[1]"),
        ({"safe": [True]}, "safe"),
        ({"safe": [1, 0]}, "safe[0]"),
        ({"models": "m"}, "models"),
        ({"models": [1, None]}, "models[0]"),
        ({"feedback": {"c": {}}}, "feedback.c"),
        ({"feedback": {"a": {"critique": {"x": 1}}}}, "feedback.a.critique.x"),
        ({"feedback": {"a": {"refinement": []}}}, "feedback.a.refinement"),
        (
            {"feedback": {"b": {"refinement": [{"modality": "image", "path": "/x"}]}}},
            "feedback.b.refinement[0].path",
        ),
        ({"origin": "libra"}, "origin"),
        ({"origin": {"time": 5}}, "origin.time"),
        ({"origin": {"flags": "x"}}, "origin.flags"),
        ({"extra": []}, "extra"),
        ({"extra": {"x": [float("inf")]}}, "extra.x[0]"),
        ({"unheard": float("nan")}, "extra.unheard"),
    ],
)
def test_a_bad_field_is_named(change, field):
    with pytest.raises(FieldProblem) as caught:
        Comparison.from_json({**FULL, **change})
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["id", "prompt", "response_a", "response_b"])
def test_a_missing_required_key_is_named(key):
    with pytest.raises(InvalidInput, match=f"{key}: is missing"):
        Comparison.from_json({name: value for name, value in FULL.items() if name != key})


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/x.png", "../x.png", "a/../../x.png", "a\\b.png", "C:/x.png", "c:x.png", "a/..", ""),
        *("http://host/x.png", "data:image/png;base64,AA", "file:x", "a\0b"),
    ],
)
def test_paths_outside_the_folder_are_refused(path):
    with pytest.raises(InvalidInput, match="path"):
        Segment("image", path=path)


@pytest.mark.parametrize(
    "path", ["a.png", "media/a..b.png", "..a/x", "a b/ü.png", "./a.png", "a/b:c"]
)
def test_paths_inside_the_folder_are_kept(path):
    assert Segment("image", path=path).path == path


def test_a_rating_has_its_own_fields():
    obj = {
        "kind": "rating",
        "id": "1",
        "prompt": "p",
        "response": "r",
        "desirable": False,
        "scores": {"x": 2},
        "feedback": {"critique": {"overall": "short"}},
        "model": "m",
    }
    rating = Rating.from_json(obj)
    assert rating.feedback == Feedback(critique={"overall": "short"})
    assert rating.scores == {"x": 2.0}
    assert list(rating.to_json()) == [
        *("schema", "kind", "id", "prompt", "response", "desirable", "scores", "safe"),
        *("feedback", "model", "weight", "origin", "extra"),
    ]
    with pytest.raises(InvalidInput, match="desirable: must be true, false or null"):
        Rating.from_json({**obj, "desirable": "yes"})
    with pytest.raises(InvalidInput, match="kind: is 'rating'"):
        Comparison.from_json(obj)


def test_minor_versions_of_the_schema_are_read():
    assert Comparison.from_json({**FULL, "schema": "equipoise.comparison/1.4"}).id == "q17-3"


def test_pairs_of_texts_and_of_messages_round_trip():
    texts = {"prompt": "2+2?", "chosen": "4", "rejected": "5"}
    assert to_pair(from_pair(**texts)) == texts
    chat = {
        "prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "chosen": [{"role": "assistant", "content": "c"}],
        "rejected": [{"role": "assistant", "content": "r"}],
    }
    record = from_pair(**chat)
    assert record.winner == "a"
    assert to_pair(record) == chat
    assert to_pair(record.swapped()) == chat
    assert record.id == from_pair(**chat).id != from_pair(**texts).id
    assert from_pair("p", "c", "r", id="mine").id == "mine"


def test_pairs_refuse_what_they_cannot_hold():
    with pytest.raises(InvalidInput, match=r"chosen\[0\] must be a chat message"):
        from_pair("p", [{"role": "assistant"}], "r")
    with pytest.raises(InvalidInput, match="rejected must be a text or"):
        from_pair("p", "c", [])
    with pytest.raises(InvalidInput, match="prompt has a segment of modality 'image'"):
        to_pair(Comparison("1", [Segment("image", path="i.png")], "a", "b", winner="a"))
    with pytest.raises(InvalidInput, match="winner"):
        to_pair(Comparison("1", "p", "a", "b", winner="tie"))


@pytest.mark.parametrize(
    ("winner", "desirable"),
    [
        *(("a", (True, False)), ("b", (False, True)), ("both_bad", (False, False))),
        *(("tie", (None, None)), (None, (None, None))),
    ],
)
def test_ratings_of_a_comparison(winner, desirable):
    record = Comparison.from_json({**FULL, "winner": winner})
    first, second = ratings_of(record)
    assert (first.desirable, second.desirable) == desirable
    assert (first.response, second.response) == (record.response_a, record.response_b)
    assert first.scores == {"instruction_following": 3.0, "safety": 3.0}
    assert second.scores == {"instruction_following": 1.0}
    assert first.feedback is None
    assert second.feedback == record.feedback["b"]
    assert (first.model, second.model) == ("m-1", None)
    assert first.id != second.id
