"""Metrics over steps as small line plots, one a quantity, several runs in each."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from equipoise.report.blocks import plot_html
from equipoise.report.figures import figure_svg, new_figure
from equipoise.report.tables import is_number

Series = tuple[list[float], list[float]]
SHOWN = 24
_POINTS = 800


def numeric_series(records: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """Return the numbers of step records: name -> (steps, values), nested names dotted."""
    found: dict[str, Series] = {}
    for index, record in enumerate(records):
        step = record.get("step")
        at = float(step) if is_number(step) else float(index)
        for name, value in _numbers(record):
            steps, values = found.setdefault(name, ([], []))
            steps.append(at)
            values.append(value)
    return found


def _numbers(record: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, float]]:
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{key}.")
        elif is_number(value) and (before or key != "step"):
            yield f"{before}{key}", float(value)


def curves_html(series: Mapping[str, Series]) -> str:
    """Return curves as a grid of small plots; past `SHOWN` of them the rest is named in a line."""
    drawn = {name: one for name, one in series.items() if len(set(one[0])) > 1}
    names = list(drawn)[:SHOWN]
    plots = [
        plot_html(curve_svg(name, {"": drawn[name]}, f"curve-{index}"))
        for index, name in enumerate(names)
    ]
    if not plots:
        return ""
    left = list(drawn)[SHOWN:]
    more = f"<p>Not drawn: {escape(', '.join(left))}.</p>" if left else ""
    return f'<div class="curves">{"".join(plots)}</div>{more}'


def curve_svg(name: str, runs: Mapping[str, Series], prefix: str = "curve") -> str:
    """Return one quantity over steps, a line a run, as SVG; with several runs they are named."""
    figure, axes = new_figure(3.5, 2.3)
    for label, (steps, values) in runs.items():
        x, y = _thin(steps, values)
        marker = "o" if len(x) <= 3 else None
        axes.plot(x, y, label=label or None, marker=marker)
    axes.set_title(name.replace("_", " ").replace("$", r"\$"))
    axes.locator_params(axis="both", nbins=5)
    if any(runs) and len(runs) > 1:
        axes.legend()
    return figure_svg(figure, prefix, f"{name} over steps")


def _thin(steps: Sequence[float], values: Sequence[float]) -> tuple[Any, Any]:
    """Return a curve's points, finite and at most `2 * _POINTS`; each piece keeps its extremes."""
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) <= 2 * _POINTS:
        return x, y
    kept: list[int] = []
    for piece in np.array_split(np.arange(len(x)), _POINTS):
        kept += sorted({int(piece[np.argmin(y[piece])]), int(piece[np.argmax(y[piece])])})
    return x[kept], y[kept]
