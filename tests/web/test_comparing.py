"""Two runs side by side: rows of settings and results, curves."""

import pytest

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.web import comparing


def test_settings_stand_as_they_were_written(make_run):
    one = make_run(config={"rate": 0.1234567890123, "only": True})
    two = make_run(config={"rate": 1e-9})
    rows = comparing.config_rows(comparing.compared(one, two))
    assert rows == [
        {"setting": "rate", "first": "0.1234567890123", "second": "1e-09"},
        {"setting": "only", "first": "True", "second": None},
    ]


def test_results_are_flattened_and_subtracted(make_run):
    interval = {"estimate": 1.0, "low": 0.0, "high": 2.0}
    one = make_run(measured={"i": interval, "word": "a", "ok": True, "none": None, "few": [1, 2]})
    two = make_run(seed=1, measured={"i": 4.0, "word": "b", "ok": False, "none": None})
    rows = {row["result"]: row for row in comparing.result_rows(comparing.compared(one, two))}
    assert rows["i"]["difference"] == 3.0
    assert rows["accuracy"]["difference"] == 1.0
    assert rows["nested.a"] == {"result": "nested.a", "first": 0, "second": 1, "difference": 1}
    assert rows["word"]["difference"] is None
    assert rows["ok"]["difference"] is None
    assert rows["board"]["first"] == "1 rows"
    assert rows["few"] == {"result": "few", "first": [1, 2], "second": None, "difference": None}
    assert "none" not in rows


def test_a_run_beside_itself_differs_in_nothing(make_run):
    folder = make_run()
    comparison = comparing.compared(folder, folder)
    assert comparing.config_rows(comparison) == []
    changes = {row["difference"] for row in comparing.result_rows(comparison)}
    assert changes <= {0, None}


def test_swapping_the_runs_turns_the_differences_round(make_run):
    one, two = make_run(), make_run(seed=2)
    there = comparing.result_rows(comparing.compared(one, two))
    back = comparing.result_rows(comparing.compared(two, one))
    for a, b in zip(there, back, strict=True):
        assert (a["first"], a["second"]) == (b["second"], b["first"])
        assert a["difference"] is None or a["difference"] == -b["difference"]


def test_curves_hold_both_runs_where_both_logged(make_run):
    one, two = make_run(), make_run(seed=1)
    (two / "metrics.jsonl").write_text('{"step": 1, "loss": 1}\n{"step": 2, "loss": 5}\nbroken')
    found = comparing.curves(one, two)
    assert set(found) == {"loss", "inner.kl"}
    assert found["loss"]["second"] == ([1.0, 2.0], [1.0, 5.0])
    assert set(found["inner.kl"]) == {"first"}
    assert comparing.curve(one, two, "loss").startswith("<svg")
    with pytest.raises(MissingData, match="Neither run logged x over steps"):
        comparing.curve(one, two, "x")


def test_runs_without_metrics_have_no_curves(make_run):
    folder = make_run()
    (folder / "metrics.jsonl").unlink()
    assert comparing.curves(folder, folder) == {}
    (folder / "metrics.jsonl").mkdir()
    assert comparing.curves(folder, folder) == {}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"measured": []}'])
def test_broken_results_say_so(make_run, text):
    one, two = make_run(), make_run()
    (two / "results.json").write_text(text)
    with pytest.raises(InvalidInput, match="These two cannot be compared"):
        comparing.compared(one, two)
