"""Chosen and rejected: pairs of any text, their identifiers, and ratings made of comparisons."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.preference.comparisons import (
    Comparison,
    Feedback,
    Origin,
    Segment,
    from_pair,
    ratings_of,
    read_comparisons,
    to_pair,
    write_comparisons,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": texts}
)
few = st.sampled_from(["", "a", "aa", [{"role": "user", "content": "a"}]])
turns = texts | st.lists(messages, min_size=1, max_size=3)


@given(turns, turns, turns)
def test_a_pair_comes_back_as_it_was_whichever_side_won(prompt, chosen, rejected):
    pair = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    record = from_pair(prompt, chosen, rejected)
    assert to_pair(record) == to_pair(record.swapped()) == pair
    assert to_pair(Comparison.from_json(record.to_json())) == pair
    turned = replace(record, winner="b")
    assert to_pair(turned) == {"prompt": prompt, "chosen": rejected, "rejected": chosen}


@given(st.lists(st.tuples(few, few, few), min_size=2, max_size=12))
def test_identifiers_are_equal_exactly_where_pairs_are(pairs):
    ids = {}
    for pair in pairs:
        name = from_pair(*pair).id
        assert ids.setdefault(name, pair) == pair
        assert from_pair(*pair).id == name


def test_what_stands_on_which_side_enters_the_identifier():
    names = [
        from_pair("p", "1", "2").id,
        from_pair("p", "2", "1").id,
        from_pair("p1", "", "2").id,
        from_pair("p", [{"role": "user", "content": "1"}], "2").id,
        from_pair("p", [{"role": "assistant", "content": "1"}], "2").id,
    ]
    assert len(set(names)) == len(names)


def test_segments_without_roles_become_messages_of_the_usual_speaker():
    record = Comparison(
        "1",
        (Segment(text="look"), Segment(text="quiet", role="system"), Segment(text="again")),
        (Segment(text="yes"), Segment(text="sir")),
        (Segment(text="no"),),
        winner="a",
    )
    roles = [message["role"] for message in to_pair(record)["prompt"]]  # type: ignore[index]
    assert roles == ["user", "system", "user"]
    assert to_pair(record)["chosen"] == [
        {"role": "assistant", "content": "yes"},
        {"role": "assistant", "content": "sir"},
    ]
    assert to_pair(record)["rejected"] == "no"


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((b"p", "c", "r"), r"^prompt\[0\] must be a chat message"),
        (({"role": "user", "content": "x"}, "c", "r"), "^prompt must be a text or a non-empty"),
        (("p", ["words"], "r"), r"^chosen\[0\] must be a chat message"),
        (("p", "c", [{"role": "user", "content": None}]), r"^rejected\[0\] must be a chat"),
        (("p", None, "r"), "^chosen must be a text"),
        (("p", [{"role": "bot", "content": "x"}], "r"), r"^chosen\[0\]\.role: must be .*'bot'"),
    ],
)
def test_what_is_no_pair_is_refused(pair, message):
    with pytest.raises(InvalidInput, match=message):
        from_pair(*pair)


def test_an_action_is_no_text_of_a_pair():
    record = replace(
        from_pair("p", "c", "r", id="q7"), response_b=(Segment("action", text="left"),)
    )
    with pytest.raises(InvalidInput, match="record 'q7': rejected has a segment of modality 'act"):
        to_pair(record)


@pytest.mark.parametrize("winner", ["a", "b", "tie", "both_bad", None])
def test_ratings_keep_what_belongs_to_both_and_survive_a_file(tmp_path, winner):
    record = replace(
        from_pair("p", "one", "two", id="q:1"),
        winner=winner,
        scores={"x": (1.0, None), "y": (None, None), "z": (0.0, 2.0)},
        safe=(False, None),
        models=("m", None),
        weight=2.5,
        feedback={"a": Feedback({"overall": "ü"})},
        origin=Origin("test", flags=("not_counted",)),
        extra={"k": [1]},
    )
    first, second = ratings_of(record)
    assert (first.id, second.id) == ("q:1:a", "q:1:b")
    assert (dict(first.scores), dict(second.scores)) == ({"x": 1.0, "z": 0.0}, {"z": 2.0})
    assert (first.safe, second.safe) == (False, None)
    for side in (first, second):
        assert (side.weight, side.origin, side.extra) == (2.5, record.origin, record.extra)
        assert side.prompt == record.prompt
    swapped = ratings_of(record.swapped())
    assert replace(swapped[1], id=first.id) == first
    assert replace(swapped[0], id=second.id) == second
    write_comparisons(tmp_path / "ratings.jsonl.gz", [first, second])
    assert read_comparisons(tmp_path / "ratings.jsonl.gz").records == (first, second)
