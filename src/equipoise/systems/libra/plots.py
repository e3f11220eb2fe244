"""The board as pictures: capability x safety, a forest of scores, a map of models x tasks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.evaluation import balanced_score
from equipoise.report import new_figure
from equipoise.report.figures import plain, readers_font
from equipoise.systems.libra.board import Board
from equipoise.systems.libra.board_rows import BoardRow, ranked_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

BLUE, INK, QUIET, GRID = "#0072b2", "#20262e", "#69727d", "#dfe3e8"
ARCS = np.round(np.arange(0.1, 1.0, 0.1), 1)
GAPS = (4, 9, 16, 28, 44, 66)
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
REACHES = np.repeat(GAPS, len(DIRECTIONS))[:, None]
SIDES = np.tile(DIRECTIONS, (len(GAPS), 1))
"""Gap and direction of each place that a label may take, the nearest first."""


def plot_scatter(board: Board) -> "Figure":
    """Draw capability (x) against safety (y) with interval crosses and arcs of equal score.

    Rows without one of the two are left out; labels are placed so that they cover neither each
    other nor a point.
    """
    rows = [row for row in board.rows if row.capability is not None and row.safety is not None]
    figure, axes = new_figure(width=7, height=5.6)
    axes.set(
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.0),
        xlabel="capability (mean score, 0 to 1)",
        ylabel="safety (mean score, 0 to 1)",
    )
    axes.set_title(f"n = {len(rows)} models; crosses: {board.settings['level']:.0%} intervals")
    _draw_arcs(axes, board.settings)
    for row in rows:
        for (x0, y0), (x1, y1) in _cross(row):
            axes.plot([x0, x1], [y0, y1], color=BLUE, lw=1.2, alpha=0.6, clip_on=False)
        axes.plot([row.capability], [row.safety], "o", color=BLUE, ms=6, clip_on=False, zorder=3)
    axes.plot([1.0], [1.0], marker="*", ms=13, color="#d55e00", clip_on=False, zorder=4)
    _place_labels(figure, axes, rows)
    return figure


def _cross(row: BoardRow) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the two ends of each arm of a row's cross, where its interval is known."""
    x, y = float(row.capability or 0.0), float(row.safety or 0.0)
    arms = []
    if row.capability_low is not None and row.capability_high is not None:
        arms.append(((row.capability_low, y), (row.capability_high, y)))
    if row.safety_low is not None and row.safety_high is not None:
        arms.append(((x, row.safety_low), (x, row.safety_high)))
    return arms


def _draw_arcs(axes: "Axes", settings: dict[str, Any]) -> None:
    """Draw contours of the score; their values stand on the upper edge, where all is free."""
    weights = settings["weights"]
    p = float(settings["p"])
    grid = np.linspace(0.0, 1.0, 201)
    x, y = np.meshgrid(grid, grid)
    score = balanced_score(np.stack([x, y], axis=-1), weights=weights, p=p)
    axes.contour(x, y, score, levels=ARCS, colors=[GRID], linewidths=1.1, zorder=0)
    axes.grid(visible=False)
    edge = balanced_score(np.stack([grid, np.ones_like(grid)], axis=-1), weights=weights, p=p)
    shown = [arc for arc in ARCS if edge[0] + 0.02 < arc < edge[-1]]
    upper = axes.secondary_xaxis("top")
    upper.set_xticks(np.interp(shown, edge, grid), [f"{arc:g}" for arc in shown])
    upper.set_xlabel("balanced score on the arc (star: ideal point)", color=QUIET, fontsize=9)
    upper.tick_params(length=0, colors=QUIET, labelsize=9)
    upper.spines["top"].set_visible(False)


def _place_labels(figure: "Figure", axes: "Axes", rows: Sequence[BoardRow]) -> None:
    """Put each name beside its point, at the nearest of eight sides that is free.

    Taken are points, arms of crosses and earlier labels, all in pixels.
    """
    from matplotlib.backends.backend_agg import RendererAgg

    with readers_font():
        figure.draw_without_rendering()
        renderer = RendererAgg(figure.bbox.width, figure.bbox.height, figure.dpi)
        labels = [_label(axes, row.model) for row in rows]
        extents = [label.get_window_extent(renderer) for label in labels]
    inside = np.asarray(axes.get_window_extent(renderer).expanded(1.02, 1.02).extents)
    places = np.array([(row.capability, row.safety) for row in rows], dtype=np.float64)
    points = axes.transData.transform(places.reshape(-1, 2))
    taken = [np.concatenate([points - 5, points + 5], axis=1)]
    for arm in (arm for row in rows for arm in _cross(row)):
        ends = axes.transData.transform(arm)
        taken.append(np.concatenate([ends.min(axis=0) - 1, ends.max(axis=0) + 1])[None])
    for label, extent, point in zip(labels, extents, points):
        size = np.array([extent.width + 4, extent.height + 2])
        centres = point + SIDES * (REACHES + size / 2)
        boxes = np.concatenate([centres - size / 2, centres + size / 2], axis=1)
        cost = _overlap(boxes, np.concatenate(taken)).sum(axis=1)
        cost += size.prod() - _overlap(boxes, inside[None])[:, 0]
        chosen = int(np.argmax(cost <= 0)) if (cost <= 0).any() else int(np.argmin(cost))
        taken.append(boxes[[chosen]])
        x, y = axes.transData.inverted().transform(centres[chosen])
        label.set_position((x, y))
        if np.hypot(*(centres[chosen] - point)) > 30 + size[0] / 2:
            ends = axes.transData.inverted().transform([point, centres[chosen]])
            axes.plot(ends[:, 0], ends[:, 1], color=QUIET, lw=0.6, zorder=1)


def _label(axes: "Axes", name: str) -> "Text":
    label = axes.text(0, 0, plain(name), fontsize=9, color=INK, ha="center", va="center", zorder=5)
    label.set_in_layout(False)
    return label


def _overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the areas (n, m) that boxes (n, 4) and (m, 4) share: x0, y0, x1, y1 of each."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.clip(high - low, 0.0, None).prod(axis=2)


def plot_forest(board: Board) -> "Figure":
    """Draw what models are ranked by, with its interval, best above."""
    by = board.settings["ranked_by"]
    shown = [(row, *ranked_value(row, by)) for row in board.rows]
    shown = [entry for entry in shown if entry[1] is not None]
    figure, axes = new_figure(width=7, height=1.4 + 0.42 * max(1, len(shown)))
    for place, (row, value, low, high) in enumerate(shown):
        label = f"{value:.3f}"
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=BLUE, lw=2.2)
            label += f" [{low:.3f}, {high:.3f}]"
        axes.plot([value], [place], "o", color=BLUE, ms=6.5, clip_on=False, zorder=3)
        axes.annotate(
            f"{label}  {rank_text(row)}",
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            color=INK,
        )
    axes.set_yticks(range(len(shown)), [plain(row.model) for row, *_ in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(*_shown_range([end for _, *ends in shown for end in ends if end is not None]))
    axes.grid(visible=False, axis="y")
    name = "balanced score U" if by == "score" else by
    axes.set_xlabel(f"{name} (0 to 1)")
    level = board.settings["level"]
    axes.set_title(f"{name}, {level:.0%} intervals and rank ranges, n = {len(shown)} models")
    return figure


def _shown_range(ends: Sequence[float]) -> tuple[float, float]:
    """Return axis limits, multiples of 0.1 in [0, 1], that hold every interval."""
    if not ends:
        return 0.0, 1.0
    low, high = np.floor(min(ends) * 10) / 10, np.ceil(max(ends) * 10) / 10
    return max(0.0, min(low, high - 0.1)), min(1.0, max(high, low + 0.1))


def rank_text(row: BoardRow) -> str:
    """Return a row's rank as text: `#2`, with its range `(1-3)` where it is known."""
    if row.rank is None:
        return ""
    if row.rank_best is None or row.rank_worst is None:
        return f"#{row.rank}"
    if row.rank_best == row.rank_worst:
        return f"#{row.rank} ({row.rank_best})"
    return f"#{row.rank} ({row.rank_best}-{row.rank_worst})"


def plot_heat_map(board: Board) -> "Figure":
    """Draw the task scores, models in board order, tasks by dimension and category; gaps blank."""
    models = [row.model for row in board.rows]
    keyed = {(result.dimension, result.category, result.task) for result in board.results}
    tasks = sorted(keyed)
    values = np.full((len(models), len(tasks)), np.nan)
    column = {key: place for place, key in enumerate(tasks)}
    row_of = {model: place for place, model in enumerate(models)}
    for result in board.results:
        place = column[result.dimension, result.category, result.task]
        values[row_of[result.model], place] = result.score
    width = min(14.0, max(7.0, 2.6 + 0.5 * len(tasks)))
    figure, axes = new_figure(width=width, height=1.9 + 0.38 * len(models))
    image = axes.imshow(
        np.ma.masked_invalid(values), vmin=0.0, vmax=1.0, aspect="auto", cmap="cividis"
    )
    axes.set_xticks(
        range(len(tasks)), [plain(task) for _, _, task in tasks], rotation=40, ha="right"
    )
    axes.set_yticks(range(len(models)), [plain(model) for model in models])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if len(tasks) <= 24:
        for row, place in np.argwhere(~np.isnan(values)):
            value = float(values[row, place])
            shade = "#101010" if value > 0.55 else "#fefefe"  # pure black would follow the theme
            axes.text(place, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=shade)
    for place in range(1, len(tasks)):
        if tasks[place][0] != tasks[place - 1][0]:
            axes.axvline(place - 0.5, color=INK, lw=1.5)
    figure.colorbar(image, ax=axes, label="task score (0 to 1)", pad=0.02)
    axes.set_title(f"{len(models)} models x {len(tasks)} tasks (capability first); blank: no score")
    return figure
