"""`rate`: the shared form of ratings, from files and counts."""

import json

import numpy as np
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings import count_battles
from equipoise.systems.libra import rate_counts, rate_file
from equipoise.systems.libra.rating import rating_text

ROW_KEYS = {
    "model", "rating", "low", "high", "log_strength", "standard_error", "games", "status", "league",
    "rank_best", "rank_worst",
}  # fmt: skip
FOOD = (
    "P>S B<A T>P S<T B>P A<S T>B P=A S<B A>T B<S T>P S=A B>T P<B A<T B<S T>A P<T S>B A<P B<S T>A "
    "P>S S<B A<T T>P B<A S>T P<B"
)
NAMES = {"P": "Pizza", "S": "Sushi", "B": "Burger", "A": "Pasta", "T": "Tacos"}


def counts_of(*games):
    flat = [(a, b, o) for a, b, o, times in games for _ in range(times)]
    return count_battles(*zip(*flat))


@pytest.fixture
def food(tmp_path):
    outcome = {">": "left", "<": "right", "=": "tie"}
    rows = [f"{NAMES[g[0]]},{NAMES[g[2]]},{outcome[g[1]]}" for g in FOOD.split()]
    path = tmp_path / "food.csv"
    path.write_text("left,right,winner\n" + "\n".join(rows) + "\n")
    return path


def test_food_games(food):
    rated = rate_file(food)
    assert rated["battles"] == 30
    assert rated["ties"] == 2
    weights = {row["model"]: np.exp(row["log_strength"]) for row in rated["models"]}
    total = sum(weights.values())
    expected = {
        "Tacos": 0.4342898, "Sushi": 0.1906003, "Burger": 0.1479767, "Pasta": 0.1281534,
        "Pizza": 0.0989798,
    }  # fmt: skip
    for model, share in expected.items():
        assert weights[model] / total == pytest.approx(share, abs=1e-6)
    assert [row["model"] for row in rated["models"]] == list(expected)


def test_keys_and_json(food):
    rated = rate_file(food)
    assert set(rated) == {
        "models", "leagues", "battles", "ties", "skipped", "tie_model", "tie_parameter",
        "converged", "residual",
    }  # fmt: skip
    assert all(set(row) == ROW_KEYS for row in rated["models"])
    json.dumps(rated, allow_nan=False)
    assert rated["converged"] is True
    assert rated["tie_parameter"] is None
    assert rated["leagues"] == [["Burger", "Pasta", "Pizza", "Sushi", "Tacos"]]


def test_two_players_three_to_one():
    rated = rate_counts(counts_of(("A", "B", "a", 3), ("A", "B", "b", 1)))
    first, second = rated["models"]
    assert first["log_strength"] - second["log_strength"] == pytest.approx(np.log(3), abs=1e-7)
    assert first["rating"] - second["rating"] == pytest.approx(190.8485, abs=1e-4)
    anchored = rate_counts(counts_of(("A", "B", "a", 3), ("A", "B", "b", 1)), anchor="B")
    assert anchored["models"][1]["rating"] == 1000.0
    assert anchored["models"][0]["standard_error"] == pytest.approx(1.1547005, abs=1e-6)


def test_leagues_and_unbounded_models_come_last_with_null():
    rated = rate_counts(
        counts_of(
            ("A", "B", "a", 2), ("A", "B", "b", 1), ("W", "A", "a", 2),
            ("C", "D", "a", 1), ("C", "D", "b", 1),
        )
    )  # fmt: skip
    assert rated["leagues"] == [["A", "B", "W"], ["C", "D"]]
    last = rated["models"][-1]
    assert (last["model"], last["rating"], last["status"]) == ("W", None, "above")
    assert (last["low"], last["rank_best"]) == (None, None)
    by_name = {row["model"]: row for row in rated["models"]}
    assert (by_name["C"]["rank_best"], by_name["C"]["rank_worst"]) == (1, 2)
    assert by_name["C"]["league"] != by_name["A"]["league"]
    assert "2 leagues" in rating_text(rated)


@pytest.mark.parametrize("tie_model", ["davidson", "rao_kupper"])
@pytest.mark.parametrize("interval", ["sandwich", "bootstrap"])
def test_a_tie_parameter_without_bound_is_null(tie_model, interval):
    counts = counts_of(("A", "B", "tie", 3), ("B", "C", "tie", 2))
    rated = rate_counts(counts, tie_model=tie_model, interval=interval, replicates=20)
    assert rated["tie_parameter"] is None
    json.dumps(rated, allow_nan=False)


def test_bootstrap_intervals_hold_the_rating():
    counts = counts_of(("A", "B", "a", 60), ("A", "B", "b", 20))
    rated = rate_counts(counts, interval="bootstrap", replicates=200, anchor="B")
    first = rated["models"][0]
    assert first["low"] < first["rating"] < first["high"]
    assert (first["rank_best"], first["rank_worst"]) == (1, 1)
    again = rate_counts(counts, interval="bootstrap", replicates=200, anchor="B")
    assert again == rated


def test_bad_rows_are_refused_or_skipped_and_counted(tmp_path, capsys):
    path = tmp_path / "votes.csv"
    path.write_text("model_a,model_b,outcome\nA,B,a\nA,B,won\nB,A,a\nA,,a\n")
    with pytest.raises(InvalidInput, match="line 3"):
        rate_file(path)
    rated = rate_file(path, skip_bad=True)
    assert rated["battles"] == 2
    assert "2 rows could not be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": "bootstrapp"}, "did you mean 'bootstrap'"),
        ({"tie_model": "halves"}, "did you mean 'half'"),
        ({"anchor": "Z"}, "Z"),
        ({"level": 2.0}, "level is 2.0"),
        ({"prior": -1.0}, "prior"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InvalidInput, match=message):
        rate_counts(counts_of(("A", "B", "a", 1), ("A", "B", "b", 1)), **options)


def test_text_shortens_long_lists():
    games = [(f"m{k:02d}", f"m{k + 1:02d}", o, 1) for k in range(40) for o in ("a", "b")]
    text = rating_text(rate_counts(counts_of(*games)))
    assert "... and 11 more" in text
