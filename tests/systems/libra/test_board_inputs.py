"""What enters a board: rows, matrices, duplicates, gaps, incomplete tasks, the published map."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import TaskResult
from equipoise.systems.libra.board_inputs import collect, compat_categories, matrix_rows


def row(model, task, score, **extra):
    return {"model": model, "task": task, "score": score} | extra


def test_only_model_task_and_score_are_needed():
    inputs = collect([row("m", "t", 0.5)])
    (result,) = inputs.results
    assert (result.dimension, result.category) == ("safety", "uncategorised")
    assert inputs.models == ("m",)
    assert inputs.missing == {"m": []}
    assert (inputs.skipped, inputs.warnings, inputs.notes) == ((), (), {})


def test_rows_come_out_in_one_order():
    rows = [row("b", "u", 0.1), row("a", "u", 0.2), row("b", "t", 0.3), row("a", "t", 0.4)]
    keys = [(result.model, result.task) for result in collect(rows).results]
    assert keys == [("a", "t"), ("a", "u"), ("b", "t"), ("b", "u")]
    assert collect(rows) == collect(rows[::-1])


def test_gaps_are_gaps_to_what_others_have():
    rows = [row("a", "t", 0.1), row("a", "u", 0.1), row("b", "u", 0.1), row("c", "v", None)]
    inputs = collect(rows)
    assert inputs.missing == {"a": ["v"], "b": ["t", "v"]}
    assert inputs.skipped == ({"model": "c", "reason": "v: no score (incomplete, left out)"},)


def test_a_matrix_knows_its_categories_and_its_gaps():
    rows = matrix_rows({"m": {"bbq": 1, "gandalf_ignore_instructions": None, "mine": "N/A"}})
    assert [(r.task, r.score, r.category) for r in rows] == [
        ("bbq", 1, "direct_risky"),
        ("gandalf_ignore_instructions", None, "instruction_hierarchy"),
        ("mine", None, "uncategorised"),
    ]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ({"m": [1, 2]}, "matrix entry 'm' is list"),
        ({"m": {"t": "n/a"}}, "'m', 't'"),
        ({"m": {"t": 2}}, "allowed: a number"),
        ({"m": {"t": True}}, "allowed: a number"),
        ({}, "nothing to rank"),
    ],
)
def test_a_bad_matrix_is_refused(matrix, message):
    with pytest.raises(InvalidInput, match=message):
        collect(matrix)


def test_incomplete_means_more_than_five_per_cent():
    edge = row("m", "edge", 0.5, n=95, missing=5)
    over = row("m", "over", 0.5, n=94, missing=6)
    inputs = collect([edge, over])
    assert [result.task for result in inputs.results] == ["edge"]
    assert inputs.notes == {"m": ["over: 6 of 100 items missing (incomplete, left out)"]}
    kept = collect([edge, over], allow_incomplete=True)
    assert [result.task for result in kept.results] == ["edge", "over"]
    assert kept.notes == {"m": ["over: 6 of 100 items missing (incomplete)"]}


def test_a_row_without_score_never_counts_even_where_incomplete_ones_do():
    inputs = collect([row("m", "t", None, missing=9), row("m", "u", 1.0)], allow_incomplete=True)
    assert [result.task for result in inputs.results] == ["u"]
    assert inputs.notes == {"m": ["t: 9 of 9 items missing (incomplete, left out)"]}


def test_duplicates_name_both_sources():
    rows = [row("m", "t", 0.2, source="a"), row("m", "t", 0.4), row("m", "t", 0.6, source="c")]
    with pytest.raises(InvalidInput, match=r"from 'a' and '\?'; leave one out or say --prefer"):
        collect(rows)
    assert collect(rows, prefer="first").results[0].score == 0.2
    assert collect(rows, prefer="last").results[0].score == 0.6


def test_duplicates_of_one_source_say_so():
    with pytest.raises(InvalidInput, match=r"'t', both from 'x.jsonl'; leave one out"):
        collect([row("m", "t", 0.2, source="x.jsonl"), row("m", "t", 0.4, source="x.jsonl")])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            {"category": "maths"},
            {},
            r"category 'maths' for 'a' \(from 'x'\) and 'uncategorised' for",
        ),
        ({}, {"dimension": "capability"}, r"dimension 'safety' for 'a' .* 'capability' for 'b'"),
    ],
)
def test_one_task_counts_the_same_for_all_models(first, second, message):
    rows = [row("a", "t", 0.5, source="x", **first), row("b", "t", 0.5, source="y", **second)]
    with pytest.raises(InvalidInput, match=message):
        collect(rows)


def test_one_task_of_different_content_is_told():
    rows = [row(m, "t", 0.5, task_hash=h * 8, source=h) for m, h in zip("abc", ("aa", "bb", "bb"))]
    assert collect(rows).warnings == (
        "task 't' is not the same for all: hash aaaaaaaaaaaa for 'a' (from 'aa') and bbbbbbbbbbbb "
        "for 'b' (from 'bb')",
    )
    assert collect([row("a", "t", 0.5), rows[0] | {"model": "d"}]).warnings == ()


def test_a_row_may_let_more_items_be_missing():
    inputs = collect([row("m", "t", 0.5, n=8, missing=2, max_missing=0.2)])
    assert [result.task for result in inputs.results] == ["t"]
    assert inputs.notes == {}


def test_gaps_among_scores_make_a_task_incomplete():
    gaps = row("m", "t", 1.0, item_ids=list("abcd"), scores=[1, None, None, None])
    inputs = collect([gaps, row("m", "u", 1.0)])
    assert [result.task for result in inputs.results] == ["u"]
    assert inputs.notes == {"m": ["t: 3 of 4 items missing (incomplete, left out)"]}


def test_a_leak_is_a_remark_on_the_model_and_other_notes_are_not():
    leak = "canary text appeared in replies to i0"
    assert collect([row("m", "t", 1.0, notes=[leak, "metric acc"])]).notes == {"m": [f"t: {leak}"]}


def test_compat_replaces_categories_and_leaves_capability_alone():
    rows = [
        row("m", "dan_jailbreak", 1.0, category="mine"),
        row("m", "mmlu", 0.4, dimension="capability", category="knowledge"),
        row("m", "unknown_task", 0.1),
        row("m", "another", 0.1),
    ]
    inputs = collect(rows, compat=True)
    assert [(result.task, result.category) for result in inputs.results] == [
        ("dan_jailbreak", "adversarial"), ("mmlu", "knowledge"),
    ]  # fmt: skip
    assert inputs.warnings == (
        "left out, not in the published category map: another, unknown_task",
    )
    assert collect(rows).results[0].category == "uncategorised"


def test_the_published_map_has_each_task_once():
    categories = compat_categories()
    assert len(categories) == 57
    assert categories["librai_adv_tense_change"] == "adversarial"
    assert categories["physical_safety_instructions_safe"] == "over_sensitive"
    assert categories["prompt_extraction_robustness"] == "instruction_hierarchy"
    assert categories["anthropic_redteam"] == "direct_risky"


@given(
    st.dictionaries(
        st.text(min_size=1).filter(str.strip),
        st.dictionaries(
            st.sampled_from(["bbq", "bad", "cona"]),
            st.one_of(st.none(), st.just("N/A"), st.floats(0, 1)),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_every_model_of_a_matrix_is_listed_or_skipped(matrix):
    inputs = collect(matrix)
    skipped = {entry["model"] for entry in inputs.skipped}
    assert set(inputs.models) | skipped == set(matrix)
    assert not set(inputs.models) & skipped
    for model in inputs.models:
        have = {result.task for result in inputs.results if result.model == model}
        assert not have & set(inputs.missing[model])


def test_task_results_pass_through_unchanged():
    result = TaskResult("m", "t", 0.5, n=3, source="x")
    assert collect([result]).results == (result,)
