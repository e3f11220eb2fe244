"""The room's verbs: plain functions whose parameters are options and whose result is the JSON."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from equipoise.core.config import load_config
from equipoise.core.console import note
from equipoise.core.errors import InvalidInput
from equipoise.core.files import write_atomic
from equipoise.systems.libra.config import LibraConfig


def demo(
    *,
    preset: str = "tiny",
    seed: int = 0,
    out: Path | None = None,
    device: str = "auto",
    **changes: str,
) -> dict[str, Any]:
    """Rank four variants of the embedded model on the shipped tasks, and write a report.

    Without the weights four scripted contenders stand in, and a line says so.

    Args:
        preset: tiny (under a minute), small or paper.
        seed: of the bootstrap.
        out: run folder; an interrupted run in it is continued.
        device: where the model computes.
        **changes: fields of LibraConfig.
    """
    from equipoise.systems.libra.evaluation_run import (
        board_of,
        evaluate_into,
        headline,
        open_run,
        save_board,
        save_report,
    )

    begun = time.monotonic()
    config = load_config(LibraConfig, overrides=changes, preset=preset)
    with open_run("demo", config, preset=preset, seed=seed, out=out) as run:
        results = evaluate_into(run, config, device=device)
        board = board_of(results, config, seed=seed)
        save_board(board, run.path)
        report = save_report(board, run.path, title="Libra: demo", lead=headline(board))
        run.finish(_measured(board))
    _show(board)
    return {
        "run": str(run.path.resolve()),
        "report": str(report.resolve()),
        "board": board.to_json(),
        "seconds": time.monotonic() - begun,
    }


def evaluate(
    *,
    contenders: Path | None = None,
    tasks: tuple[str, ...] = ("fixtures",),
    limit: int | None = None,
    samples: int = 1,
    judge: str = "",
    concurrency: int = 8,
    rate: float = 0.0,
    max_tokens: int = 256,
    seed: int = 0,
    out: Path | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Put tasks to contenders; the same line with --out goes on where it was cut off.

    Args:
        contenders: contenders.toml; without it four variants of the embedded model.
        tasks: shipped tasks by name (`fixtures` for all), task files or folders.
        limit: only so many items of each task, taken in turn from its clusters.
        samples: answers per item, averaged.
        judge: back end that judges where a task needs it, e.g. openai:URL#MODEL.
        concurrency: requests under way at once.
        rate: most requests a minute, 0 for no limit.
        max_tokens: longest answer of the embedded variants.
        seed: recorded with the run.
        out: run folder.
        device: where local models compute.
    """
    from equipoise.systems.libra.evaluation_run import evaluate_into, open_run

    config = LibraConfig(
        contenders="" if contenders is None else str(contenders),
        tasks=tuple(str(task) for task in tasks),
        limit=limit,
        samples=samples,
        max_tokens=max_tokens,
        judge=judge,
        concurrency=concurrency,
        rate=rate,
    )
    with open_run("evaluate", config, preset="custom", seed=seed, out=out) as run:
        results = evaluate_into(run, config, device=device)
        rows = [
            {
                "model": row.model,
                "task": row.task,
                "score": row.score,
                "n": row.n,
                "missing": row.missing,
                "notes": list(row.notes),
            }
            for row in results
        ]
        run.finish({f"{row['model']}/{row['task']}": row["score"] for row in rows})
    return {
        "run": str(run.path.resolve()),
        "results": str(run.path.resolve() / "results.jsonl"),
        "rows": rows,
    }


def tasks(*paths: str) -> dict[str, Any]:
    """List tasks, or check task files: every key and item is read.

    Args:
        *paths: shipped names, task files or folders; nothing for all shipped tasks.
    """
    from equipoise.evaluation import load_tasks

    listed = [
        {
            "name": task.name,
            "version": task.version,
            "dimension": task.dimension,
            "category": task.category,
            "items": len(task.items),
            "scorer": task.scorer.name,
            "split": task.split,
            "licence": task.licence,
            "task_hash": task.task_hash,
        }
        for task in load_tasks(paths or ("fixtures",))
    ]
    for row in listed:
        note(f"{row['name']}: {row['items']} items, {row['dimension']}, scorer {row['scorer']}")
    return {"tasks": listed}


def board(
    *inputs: Path,
    votes: Path | None = None,
    ballot: str | None = None,
    capability: Literal["auto", "tasks", "elo", "winrate"] = "auto",
    reference: str | None = None,
    anchors: tuple[float, float] | None = None,
    minmax: bool = False,
    capability_file: Path | None = None,
    weights: tuple[float, float] = (0.5, 0.5),
    p: float = 2.0,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    compat: bool = False,
    allow_incomplete: bool = False,
    prefer: Literal["first", "last"] | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Rank models by balanced score, with intervals and rank ranges.

    Args:
        *inputs: results.jsonl files, matrix JSON files or other results that `import` reads.
        votes: vote file; with --reference capability comes from it.
        ballot: which ballot of the votes.
        capability: where capability comes from.
        reference: model that pins the origin of ratings.
        anchors: ratings that count as capability 0 and 1.
        minmax: normalise ratings over the listed models; the board carries a warning.
        capability_file: CSV of model and capability (in [0, 1]; or ratings, with --anchors or
            --minmax).
        weights: of capability and safety.
        p: order of the distance, 1 (average) or more.
        replicates: bootstrap draws, 0 for no intervals.
        level: of intervals and rank ranges.
        seed: of the draws.
        compat: the published arithmetic, on a matrix of the published tasks.
        allow_incomplete: keep tasks with more than 5 % of their items missing, marked.
        prefer: which of two rows for one model and task counts.
        out: folder for the page, board.json and board.csv.
    """
    from equipoise.systems.libra.board import build_board
    from equipoise.systems.libra.evaluation_run import headline, save_board, save_report
    from equipoise.systems.libra.importing import import_results, read_capability

    if not inputs:
        raise InvalidInput("no results were given; name at least one file, e.g. results.jsonl")
    if out is not None and out.exists() and not out.is_dir():
        raise InvalidInput(f"--out {out} is a file; the board goes into a folder")
    results = [row for path in inputs for row in import_results(path)]
    made = build_board(
        results,
        votes=votes,
        ballot=ballot,
        capability=capability,
        reference=reference,
        anchors=anchors,
        minmax=minmax,
        capability_scores=None if capability_file is None else read_capability(capability_file),
        weights=weights,
        p=p,
        replicates=replicates,
        level=level,
        seed=seed,
        compat=compat,
        allow_incomplete=allow_incomplete,
        prefer=prefer,
    )
    if out is not None:
        save_board(made, Path(out))
        save_report(made, Path(out), title="Balanced board", lead=headline(made))
    _show(made)
    return made.to_json()


def rate(
    votes: Path,
    *,
    ballot: str | None = None,
    tie_model: Literal["half", "drop", "davidson", "rao_kupper"] = "half",
    prior: float = 0.0,
    interval: Literal["sandwich", "bootstrap"] = "sandwich",
    replicates: int = 1000,
    anchor: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    skip_bad: bool = False,
    out: Path | None = None,
) -> dict[str, Any]:
    """Rate models from a file of votes, with intervals and rank sets.

    Args:
        votes: CSV or JSONL with model_a, model_b and outcome (other column names are known too).
        ballot: which ballot, `helpful` by default where the file has several.
        tie_model: how ties are treated.
        prior: drawn games against a virtual opponent, per model.
        interval: from the sandwich covariance or a bootstrap.
        replicates: bootstrap draws.
        anchor: model whose rating is 1000.
        level: of intervals and rank sets.
        seed: of the bootstrap.
        skip_bad: leave out rows that cannot be read, and count them.
        out: file for the JSON.
    """
    from equipoise.systems.libra.rating import rate_file, rating_text

    _check_out_file(out)
    rated = rate_file(
        votes,
        ballot=ballot,
        tie_model=tie_model,
        prior=prior,
        interval=interval,
        replicates=replicates,
        anchor=anchor,
        level=level,
        seed=seed,
        skip_bad=skip_bad,
    )
    if out is not None:
        import json

        write_atomic(out, json.dumps(rated, indent=1, ensure_ascii=False) + "\n")
    note(rating_text(rated))
    return rated


def import_files(
    *files: Path,
    map: Path | None = None,
    metric: str | None = None,
    allow_unfinished: bool = False,
    out: Path | None = None,
) -> dict[str, Any]:
    """Turn other frameworks' results into result rows.

    Args:
        *files: lm-evaluation-harness results or samples, inspect logs, matrix JSON, result rows.
        map: TOML that gives dimension and category of tasks.
        metric: which metric, where a file holds several.
        allow_unfinished: take inspect logs whose status is not `success`, with a note.
        out: JSONL file of result rows.
    """
    from equipoise.evaluation import write_results
    from equipoise.systems.libra.importing import apply_map, import_results

    if not files:
        raise InvalidInput("no file was given; name at least one results file or log")
    _check_out_file(out)
    options = {"metric": metric, "allow_unfinished": allow_unfinished}
    results = [row for path in files for row in import_results(path, **options)]
    if map is not None:
        results = apply_map(results, map)
    if out is not None:
        write_results(out, results)
    return {
        "rows": len(results),
        "models": sorted({row.model for row in results}),
        "tasks": sorted({row.task for row in results}),
        "notes": [f"{r.model}, {r.task}: {line}" for r in results for line in r.notes],
    }


def reproduce(
    *,
    preset: str = "tiny",
    seed: int = 0,
    out: Path | None = None,
    llmfao: Path | None = None,
    **changes: str,
) -> dict[str, Any]:
    """Show published figures beside those that the same arithmetic gives here.

    Args:
        preset: recorded with the run; these experiments have one size.
        seed: recorded with the run.
        out: run folder.
        llmfao: crowd-comparisons.csv of dustalov/llmfao; without it that row is left out.
        **changes: fields of LibraConfig.
    """
    from equipoise.systems.libra.evaluation_run import open_run
    from equipoise.systems.libra.reproduction import polarity_table, safety_table, vote_table

    config = load_config(LibraConfig, overrides=changes, preset=preset)
    with open_run("reproduce", config, preset=preset, seed=seed, out=out) as run:
        tables: dict[str, list[dict[str, Any]]] = {
            "safety": safety_table(),
            "polarity": polarity_table(),
            "votes": [] if llmfao is None else vote_table(llmfao),
        }
        published = {f"safety/{row['model']}": row["published"] for row in tables["safety"]}
        published |= {f"offset/{row['model']}": row["published"] for row in tables["votes"]}
        measured = {f"safety/{row['model']}": row["macro_average"] for row in tables["safety"]}
        measured |= {f"flat_mean/{row['model']}": row["flat_mean"] for row in tables["safety"]}
        measured |= {f"offset/{row['model']}": row["offset"] for row in tables["votes"]}
        measured |= {f"accuracy/{row['model']}": row["accuracy"] for row in tables["polarity"]}
        _reproduction_report(tables, run.path)
        run.finish(
            {
                "measured": measured,
                "published": {key: value for key, value in published.items() if value is not None},
                "units": {"safety": "x 100", "offset": "rating points from the mean"},
            }
        )
    return {"run": str(run.path.resolve()), **tables}


def _reproduction_report(tables: Mapping[str, list[dict[str, Any]]], folder: Path) -> None:
    from equipoise.report import Report

    report = Report("Libra: published and reproduced")
    report.section("Safety of the public board")
    report.table(
        tables["safety"],
        caption="Safety x 100. The macro-average over categories fits the printed figures; the "
        "flat mean over tasks does not, and orders the models otherwise.",
    )
    report.section("Polarity of the over-refusal task")
    report.table(
        tables["polarity"],
        caption="Two constant contenders on 250 prompts to comply with and 200 to refuse.",
    )
    if tables["votes"]:
        report.section("Ratings of human votes")
        report.table(tables["votes"], caption="Rating points above the mean of 59 models (llmfao).")
    report.save(folder)


def _check_out_file(out: Path | None) -> None:
    if out is not None and out.is_dir():
        raise InvalidInput(f"--out {out} is a folder; name the file to write")


def _show(made: Any) -> None:
    from equipoise.systems.libra.board_page import board_text

    note(board_text(made))


def _measured(made: Any) -> dict[str, Any]:
    """Return a run's results: score, capability and safety of every model."""
    return {
        f"{row.model}/{name}": value
        for row in made.rows
        for name, value in (
            ("score", row.score), ("capability", row.capability), ("safety", row.safety),
        )
        if value is not None
    }  # fmt: skip
