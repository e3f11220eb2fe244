"""Capability from votes and ratings: scales, leagues, unbounded models, replicates."""

import json

import numpy as np
import pytest

from equipoise.core.errors import InvalidInput, MissingData, RunFailed
from equipoise.preference.ratings import count_battles, read_votes
from equipoise.systems.libra import capability, rate_file
from equipoise.systems.libra.capability import (
    ANCHOR_RATING,
    Scale,
    choose_scale,
    count_votes,
    place_ratings,
    rate_votes,
)
from equipoise.systems.libra.vote_file import ballots


def counts_of(*games):
    flat = [(a, b, o) for a, b, o, times in games for _ in range(times)]
    return count_battles(*zip(*flat))


CHAIN = counts_of(("A", "B", "a", 30), ("A", "B", "b", 10), ("B", "C", "a", 20), ("B", "C", "b", 5))


def choose(**changes):
    usual = {
        "has_tasks": False, "has_votes": False, "capability": "auto", "reference": None,
        "anchors": None, "minmax": False, "outside": False,
    }  # fmt: skip
    return choose_scale(**(usual | changes))


def test_auto_prefers_votes_where_a_reference_is_named_and_else_tasks():
    assert choose() is None
    assert choose(has_tasks=True) == "tasks"
    assert choose(has_votes=True) is None
    assert choose(has_tasks=True, has_votes=True) == "tasks"
    both = {"has_tasks": True, "has_votes": True, "reference": "A"}
    assert choose(**both) == Scale("winrate", "A")
    assert choose(**both, anchors=(1, 2)) == Scale("elo", "A", (1.0, 2.0))
    assert choose(**both, capability="tasks") == "tasks"
    assert choose(has_votes=True, minmax=True) == Scale("minmax")
    assert choose(outside=True) == Scale("given")


@pytest.mark.parametrize(
    "anchors", [(1200, 800), (1000, 1000), (0, float("inf")), (float("nan"), 1)]
)
def test_anchors_must_be_finite_and_rising(anchors):
    with pytest.raises(InvalidInput, match="LOW must be finite and below HIGH"):
        choose(has_votes=True, reference="A", anchors=anchors)


@pytest.mark.parametrize(
    ("anchors", "message"),
    [
        (("x", "y"), "anchors is .* it must hold numbers"),
        ((1, 2, 3), r"anchors are \[1.0, 2.0, 3.0\]; needed are two numbers"),
        ((1,), "needed are two numbers"),
        (5, "needed are two numbers"),
    ],
)
def test_anchors_are_two_numbers(anchors, message):
    with pytest.raises(InvalidInput, match=message):
        choose(has_votes=True, reference="A", anchors=anchors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minmax": True}, "min-max needs ratings"),
        ({"minmax": True, "has_tasks": True}, "min-max needs ratings"),
        ({"capability": "winrate", "has_votes": True, "reference": "A", "anchors": (1, 2)},
         "winrate is a probability"),
        ({"capability": "winrate", "has_votes": True, "reference": "A", "minmax": True},
         "winrate is a probability"),
        ({"capability": "winrate", "outside": True}, "'winrate' takes nothing from given"),
        ({"capability": "tasks", "outside": True}, "'tasks' takes nothing from given"),
        ({"capability": "elo", "outside": True}, "needs anchors LOW HIGH or min-max"),
        ({"has_votes": True, "reference": "A", "minmax": True, "anchors": (1, 2)}, "exclude each"),
    ],
)  # fmt: skip
def test_no_option_is_dropped_in_silence(options, message):
    with pytest.raises(InvalidInput, match=message):
        choose(**options)


def test_the_published_min_max_is_no_request():
    assert choose(published=True, has_tasks=True) == "tasks"
    assert choose(published=True, has_votes=True) == Scale("minmax")
    assert choose(published=True, outside=True) == Scale("minmax")


def test_places_on_each_scale():
    ratings = np.array([800.0, 1000.0, 1100.0, np.inf, -np.inf, np.nan])
    winrate = Scale("winrate", "A").place(ratings)
    np.testing.assert_allclose(winrate[:5], [1 / (1 + 10**0.5), 0.5, 0.6400650, 1, 0], atol=1e-6)
    anchored = Scale("elo", "A", (900.0, 1100.0)).place(ratings)
    np.testing.assert_array_equal(anchored[:5], [0, 0.5, 1, 1, 0])
    minmax = Scale("minmax").place(ratings[None, :])[0]
    np.testing.assert_allclose(minmax[:3], [0, 2 / 3, 1])
    assert np.isnan(minmax[3:]).all()
    assert np.isnan([winrate[5], anchored[5]]).all()


def test_minmax_replicates_are_normalised_each_by_itself():
    placed = Scale("minmax").place(np.array([[0.0, 1.0, 2.0], [5.0, 5.0, 9.0]]))
    np.testing.assert_allclose(placed, [[0, 0.5, 1], [0, 0, 1]])


def test_rated_votes_are_the_same_whoever_else_is_listed():
    scale = Scale("elo", "B", (800.0, 1200.0))
    some = rate_votes(CHAIN, scale, ["A", "B"], replicates=50, seed=1)
    all_three = rate_votes(CHAIN, scale, ["A", "B", "C"], replicates=50, seed=1)
    assert some.values["A"] == all_three.values["A"]
    np.testing.assert_array_equal(some.samples["A"], all_three.samples["A"])
    assert all_three.values["B"] == 0.5
    assert some.warnings == ()


def test_replicates_scatter_around_the_value():
    rated = rate_votes(CHAIN, Scale("winrate", "B"), ["A", "C"], replicates=800, seed=2)
    assert rated.values["A"] == pytest.approx(0.75)
    assert rated.values["C"] == pytest.approx(0.2)
    assert np.nanmean(rated.samples["A"]) == pytest.approx(0.75, abs=0.02)
    assert 0.04 < np.nanstd(rated.samples["A"]) < 0.1


def test_a_reference_that_only_won_or_never_played_is_refused():
    unbounded = counts_of(("A", "B", "a", 3), ("B", "C", "a", 1), ("B", "C", "b", 1))
    with pytest.raises(InvalidInput, match="'A' has no rating"):
        rate_votes(unbounded, Scale("winrate", "A"), ["A", "B"], replicates=0, seed=0)
    with pytest.raises(InvalidInput, match="unknown reference 'Z'"):
        rate_votes(CHAIN, Scale("winrate", "Z"), ["A"], replicates=0, seed=0)


def test_without_a_reference_the_league_of_most_listed_models_counts():
    two = counts_of(
        ("A", "B", "a", 2), ("A", "B", "b", 1), ("B", "C", "a", 2), ("B", "C", "b", 1),
        ("X", "Y", "a", 1), ("X", "Y", "b", 1),
    )  # fmt: skip
    rated = rate_votes(two, Scale("minmax"), ["A", "B", "C", "X"], replicates=0, seed=0)
    assert rated.values["X"] is None
    assert rated.notes["X"] == "no chain of battles connects it with most models"
    assert (rated.values["A"], rated.values["C"]) == (1.0, 0.0)


def test_a_fit_that_did_not_converge_is_not_published(monkeypatch):
    from dataclasses import replace

    from equipoise.preference.ratings import fit_bradley_terry

    def stuck(*args, **options):
        return replace(fit_bradley_terry(*args, **options), converged=False, residual=0.5)

    monkeypatch.setattr(capability, "fit_bradley_terry", stuck)
    with pytest.raises(RunFailed, match="without converging"):
        rate_votes(CHAIN, Scale("winrate", "B"), ["A"], replicates=0, seed=0)


def test_votes_are_counted_from_rows_files_and_objects(tmp_path):
    rows = [{"model_a": "A", "model_b": "B", "outcome": "a"}] * 2
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,outcome\nA,B,a\nA,B,a\n")
    for votes in (rows, path, str(path), read_votes(path), count_votes(rows)):
        counts = count_votes(votes)
        assert counts.models == ("A", "B")
        assert counts.battles == 2
    with pytest.raises(MissingData):
        count_votes(tmp_path / "none.csv")


def test_rows_of_votes_count_as_the_rows_of_a_file_do(tmp_path):
    names = {"model_a": "A", "model_b": "B"}
    rows = [
        {**names, "outcome": "a", "weight": 3},
        {**names, "outcome": "a", "counted": False},
        {**names, "outcome": "b", "ballot": "safer"},
        {"left": "A", "right": "B", "winner": "tie (bothbad)"},
    ]
    path = tmp_path / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for ballot in (None, "safer"):
        told, filed = (count_votes(votes, ballot=ballot) for votes in (rows, path))
        assert told.wins.tolist() == filed.wins.tolist()
        assert told.both_bad.tolist() == filed.both_bad.tolist()
    assert count_votes(rows).wins.tolist() == [[3.0, 0.0]]
    with pytest.raises(InvalidInput, match="row 1: outcome 'x' is not one of"):
        count_votes([rows[0], {**names, "outcome": "x"}])
    with pytest.raises(InvalidInput, match="row 0: is int; a vote is an object"):
        count_votes([1])


def test_outside_ratings_bring_their_own_origin():
    scale = Scale("elo", "A", (1100.0, 1300.0))
    placed = place_ratings({"A": 1200.0, "B": 1400.0}, scale, ["A", "B", "C"])
    assert placed.values == {"A": 0.5, "B": 1.0, "C": None}
    assert placed.samples == {}
    assert ANCHOR_RATING == 1000.0
    with pytest.raises(InvalidInput, match="unknown reference 'Z'"):
        place_ratings({"A": 1200.0}, Scale("elo", "Z", (0.0, 1.0)), ["A"])
    with pytest.raises(InvalidInput, match="not a finite number"):
        place_ratings({"A": float("nan")}, Scale("given"), ["A"])


VOTES = "model_a,model_b,outcome,ballot\nA,B,a,safer\nA,B,b,safer\nA,B,b,helpful\n"
RECORD = {
    "prompt": "q", "response_a": "x", "response_b": "y", "models": ["A", "B"],
    "winners": {"safer": "a"},
}  # fmt: skip


@pytest.mark.parametrize("read", [rate_file, lambda path, ballot: count_votes(path, ballot=ballot)])
def test_a_ballot_that_the_file_lacks_is_refused_with_the_nearest(tmp_path, read):
    path = tmp_path / "v.csv"
    path.write_text(VOTES)
    with pytest.raises(
        InvalidInput, match=r"'saver': did you mean 'safer'\? Valid: helpful, safer"
    ):
        read(path, ballot="saver")
    read(path, ballot="safer")
    path.write_text("model_a,model_b,outcome\n")
    read(path, ballot="saver")


def test_the_ballots_of_records(tmp_path):
    path = tmp_path / "v.jsonl"
    path.write_text(json.dumps(RECORD) + "\n")
    assert ballots(path) == ["safer"]
