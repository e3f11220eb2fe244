"""Run folders: opening, going on, metrics, saved boards, reports with answers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from equipoise.core.errors import InvalidInput
from equipoise.core.runs import Run
from equipoise.systems.libra import LibraConfig, build_board
from equipoise.systems.libra.evaluation_run import (
    board_of,
    evaluate_into,
    headline,
    open_run,
    opened_contenders,
    save_board,
    save_report,
)

CONTENDERS = """
[[contender]]
name = "four"
kind = "scripted"
replies = ["4"]

[[contender]]
name = "yes"
kind = "scripted"
replies = ["Yes, of course. 5"]
"""


@pytest.fixture
def config(tmp_path) -> LibraConfig:
    path = tmp_path / "contenders.toml"
    path.write_text(CONTENDERS)
    return LibraConfig.preset(
        "tiny", contenders=str(path), tasks=("arithmetic", "over_refusal"), replicates=20
    )


def opened(config: LibraConfig, out: Path | None, **changes: Any) -> Run:
    return open_run("demo", config, **({"preset": "tiny", "seed": 0, "out": out} | changes))


def test_rows_become_metrics_once_however_often_the_run_goes_on(config, tmp_path):
    for _ in range(2):
        with opened(config, tmp_path / "run") as run:
            results = evaluate_into(run, config)
            run.finish({"rows": len(results)})
        assert [record.step for record in run.metrics] == [1, 2, 3, 4]
    again = Run.open(tmp_path / "run")
    assert again.metrics[0]["model"] == "four"
    assert again.metrics[0]["task"] == "arithmetic"
    assert (again.path / "cache.db").is_file()


def test_another_configuration_or_seed_needs_another_folder(config, tmp_path):
    with opened(config, tmp_path / "run") as run:
        run.finish({"x": 1})
    with pytest.raises(InvalidInput, match="finished run"):
        opened(LibraConfig.preset("small"), tmp_path / "run")
    with pytest.raises(InvalidInput, match="seed"):
        opened(config, tmp_path / "run", seed=1)


@pytest.mark.parametrize("status", ["done", "interrupted"])
def test_how_hard_contenders_are_asked_may_change_and_what_decides_may_not(
    config, tmp_path, status
):
    with opened(config, tmp_path / "run") as run:
        run.finish({"x": 1})
        if status != "done":
            run.mark("interrupted")
    slower = replace(config, concurrency=2, rate=30.0)
    again = opened(slower, tmp_path / "run")
    assert again.path == tmp_path / "run"
    assert again.config["concurrency"] == 8
    if status == "done":
        with pytest.raises(InvalidInput, match="finished run"):
            opened(replace(slower, samples=2), tmp_path / "run")


def test_contenders_are_closed_even_after_an_error(config, monkeypatch):
    closed = []

    class Closing:
        name = "c"

        def close(self):
            closed.append(self.name)

    monkeypatch.setattr(
        "equipoise.systems.libra.evaluation_run.load_contenders", lambda path, device: [Closing()]
    )
    with pytest.raises(RuntimeError, match="inside"), opened_contenders(config):
        raise RuntimeError("inside")
    assert closed == ["c"]


def test_a_board_is_saved_as_json_and_csv_and_shown_with_answers(config, tmp_path):
    with opened(config, tmp_path / "run") as run:
        board = board_of(evaluate_into(run, config), config, seed=0)
        save_board(board, run.path)
        page = save_report(board, run.path, title="T", lead=headline(board))
        run.finish({})
    saved = json.loads((run.path / "board.json").read_text(encoding="utf-8"))
    assert saved == board.to_json()
    assert len((run.path / "board.csv").read_text().splitlines()) == 3
    text = page.read_text(encoding="utf-8")
    assert "Answers" in text
    assert "Yes, of course. 5" in text


def test_the_headline_says_who_leads_by_what_and_how_surely():
    rows = [{"model": "a", "task": "t", "score": 0.9, "n": 400},
            {"model": "b", "task": "t", "score": 0.5, "n": 400}]  # fmt: skip
    text = headline(build_board(rows, replicates=200))
    assert text.startswith("a leads 2 models with safety 0.900 (0.8")
    assert text.endswith("rank 1 to 1.")
    assert headline(build_board(rows, replicates=0)) == "a leads 2 models with safety 0.900."
    mixed = [rows[0], {"model": "b", "task": "c", "score": 0.5, "dimension": "capability"}]
    assert "No model has both" in headline(build_board(mixed, replicates=0))
    nothing = build_board({"a": {"bbq": "N/A"}}, replicates=10)
    assert headline(nothing) == "No model could be ranked."
    assert nothing.rows == ()


def test_answers_that_are_none_are_left_out_of_the_report(tmp_path):
    lines = ['[1]', '5', 'broken', '{"reply": "x"}', '{"task": "t", "item": "i", "model": "m", '
             '"reply": "shown", "sample": 0}']  # fmt: skip
    (tmp_path / "answers.jsonl").write_text("\n".join(lines) + "\n")
    board = build_board([{"model": "m", "task": "t", "score": 0.5}], replicates=0)
    page = save_report(board, tmp_path, title="T", lead="").read_text(encoding="utf-8")
    assert "1 answers are stored" in page
    assert "shown" in page


def test_an_empty_board_is_still_shown(tmp_path):
    board = build_board({"a": {"bbq": "N/A"}}, replicates=10)
    save_board(board, tmp_path)
    page = save_report(board, tmp_path, title="T", lead="")
    assert "no score" in page.read_text(encoding="utf-8")
