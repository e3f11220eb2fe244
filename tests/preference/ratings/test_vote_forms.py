"""The same votes in every form of file, and rows that are no votes in each of them."""

import csv
import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.preference.comparisons import (
    Comparison,
    Origin,
    from_pair,
    write_comparisons,
)
from equipoise.preference.ratings import count_battles, read_votes

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
votes = st.lists(
    st.tuples(
        *(names, names, st.sampled_from(["a", "b", "tie", "both_bad"])),
        st.floats(0, 100),
        st.none() | names,
    ).filter(lambda row: row[0] != row[1]),
    max_size=8,
)
FORMS = ("csv", "left-right csv", "jsonl", "left-right jsonl", "records")
KEYS = {
    "csv": ("model_a", "model_b", "outcome", "weight", "voter"),
    "left-right csv": ("left", "right", "winner", "weight", "worker"),
    "jsonl": ("model_a", "model_b", "winner", "weight", "voter"),
    "left-right jsonl": ("left", "right", "winner", "weight", "worker"),
}
WORDS = {"a": "left", "b": "right", "tie": "tie", "both_bad": "tie (bothbad)"}


def _store(folder, form, rows, packed):
    path = folder / f"votes.{'csv' if 'csv' in form else 'jsonl'}"
    if form == "records":
        records = [
            Comparison(
                *(str(k), "p", "1", "2", outcome),  # type: ignore[arg-type]
                models=(a, b),
                weight=weight,
                origin=Origin("test", voter),
            )
            for k, (a, b, outcome, weight, voter) in enumerate(rows)
        ]
        write_comparisons(path, records)
    else:
        spelt = [(a, b, WORDS[o] if "left" in form else o, w, v) for a, b, o, w, v in rows]
        with path.open("w", encoding="utf-8", newline="") as file:
            if "csv" in form:
                csv.writer(file).writerows([KEYS[form], *spelt])
            else:
                file.writelines(json.dumps(dict(zip(KEYS[form], row))) + "\n" for row in spelt)
    if packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(votes, st.sampled_from(FORMS), st.booleans())
def test_every_form_gives_the_votes_that_were_stored(tmp_path, rows, form, packed):
    found = read_votes(_store(tmp_path, form, rows, packed))
    columns = (found.model_a, found.model_b, found.outcome, found.weight, found.voter)
    assert list(zip(*(column.tolist() for column in columns))) == rows
    assert found.skipped == 0
    counts = count_battles(found.model_a, found.model_b, found.outcome, weights=found.weight)
    assert counts.battles == pytest.approx(sum(weight for *_, weight, _ in rows))


def _csv(tmp_path, text, name="votes.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def _kept(path):
    bad = []
    found = read_votes(path, on_bad=lambda line, problem: bad.append((line, problem)))
    return found.outcome.tolist(), bad


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_and_lines_counted_with_blank_ones(tmp_path, end):
    rows = [
        "",
        "winner, model_b ,model_a",
        "",
        "a,x,y",
        '"b","x ""1"", z",y',
        "",
        "oops,x,y",
        "tie,x,y",
    ]
    outcomes, bad = _kept(_csv(tmp_path, end.join(rows)))
    assert outcomes == ["a", "b", "tie"]
    assert [line for line, _ in bad] == [7]


def test_a_field_too_long_for_csv_costs_its_row_alone(tmp_path):
    text = f"model_a,model_b,outcome\nx,y,a\nx,{'y' * 200_000},a\nx,y,b\n"
    outcomes, bad = _kept(_csv(tmp_path, text))
    assert outcomes == ["a", "b"]
    assert [(line, problem[:7]) for line, problem in bad] == [(3, "not CSV")]


def test_outcome_goes_before_winner_and_names_before_left_and_right(tmp_path):
    text = "left,right,model_a,model_b,winner,outcome\nl,r,x,y,left,b\n"
    found = read_votes(_csv(tmp_path, text))
    assert (found.model_a[0], found.model_b[0], found.outcome[0]) == ("x", "y", "b")


def test_json_lines_are_known_by_their_content(tmp_path):
    line = json.dumps({"model_a": "x", "model_b": "y", "outcome": "tie"})
    path = _csv(tmp_path, f"\ufeff\n  {line}\n", "votes.txt")
    assert read_votes(path).outcome.tolist() == ["tie"]


def test_every_row_is_a_vote_of_one_ballot_or_skipped_there(tmp_path):
    rng = np.random.default_rng(0)
    ballots = rng.choice(["helpful", "safer", "", "style"], 200)
    counted = rng.choice(["true", "FALSE", "1", "0", "yes", "No", ""], 200)
    lines = [f"x,y,a,{ballot},{flag}" for ballot, flag in zip(ballots, counted)]
    path = _csv(tmp_path, "\n".join(["model_a,model_b,outcome,ballot,counted", *lines]))
    off = np.isin(counted, ["FALSE", "0", "No"])
    for ballot, mine in (
        (None, np.isin(ballots, ["helpful", ""])),
        ("safer", ballots == "safer"),
        ("style", ballots == "style"),
        ("unheard", np.zeros(200, dtype=bool)),
    ):
        found = read_votes(path, ballot=ballot)
        assert len(found.outcome) == (mine & ~off).sum()
        assert found.skipped == (mine & off).sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": ["a"]}, r"outcome \['a'\] is not one of"),
        ({"outcome": "lef"}, "did you mean 'left'"),
        ({"outcome": None}, "outcome None"),
        ({"model_b": ["y"]}, r"model name \['y'\]"),
        ({"model_a": ""}, "model name ''"),
        ({"model_a": "y"}, "'y' plays against itself"),
        ({"weight": float("nan")}, "weight nan is not a finite number >= 0"),
        ({"weight": -1}, "weight -1"),
        ({"weight": True}, "weight True is not a number"),
        ({"weight": [1]}, r"weight \[1\] is not a number"),
        ({"weight": 10**400}, "is not a number"),
        ({"counted": "perhaps"}, "counted 'perhaps' is not true or false"),
    ],
)
def test_a_bad_value_is_told_with_its_line_and_costs_one_vote(tmp_path, change, message):
    good = {"model_a": "x", "model_b": "y", "outcome": "a"}
    lines = [json.dumps(row) for row in (good, {**good, **change}, good)]
    path = _csv(tmp_path, "\n".join(lines), "votes.jsonl")
    with pytest.raises(InvalidInput, match=rf"votes\.jsonl: line 2: .*{message}") as caught:
        read_votes(path)
    assert "\n" not in str(caught.value)
    outcomes, bad = _kept(path)
    assert outcomes == ["a", "a"]
    assert [line for line, _ in bad] == [2]


@pytest.mark.parametrize("key", ["extra", "unknown"])
def test_a_record_nested_too_deeply_costs_itself_alone(tmp_path, key):
    write_comparisons(tmp_path / "r.jsonl", [replace(from_pair("p", "1", "2"), models=("x", "y"))])
    good = (tmp_path / "r.jsonl").read_text()
    row = {name: value for name, value in json.loads(good).items() if name != key}
    deep = f'{json.dumps(row)[:-1]}, "{key}": {{"k": {"[" * 600}{"]" * 600}}}}}\n'
    path = _csv(tmp_path, good + deep + good, "votes.jsonl")
    assert _kept(path) == (["a", "a"], [(2, "is nested too deeply")])
    with pytest.raises(InvalidInput, match=r"line 2: is nested too deeply$"):
        read_votes(path)
    with pytest.raises(InvalidInput, match=r"^is nested too deeply$"):
        Comparison.from_json(json.loads(deep))


@pytest.mark.parametrize("name", ["votes.jsonl", "votes.csv"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_a_file_of_a_byte_order_mark_holds_no_votes(tmp_path, name, end):
    assert _kept(_csv(tmp_path, f"\ufeff{end}", name)) == ([], [])


@pytest.mark.parametrize(
    ("winners", "ballot", "expected"),
    [
        ({}, None, "a"),
        ({"helpful": "b"}, None, "b"),
        ({"helpful": None}, None, None),
        ({"safer": "tie"}, None, "a"),
        ({"safer": "tie"}, "safer", "tie"),
        ({"safer": None}, "safer", None),
        ({}, "safer", None),
    ],
)
def test_the_ballot_of_a_record_goes_before_its_overall_winner(tmp_path, winners, ballot, expected):
    record = from_pair("p", "1", "2")
    record = replace(record, models=("x", "y"), winners=winners)
    write_comparisons(tmp_path / "records.jsonl", [record])
    found = read_votes(tmp_path / "records.jsonl", ballot=ballot)
    assert found.outcome.tolist() == [expected] * (expected is not None)
    assert found.skipped == (expected is None)
