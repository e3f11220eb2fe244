"""Training on a file that does not fit into memory: one pass of sums, one pass of scores."""

import time
import warnings
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.console import note, progress
from equipoise.core.errors import InvalidInput
from equipoise.core.runs import Run
from equipoise.core.seeding import stream
from equipoise.systems.rflaf.accumulating import Sums, accumulate_file, sums_so_far
from equipoise.systems.rflaf.baselines import BASELINES, fit_baseline
from equipoise.systems.rflaf.config import RFLAFConfig
from equipoise.systems.rflaf.tables import Columns, read_chunks
from equipoise.systems.rflaf.training import Trained, n_parameters, save_fit

_CURVE_BASE = 4
_OUTSIDE = "pre-activations lie outside"  # what predictions say of rows off the span


@dataclass
class RunningScore:
    """R^2 or accuracy of predictions that come in pieces."""

    task: str
    n: int = 0
    hits: int = 0
    error: float = 0.0
    shift: float | None = None
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def add(self, y: Any, prediction: Any) -> None:
        """Count the rows of a piece."""
        self.n += len(y)
        if self.task == "classification":
            self.hits += int((y == prediction).sum())
        elif len(y):
            self.shift = float(y.mean()) if self.shift is None else self.shift
            self.error += float(((y - prediction) ** 2).sum())
            self.sums += [(y - self.shift).sum(), ((y - self.shift) ** 2).sum()]

    @property
    def value(self) -> float:
        """Score of all rows so far; NaN without rows or, for R^2, without spread."""
        if self.task == "classification":
            return self.hits / self.n if self.n else float("nan")
        spread = self.sums[1] - self.sums[0] ** 2 / self.n if self.n else 0.0
        return 1 - self.error / spread if spread > 0 else float("nan")


def test_rows(seed: int, chunk: int, count: int, share: float) -> NDArray[np.bool_]:
    """Return which rows of a chunk belong to the test part, (count,)."""
    return stream(seed, "test rows", chunk).random(count) < share


def train_stream(
    path: Path, start: Sums, config: RFLAFConfig, run: Run, *, seed: int, rows: int
) -> Trained:
    """Fit a file chunk by chunk, with baselines of its first chunk beside the model.

    Args:
        path: CSV, parquet or npz.
        start: empty sums of it, by `start_sums`.
        config: settings; the loss of a classification is the squared one.
        run: where sums are kept after every chunk; a run cut off goes on from them.
        seed: of projection, starts and test rows.
        rows: of a chunk.

    Raises:
        InvalidInput: not a table, or M*N too large for sums.
    """
    share = config.test_size
    columns, folder = start.columns, run.checkpoints / "sums"
    so_far = sums_so_far(folder)
    run.rewind(so_far.chunks if so_far else 0)
    X, y, _ = columns.complete(next(iter(read_chunks(path, rows))), allow_none=True)
    test = test_rows(seed, 0, len(X), share)
    if test.all() or not test.any():
        raise InvalidInput(f"a chunk has {len(X)} rows; --stream needs more of them")
    shown, held = (X[~test], y[~test]), (X[test], y[test])
    begun = time.perf_counter()

    def after(sums: Sums) -> None:
        record: dict[str, Any] = {"rows": sums.statistics.n_samples}
        if np.log(sums.chunks) / np.log(_CURVE_BASE) % 1 < 1e-9:
            record["test_score"] = float(copy(sums.model).solve().score(*held))
        run.log(sums.chunks, **record)

    sums = accumulate_file(
        path, start, rows, folder, keep=lambda k, n: ~test_rows(seed, k, n, share), after=after
    )
    model = sums.model.solve()
    seconds = time.perf_counter() - begun
    models: dict[str, Any] = {"RFLAF": model}
    spent = {"RFLAF": seconds}
    for name in BASELINES:
        note(f"rflaf: baseline {name} on the first {len(shown[0])} rows")
        begun = time.perf_counter()
        models[name], _ = fit_baseline(name, columns.task, config.n_components, seed, *shown)
        spent[name] = time.perf_counter() - begun
    scores, train = _scores(path, columns, rows, models, seed, share)
    table = [
        {
            "model": name,
            "test_score": score.value,
            "fit_seconds": spent[name],
            "n_parameters": n_parameters(model) if name == "RFLAF" else None,
        }
        for name, score in scores.items()
    ]
    save_fit(model, columns, run, shown[0][:1000])
    metric = "r2" if columns.task == "regression" else "accuracy"
    count = train.n + scores["RFLAF"].n
    seen = len(shown[0])
    return Trained(model, columns, metric, table, train.value, count, seen, test=held, train=shown)


def _scores(
    path: Path, columns: Columns, rows: int, models: dict[str, Any], seed: int, share: float
) -> tuple[dict[str, RunningScore], RunningScore]:
    """Return every model's score on the test rows, and the first one's on the others."""
    scores = {name: RunningScore(columns.task) for name in models}
    train = RunningScore(columns.task)
    with warnings.catch_warnings(record=True) as said:
        warnings.filterwarnings("always", f".*{_OUTSIDE}", UserWarning)
        for X, y, test in _second_pass(path, columns, rows, seed, share):
            if test.any():
                for name, model in models.items():
                    scores[name].add(y[test], model.predict(X[test]))
            if not test.all():
                train.add(y[~test], models["RFLAF"].predict(X[~test]))
    for one in said:
        if _OUTSIDE not in str(one.message):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    outside = [str(one.message) for one in said if _OUTSIDE in str(one.message)]
    if outside:
        note(f"rflaf: later rows differ from the first chunk's: {outside[-1]}")
    return scores, train


def _second_pass(
    path: Path, columns: Columns, rows: int, seed: int, share: float
) -> Iterator[tuple[Any, Any, NDArray[np.bool_]]]:
    with progress(f"scores of {path.name}") as bar:
        for place, table in enumerate(read_chunks(path, rows, tuple(columns.coded))):
            X, y, _ = columns.complete(table, allow_none=True)
            yield X, y, test_rows(seed, place, len(X), share)
            bar.advance(len(table))
