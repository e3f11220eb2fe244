"""Pictures of a fit: the learnt activation, the objective of every start."""

from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.systems.rflaf.objective import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from equipoise.systems.rflaf.estimator import ActivationCurve

_WIDE = 3.0  # values that reach over more than this ratio are drawn on a logarithmic scale


def draw_activation(
    ax: "Axes | None",
    curve: "ActivationCurve",
    *,
    band: bool = True,
    z: Array | None = None,
    truth: Array | None = None,
) -> "Axes":
    """Draw activations with their 90 % band, the density of z beneath, the truth dashed.

    Args:
        ax: where to draw; None: a new figure in house style.
        curve: what to draw.
        band: whether to draw the band.
        z: pre-activations for a histogram.
        truth: the true activation at `curve.z`, (P,) or (P, R).
    """
    axes: Any = ax
    if axes is None:
        from equipoise.report import new_figure

        axes = new_figure()[1]
    rank = curve.value.shape[1]
    for r in range(rank):
        label = "learnt activation" if rank == 1 else f"activation {r + 1}"
        (line,) = axes.plot(curve.z, curve.value[:, r], label=label)
        if band and np.isfinite(curve.low[:, r]).all():
            axes.fill_between(
                curve.z, curve.low[:, r], curve.high[:, r], color=line.get_color(), alpha=0.2
            )
    if truth is not None:
        axes.plot(curve.z, truth, linestyle="--", label="true activation")
    inside = np.empty(0) if z is None else z[(z >= curve.z[0]) & (z <= curve.z[-1])]
    if inside.size:
        below = axes.twinx()
        height, edges = np.histogram(inside, bins=60, density=True)
        below.stairs(height, edges, fill=True, alpha=0.15)
        below.set_ylim(0, 5 * max(float(height.max(initial=0.0)), 1e-12))
        below.set_axis_off()
    axes.set_xlabel("pre-activation z")
    axes.set_ylabel("activation")
    axes.legend(frameon=False)
    return axes


def draw_objective(model: Any) -> Any:
    """Draw J over the iterations of every start, the kept one bold; a log loss beside it.

    A model that was read from a file keeps only its own last iterations.
    """
    from equipoise.report import new_figure
    from equipoise.report.figures import QUIET

    trail = model._trail
    figure, axes = new_figure(ncols=1 + _has_log_loss(model), squeeze=False)
    left = axes[0, 0]
    if trail is None:
        left.plot(model.objective_history_)
    else:
        first = int(model.solver == "adam")  # which notes no value before its first epoch
        ends = np.arange(trail.course.objective.size) + first
        left.plot(ends, trail.course.objective, linewidth=2.6, zorder=3, label="kept")
        others = [trial for k, trial in enumerate(trail.trials) if k != trail.kept]
        for k, trial in enumerate(others):
            label = None if k else "others"
            left.plot(trial.objective, color=QUIET, linewidth=1, alpha=0.8, label=label)
        left.legend(frameon=False)
    left.set_xlabel(iteration_name(model))
    left.set_ylabel("objective J")
    for right in axes[0, 1:]:
        right.plot(model.objective_history_, linewidth=2.6)
        right.set_xlabel("iteration")
        right.set_ylabel("cross-entropy with penalty")
    for panel in axes[0]:
        values = np.concatenate([line.get_ydata() for line in panel.lines])
        if values.min() > 0 and values.max() > _WIDE * values.min():
            panel.set_yscale("log")
    return figure


def objective_caption(model: Any) -> str:
    """Return what `draw_objective` shows of a model."""
    if model._trail is None:
        return "The objective over the last iterations."
    text = (
        "The objective of every start, each at a penalty of its own; the best by the criterion is "
        "kept and goes on to the end. Where its line jumps, the penalty was chosen anew, or all "
        "rows came in after a search on some."
    )
    if len(model._trail.trials) == 1:
        text = "The objective over the iterations."
    return text + " Right: the log loss, from there on." * _has_log_loss(model)


def _has_log_loss(model: Any) -> bool:
    """Return whether iterations on a log loss followed the search."""
    course = None if model._trail is None else model._trail.course
    return course is not None and len(course.activations) > course.objective.size


def iteration_name(model: Any) -> str:
    """Return what a solver's iterations are called."""
    return {"als": "half-step", "adam": "epoch"}.get(model.solver, "iteration")
