"""The verbs' work on a run folder: evaluate contenders, make the board, write the report."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from equipoise.core.config import diff_configs, to_plain
from equipoise.core.console import note
from equipoise.core.files import iter_jsonl, write_atomic
from equipoise.core.runs import Run
from equipoise.evaluation import TaskResult
from equipoise.systems.libra.board import Board, build_board
from equipoise.systems.libra.board_page import add_board, board_csv
from equipoise.systems.libra.board_rows import ranked_value
from equipoise.systems.libra.config import LibraConfig
from equipoise.systems.libra.contender_file import load_contenders
from equipoise.systems.libra.contenders import Contender, default_contenders
from equipoise.systems.libra.runner import Limits
from equipoise.systems.libra.runner import evaluate as ask_contenders

PACE = ("concurrency", "rate")
"""Settings that decide no result."""

SHOWN_ANSWERS = 60
"""Most answers that a report shows; all of them stand in `answers.jsonl`."""


@contextmanager
def opened_contenders(config: LibraConfig, device: str = "auto") -> Iterator[list[Contender]]:
    """Yield the contenders that a configuration names, and stop their back ends afterwards."""
    if config.contenders:
        contenders = load_contenders(config.contenders, device=device)
    else:
        contenders, line = default_contenders(max_tokens=config.max_tokens, device=device)
        if line:
            note(line)
    try:
        yield contenders
    finally:
        for contender in contenders:
            close = getattr(contender, "close", None)
            if close is not None:
                close()


def open_run(verb: str, config: LibraConfig, *, preset: str, seed: int, out: Path | None) -> Run:
    """Start a run, or continue the one in `out`.

    A finished run of the same configuration is opened again: whatever it holds is read from its
    cache, and only answers that it still lacks are asked for. How hard contenders are asked
    decides no result: it may change.
    """
    plain = to_plain(config)
    if out is not None and (Path(out) / "run.json").is_file():
        run = Run.open(out)
        if (run.path / "config.json").is_file():
            plain |= {name: run.config[name] for name in PACE if name in run.config}
            record = run.record
            same = (record["room"], record["verb"], record["seed"]) == ("libra", verb, seed)
            if run.status == "done" and same and not diff_configs(run.config, plain):
                return run
    return Run.create("libra", verb, plain, preset=preset, seed=seed, folder=out)


def evaluate_into(run: Run, config: LibraConfig, *, device: str = "auto") -> list[TaskResult]:
    """Put the configured tasks to the configured contenders; answers and rows go into the run."""
    with opened_contenders(config, device) as contenders, ExitStack() as stack:
        judge = None
        if config.judge:
            from equipoise.evaluation import LLMJudge
            from equipoise.text import load_backend

            judge = LLMJudge(stack.enter_context(load_backend(config.judge, device=device)))
        results = ask_contenders(
            contenders,
            config.tasks,
            out=run.path,
            limit=config.limit,
            samples=config.samples,
            limits=Limits(config.concurrency, config.rate or None),
            judge=judge,
        )
    run.rewind(0)
    for step, row in enumerate(results, start=1):
        run.log(step, model=row.model, task=row.task, score=row.score, n=row.n, missing=row.missing)
    return results


def board_of(results: Sequence[TaskResult], config: LibraConfig, *, seed: int) -> Board:
    """Return the board of an evaluation under its configuration; incomplete tasks are marked."""
    return build_board(
        results,
        weights=config.weights,
        p=config.p,
        replicates=config.replicates,
        seed=seed,
        level=config.level,
        allow_incomplete=True,
    )


def save_board(board: Board, folder: Path) -> None:
    """Write `board.json` and `board.csv`."""
    text = json.dumps(board.to_json(), indent=1, ensure_ascii=False) + "\n"
    write_atomic(folder / "board.json", text)
    write_atomic(folder / "board.csv", board_csv(board))


def save_report(board: Board, folder: Path, *, title: str, lead: str) -> Path:
    """Write a report of the board, and of the answers behind it where the folder holds them."""
    from equipoise.report import Report

    report = Report(title, lead)
    add_board(report, board)
    answers = folder / "answers.jsonl"
    if answers.is_file():
        keys = ("task", "item", "model", "reply", "sample")
        read = [row for _, row in iter_jsonl(answers) if isinstance(row, dict)]
        rows = [row for row in read if all(row.get(key) is not None for key in keys)]
        report.section("Answers", f"{len(rows)} answers are stored; some of them, task by task.")
        report.table(_spread(rows, SHOWN_ANSWERS))
    return report.save(folder)


def _spread(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Return about `count` answers: the first items of every task, all models of each."""
    places: dict[tuple[str, str], int] = {}
    per_task: dict[str, int] = {}
    for row in rows:
        key = (row["task"], row["item"])
        if key not in places:
            places[key] = per_task.get(row["task"], 0)
            per_task[row["task"]] = places[key] + 1
    models = len({row["model"] for row in rows}) or 1
    depth = max(1, count // (models * max(1, len(per_task))))
    shown = [row for row in rows if places[row["task"], row["item"]] < depth and not row["sample"]]
    keys = ("task", "question", "model", "reply", "value", "label")
    return [{key: row.get(key) for key in keys} for row in shown[: 2 * count]]


def headline(board: Board) -> str:
    """Return one sentence on who leads and how surely."""
    if not board.rows:
        return "No model could be ranked."
    best, by = board.rows[0], board.settings["ranked_by"]
    value, low, high = ranked_value(best, by)
    if value is None:
        return "No model has both a capability and a safety score."
    interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    ranks = "" if best.rank_worst is None else f", rank {best.rank_best} to {best.rank_worst}"
    name = "balanced score" if by == "score" else by
    return f"{best.model} leads {len(board.rows)} models with {name} {value:.3f}{interval}{ranks}."
