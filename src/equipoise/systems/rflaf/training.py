"""A model from a table: split, fit, baselines, a run folder that predicts and draws."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.checkpoints import load_checkpoint, save_checkpoint
from equipoise.core.console import note
from equipoise.core.errors import InvalidInput
from equipoise.core.files import write_atomic
from equipoise.core.runs import Run
from equipoise.core.seeding import stream
from equipoise.core.store import cache_folder
from equipoise.systems.rflaf.baselines import BASELINES, fit_baseline
from equipoise.systems.rflaf.classifier import RFLAFClassifier
from equipoise.systems.rflaf.config import RFLAFConfig
from equipoise.systems.rflaf.data import TEACHERS, make_synthetic
from equipoise.systems.rflaf.datasets import NAMES, flights_file, load_dataset
from equipoise.systems.rflaf.drawing import draw_activation
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.parameters import check_parameters
from equipoise.systems.rflaf.persistence import load_model, save_model
from equipoise.systems.rflaf.regressor import RFLAFRegressor
from equipoise.systems.rflaf.scaling import inside_rows
from equipoise.systems.rflaf.tables import Columns, frame_of, read_table

_SAMPLE = 20_000


def load_table(data: str, config: RFLAFConfig, seed: int) -> Any:
    """Return the table that DATA names: a file, or a data set that needs no file.

    Raises:
        InvalidInput: neither a file nor such a name.
    """
    if data in TEACHERS and not Path(data).is_file():
        made = make_synthetic(data, config.n_samples, config.n_teacher, 125 + seed)
        return frame_of(made.X, made.y, made.feature_names)
    if data in NAMES and not Path(data).is_file():
        known = load_dataset(data)
        return frame_of(known.X, known.y, known.feature_names)
    if not Path(data).is_file() and "." not in data and "/" not in data:
        load_dataset(data)  # names the nearest, or says which file it takes
    return read_table(data)


def table_file(data: str, config: RFLAFConfig, seed: int) -> Path:
    """Return the file that DATA names; a data set by name is written to the cache as parquet.

    Raises:
        InvalidInput: neither a file nor such a name.
        MissingData: a set that has to be pulled.
    """
    if Path(data).is_file():
        return Path(data)
    if data == "flights":
        return flights_file()
    table = load_table(data, config, seed)
    made = f"-{config.n_samples}-{config.n_teacher}-{seed}" if data in TEACHERS else ""
    path = cache_folder() / "derived" / "rflaf" / f"{data}{made}.parquet"
    if not path.exists():
        write_atomic(path, table.to_parquet(index=False))
    return path


def make_estimator(config: RFLAFConfig, task: str, seed: int) -> Any:
    """Return the estimator that a configuration describes, not fitted.

    Raises:
        InvalidInput: a setting that is not allowed.
    """
    made = RFLAFRegressor() if task == "regression" else RFLAFClassifier()
    settings = {name: value for name, value in vars(config).items() if name in made.get_params()}
    made.set_params(**settings, random_state=seed)
    check_parameters(made.get_params(deep=False))
    return made


def n_parameters(model: Any) -> int:
    """Return how many numbers were learnt: readout, activations, intercept."""
    return model.readout_.size + model.activation_coef_.size + model.intercept_.size


def check_share(share: float) -> None:
    """Refuse a share of test rows that leaves no rows on one side."""
    if not 0 < share < 1:
        raise InvalidInput(f"test_size is {share}; it must lie strictly between 0 and 1")


def split(y: Any, task: str, share: float, seed: int) -> tuple[Any, Any]:
    """Return row numbers of a training and a test part; classes keep their shares.

    Raises:
        InvalidInput: `share` leaves a part without rows.
    """
    n = len(y)
    cut = round(share * n)
    check_share(share)
    if not 0 < cut < n:
        raise InvalidInput(f"test_size is {share} of {n} rows; both parts need a row")
    order = stream(seed, "split").permutation(n)
    if task == "classification":  # every class is dealt out in turn
        place = np.empty(n)
        for label in np.unique(y):
            members = np.flatnonzero(y[order] == label)
            place[members] = (np.arange(members.size) + 0.5) / members.size
        order = order[np.argsort(place, kind="stable")]
    return order[cut:], order[:cut]


@dataclass(frozen=True)
class Trained:
    """A fitted model with what was measured.

    Attributes:
        model: the estimator.
        columns: how the table was read.
        metric: `r2` or `accuracy`.
        scores: a row each for RFLAF and the baselines.
        train_score: of RFLAF on the rows it was fitted on.
        n_samples: complete rows of the table.
        baseline_rows: rows that the baselines were fitted on.
        test: features and targets of (some of) the test part.
        train: features and targets of (some of) the rows it was fitted on.
    """

    model: Any
    columns: Columns
    metric: str
    scores: list[dict[str, Any]]
    train_score: float
    n_samples: int
    baseline_rows: int
    test: tuple[Array, Any]
    train: tuple[Array, Any]


def train_table(
    table: Any, columns: Columns, config: RFLAFConfig, run: Run, *, seed: int
) -> Trained:
    """Fit a table's model and the baselines beside it, logging each into the run."""
    run.rewind(-1)
    X, y, lacking = columns.complete(table)
    if lacking:
        note(f"rflaf: {lacking} rows lack a value and are left out")
    if columns.left_out:
        note(f"rflaf: columns that hardly repeat are left out: {', '.join(columns.left_out)}")
    train, test = split(y, columns.task, config.test_size, seed)
    metric = "r2" if columns.task == "regression" else "accuracy"
    begun = time.perf_counter()
    model = make_estimator(config, columns.task, seed).fit(X[train], y[train])
    seconds = time.perf_counter() - begun
    for step, value in enumerate(model.objective_history_, start=1):
        run.log(step, objective=float(value))
    scores = [_row("RFLAF", model, X[test], y[test], seconds, n_parameters(model))]
    for name in BASELINES:
        note(f"rflaf: baseline {name}")
        begun = time.perf_counter()
        other, _ = fit_baseline(name, columns.task, config.n_components, seed, X[train], y[train])
        scores.append(_row(name, other, X[test], y[test], time.perf_counter() - begun, None))
    save_fit(model, columns, run, X[train[:1000]])
    score = float(model.score(X[train], y[train]))
    parts = {"test": (X[test], y[test]), "train": (X[train], y[train])}
    return Trained(model, columns, metric, scores, score, len(y), len(train), **parts)


def save_fit(model: Any, columns: Columns, run: Run, rows: Array | None = None) -> None:
    """Write a fitted model with how its table is read, and pre-activations of some rows."""
    if rows is not None:
        z = model.calibration_.z(rows).ravel()
        save_checkpoint(run.checkpoints / "sample", {"z": z[:_SAMPLE]}, {"what": "pre-activations"})
    save_model(model, run.checkpoints / "model")
    text = json.dumps(columns.to_json(), ensure_ascii=False, indent=1)
    write_atomic(run.path / "columns.json", text + "\n")


def _row(
    name: str, model: Any, X: Array, y: Any, fit_seconds: float, parameters: int | None
) -> dict[str, Any]:
    begun = time.perf_counter()
    score = float(model.score(X, y))
    return {
        "model": name,
        "test_score": score,
        "fit_seconds": fit_seconds,
        "predict_seconds": time.perf_counter() - begun,
        "n_parameters": parameters,
    }


def sample_of(folder: Path) -> Array:
    """Return the pre-activations that a training run keeps for its histogram."""
    path = folder / "checkpoints" / "sample"
    return load_checkpoint(path).arrays["z"] if path.is_dir() else np.empty(0)


def save_curve(model: Any, folder: Path, path: Path, points: int) -> None:
    """Write a model's activation as CSV and, beside it, as a plot.

    Raises:
        InvalidInput: fewer than two points.
    """
    import pandas as pd

    from equipoise.report import figure_svg, new_figure

    if points < 2:
        raise InvalidInput(f"points is {points}; a curve needs at least 2")
    c = model.basis_.centers
    low, high = (c[0], c[-1]) if c.size > 1 else model.span
    curve = model.activation_curve(np.linspace(low, high, points))
    columns: dict[str, Any] = {"z": curve.z}
    for r in range(curve.value.shape[1]):
        end = "" if curve.value.shape[1] == 1 else f"_{r + 1}"
        columns |= {
            f"value{end}": curve.value[:, r],
            f"low{end}": curve.low[:, r],
            f"high{end}": curve.high[:, r],
        }
    write_atomic(path, pd.DataFrame(columns).to_csv(index=False))
    figure, axes = new_figure()
    draw_activation(axes, curve, z=sample_of(folder))
    write_atomic(path.with_suffix(".svg"), figure_svg(figure))


def open_training(folder: Path) -> tuple[Any, Columns | None]:
    """Return the model of a run folder and how its table was read (None for a demo).

    Raises:
        InvalidInput: the folder holds no model of this room.
    """
    model = folder / "checkpoints" / "model"
    if not model.is_dir():
        raise InvalidInput(f"{folder} holds no model; train one: equipoise rflaf train DATA")
    columns = folder / "columns.json"
    if not columns.is_file():
        return load_model(model), None
    try:
        read = Columns.from_json(json.loads(columns.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInput(f"{columns} is damaged; train the model again") from None
    return load_model(model), read


def predict_table(model: Any, columns: Columns, table: Any, interval: float | None) -> Any:
    """Return a table of predictions: with intervals, or of classes and their probabilities.

    Raises:
        InvalidInput: a column is missing, a row lacks a value (its number is named), or an interval
            was asked of a classifier.
    """
    import pandas as pd

    X = columns.rows(table)
    lacking = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if lacking.size:
        raise InvalidInput(
            f"{lacking.size} rows lack a value, first row {lacking[0] + 1}; fill or drop them"
        )
    if columns.task == "classification":
        if interval is not None:
            raise InvalidInput("--interval is for regressions; classes come with probabilities")
        found = pd.DataFrame({"prediction": model.predict(X)})
        if hasattr(model, "predict_proba"):  # squared loss gives none
            for label, column in zip(model.classes_, model.predict_proba(X).T, strict=True):
                found[f"probability_{label}"] = column
        return found
    if interval is None:
        return pd.DataFrame({"prediction": model.predict(X)})
    band = model.predict_interval(X, interval)
    return pd.DataFrame({"prediction": band.estimate, "low": band.low, "high": band.high})


def outside_share(model: Any, X: Array) -> float:
    """Return the share of pre-activations outside the span, where features vanish."""
    return float(1 - inside_rows(model.calibration_.z(X), model.basis_).mean())
