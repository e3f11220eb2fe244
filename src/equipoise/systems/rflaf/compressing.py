"""A trained model made smaller: size over error, and the small model as a run of its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.core.runs import Run
from equipoise.systems.rflaf.compression import leverage_scores
from equipoise.systems.rflaf.fitted import feature_rows, table_of
from equipoise.systems.rflaf.objective import Array

_SCORE_ROWS = 5000
_DRAWS = 5
_SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0)


@dataclass(frozen=True)
class Compressed:
    """A small model with what it cost.

    Attributes:
        model: on at most the units that were asked for.
        effective_dimension: of the whole model's features.
        test_score: of the small model; `whole_score` of the one it came from.
        sizes: a row for each size: units drawn, units kept, mean test score and its ends over
            several draws.
    """

    model: Any
    effective_dimension: float
    test_score: float
    whole_score: float
    sizes: list[dict[str, float]]


def check_units(model: Any, units: int) -> None:
    """Refuse a number of draws that a model has no units for."""
    whole = model.readout_.shape[0]
    if not 1 <= units <= whole:
        raise InvalidInput(f"n_components is {units}; the model has {whole} units to draw from")


def compress_model(
    model: Any,
    units: int,
    train: tuple[Array, Any],
    test: tuple[Array, Any],
    run: Run,
    seed: int,
) -> Compressed:
    """Compress a fitted model to `units` draws, and to other sizes for comparison."""
    whole = model.readout_.shape[0]
    check_units(model, units)
    small = model.compress(units, *train, random_state=seed)
    sizes = []
    for draws in sorted({units, *(max(1, round(share * whole)) for share in _SHARES)}):
        tried = [model.compress(draws, *train, random_state=seed + k) for k in range(_DRAWS)]
        scores = [float(one.score(*test)) for one in tried]
        row = {
            "draws": draws,
            "units": float(np.mean([one.readout_.shape[0] for one in tried])),
            "test_score": float(np.mean(scores)),
            "least": min(scores),
            "most": max(scores),
        }
        sizes.append(row)
        run.log(draws, test_score=row["test_score"])
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
    draws = [row["draws"] for row in done.sizes]
    axes.fill_between(
        draws,
        [row["least"] for row in done.sizes],
        [row["most"] for row in done.sizes],
        alpha=0.2,
    )
    axes.plot(draws, [row["test_score"] for row in done.sizes], marker="o", label="compressed")
    axes.axhline(done.whole_score, linestyle="--", label="all units")
    axes.axvline(done.effective_dimension, linestyle=":", label="effective dimension")
    axes.set_xscale("log")
    axes.set_xlabel("draws s")
    axes.set_ylabel("test score")
    axes.legend(frameon=False)
    report.figure(
        figure,
        "compression",
        caption=f"Test score over size, mean and range of {_DRAWS} draws.",
    )
    report.table(done.sizes)
    report.save(run.path)
