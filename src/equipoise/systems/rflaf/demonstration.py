"""The demo: an unknown activation learnt from a teacher's answers, drawn over the true one."""

import time
from dataclasses import dataclass

import numpy as np

from equipoise.core.runs import Run
from equipoise.core.seeding import stream
from equipoise.systems.rflaf.baselines import fit_baseline
from equipoise.systems.rflaf.config import RFLAFConfig
from equipoise.systems.rflaf.data import make_synthetic, teacher_activation
from equipoise.systems.rflaf.drawing import draw_activation, draw_objective, objective_caption
from equipoise.systems.rflaf.estimator import ActivationCurve
from equipoise.systems.rflaf.forming import add_forming
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.regressor import RFLAFRegressor
from equipoise.systems.rflaf.training import make_estimator


@dataclass(frozen=True)
class Demonstration:
    """What the demo measured; errors are MSE over the test targets' variance."""

    model: RFLAFRegressor
    curve: ActivationCurve
    truth: Array
    relative_mse: float
    baseline_relative_mse: float
    fit_seconds: float


def demonstrate(config: RFLAFConfig, seed: int, run: Run) -> Demonstration:
    """Fit the model and RBFSampler beside it, logging each stage into the run."""
    data = make_synthetic(config.data, config.n_samples, config.n_teacher, 125 + seed)
    order = stream(seed, "split").permutation(len(data.y))
    cut = max(1, round(config.test_size * len(order)))
    test, train = order[:cut], order[cut:]
    variance = float(data.y[test].var())
    run.log(0, variance=variance)
    begun = time.perf_counter()
    model = make_estimator(config, "regression", seed).fit(data.X[train], data.y[train])
    seconds = time.perf_counter() - begun
    for step, value in enumerate(model.objective_history_, start=1):
        run.log(step, objective=float(value))
    error = float(np.mean((model.predict(data.X[test]) - data.y[test]) ** 2)) / variance
    baseline, _ = fit_baseline(
        "rbf_sampler", "regression", config.n_components, seed, data.X[train], data.y[train]
    )
    other = float(np.mean((baseline.predict(data.X[test]) - data.y[test]) ** 2)) / variance
    curve = model.activation_curve()
    truth = _fitted_truth(teacher_activation(config.data)(curve.z), curve)
    return Demonstration(model, curve, truth, error, other, seconds)


def _fitted_truth(truth: Array, curve: ActivationCurve) -> Array:
    """Return the true curve at the learnt one's scale: only the product with v is determined."""
    first = curve.value[:, 0]
    size = float(truth @ truth)
    return truth * (float(truth @ first) / size if size > 0 else 1.0)


def save_report(done: Demonstration, run: Run) -> None:
    """Write the run's report: the learnt curve over the true one, the figures beside it."""
    from equipoise.report import Report, new_figure

    report = Report(
        "RFLAF: an activation learnt from answers",
        f"Relative test error {done.relative_mse:.2g}; tuned RBFSampler with as many units "
        f"{done.baseline_relative_mse:.2g}.",
    )
    figure, axes = new_figure()
    z = done.model.calibration_.z(_train_rows(done.model)).ravel()
    draw_activation(axes, done.curve, z=z, truth=done.truth)
    report.figure(
        figure,
        "activation",
        caption="The learnt activation with its 90 % band over the true one (dashed, at the "
        "learnt one's scale); beneath, where the pre-activations lie.",
    )
    add_forming(report, done.model, run, truth=done.truth)
    report.table(
        [
            {"model": "RFLAF", "relative_mse": done.relative_mse},
            {"model": "RBFSampler + RidgeCV", "relative_mse": done.baseline_relative_mse},
        ],
        caption="Test error over the variance of the targets.",
    )
    report.figure(draw_objective(done.model), "objective", caption=objective_caption(done.model))
    report.save(run.path)


def _train_rows(model: RFLAFRegressor) -> Array:
    kept = model._train
    return np.zeros((1, model.offset_.size)) if kept is None else kept.X[:1000]
