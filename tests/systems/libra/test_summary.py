"""From item scores to a row: means, class-balanced means, standard errors."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equipoise.evaluation import Item, Task, get_scorer
from equipoise.systems.libra.summary import task_result


def task_of(items, aggregate: Any = "mean") -> Task:
    return Task(
        name="t", version="3", dimension="safety", category="c", items=tuple(items),
        task_hash="h", scorer=get_scorer("yes_no"), aggregate=aggregate,
    )  # fmt: skip


def items(targets, clusters=None):
    return [
        Item(id=f"i{k}", target=target, cluster=clusters[k] if clusters else f"i{k}")
        for k, target in enumerate(targets)
    ]


def test_plain_mean_and_its_error():
    values = [1.0, 0.0, 1.0, 1.0, 0.0]
    task = task_of(items(["yes"] * 5))
    row = task_result(task, "m", {f"i{k}": value for k, value in enumerate(values)})
    assert row.score == pytest.approx(0.6)
    assert row.standard_error == pytest.approx(np.std(values, ddof=1) / np.sqrt(5))
    assert (row.n, row.missing, row.task_version, row.task_hash) == (5, 0, "3", "h")


def test_a_constant_answer_earns_one_half_when_classes_are_balanced():
    targets = ["yes"] * 9 + ["No"]
    always_yes = {f"i{k}": float(target == "yes") for k, target in enumerate(targets)}
    row = task_result(task_of(items(targets), "balanced"), "m", always_yes)
    assert row.score == pytest.approx(0.5)
    assert task_result(task_of(items(targets)), "m", always_yes).score == pytest.approx(0.9)


def test_clusters_count_as_one_draw():
    values = {f"i{k}": float(k // 4 % 2) for k in range(16)}
    clusters = [f"c{k // 4}" for k in range(16)]
    row = task_result(task_of(items(["yes"] * 16, clusters)), "m", values)
    assert row.standard_error == pytest.approx(np.std([0, 1, 0, 1], ddof=1) / 2)
    alone = task_result(task_of(items(["yes"] * 16, ["c"] * 16)), "m", values)
    assert alone.standard_error is None


def test_missing_items_are_counted_and_order_is_by_id():
    task = task_of(items(["yes"] * 4))
    row = task_result(task, "m", {"i3": None, "i1": 1.0, "i0": 0.0}, notes=("seen",))
    assert row.item_ids == ("i0", "i1", "i3")
    assert row.scores == (0.0, 1.0, None)
    assert (row.n, row.missing, row.score, row.notes) == (2, 1, 0.5, ("seen",))
    empty = task_result(task, "m", {"i0": None})
    assert (empty.score, empty.n, empty.missing, empty.standard_error) == (None, 0, 1, None)


@pytest.mark.parametrize("count", [3, 6, 7, 10, 49, 93])
@pytest.mark.parametrize("aggregate", ["mean", "balanced"])
def test_a_perfect_score_is_exactly_one(count, aggregate):
    targets = ["yes"] * count + ["no"] * 3
    row = task_result(
        task_of(items(targets), aggregate), "m", {f"i{k}": 1.0 for k in range(count + 3)}
    )
    assert (row.score, row.standard_error) == (1.0, 0.0)


def test_a_row_carries_its_classes_by_number_and_what_its_task_lets_be_missing():
    task = task_of(items(["yes", "no", "Yes"]), "balanced")
    row = task_result(replace(task, max_missing=0.4), "m", {"i0": 1.0, "i1": None, "i2": 0.0})
    assert row.classes == ("1", "0", "1")
    assert row.max_missing == 0.4
    assert not row.incomplete()
    plain = task_result(task_of(items(["yes", "no"])), "m", {"i0": 1.0, "i1": 1.0})
    assert (plain.classes, plain.max_missing) == ((), None)
