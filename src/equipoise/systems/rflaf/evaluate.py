"""Every model on every data set: scores over seeded splits, with intervals, beside each other."""

import json
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.console import progress
from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.files import JsonlProblem, iter_jsonl
from equipoise.core.runs import Run
from equipoise.core.seeding import stream
from equipoise.core.stats import check_level
from equipoise.core.store import path_of
from equipoise.systems.rflaf.baselines import ALL_BASELINES, fit_baseline, make_baseline
from equipoise.systems.rflaf.config import RFLAFConfig
from equipoise.systems.rflaf.data import TEACHERS, DataSet
from equipoise.systems.rflaf.datasets import NAMES, load_dataset
from equipoise.systems.rflaf.training import make_estimator, n_parameters, split

OWN = "RFLAF"
REFERENCE = "rbf_sampler"
Row = dict[str, Any]


def check_evaluation(config: RFLAFConfig) -> None:
    """Refuse what cannot be evaluated, before the first fit.

    Raises:
        InvalidInput: no set, no split, or an unknown name.
        MissingData: a set whose file was not given, or that has to be pulled.
        MissingExtra: a model's package is not installed.
    """
    for name in config.models:
        if name not in (OWN, *ALL_BASELINES):
            raise unknown_name("model", name, ALL_BASELINES)
        if name != OWN:
            make_baseline(name, "regression", 1, 0)
    for name in config.sets:
        if name == "flights":
            path_of(name)
        elif name not in NAMES:
            load_dataset(name)  # names the nearest, or says which file it takes
    if config.seeds < 1 or not config.sets:
        raise InvalidInput(f"seeds is {config.seeds} and sets {config.sets}; give at least one")


def score_models(config: RFLAFConfig, run: Run, seed: int) -> list[Row]:
    """Fit every model to every split of every set; what the run holds already is kept.

    Args:
        config: `sets`, `models`, `seeds`, `test_size`, and the model's own settings.
        run: `scores.jsonl` in it gets a line for each fit.
        seed: added to the number of each split.

    Returns:
        A row a fit: data, task, model, seed, score, fit_seconds, predict_seconds, n_parameters.
    """
    path = run.path / "scores.jsonl"
    known = {_key(row): row for row in _stored(path)}
    models = (OWN, *(name for name in config.models if name != OWN))
    total = len(config.sets) * config.seeds * len(models)
    with progress("fits", total) as bar, path.open("a", encoding="utf-8") as file:
        for data in config.sets:
            whole = _some(load_dataset(data), config.most_rows, seed)
            for place in range(config.seeds):
                for model in models:
                    key = (data, model, seed + place)
                    if key not in known:
                        known[key] = _fit(whole, data, model, seed + place, config)
                        file.write(json.dumps(known[key]) + "\n")
                        file.flush()
                    bar.advance()
    rows = [known[d, m, seed + k] for d in config.sets for k in range(config.seeds) for m in models]
    run.rewind(0)
    for step, row in enumerate(rows, start=1):
        run.log(step, data=row["data"], model=row["model"], score=row["score"])
    return rows


def _key(row: Mapping[str, Any]) -> tuple[str, str, int]:
    return row["data"], row["model"], row["seed"]


def _stored(path: Path) -> Iterator[Row]:
    if path.is_file():
        for _, row in iter_jsonl(path):
            if not isinstance(row, JsonlProblem):  # the last line of a run that was killed
                yield row


def _some(data: DataSet, most: int, seed: int) -> DataSet:
    if len(data.y) <= most:
        return data
    chosen = np.sort(stream(seed, "rows").permutation(len(data.y))[:most])
    return replace(data, X=data.X[chosen], y=data.y[chosen])


def own_settings(config: RFLAFConfig, data: str) -> RFLAFConfig:
    """Return the model's settings on a set: the paper's own sets keep the published scaling."""
    if data in TEACHERS:
        return config
    return replace(
        config,
        standardize=True,
        scale="auto",
        n_components=config.compare_components,
        n_basis=config.compare_basis,
    )


def _fit(whole: DataSet, data: str, model: str, seed: int, config: RFLAFConfig) -> Row:
    train, test = split(whole.y, whole.task, config.test_size, seed)
    own = own_settings(config, data)
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of baselines that had too few iterations, and the like
        if model == OWN:
            made = make_estimator(own, whole.task, seed).fit(whole.X[train], whole.y[train])
            parameters: int | None = n_parameters(made)
        else:
            made, _ = fit_baseline(
                model, whole.task, own.n_components, seed, whole.X[train], whole.y[train]
            )
            parameters = None
        seconds = time.perf_counter() - begun
        begun = time.perf_counter()
        score = float(made.score(whole.X[test], whole.y[test]))
    return {
        "data": data,
        "task": whole.task,
        "model": model,
        "seed": seed,
        "score": score,
        "fit_seconds": seconds,
        "predict_seconds": time.perf_counter() - begun,
        "n_parameters": parameters,
    }


def mean_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of values over seeds and Student's interval of it; NaN ends for one value."""
    from scipy.stats import t

    array = np.asarray(list(values), dtype=np.float64)
    mean = float(array.mean())
    if array.size < 2:
        return mean, float("nan"), float("nan")
    half = t.ppf(0.5 + check_level(level) / 2, array.size - 1) * array.std(ddof=1)
    half = float(half / np.sqrt(array.size))
    return mean, mean - half, mean + half


def summarise(rows: list[Row]) -> list[Row]:
    """Return a row for each data set and model: mean score over seeds with its interval."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["model"]), []).append(row)
    out = []
    for (data, model), members in groups.items():
        mean, low, high = mean_interval(row["score"] for row in members)
        out.append(
            {
                "data": data,
                "model": model,
                "metric": "r2" if members[0]["task"] == "regression" else "accuracy",
                "mean": mean,
                "low": low,
                "high": high,
                "fit_seconds": float(np.mean([row["fit_seconds"] for row in members])),
                "predict_seconds": float(np.mean([row["predict_seconds"] for row in members])),
                "n_parameters": members[0]["n_parameters"],
            }
        )
    return out


def compare(rows: list[Row], reference: str = REFERENCE) -> list[Row]:
    """Return for each data set how the room's model does against `reference`, split by split.

    `verdict` is better or worse where the interval of the paired difference excludes 0, else tie.
    """
    scores = {_key(row): row["score"] for row in rows}
    out = []
    for data in dict.fromkeys(row["data"] for row in rows):
        seeds = [s for d, m, s in scores if d == data and m == OWN and (d, reference, s) in scores]
        if not seeds:
            continue
        gaps = [scores[data, OWN, s] - scores[data, reference, s] for s in seeds]
        mean, low, high = mean_interval(gaps)
        verdict = "better" if low > 0 else "worse" if high < 0 else "tie"
        out.append({"data": data, "difference": mean, "low": low, "high": high, "verdict": verdict})
    return out


def save_evaluation_report(rows: list[Row], run: Run) -> None:
    """Write the report: the table of all models, the paired comparison, score over time."""
    from equipoise.report import Report, new_figure

    summary, pairs = summarise(rows), compare(rows)
    better = sum(row["verdict"] == "better" for row in pairs)
    worse = sum(row["verdict"] == "worse" for row in pairs)
    report = Report(
        "RFLAF beside its baselines",
        f"On {len(pairs)} data sets the learnt activation is better than a tuned RBFSampler of as "
        f"many units on {better}, worse on {worse}."
        if pairs
        else "Scores on test rows.",
    )
    best = {
        data: max((r for r in summary if r["data"] == data), key=lambda r: r["mean"])["model"]
        for data in dict.fromkeys(row["data"] for row in summary)
    }
    report.table(
        [row | {"best": "best" if best[row["data"]] == row["model"] else ""} for row in summary],
        caption="Test score, mean over splits with its 95 % interval; trees win where targets "
        "follow single columns.",
    )
    if pairs:
        report.section("Against RBFSampler", "Differences on the same splits, 95 % intervals.")
        report.table(pairs)
    report.section("Speed and accuracy")
    for data in best:
        figure, axes = new_figure()
        for row in (r for r in summary if r["data"] == data):
            reach = row["mean"] - row["low"] if np.isfinite(row["low"]) else None
            axes.errorbar(row["fit_seconds"], row["mean"], yerr=reach, fmt="o")
            axes.annotate(
                row["model"],
                (row["fit_seconds"], row["mean"]),
                textcoords="offset points",
                xytext=(5, 4),
                fontsize=8,
            )
        axes.set_xscale("log")
        axes.set_xlabel("fit, s")
        axes.set_ylabel("test score")
        axes.set_title(data)
        report.figure(figure, f"speed-accuracy-{data}", caption=f"{data}: score over fit time.")
    report.save(run.path)
