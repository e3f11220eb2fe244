"""What a training run shows: scores, the learnt curve, how alpha was chosen, how sure it is."""

import warnings
from typing import Any

import numpy as np

from equipoise.core.runs import Run
from equipoise.report import Report, new_figure
from equipoise.systems.rflaf.accumulating import Sums
from equipoise.systems.rflaf.drawing import draw_activation, draw_objective, objective_caption
from equipoise.systems.rflaf.forming import add_forming
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.planning import row_problem
from equipoise.systems.rflaf.problem import path_of_moments
from equipoise.systems.rflaf.ridge import RidgePath, penalty_matrix
from equipoise.systems.rflaf.training import Trained, sample_of

_SHOWN = 300
_PATH_ROWS = 3000
_SURFACE = 80
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def save_training_report(done: Trained, run: Run) -> None:
    """Write a training run's report."""
    best = max(done.scores[1:], key=lambda row: row["test_score"])
    own = done.scores[0]["test_score"]
    report = Report(
        f"RFLAF: {done.columns.target}",
        f"Test {done.metric} {own:.3f}; the best of the baselines, {best['model']}, "
        f"{best['test_score']:.3f}.",
    )
    caption = f"{done.metric} on rows that no fit has seen"
    if any("rows" in record for record in run.metrics):
        caption += f"; the baselines were fitted on the first chunk, {done.baseline_rows} rows"
    report.table(done.scores, caption=caption)
    _add_model(report, done.model, run)
    if done.metric == "r2":
        report.figure(
            draw_predictions(done),
            "predicted-vs-true",
            caption="Predictions with 90 % intervals over the true values of test rows.",
        )
        report.figure(
            draw_coverage(coverage_rows(done.model, *done.test)),
            "coverage",
            caption="How often intervals hold the true value of a test row, over how often they "
            "should (dashed).",
        )
    if len(done.columns.feature_names) == 2 and done.metric == "r2":
        report.figure(
            draw_surface(done), "prediction-surface", caption="The prediction over both columns."
        )
    _add_streaming(report, run)
    report.figure(
        draw_gcv(training_path(done), done.model),
        "gcv-path",
        caption="Generalised cross-validation of the squared error over alpha at the learnt "
        "activation; the mark is the alpha in use, which for a log loss rows kept apart decide.",
    )
    report.save(run.path)


def save_solution_report(model: Any, sums: Sums, run: Run) -> None:
    """Write the report of a model that was solved from sums."""
    rows = sums.statistics.n_samples
    report = Report(
        f"RFLAF: {sums.columns.target}",
        f"Solved from the sums of {rows} rows; the rows themselves were not needed.",
    )
    summary = sums.describe() | {"alpha": float(model.alpha_), "gcv": float(model.gcv_)}
    report.table([{"what": name, "value": value} for name, value in summary.items()])
    _add_model(report, model, run)
    moments = sums.statistics.problem(fit_intercept=model.fit_intercept).moments(
        model.activation_coef_
    )
    path = path_of_moments(moments, _unit_penalty(model), intercept=model.fit_intercept)
    report.figure(
        draw_gcv(path, model), "gcv-path", caption="Generalised cross-validation over alpha."
    )
    report.save(run.path)


def _add_streaming(report: Report, run: Run) -> None:
    """Draw the score on the first chunk's test rows over the rows summed, for a streamed run."""
    points = [(r["rows"], r["test_score"]) for r in run.metrics if "test_score" in r]
    if not points:
        return
    figure, axes = new_figure()
    axes.plot(*zip(*points, strict=True), marker="o")
    axes.set_xscale("log")
    axes.set_xlabel("rows summed")
    axes.set_ylabel("test score")
    report.figure(
        figure,
        "streaming",
        caption="The score on the first chunk's test rows as rows came in, solved from the sums "
        "after the first, 4th, 16th ... chunk.",
    )


def _add_model(report: Report, model: Any, run: Run) -> None:
    """Add what every fitted model shows."""
    figure, axes = new_figure()
    draw_activation(axes, model.activation_curve(), z=sample_of(run.path))
    report.figure(
        figure,
        "activation",
        caption="The learnt activation with its 90 % band; beneath, where the pre-activations lie.",
    )
    add_forming(report, model, run)
    if model.singular_values_.size > 1:
        report.figure(
            draw_singular_values(model.singular_values_),
            "singular-values",
            caption="How much each activation carries; one far below the first is not needed.",
        )
    report.figure(draw_objective(model), "objective", caption=objective_caption(model))


def draw_predictions(done: Trained) -> Any:
    """Draw predictions with 90 % intervals over the truth."""
    X, y = done.test[0][:_SHOWN], done.test[1][:_SHOWN]
    band = done.model.predict_interval(X)
    figure, axes = new_figure()
    reach = np.abs(np.stack([band.estimate - band.low, band.high - band.estimate]))
    axes.errorbar(y, band.estimate, yerr=reach, fmt=".", elinewidth=0.5, alpha=0.7)
    axes.axline((float(np.mean(y)),) * 2, slope=1, linestyle="--", linewidth=1)
    axes.set_xlabel(f"true {done.columns.target}")
    axes.set_ylabel("predicted")
    return figure


def coverage_rows(model: Any, X: Array, y: Array) -> list[dict[str, float]]:
    """Return how often intervals of each level hold the truth, and how wide they are."""
    rows = []
    for level in LEVELS:
        band = model.predict_interval(X, level)
        inside = (band.low <= y) & (y <= band.high)
        width = float(np.mean(band.high - band.low))
        rows.append({"level": level, "observed": float(inside.mean()), "width": width})
    return rows


def draw_coverage(rows: list[dict[str, float]]) -> Any:
    """Draw observed over nominal coverage."""
    figure, axes = new_figure()
    axes.plot([row["level"] for row in rows], [row["observed"] for row in rows], marker="o")
    axes.axline((0.5, 0.5), slope=1, linestyle="--", linewidth=1)
    axes.set_xlabel("nominal level")
    axes.set_ylabel("observed share")
    return figure


def draw_singular_values(values: Array) -> Any:
    """Draw the singular values of the fitted activations as bars."""
    figure, axes = new_figure()
    axes.bar(np.arange(1, values.size + 1).astype(str), values)
    axes.set_xlabel("activation")
    axes.set_ylabel("singular value")
    return figure


def draw_surface(done: Trained) -> Any:
    """Draw the prediction over two columns, the training rows as dots."""
    X = done.train[0]
    low, high = np.quantile(X, [0.01, 0.99], axis=0)
    first, second = (np.linspace(low[k], high[k], _SURFACE) for k in range(2))
    grid = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of corners of the grid where no row lies
        value = done.model.predict(grid).reshape(_SURFACE, _SURFACE)
    figure, axes = new_figure()
    image = axes.pcolormesh(first, second, value, rasterized=True)
    figure.colorbar(image, ax=axes, label=f"predicted {done.columns.target}")
    some = X[:_SHOWN]
    axes.scatter(some[:, 0], some[:, 1], s=2, color="white", alpha=0.6)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_xlabel(done.columns.feature_names[0])
    axes.set_ylabel(done.columns.feature_names[1])
    return figure


def training_path(done: Trained) -> RidgePath:
    """Return the ridge path at the learnt activation, on some of the training rows."""
    model, (X, y) = done.model, done.train
    X, y = X[:_PATH_ROWS], y[:_PATH_ROWS]
    plan, _ = model._plan()
    problem = row_problem(
        model.calibration_, X, model._targets(y, first=False), np.ones(len(X)), plan
    )
    ratio = model.smooth_ / model.alpha_ if model.alpha_ > 0 else 0.0
    return problem.path(model.activation_coef_, ratio)


def _unit_penalty(model: Any) -> Array:
    a = model.activation_coef_
    ratio = model.smooth_ / model.alpha_ if model.alpha_ > 0 else 0.0
    return a @ penalty_matrix(a.shape[1], 1.0, ratio) @ a.T


def draw_gcv(path: RidgePath, model: Any) -> Any:
    """Draw GCV over alpha with the chosen one."""
    figure, axes = new_figure()
    grid = path.grid()
    score = path.gcv(grid)
    shown = np.isfinite(score)
    axes.loglog(grid[shown], score[shown])
    if model.alpha_ > 0:
        chosen = float(path.gcv(model.alpha_))
        axes.plot([model.alpha_], [chosen], marker="o", linestyle="none", label="chosen")
        axes.legend(frameon=False)
    axes.set_xlabel("alpha")
    axes.set_ylabel("GCV")
    return figure
