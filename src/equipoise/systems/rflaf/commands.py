"""The room's verbs: plain functions whose parameters are options and whose result is the JSON."""

import time
from functools import partial
from pathlib import Path
from typing import Any

from equipoise.core.config import load_config
from equipoise.core.console import note
from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf.config import RFLAFConfig


def demo(
    *, preset: str = "tiny", seed: int = 0, out: Path | None = None, **changes: str
) -> dict[str, Any]:
    """Learn an unknown activation from a teacher's answers and draw it over the true one.

    Args:
        preset: tiny (under a minute), small or paper.
        seed: of data, projection and starts.
        out: run folder; an interrupted run in it is begun again.
        **changes: fields of RFLAFConfig.
    """
    from equipoise.core.runs import Run

    begun = time.monotonic()
    config = load_config(RFLAFConfig, overrides=changes, preset=preset)
    with Run.create("rflaf", "demo", config, preset=preset, seed=seed, folder=out) as run:
        from equipoise.systems.rflaf.demonstration import demonstrate, save_report
        from equipoise.systems.rflaf.persistence import save_model
        from equipoise.systems.rflaf.training import n_parameters

        run.rewind(-1)
        note(f"rflaf: {config.data}, {config.n_samples} rows, {config.n_components} units")
        done = demonstrate(config, seed, run)
        save_model(done.model, run.checkpoints / "model")
        save_report(done, run)
        measured = {
            "relative_mse": done.relative_mse,
            "baseline_relative_mse": done.baseline_relative_mse,
            "n_parameters": n_parameters(done.model),
        }
        run.finish({"measured": measured | {"fit_seconds": done.fit_seconds}})
    return measured | {"seconds": time.monotonic() - begun, "run": str(run.path.resolve())}


def train(
    data: str,
    *,
    stream: int = 0,
    seed: int = 0,
    out: Path | None = None,
    **changes: str,
) -> dict[str, Any]:
    """Fit a table, with four tuned baselines beside it, and write a report.

    Args:
        data: CSV, parquet or npz (`X`, `y`); or a data set by name: diabetes, breast_cancer,
            digits, friedman1 to friedman3, single_index, f1 to f3, flights.
        stream: rows to hold in memory at a time, for a file larger than that; 0: the whole table.
            An interrupted run in --out then goes on after the last whole chunk.
        seed: of split, projection and starts.
        out: run folder; an interrupted run in it is begun again.
        **changes: fields of RFLAFConfig, `target` and `task` among them.
    """
    from equipoise.core.runs import Run
    from equipoise.systems.rflaf.accumulating import start_sums
    from equipoise.systems.rflaf.streaming import train_stream
    from equipoise.systems.rflaf.tables import Columns
    from equipoise.systems.rflaf.training import (
        check_share,
        load_table,
        make_estimator,
        n_parameters,
        table_file,
        train_table,
    )
    from equipoise.systems.rflaf.training_report import save_training_report

    begun = time.monotonic()
    config = load_config(RFLAFConfig, overrides={**changes, "data": data})
    check_share(config.test_size)
    if stream:
        file = table_file(data, config, seed)
        start = start_sums(file, config, stream, seed)
        work = partial(train_stream, file, start, rows=stream)
    else:
        table = load_table(data, config, seed)
        columns = Columns.learn(table, config.target, config.task)
        make_estimator(config, columns.task, seed)  # wrong settings are refused before a run begins
        work = partial(train_table, table, columns)
    with Run.create("rflaf", "train", config, preset="custom", seed=seed, folder=out) as run:
        done = work(config=config, run=run, seed=seed)
        save_training_report(done, run)
        measured = {row["model"]: row["test_score"] for row in done.scores}
        run.finish({"measured": measured, "units": dict.fromkeys(measured, done.metric)})
    return {
        "task": done.columns.task,
        "metric": done.metric,
        "train_score": done.train_score,
        "test_score": done.scores[0]["test_score"],
        "baselines": {row["model"]: row["test_score"] for row in done.scores[1:]},
        "n_samples": done.n_samples,
        "n_features": len(done.columns.feature_names),
        "n_parameters": n_parameters(done.model),
        "alpha": float(done.model.alpha_),
        "seconds": time.monotonic() - begun,
        "run": str(run.path.resolve()),
    }


def accumulate(
    data: Path,
    *,
    out: Path,
    like: Path | None = None,
    rows: int = 20_000,
    seed: int = 0,
    **changes: str,
) -> dict[str, Any]:
    """Sum a table of any length, chunk by chunk; the same line again continues it.

    Args:
        data: CSV, parquet or npz.
        out: folder of the sums.
        like: sums of another table; what they fix (columns, projection, scaling) is kept, so that
            both can be merged.
        rows: of a chunk; the first one decides how columns are read and scaled.
        seed: of the projection.
        **changes: fields of RFLAFConfig, `target` and `task` among them.
    """
    from equipoise.systems.rflaf.accumulating import Sums, accumulate_file, start_sums

    config = load_config(RFLAFConfig, overrides={**changes, "data": str(data)})
    if like is None:
        start = start_sums(data, config, rows, seed)
    elif set(changes) - {"target"}:
        raise InvalidInput(f"--like fixes all settings; leave out {', '.join(sorted(changes))}")
    else:
        start = Sums.load(like).empty()
        if changes and start.columns.target != config.target:
            raise InvalidInput(f"{like} is of target {start.columns.target!r}; leave --target out")
    sums = accumulate_file(data, start, rows, out)
    return sums.describe() | {"path": str(out.resolve())}


def merge(*sums: Path, out: Path) -> dict[str, Any]:
    """Add up the sums of several tables, accumulated alike.

    Args:
        *sums: folders made by accumulate or merge.
        out: folder of the result.
    """
    from equipoise.systems.rflaf.accumulating import Sums, merge_sums

    if not sums:
        raise InvalidInput("no sums were given; name at least one folder made by accumulate")
    parts = [Sums.load(path) for path in sums]
    for path, part in zip(sums, parts, strict=True):
        if not part.whole:
            note(f"rflaf: {path} was cut off and holds a part of its table")
    total = merge_sums(parts)
    total.save(out)
    return total.describe() | {"path": str(out.resolve())}


def solve(sums: Path, *, seed: int = 0, out: Path | None = None) -> dict[str, Any]:
    """Fit a model from sums alone; `predict` and `activation` take the run.

    Args:
        sums: folder made by accumulate or merge.
        seed: recorded with the run; the model's own was fixed by accumulate.
        out: run folder.
    """
    from equipoise.core.runs import Run
    from equipoise.systems.rflaf.accumulating import Sums
    from equipoise.systems.rflaf.training import save_fit
    from equipoise.systems.rflaf.training_report import save_solution_report

    loaded = Sums.load(sums)
    config = {"sums": str(sums)} | loaded.model.get_params(deep=False)
    with Run.create("rflaf", "solve", config, preset="custom", seed=seed, folder=out) as run:
        run.rewind(-1)
        model = loaded.model.solve()
        save_fit(model, loaded.columns, run)
        save_solution_report(model, loaded, run)
        measured = {"alpha": float(model.alpha_), "gcv": float(model.gcv_)}
        run.finish({"measured": measured})
    return loaded.describe() | measured | {"run": str(run.path.resolve())}


def predict(
    run: str,
    data: Path,
    *,
    interval: float | None = None,
    root: Path = Path("runs"),
    out: Path | None = None,
) -> dict[str, Any]:
    """Predict the rows of a table by a trained model; they are read as the training table was.

    Args:
        run: folder or name of a run of `train`, or `latest`.
        data: CSV, parquet or npz with the training table's columns.
        interval: level of intervals, in (0, 1); regressions only.
        root: folder of the runs.
        out: CSV file; default: `predictions.csv` in the run folder.
    """
    from equipoise.core.files import write_atomic
    from equipoise.core.runs import find_run
    from equipoise.systems.rflaf.tables import read_table
    from equipoise.systems.rflaf.training import open_training, outside_share, predict_table

    folder = find_run(run, root)
    model, columns = open_training(folder)
    if columns is None:
        raise InvalidInput(f"{folder} was not made by train; it has no table to read alike")
    table = read_table(data)
    found = predict_table(model, columns, table, interval)
    path = folder / "predictions.csv" if out is None else out
    write_atomic(path, found.to_csv(index=False))
    share = outside_share(model, columns.rows(table))
    return {"rows": len(found), "outside_share": share, "path": str(path.resolve())}


def activation(
    run: str, *, points: int = 401, root: Path = Path("runs"), out: Path | None = None
) -> dict[str, Any]:
    """Draw a run's learnt activation with its 90 % band, and write it as CSV.

    Args:
        run: folder or name of a run of `train` or `demo`, or `latest`.
        points: of the curve.
        root: folder of the runs.
        out: CSV file; the plot lies beside it. Default: `activation.csv` in the run folder.
    """
    from equipoise.core.runs import find_run
    from equipoise.systems.rflaf.training import open_training, save_curve

    folder = find_run(run, root)
    model, _ = open_training(folder)
    path = folder / "activation.csv" if out is None else out
    save_curve(model, folder, path, points)
    return {"points": points, "path": str(path.resolve())}


def compress(
    run: str,
    data: str,
    *,
    n_components: int,
    method: str = "eliminate",
    seed: int | None = None,
    root: Path = Path("runs"),
    out: Path | None = None,
) -> dict[str, Any]:
    """Make a trained model smaller, and draw its score over the size.

    Args:
        run: folder or name of a run of `train` or `solve`, or `latest`.
        data: the table it was trained on, or another with the same columns; a part is kept apart
            for the score, the same rows as in training where the table is the same.
        n_components: at most that many units remain.
        method: eliminate the units that the targets need least, or draw them by leverage.
        seed: of the split and the draws; default: the training run's.
        root: folder of the runs.
        out: run folder of the smaller model.
    """
    from equipoise.core.runs import Run, find_run
    from equipoise.systems.rflaf.compressing import (
        check_compression,
        compress_model,
        save_compression_report,
    )
    from equipoise.systems.rflaf.training import load_table, open_training, save_fit, split

    folder = find_run(run, root)
    model, columns = open_training(folder)
    if columns is None:
        raise InvalidInput(f"{folder} was not made by train or solve; it has no table")
    source = Run.open(folder)
    used = int(source.record["seed"]) if seed is None else seed
    changes = {k: v for k, v in source.config.items() if k in ("n_samples", "n_teacher")}
    X, y, _ = columns.complete(load_table(data, load_config(RFLAFConfig, overrides=changes), used))
    train, test = split(y, columns.task, float(source.config.get("test_size", 0.2)), used)
    check_compression(model, n_components, method)
    config = {"run": str(folder), "data": data, "n_components": n_components, "method": method}
    with Run.create("rflaf", "compress", config, preset="custom", seed=used, folder=out) as new:
        new.rewind(0)
        parts = (X[train], y[train]), (X[test], y[test])
        done = compress_model(model, n_components, *parts, new, used, method)
        save_fit(done.model, columns, new, X[train[:1000]])
        save_compression_report(done, new)
        measured = {
            "n_components": done.model.readout_.shape[0],
            "effective_dimension": done.effective_dimension,
            "test_score": done.test_score,
            "whole_test_score": done.whole_score,
        }
        new.finish({"measured": measured})
    return measured | {"sizes": done.sizes, "run": str(new.path.resolve())}


def evaluate(
    *,
    data: tuple[str, ...] = (),
    preset: str = "tiny",
    seed: int = 0,
    out: Path | None = None,
    **changes: str,
) -> dict[str, Any]:
    """Score the model and its baselines on data sets, over seeded splits, with intervals.

    Args:
        data: data sets by name; default: the preset's.
        preset: tiny (minutes), small or paper (hours).
        seed: of the first split; the others count up from it.
        out: run folder; an interrupted run in it goes on after its last fit.
        **changes: fields of RFLAFConfig, `models`, `seeds` and `compare_components` among them.
    """
    from equipoise.core.runs import Run
    from equipoise.systems.rflaf.evaluate import (
        check_evaluation,
        compare,
        save_evaluation_report,
        score_models,
        summarise,
    )

    begun = time.monotonic()
    chosen = changes | ({"sets": ",".join(data)} if data else {})
    config = load_config(RFLAFConfig, overrides=chosen, preset=preset)
    check_evaluation(config)
    with Run.create("rflaf", "evaluate", config, preset=preset, seed=seed, folder=out) as run:
        scores = score_models(config, run, seed)
        save_evaluation_report(scores, run)
        rows, pairs = summarise(scores), compare(scores)
        run.finish({"measured": {f"{r['data']}/{r['model']}": r["mean"] for r in rows}})
    return {
        "rows": rows,
        "paired": pairs,
        "seconds": time.monotonic() - begun,
        "run": str(run.path.resolve()),
    }


def reproduce(
    *,
    table: tuple[str, ...] = (),
    files: Path | None = None,
    preset: str = "tiny",
    seed: int = 0,
    out: Path | None = None,
    **changes: str,
) -> dict[str, Any]:
    """Show published figures beside those measured here.

    Args:
        table: synthetic, main, width or leverage; default: all.
        files: folder with the published sets' files, such as CASP.csv.
        preset: tiny (minutes), small or paper (hours).
        seed: of the first split.
        out: run folder; an interrupted run in it goes on after its last whole table.
        **changes: fields of RFLAFConfig.
    """
    from equipoise.core.errors import unknown_name
    from equipoise.core.runs import Run
    from equipoise.systems.rflaf.reproduction import (
        TABLES,
        reproduce_tables,
        save_reproduction_report,
    )

    for name in table:
        if name not in TABLES:
            raise unknown_name("table", name, TABLES)
    config = load_config(RFLAFConfig, overrides=changes, preset=preset)
    with Run.create("rflaf", "reproduce", config, preset=preset, seed=seed, folder=out) as run:
        made = reproduce_tables(list(table or TABLES), config, run, seed, files)
        save_reproduction_report(made, run)
        rows = [{"table": name} | row for name, part in made.items() for row in part]
        figures: dict[str, dict[str, Any]] = {"measured": {}, "published": {}}
        for row in rows:
            key = f"{row['table']}/{row['data']}/{row['model']}"
            key += f"/{row['units']}" if "units" in row else ""
            for name, part in figures.items():
                if row[name] is not None:
                    part[key] = row[name]
        run.finish(figures)
    return {"rows": rows, "run": str(run.path.resolve())}
