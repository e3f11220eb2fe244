"""The picture of a learnt activation."""

from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.systems.rflaf.objective import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from equipoise.systems.rflaf.estimator import ActivationCurve


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
