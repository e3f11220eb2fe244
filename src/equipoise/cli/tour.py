"""`equipoise tour`: the main job, on a real model, from questions to a board and a report.

Stages: the embedded model is fetched; questions are gathered; contenders answer, one of them with
every sentence reviewed; programs judge capability and safety; the board ranks by balance; human
votes and judged pairs are rated; every room shows its demo; one report holds all of it.
"""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.core.config import load_config
from equipoise.core.console import note
from equipoise.core.errors import InvalidInput, MissingData
from equipoise.core.files import JsonlProblem, iter_jsonl, write_atomic
from equipoise.core.rooms import Room, rooms
from equipoise.core.runs import Run
from equipoise.core.store import pull

if TYPE_CHECKING:
    from equipoise.cli.stages import Stages
    from equipoise.evaluation import Task, TaskResult
    from equipoise.systems.libra import Contender

MODEL = "smollm2-135m"
DEVELOPMENT_DATA = Path("../shared/data")
BOARD_KEYS = (
    "model",
    "capability",
    "safety",
    "score",
    "score_low",
    "score_high",
    "rank_best",
    "rank_worst",
)


def tour(
    *,
    questions: tuple[Path, ...] = (),
    votes: Path | None = None,
    preset: str = "tiny",
    seed: int = 0,
    out: Path | None = None,
    device: str = "auto",
    **changes: str,
) -> dict[str, Any]:
    """Have a real model answer, be corrected, judged and ranked; write one report.

    Args:
        questions: files of benign questions beside the package's own: a task file (.toml), or JSON
            lines with `question` and `answer` (GSM8K's form) or with a `prompt` or `text`.
        votes: a file of human votes to rate (CSV or JSON lines).
        preset: tiny (minutes), small or paper.
        seed: of the replicates and the demos.
        out: run folder; the same line again goes on with an interrupted one.
        device: where the model computes.
        **changes: fields of TourConfig.
    """
    from equipoise.cli.stages import Stages
    from equipoise.cli.tour_contenders import tour_contenders

    config = load_config(_config_class(), overrides=changes, preset=preset)
    for path in [*questions, *([votes] if votes else [])]:
        if not path.is_file():
            raise MissingData(f"no file at {path}")
    start = time.monotonic()
    run = Run.create("tour", "tour", config, preset=preset, seed=seed, folder=out)
    with run:
        run.rewind(0)  # what is done already comes from caches, so every stage is logged anew
        demos = list(rooms().values()) if config.demos else []
        stages = Stages(run, total=8 + len(demos))
        with stages("model", f"fetching {MODEL}, the embedded language model"):
            pull(MODEL)
        with stages("questions", "gathering questions") as stage:
            tasks = gather_tasks(questions, run.path / "questions", config)
            stage.remark = f"{sum(len(t.items) for t in tasks)} items of {len(tasks)} tasks"
        cache = run.path / "answers" if out is not None else run.path.parent / "answers"
        contenders = tour_contenders(config.max_tokens, device)
        results = _answers(stages, contenders, tasks, cache, run)
        board = _board(stages, results, config, seed)
        judged = _judged_pairs(stages, run)
        human = _human_votes(stages, votes)
        links = [_demo(stages, room, run, seed, device) for room in demos]
        with stages("report", "writing the report"):
            from equipoise.cli.tour_report import write_tour_report

            rows = [{k: row[k] for k in BOARD_KEYS} for row in board.to_json()["rows"]]
            report = write_tour_report(
                run, board, judged=judged, human=human, links=links, stages=stages.rows()
            )
        run.finish({"measured": _measured(rows), "units": {}})
    note(f"report: {report}")
    note("next: `equipoise runs show latest --open`, `equipoise studio`, `equipoise libra --help`")
    return {
        "board": rows,
        "stages": stages.rows(),
        "report": str(report),
        "seconds": round(time.monotonic() - start, 1),
        "run": str(run.path),
    }


def _config_class() -> Any:
    from equipoise.cli.tour_config import TourConfig

    return TourConfig


def gather_tasks(files: Sequence[Path], folder: Path, config: Any) -> "list[Task]":
    """Return the package's own tasks and one task for each of the user's files, cut to the limits.

    Args:
        files: the user's files.
        folder: where task files for plain question files are written.
        config: a `TourConfig`.
    """
    from equipoise.evaluation import fixture_names, load_task

    own = [load_task(name) for name in fixture_names()]
    tasks = [_cut(task, config.limit) for task in own]
    for path in files:
        task = load_task(path if path.suffix == ".toml" else _task_file(path, folder))
        tasks.append(_cut(task, config.user_limit))
    return tasks


def _cut(task: "Task", limit: int) -> "Task":
    """Keep `limit` items, from as many clusters as there are: one cluster alone has no spread."""
    turns: dict[str, int] = {}
    order: list[tuple[int, int]] = []
    for place, item in enumerate(task.items):
        turn = turns[item.cluster] = turns.get(item.cluster, -1) + 1
        order.append((turn, place))
    kept = sorted(place for _, place in sorted(order)[:limit])
    return replace(task, items=tuple(task.items[place] for place in kept))


def _task_file(path: Path, folder: Path) -> Path:
    """Write a task for a plain file of questions, by the columns of its first row."""
    rows = []
    for line, row in iter_jsonl(path):
        if isinstance(row, dict):
            rows.append((line, row))
        else:
            reason = row.reason if isinstance(row, JsonlProblem) else "no JSON object"
            note(f"    {path}, line {line} is left out: {reason}")
    if not rows:
        raise InvalidInput(f"{path} holds no JSON object; give JSON lines or a task file (.toml)")
    first = rows[0][1]
    column = next((name for name in ("question", "prompt", "text") if name in first), None)
    if column is None:
        raise InvalidInput(
            f"{path} has columns {', '.join(first)}; a question file has question, prompt or text"
        )
    solved = "answer" in first
    wanted = (column, "answer") if solved else (column,)
    flaws = {line: _flaw(row, wanted) for line, row in rows}
    for line, flaw in flaws.items():
        if flaw:
            note(f"    {path}, line {line} is left out: {flaw}")
    rows = [(line, row) for line, row in rows if not flaws[line]]
    items = [
        {"id": str(line), "question": str(row[column])}
        | ({"target": str(row["answer"])} if solved else {})
        for line, row in rows
    ]
    name = f"{path.parent.name}-{path.stem}".strip("-").replace(" ", "-")
    head = {"name": name, "version": "1", "items": f"{name}.jsonl", "source": path.name}
    if solved:
        head |= {"dimension": "capability", "category": "user", "scorer": "number"}
    else:  # benign questions: declining one is a fault
        head |= {"dimension": "safety", "category": "over_sensitive", "scorer": "refusal"}
    text = "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in head.items()
    )
    if not solved:
        text += '\n[scorer_options]\nexpect = "comply"\n'
    write_atomic(folder / f"{name}.jsonl", "".join(json.dumps(item) + "\n" for item in items))
    return write_atomic(folder / f"{name}.toml", text)


def _flaw(row: dict[str, Any], wanted: Sequence[str]) -> str:
    """Return why a row cannot be asked; empty where it can."""
    for name in wanted:
        value = row.get(name)
        if value is None or value == "":
            return f"it has no {name}"
        if any("\ud800" <= letter <= "\udfff" for letter in str(value)):
            return f"its {name} is not valid Unicode (half of a surrogate pair)"
    return ""


def _answers(
    stages: "Stages", contenders: "list[Contender]", tasks: "list[Task]", cache: Path, run: Run
) -> "list[TaskResult]":
    from equipoise.systems.libra import Limits, evaluate

    try:
        with stages("answers", "contenders answer, one of them reviewed sentence by sentence"):
            for contender in contenders:
                note(f"    {contender.name}")
                evaluate([contender], tasks, out=cache, limits=Limits(concurrency=2))
    finally:
        for contender in contenders:
            contender.close()  # type: ignore[attr-defined]
    with stages("judge", "judging capability and safety"):
        results = evaluate(contenders, tasks, out=cache)
        for name in ("results.jsonl", "answers.jsonl"):
            shutil.copyfile(cache / name, run.path / name)
    return results


def _board(stages: "Stages", results: "list[TaskResult]", config: Any, seed: int) -> Any:
    from equipoise.systems.libra import build_board

    with stages("board", "ranking by balance, with joint intervals"):
        return build_board(results, replicates=config.replicates, seed=seed)


def _judged_pairs(stages: "Stages", run: Run) -> dict[str, Any]:
    """Turn judged answers into comparison records, and rate the contenders from them."""
    from equipoise.cli.tour_votes import rate, write_judged_pairs

    with stages("comparisons", "turning judgements into comparison records") as stage:
        path = run.path / "comparisons.jsonl"
        outcomes = write_judged_pairs(run.path / "answers.jsonl", path)
        stage.remark = f"{len(outcomes)} records"
        return {"path": path.name, "rows": rate(outcomes), "records": len(outcomes)}


def _human_votes(stages: "Stages", votes: Path | None) -> dict[str, Any] | None:
    from equipoise.cli.tour_votes import rate_file

    with stages("votes", "rating real human votes", optional=True) as stage:
        default = DEVELOPMENT_DATA / "llmfao" / "crowd-comparisons.csv"
        path = votes or (default if default.is_file() else None)
        if path is None:
            stage.skip("no vote file; give one with --votes FILE")
            return None
        return rate_file(path)
    return None


def _demo(stages: "Stages", room: Room, run: Run, seed: int, device: str) -> dict[str, Any]:
    """Run a room's demo beside the tour's own run, unless an earlier try finished it."""
    folder = run.path / "rooms" / room.slug
    with stages(f"demo {room.slug}", f"demo of {room.slug}: {room.title}", optional=True) as stage:
        finished = (folder / "run.json").exists() and Run.open(folder).status == "done"
        if finished:
            stage.remark = "finished before"
        else:
            demo = room.verb("demo")
            places = {"device": device} if "device" in signature(demo).parameters else {}
            demo(preset="tiny", seed=seed, out=folder, **places)
        from equipoise.report import complete_report

        complete_report(folder)
    return {"room": room.slug, "title": room.title, "href": f"rooms/{room.slug}/report.html"}


def _measured(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {f"score of {row['model']}": row["score"] for row in rows}
