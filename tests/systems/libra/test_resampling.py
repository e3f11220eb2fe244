"""The joint bootstrap of one task, and macro-averages of its draws."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.evaluation import TaskResult
from equipoise.systems.libra import resampling
from equipoise.systems.libra.axis import task_axis
from equipoise.systems.libra.resampling import has_items, task_replicates


def result(model, scores, *, task="t", ids=None, clusters=(), **extra: Any) -> TaskResult:
    known = [score for score in scores if score is not None]
    fields: dict[str, Any] = {
        "score": float(np.mean(known)) if known else None,
        "n": len(known),
        "item_ids": tuple(ids or (f"i{k:02d}" for k in range(len(scores)))),
        "scores": tuple(scores),
        "clusters": tuple(clusters),
    }
    return TaskResult(model=model, task=task, **(fields | extra))


def draws(*results, replicates=500, seed=0) -> Any:
    return task_replicates(results, replicates=replicates, seed=seed)


def test_models_share_one_draw_of_items():
    scores = [float(k % 3 == 0) for k in range(30)]
    opposite = [1.0 - score for score in scores]
    made = draws(result("a", scores), result("b", opposite), result("c", scores))
    np.testing.assert_array_equal(made["a"], made["c"])
    np.testing.assert_allclose(made["a"] + made["b"], 1.0)


def test_spread_is_that_of_the_mean():
    scores = [float(k % 2) for k in range(50)]
    made = draws(result("a", scores), replicates=20_000)["a"]
    assert made.mean() == pytest.approx(0.5, abs=0.003)
    assert made.std() == pytest.approx(0.5 / np.sqrt(50), rel=0.03)


def test_ids_decide_the_pairing_and_not_the_order():
    scores = [1.0, 0.0, 0.0, 1.0, 1.0]
    ids = ["a", "b", "c", "d", "e"]
    made = draws(
        result("x", scores, ids=ids), result("y", scores[::-1], ids=ids[::-1]), replicates=50
    )
    np.testing.assert_array_equal(made["x"], made["y"])


def test_rows_without_ids_pair_by_position():
    rows = [result(model, [1.0, 0.0, 1.0], item_ids=()) for model in "xy"]
    made = draws(*rows, replicates=50)
    np.testing.assert_array_equal(made["x"], made["y"])


def test_clusters_move_together():
    scores = [1.0] * 5 + [0.0] * 5
    made = draws(result("a", scores, clusters=["p"] * 5 + ["q"] * 5), replicates=2000)["a"]
    assert set(np.unique(made)) == {0.0, 0.5, 1.0}


def test_an_item_that_gives_its_cluster_its_name_moves_with_its_rewrites():
    ids = [f"q{k}" for k in range(20)] + [f"q{k}-b" for k in range(20)]
    clusters = [f"q{k}" for k in range(20)] * 2
    scores = [float(k % 2) for k in range(20)] * 2
    together = draws(result("a", scores, ids=ids, clusters=clusters), replicates=20_000)["a"]
    assert together.std() == pytest.approx(0.5 / np.sqrt(20), rel=0.03)


def balanced(model, right, **extra) -> TaskResult:
    """190 items of the class yes and 10 of the class no; `right` are the rates of right answers."""
    scores = [float(k < right[0] * 190) for k in range(190)]
    scores += [float(k < right[1] * 10) for k in range(10)]
    score = (np.mean(scores[:190]) + np.mean(scores[190:])) / 2
    classes = ("yes",) * 190 + ("no",) * 10
    return result(model, scores, **({"score": float(score), "classes": classes} | extra))


def test_a_mean_over_classes_is_resampled_class_by_class():
    good, constant = balanced("good", (0.95, 0.5)), balanced("constant", (1.0, 0.0))
    made = draws(good, constant, replicates=20_000)
    expected = 0.5 * np.sqrt(0.95 * 0.05 / 190 + 0.25 / 10)
    assert made["good"].std() == pytest.approx(expected, rel=0.03)
    assert made["good"].mean() == pytest.approx(0.725, abs=0.005)
    assert set(made["constant"]) == {0.5}


def test_without_classes_the_spread_of_another_mean_is_its_standard_error():
    row = balanced("old", (0.95, 0.5), classes=(), standard_error=0.08)
    made = draws(row, balanced("constant", (1.0, 0.0), classes=(), standard_error=0.0))
    assert made["old"].std() == pytest.approx(0.08, rel=0.1)
    assert made["old"].mean() == pytest.approx(0.725, abs=0.01)
    assert set(made["constant"]) == {0.5}


def test_pairing_holds_within_classes_and_clusters_may_span_them():
    scores = [float(k % 3 == 0) for k in range(40)]
    shared: Any = {"classes": ("x", "y") * 20, "clusters": [f"c{k // 2}" for k in range(40)]}
    made = draws(result("a", scores, **shared), result("b", [1 - v for v in scores], **shared))
    np.testing.assert_allclose(made["a"] + made["b"], 1.0)
    alone: Any = {"classes": tuple(f"class {k}" for k in range(4))}
    assert draws(result("a", [1.0, 0.0, 1.0, 0.0], **alone))["a"] is None


def test_a_cluster_known_from_one_model_holds_for_all():
    scores = [1.0] * 5 + [0.0] * 5
    clusters = ["p"] * 5 + ["q"] * 5
    made = draws(result("a", scores), result("b", scores, clusters=clusters), replicates=200)
    assert set(np.unique(made["a"])) <= {0.0, 0.5, 1.0}


def test_missing_items_are_left_out_of_a_models_mean():
    made = draws(result("a", [1.0, None, 1.0, None]), result("b", [0.0, 1.0, 0.0, 1.0]))
    assert set(np.unique(made["a"][~np.isnan(made["a"])])) == {1.0}
    assert np.isnan(made["a"]).mean() == pytest.approx(1 / 16, abs=0.05)


def test_summaries_fall_back_to_error_then_count_then_nothing():
    rows = [
        result("error", [], score=0.5, n=None, standard_error=0.1),
        result("count", [], score=0.3, n=50),
        result("none", [], score=0.3, n=None),
    ]
    made = draws(*rows, replicates=20_000)
    assert made["error"].std() == pytest.approx(0.1, rel=0.03)
    assert made["count"].std() == pytest.approx(np.sqrt(0.3 * 0.7 / 50), rel=0.03)
    assert made["none"] is None
    assert not any(has_items(row) for row in rows)


def test_one_cluster_has_no_spread_to_show():
    assert draws(result("a", [1.0, 0.0], clusters=["c", "c"]))["a"] is None
    assert draws(result("a", [0.5]))["a"] is None


def test_blocks_change_nothing_but_memory(monkeypatch):
    rows = (result("a", [float(k % 2) for k in range(40)]),)
    whole = draws(*rows, replicates=300)["a"]
    monkeypatch.setattr(resampling, "BLOCK_CELLS", 400)
    np.testing.assert_array_equal(whole, draws(*rows, replicates=300)["a"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=12),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_draws_stay_in_range_and_ignore_other_rows_order(scores, seed, rnd):
    rows = [result("a", scores), result("b", [0.0, 1.0] * 4), result("c", [1.0, 0.0, 0.5])]
    rows = [row for row in rows if row.score is not None]
    first = draws(*rows, replicates=30, seed=seed)
    rnd.shuffle(rows)
    second = draws(*rows, replicates=30, seed=seed)
    assert set(first) == set(second)
    for model, drawn in first.items():
        if drawn is None:
            assert second[model] is None
            continue
        np.testing.assert_array_equal(drawn, second[model])
        known = drawn[~np.isnan(drawn)]
        assert ((known >= 0) & (known <= 1)).all()


def test_an_axis_averages_tasks_within_categories_and_then_categories():
    rows = [
        result("m", [1.0] * 4 + [0.0] * 4, task="a1", category="a"),
        result("m", [1.0] * 8, task="a2", category="a"),
        result("m", [0.0] * 8, task="b1", category="b"),
    ]
    axis = task_axis(rows, ["m", "absent"], "safety", replicates=4000, seed=1)
    assert axis.values == {"m": pytest.approx(0.375), "absent": None}
    assert axis.categories["m"] == {"a": 0.75, "b": 0.0}
    assert axis.samples["m"].mean() == pytest.approx(0.375, abs=0.01)
    assert axis.samples["m"].std() == pytest.approx(0.5 / np.sqrt(8) / 4, rel=0.06)
    assert "absent" not in axis.samples
    assert task_axis(rows, ["m"], "capability", replicates=10, seed=1).values == {"m": None}


def test_an_axis_with_one_row_of_unknown_spread_has_no_replicates():
    rows = [
        result("m", [1.0, 0.0] * 4, task="a"),
        result("m", [], task="b", score=0.5, n=None),
    ]
    axis = task_axis(rows, ["m"], "safety", replicates=10, seed=0)
    assert axis.samples == {}
    assert axis.values["m"] == 0.5
