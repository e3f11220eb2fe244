"""The activation forming: its curve after every iteration of the kept start, as a clip."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.runs import Run
from equipoise.report import Report, new_figure, write_video
from equipoise.report.figures import PAPER, QUIET, SERIES
from equipoise.systems.rflaf.drawing import iteration_name
from equipoise.systems.rflaf.fitted import Course
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.varpro import orthonormal

_MOVING = 43  # with the last one and its hold at most 60 frames
_MOVING_SECONDS, _HELD_SECONDS = 5.0, 2.0
_RATES = 2.0, 8.0  # frames a second
_DPI = 96  # as large as a report's plots
_VISIBLE = 0.004  # of the height of the axes


def add_forming(report: Report, model: Any, run: Run, *, truth: Array | None = None) -> None:
    """Write `media/activation-forming.gif` of a fit into the run and show it in the report.

    Nothing is added where the fit left no trail of at least two iterations.
    """
    if model._trail is None or len(model._trail.course.activations) < 2:
        return
    path = save_forming(model, run.media / "activation-forming.gif", truth=truth)
    name = iteration_name(model)
    others = "; thin, the other starts while they were tried" if _others(model) else ""
    goal = "where it ends" if truth is None else "the true activation"
    report.media(
        path,
        caption=f"The activation forming, {name} by {name} of the kept start{others}; dashed, "
        f"{goal}. Sign and scale are the last curve's; what moves nothing visible is left out.",
    )


def save_forming(model: Any, path: Path, *, truth: Array | None = None) -> Path:
    """Write a fitted model's activation after every iteration as a clip that ends on the last.

    Args:
        model: fitted, not read from a file.
        path: ends in `.gif` or `.mp4`.
        truth: the true activation at the points of `activation_curve()`, (P,) or (P, R); without
            it the last curve is dashed.
    """
    z = model.activation_curve().z
    last, values = model.activation_coef_, model.basis_.values(z)
    curves = np.einsum("pn,trn->tpr", values, aligned(model._trail.course.activations, last))
    others = [aligned(course.activations, last)[:, 0] @ values.T for course in _others(model)]
    shown = curves_to_show(curves, others)
    rate = float(np.clip(len(shown) / _MOVING_SECONDS, *_RATES))
    first = int(model.solver == "adam")  # its first curve is that after an epoch
    name, end = iteration_name(model), len(curves) - 1 + first
    titles = [f"{name} {k + first} of {end}" for k in shown]
    faint = [[one[k] if k < len(one) else np.full_like(z, np.nan) for k in shown] for one in others]
    frames = _frames(z, curves[shown], [np.stack(one) for one in faint], titles, truth)
    return write_video(path, _held(frames, round(_HELD_SECONDS * rate)), fps=rate)


def _others(model: Any) -> list[Course]:
    """Return the courses of the starts that were not kept; none where there are several lines."""
    trail = model._trail
    if len(model.activation_coef_) > 1:
        return []
    return [course for k, course in enumerate(trail.trials) if k != trail.kept]


def aligned(activations: Array, last: Array) -> Array:
    """Return activations (T, R, N), orthonormal and turned to lie nearest to `last` (R, N).

    What a fit finds is a row space; with one activation the turn is a sign.
    """
    out = []
    for a in activations:
        rows, _ = orthonormal(a)
        left, _, right = np.linalg.svd(last @ rows.T)
        out.append(left @ right @ rows)
    return np.stack(out)


def curves_to_show(curves: Array, others: Sequence[Array] = ()) -> list[int]:
    """Return the numbers of curves (T, P, R) that look unlike the one before, and the last.

    Args:
        curves: the bold ones.
        others: more of them, each (T', P) with any T'; what moves there counts too.
    """
    least = _VISIBLE * float(np.ptp(curves))
    shown = [0]
    for k in range(1, len(curves)):
        moved = [np.abs(curves[k] - curves[shown[-1]]).max()]
        moved += [np.abs(one[k] - one[shown[-1]]).max() for one in others if k < len(one)]
        if max(moved) > least:
            shown.append(k)
    if len(shown) > _MOVING:
        places = np.linspace(0, len(shown) - 1, _MOVING).round().astype(int)
        shown = [shown[k] for k in places]
    return [k for k in shown if k != len(curves) - 1] + [len(curves) - 1]


def _held(frames: Iterator[NDArray[np.uint8]], more: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames, then the last one again."""
    frame = next(frames)
    yield frame
    for frame in frames:
        yield frame
    yield from [frame] * more


def _frames(
    z: Array, curves: Array, others: list[Array], titles: list[str], truth: Array | None
) -> Iterator[NDArray[np.uint8]]:
    """Yield a picture of each of the curves (T, P, R), others (T, P) thin, the truth dashed.

    The paper is opaque and light: a clip cannot follow the reader's light or dark setting.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure, axes = new_figure()
    figure.set(dpi=_DPI, facecolor=PAPER)
    figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.12)
    canvas = FigureCanvasAgg(figure)
    lines = axes.plot(z, curves[-1], linewidth=2.2)
    if truth is None:
        goal, label, colour = curves[-1], "where it ends", QUIET
    else:
        goal, label = truth.reshape(len(z), -1), "true"
        colour = SERIES[len(lines) % len(SERIES)]
    for r, line in enumerate(lines):
        line.set_label("learnt" if len(lines) == 1 else f"{r + 1}")
    faint = [axes.plot(z, one[0], color=QUIET, linewidth=0.9, alpha=0.7)[0] for one in others]
    for line in faint[:1]:
        line.set_label("other starts")
    for r in range(goal.shape[1]):
        (line,) = axes.plot(z, goal[:, r], "--", color=colour, linewidth=1.4, zorder=1.9)
        line.set_label("_" if r else label)
    drawn = np.concatenate([part.ravel() for part in (curves, goal, *others)])
    low, high = float(np.nanmin(drawn)), float(np.nanmax(drawn))
    margin = 0.06 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlabel("pre-activation z")
    axes.set_ylabel("activation")
    title = axes.set_title(titles[-1], loc="left", fontsize=11, fontweight="bold")
    above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.1}
    axes.legend(frameon=False, ncols=len(lines) + 2, **above)
    for k, text in enumerate(titles):
        title.set_text(text)
        for r, line in enumerate(lines):
            line.set_ydata(curves[k, :, r])
        for line, one in zip(faint, others, strict=True):
            line.set_ydata(one[k])
        canvas.draw()
        figure.set_layout_engine("none")  # laid out once: the axes stay where they are
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()
