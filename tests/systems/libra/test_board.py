"""The board: known answers, intervals, rank ranges, versions, bad input."""

import json
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import TaskResult
from equipoise.systems import libra
from equipoise.systems.libra.board_inputs import compat_categories

build_board: Any = libra.build_board

ROW_KEYS = {
    "model", "score", "score_low", "score_high", "capability", "capability_low", "capability_high",
    "safety", "safety_low", "safety_high", "categories", "capability_categories", "rank",
    "rank_best", "rank_worst", "items", "battles", "missing", "notes",
}  # fmt: skip


def row(model, task, score, dimension="safety", **extra):
    return {"model": model, "task": task, "score": score, "dimension": dimension} | extra


def items_row(model, task, scores, dimension="safety", **extra):
    known = [score for score in scores if score is not None]
    return row(
        model,
        task,
        sum(known) / len(known) if known else None,
        dimension,
        n=len(known),
        scores=list(scores),
        item_ids=[f"i{k:03d}" for k in range(len(scores))],
        missing=len(scores) - len(known),
        **extra,
    )


def simulated(models=("a", "b", "c"), items=30, seed=1, ability=None):
    """Rows of item scores: one capability task, one safety task, per model its own rate."""
    rng = np.random.default_rng(seed)
    ability = ability or {model: 0.3 + 0.2 * k for k, model in enumerate(models)}
    return [
        items_row(
            model,
            f"{dimension}-task",
            (rng.random(items) < ability[model]).astype(float).tolist(),
            dimension,
        )
        for model in models
        for dimension in ("capability", "safety")
    ]  # fmt: skip


def by_model(board):
    return {entry.model: entry for entry in board.rows}


def test_balanced_score_orders_where_the_average_ties():
    rows = [
        row("even", "c", 0.9, "capability"), row("even", "s", 0.9),
        row("uneven", "c", 1.0, "capability"), row("uneven", "s", 0.8),
    ]  # fmt: skip
    board = build_board(rows, replicates=0)
    assert [entry.model for entry in board.rows] == ["even", "uneven"]
    assert board.rows[0].score == pytest.approx(0.9)
    assert board.rows[1].score == pytest.approx(0.8585786, abs=1e-7)
    average = build_board(rows, replicates=0, p=1.0)
    assert [entry.rank for entry in average.rows] == [1, 1]
    worst = build_board(rows, replicates=0, p=float("inf"))
    assert worst.rows[1].score == pytest.approx(0.8)
    assert worst.settings["p"] == "inf"
    json.dumps(worst.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("model", "vector", "safety"),
    [
        ("GPT-4o", (0.91853, 0.80694, 0.85, 0.89737), 0.8682),
        ("GPT-4 1106", (0.92606, 0.85556, 0.85, 0.80987), 0.8604),
        ("Claude 3.5 Haiku", (0.93598, 0.87917, 0.875, 0.7125), 0.8507),
        ("GPT-3.5-turbo-0613", (0.85653, 0.65417, 0.85, 0.70987), 0.7676),
        ("Llama-3-8B", (0.85165, 0.85556, 0.5, 0.6), 0.7018),
        ("o3-mini", (0.89983, 0.86806, 0.45, 0.8875), 0.7763),
    ],
)
def test_safety_is_the_mean_over_categories(model, vector, safety):
    rows = [row(model, f"t{k}", value, category=f"c{k}") for k, value in enumerate(vector)]
    assert build_board(rows, replicates=0).rows[0].safety == pytest.approx(safety, abs=6e-5)


def test_macro_average_weighs_categories_and_not_tasks():
    rows = [row("m", f"a{k}", 1.0, category="a") for k in range(9)]
    rows.append(row("m", "b", 0.0, category="b"))
    entry = build_board(rows, replicates=0).rows[0]
    assert entry.safety == 0.5
    assert entry.categories == {"a": 1.0, "b": 0.0}


def test_rank_reversal_under_minmax_and_none_under_anchors():
    safety = [row("A", "s", 0.9), row("B", "s", 0.8), row("low", "s", 0.1), row("high", "s", 0.1)]
    ratings = {"A": 1200.0, "B": 1250.0, "low": 1100.0, "high": 1300.0}
    before = by_model(build_board(safety, capability_scores=ratings, minmax=True, replicates=0))
    assert before["A"].score == pytest.approx(0.63944, abs=1e-5)
    assert before["B"].score == pytest.approx(0.77361, abs=1e-5)
    weak = [*safety, row("weak", "s", 0.1)]
    longer = ratings | {"weak": 500.0}
    after = build_board(weak, capability_scores=longer, minmax=True, replicates=0)
    assert by_model(after)["A"].score == pytest.approx(0.88681, abs=1e-5)
    assert by_model(after)["B"].score == pytest.approx(0.85183, abs=1e-5)
    assert any("irrelevant" in warning for warning in after.settings["warnings"])
    fixed = [
        by_model(build_board(rows, capability_scores=r, anchors=(1100, 1300), replicates=0))
        for rows, r in ((safety, ratings), (weak, longer))
    ]
    assert fixed[0]["A"].score == fixed[1]["A"].score
    assert fixed[0]["B"].score == fixed[1]["B"].score
    assert fixed[1]["weak"].capability == 0.0


def test_given_capabilities_are_used_as_they_are():
    rows = [row("A", "s", 0.9), row("B", "s", 0.8)]
    board = build_board(rows, capability_scores={"A": 0.4, "C": 1.0}, replicates=0)
    assert by_model(board)["A"].capability == 0.4
    assert by_model(board)["B"].score is None
    assert "no capability was given for it" in by_model(board)["B"].notes
    with pytest.raises(InvalidInput, match=r"capability of 'A' is 1200.0"):
        build_board(rows, capability_scores={"A": 1200.0})


def test_equal_ratings_under_minmax_ask_for_anchors():
    rows = [row("A", "s", 0.9), row("B", "s", 0.8)]
    with pytest.raises(InvalidInput, match="give anchors"):
        build_board(rows, capability_scores={"A": 5.0, "B": 5.0}, minmax=True)


def votes_of(*games):
    return [
        {"model_a": a, "model_b": b, "outcome": outcome}
        for a, b, outcome, count in games
        for _ in range(count)
    ]


VOTES = votes_of(("A", "B", "a", 30), ("A", "B", "b", 10), ("B", "C", "a", 20), ("B", "C", "b", 10))


def test_winrate_is_the_probability_of_beating_the_reference():
    rows = [row("A", "s", 0.9), row("B", "s", 0.8), row("C", "s", 0.7)]
    board = build_board(rows, votes=VOTES, reference="B", replicates=200)
    entries = by_model(board)
    assert board.settings["capability"] == "winrate"
    assert entries["A"].capability == pytest.approx(0.75, abs=1e-7)
    assert entries["B"].capability == pytest.approx(0.5, abs=1e-12)
    assert entries["C"].capability == pytest.approx(1 / 3, abs=1e-7)
    assert entries["B"].capability_low == entries["B"].capability_high == pytest.approx(0.5)
    assert entries["A"].capability_low < 0.75 < entries["A"].capability_high
    assert (entries["A"].battles, entries["B"].battles) == (40.0, 70.0)


def test_elo_between_anchors_with_a_pinned_reference():
    rows = [row("A", "s", 0.9), row("B", "s", 0.8), row("C", "s", 0.7)]
    board = build_board(rows, votes=VOTES, reference="B", anchors=(800, 1200), replicates=0)
    entries = by_model(board)
    assert entries["B"].capability == 0.5
    rating = 1000 + 400 / np.log(10) * np.log(3)
    assert entries["A"].capability == pytest.approx((rating - 800) / 400)
    fewer = [vote for vote in VOTES if "C" not in vote.values()]
    alone = build_board(rows[:2], votes=fewer, reference="B", anchors=(800, 1200), replicates=0)
    assert by_model(alone)["A"].capability == pytest.approx(entries["A"].capability)


def test_votes_minmax_on_request_only_and_with_the_warning():
    rows = [row("A", "s", 0.9), row("B", "s", 0.8), row("C", "s", 0.7)]
    with pytest.raises(InvalidInput, match="needs anchors LOW HIGH"):
        build_board(rows, votes=VOTES, capability="elo")
    board = build_board(rows, votes=VOTES, capability="elo", minmax=True, replicates=0)
    assert by_model(board)["A"].capability == 1.0
    assert by_model(board)["C"].capability == 0.0
    assert any("min-max" in warning for warning in board.settings["warnings"])
    without = build_board(rows, votes=VOTES, replicates=0)
    assert without.rows[0].score is None
    assert any("name a reference" in warning for warning in without.settings["warnings"])


def test_models_that_votes_do_not_place_have_no_score_and_a_reason():
    rows = [row(model, "s", 0.5) for model in ("A", "B", "C", "D", "E", "F")]
    votes = VOTES + votes_of(("D", "E", "a", 3), ("D", "E", "b", 3))
    votes += votes_of(("W", "A", "a", 4), ("F", "A", "a", 4))
    entries = by_model(build_board(rows, votes=votes, reference="B", replicates=100))
    assert entries["A"].score is not None
    assert entries["D"].score is None
    assert entries["D"].rank is None
    assert entries["D"].notes == ("no chain of battles connects it with B",)
    assert entries["F"].notes == ("rating above: votes do not bound it",)
    rows.append(row("G", "s", 0.5))
    entries = by_model(build_board(rows, votes=votes, reference="B", replicates=0))
    assert entries["G"].notes == ("no votes: capability unknown",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchors": (800, 1200), "votes": VOTES}, "anchors need a reference"),
        (
            {"anchors": (1200, 800), "votes": VOTES, "reference": "A"},
            "LOW must be finite and below",
        ),
        ({"reference": "Bee", "votes": VOTES}, "unknown reference 'Bee'"),
        ({"reference": "A"}, "needs votes"),
        ({"capability": "winrate", "votes": VOTES}, "winrate needs a reference"),
        ({"capability": "elo"}, "needs votes"),
        ({"capability": "tasks"}, "no row has that dimension"),
        ({"capability": "task"}, "did you mean 'tasks'"),
        ({"weights": (1, -1)}, "weights are"),
        ({"weights": (1, 1, 1)}, "weights have shape"),
        ({"p": 0.5}, "p is 0.5"),
        ({"replicates": -1}, "replicates is -1"),
        ({"replicates": 1.5}, "replicates is 1.5; it must be an integer"),
        ({"level": 1.0}, "level is 1.0"),
        ({"prefer": "newest"}, "unknown prefer"),
        ({"votes": [{"model_a": "A"}]}, "row 0: has no models"),
        ({"votes": 3}, "votes is int"),
        ({"votes": votes_of(("A", "A", "a", 1))}, "against itself"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(InvalidInput, match=message):
        build_board([row("A", "s", 0.9), row("B", "s", 0.8)], **options)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row("m", "t", 1.5), "result row 2 .'m', 't'.: score is 1.5; allowed: a number in .0, 1."),
        (row("m", "t", float("nan")), "score is nan"),
        (row("m", "t", 0.5, "safty"), "did you mean 'safety'"),
        ({"model": "m", "score": 1}, "result row 2: result row lacks 'task'"),
        ("m", "result row 2 is str"),
    ],
)
def test_bad_rows_are_refused_with_their_place(bad, message):
    with pytest.raises(InvalidInput, match=message):
        build_board([row("x", "t", 0.5), bad])


def test_no_rows_at_all_are_refused():
    with pytest.raises(InvalidInput, match="no result row"):
        build_board([])


def test_duplicates_are_refused_naming_both_sources_and_prefer_picks():
    rows = [row("m", "t", 0.2, source="old.jsonl"), row("m", "t", 0.8, source="new.jsonl")]
    with pytest.raises(InvalidInput, match=r"from 'old\.jsonl' and 'new\.jsonl'"):
        build_board(rows)
    assert build_board(rows, prefer="last", replicates=0).rows[0].safety == 0.8
    assert build_board(rows, prefer="first", replicates=0).rows[0].safety == 0.2


def test_incomplete_tasks_stay_out_unless_allowed_and_are_then_marked():
    rows = [
        items_row("m", "t", [1.0] * 18 + [None] * 2), items_row("m", "u", [0.0] * 20),
        items_row("n", "t", [1.0] * 19 + [None]), items_row("n", "u", [0.0] * 20),
    ]  # fmt: skip
    entries = by_model(build_board(rows, replicates=50))
    assert entries["m"].safety == 0.0
    assert entries["m"].missing == ("t",)
    assert entries["m"].notes[0] == "t: 2 of 20 items missing (incomplete, left out)"
    assert entries["n"].safety == 0.5
    assert entries["n"].missing == ()
    allowed = by_model(build_board(rows, replicates=50, allow_incomplete=True))
    assert allowed["m"].safety == 0.5
    assert allowed["m"].notes[0] == "t: 2 of 20 items missing (incomplete)"


def test_a_model_without_any_value_is_skipped_with_the_reason():
    board = build_board({"a": {"advbench": 1.0}, "b": {"advbench": "N/A"}, "c": {}}, replicates=0)
    assert [entry.model for entry in board.rows] == ["a"]
    assert [entry["model"] for entry in board.skipped] == ["b", "c"]
    assert all(entry["reason"] for entry in board.skipped)


def test_compat_takes_the_published_map_and_skips_gaps():
    assert len(compat_categories()) == 57
    sizes = dict.fromkeys(compat_categories().values(), 0)
    for category in compat_categories().values():
        sizes[category] += 1
    assert sizes == {
        "over_sensitive": 2, "instruction_hierarchy": 4, "adversarial": 18, "direct_risky": 33,
    }  # fmt: skip
    matrix = {
        "m": {"advbench": 1.0, "bbq": 0.5, "bad": 0.4, "do_not_answer_fn": "N/A", "other": 0.0},
        "n": dict.fromkeys(compat_categories(), 0.5),
        "none": {"advbench": "N/A"},
    }
    board = build_board(matrix, compat=True, replicates=0)
    entries = by_model(board)
    assert entries["m"].categories == {"adversarial": 0.4, "direct_risky": 0.75}
    assert entries["m"].safety == pytest.approx(0.575)
    assert len(entries["m"].missing) == 54
    assert entries["n"].safety == 0.5
    assert [entry["model"] for entry in board.skipped] == ["none"]
    assert any("other" in warning for warning in board.settings["warnings"])
    rows = [row("m", "advbench", 1.0, category="mine"), row("m", "bad", 0.0, category="mine")]
    assert build_board(rows, compat=True, replicates=0).rows[0].safety == 0.5


def test_json_keys_and_types():
    board = build_board(simulated(), replicates=100)
    data = json.loads(json.dumps(board.to_json(), allow_nan=False))
    assert set(data) == {"rows", "skipped", "settings", "version"}
    assert all(set(entry) == ROW_KEYS for entry in data["rows"])
    assert [entry["model"] for entry in data["rows"]] == ["c", "b", "a"]
    assert data["rows"][0]["items"] == 60
    assert len(data["version"]) == 64


def test_without_capability_rows_are_by_safety_and_score_is_null():
    board = build_board([items_row("m", "t", [1.0, 0.0] * 10), items_row("n", "t", [1.0] * 20)])
    assert [entry.model for entry in board.rows] == ["n", "m"]
    assert all(entry.score is None and entry.score_low is None for entry in board.rows)
    assert [entry.rank for entry in board.rows] == [1, 2]
    assert board.rows[1].safety_low < 0.5 < board.rows[1].safety_high
    assert (board.rows[0].rank_best, board.rows[0].rank_worst) == (1, 1)


def test_with_capability_alone_rows_are_by_capability():
    rows = [row("m", "c", 0.4, "capability", n=9), row("n", "c", 0.6, "capability", n=9)]
    board = build_board(rows, replicates=50)
    assert board.settings["ranked_by"] == "capability"
    assert [(entry.model, entry.rank, entry.score) for entry in board.rows] == [
        ("n", 1, None), ("m", 2, None),
    ]  # fmt: skip


def test_zero_replicates_leave_intervals_and_ranges_null():
    for entry in build_board(simulated(), replicates=0).rows:
        ends = (entry.score_low, entry.score_high, entry.safety_low, entry.capability_high)
        assert ends == (None,) * 4
        assert (entry.rank_best, entry.rank_worst) == (None, None)
        assert entry.rank is not None
        assert not any("interval" in note for note in entry.notes)


def test_order_of_rows_and_names_of_files_change_nothing():
    rows = simulated()
    boards = [build_board(list(order), replicates=50) for order in list(permutations(rows))[:20]]
    assert all(board == boards[0] for board in boards)
    moved = [entry | {"source": "elsewhere"} for entry in rows]
    assert build_board(moved, replicates=50).version == boards[0].version


def test_the_version_changes_with_inputs_settings_and_seed():
    rows = simulated()
    changed = [dict(entry) for entry in rows]
    changed[0]["scores"] = [1.0 - score for score in changed[0]["scores"]]
    changed[0]["score"] = sum(changed[0]["scores"]) / 30
    versions = {
        build_board(rows, replicates=20).version,
        build_board(rows, replicates=20, seed=1).version,
        build_board(rows, replicates=21).version,
        build_board(rows, replicates=20, weights=(0.3, 0.7)).version,
        build_board(rows, replicates=20, p=3.0).version,
        build_board(changed, replicates=20).version,
    }
    assert len(versions) == 6
    assert build_board(rows, replicates=20).version in versions


def test_weights_are_capability_first():
    rows = [row("m", "c", 1.0, "capability"), row("m", "s", 0.5)]
    assert build_board(rows, weights=(1, 0), replicates=0).rows[0].score == 1.0
    assert build_board(rows, weights=(0, 1), replicates=0).rows[0].score == 0.5


def test_paired_items_make_a_small_lead_certain():
    """Two models that differ on one kind of item: drawn in pairs their order is certain."""
    hard = [float(k % 2) for k in range(200)]
    better = [1.0 if k % 20 == 0 else score for k, score in enumerate(hard)]
    rows = [items_row("base", "t", hard), items_row("better", "t", better)]
    board = build_board(rows, replicates=1000)
    first, second = board.rows
    assert first.model == "better"
    assert first.safety_low < second.safety_high
    assert (first.rank_best, first.rank_worst) == (1, 1)
    assert (second.rank_best, second.rank_worst) == (2, 2)


def test_clusters_widen_intervals():
    scores = [float(k // 10 % 2) for k in range(100)]
    clusters = [f"seed{k // 10}" for k in range(100)]
    alone = build_board([items_row("m", "t", scores)]).rows[0]
    grouped = build_board([items_row("m", "t", scores, clusters=clusters)]).rows[0]
    ratio = (grouped.safety_high - grouped.safety_low) / (alone.safety_high - alone.safety_low)
    assert 2.3 < ratio < 3.6  # sqrt(10) for clusters of ten equal items


def test_fallbacks_where_there_are_no_item_scores():
    rows = [
        row("error", "t", 0.5, standard_error=0.05),
        row("count", "t", 0.5, n=100),
        row("nothing", "t", 0.5),
        row("edge", "t", 0.99, standard_error=0.2),
    ]
    entries = by_model(build_board(rows, replicates=4000))
    for model in ("error", "count"):
        width = entries[model].safety_high - entries[model].safety_low
        assert width == pytest.approx(2 * 1.96 * 0.05, rel=0.12)
    assert entries["nothing"].safety_low is None
    assert entries["nothing"].rank_best is None
    assert "no interval" in entries["nothing"].notes[0]
    assert entries["edge"].safety_high == 1.0
    # What is not known about one model leaves the others' ranks open, too.
    assert entries["edge"].rank_worst == 2


def test_a_single_item_gives_no_interval():
    entry = build_board([items_row("m", "t", [1.0]), items_row("n", "t", [0.0, 1.0])]).rows[0]
    assert entry.model == "m"
    assert entry.safety_low is None


def test_models_are_averaged_over_the_items_they_have():
    rows = [
        items_row("full", "t", [1.0] * 20 + [0.0] * 20),
        row("half", "t", 1.0, n=20, scores=[1.0] * 20, item_ids=[f"i{k:03d}" for k in range(20)]),
    ]
    entries = by_model(build_board(rows))
    assert (entries["half"].safety_low, entries["half"].safety_high) == (1.0, 1.0)
    assert entries["full"].safety_low > 0.3


def test_a_class_balanced_score_keeps_its_place():
    entry = build_board([items_row("m", "t", [1.0] * 30 + [0.0] * 10) | {"score": 0.5}]).rows[0]
    assert entry.safety == 0.5
    assert entry.safety_low < 0.5 < entry.safety_high


scores = st.floats(0, 1, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(scores, scores), min_size=1, max_size=6))
def test_scores_lie_between_minimum_and_mean_and_ranks_are_consistent(pairs):
    rows = []
    for k, (able, safe) in enumerate(pairs):
        rows += [row(f"m{k}", "c", able, "capability", n=30), row(f"m{k}", "s", safe, n=30)]
    board = build_board(rows, replicates=40)
    assert len(board.rows) == len(pairs)
    for entry in board.rows:
        low, mean = min(entry.capability, entry.safety), (entry.capability + entry.safety) / 2
        assert low - 1e-12 <= entry.score <= mean + 1e-12
        assert 1 <= entry.rank_best <= entry.rank <= entry.rank_worst <= len(pairs)
        assert 0 <= entry.score_low <= entry.score_high <= 1
    assert [e.score for e in board.rows] == sorted((e.score for e in board.rows), reverse=True)


def test_task_results_and_mappings_give_one_board():
    rows = simulated()
    assert build_board([TaskResult.from_json(r) for r in rows]) == build_board(rows)


def test_votes_and_options_that_decide_nothing_are_named():
    rows = [{"model": m, "task": d, "score": 0.5, "dimension": d}
            for m in "AB" for d in ("capability", "safety")]  # fmt: skip
    votes = [{"model_a": "A", "model_b": "B", "outcome": o} for o in "ab"]
    made = build_board(rows, votes=votes, capability="tasks", reference="A", replicates=0)
    assert made.settings["warnings"] == [
        "capability is taken from tasks, as asked; unused: the votes, reference"
    ]
    made = build_board(rows, votes=votes, replicates=0)
    assert "name a reference model" in made.settings["warnings"][0]
