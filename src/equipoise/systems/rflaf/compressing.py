"""A trained model made smaller: size over error, and the small model as a run of its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.runs import Run
from equipoise.systems.rflaf.compression import leverage_scores
from equipoise.systems.rflaf.estimator import COMPRESSIONS
from equipoise.systems.rflaf.fitted import feature_rows, table_of
from equipoise.systems.rflaf.objective import Array

_SCORE_ROWS = 5000
_REPEATS = {"eliminate": 1, "leverage": 5}
_SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0)


@dataclass(frozen=True)
class Compressed:
    """A small model with what it cost.

    Attributes:
        model: on at most the units that were asked for.
        effective_dimension: of the whole model's features.
        test_score: of the small model; `whole_score` of the one it came from.
        sizes: a row for each method and size: units asked for, units kept, mean test score and
            its ends over several draws.
    """

    model: Any
    effective_dimension: float
    test_score: float
    whole_score: float
    sizes: list[dict[str, Any]]


def check_compression(model: Any, units: int, method: str) -> None:
    """Refuse a number of units that a model has not, and an unknown method."""
    if method not in COMPRESSIONS:
        raise unknown_name("method", method, COMPRESSIONS)
    whole = model.readout_.shape[0]
    if not 1 <= units <= whole:
        raise InvalidInput(f"n_components is {units}; the model has {whole} units")


def compress_model(
    model: Any,
    units: int,
    train: tuple[Array, Any],
    test: tuple[Array, Any],
    run: Run,
    seed: int,
    method: str = "eliminate",
) -> Compressed:
    """Compress a fitted model to `units`, and to other sizes by each method for comparison."""
    whole = model.readout_.shape[0]
    check_compression(model, units, method)
    small = model.compress(units, *train, method=method, random_state=seed)
    steps = sorted({units, *(max(1, round(share * whole)) for share in _SHARES)})
    sizes: list[dict[str, Any]] = []
    for way, repeats in _REPEATS.items():
        for asked in steps:
            tried = [
                model.compress(asked, *train, method=way, random_state=seed + k)
                for k in range(repeats)
            ]
            scores = [float(one.score(*test)) for one in tried]
            row = {
                "method": way,
                "asked": asked,
                "units": float(np.mean([one.readout_.shape[0] for one in tried])),
                "test_score": float(np.mean(scores)),
                "least": min(scores),
                "most": max(scores),
            }
            sizes.append(row)
            run.log(len(sizes), method=way, asked=asked, test_score=row["test_score"])
    table = table_of(model.activation_coef_, model.calibration_)
    phi = feature_rows(table, model.calibration_.z(train[0][:_SCORE_ROWS]))
    return Compressed(
        small,
        leverage_scores(phi).effective_dimension,
        float(small.score(*test)),
        float(model.score(*test)),
        sizes,
    )


def save_compression_report(done: Compressed, run: Run) -> None:
    """Write the report: score over size, with the effective dimension marked."""
    from equipoise.report import Report, new_figure

    report = Report(
        "RFLAF: a model made smaller",
        f"{done.model.readout_.shape[0]} units score {done.test_score:.3f}; all units "
        f"{done.whole_score:.3f}. The features' effective dimension is "
        f"{done.effective_dimension:.1f}.",
    )
    figure, axes = new_figure()
    for way in _REPEATS:
        rows = [row for row in done.sizes if row["method"] == way]
        asked = [row["asked"] for row in rows]
        axes.fill_between(
            asked, [row["least"] for row in rows], [row["most"] for row in rows], alpha=0.2
        )
        axes.plot(asked, [row["test_score"] for row in rows], marker="o", label=way)
    axes.axhline(done.whole_score, linestyle="--", label="all units")
    axes.axvline(done.effective_dimension, linestyle=":", label="effective dimension")
    axes.set_xscale("log")
    axes.set_xlabel("units asked for")
    axes.set_ylabel("test score")
    axes.legend(frameon=False)
    report.figure(
        figure,
        "compression",
        caption="Test score over size: units taken away one by one, and units drawn by leverage "
        f"(mean and range of {_REPEATS['leverage']} draws).",
    )
    report.table(done.sizes)
    report.save(run.path)
