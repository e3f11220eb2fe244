"""Figures in one clean style, saved as SVG that follows the reader's light or dark setting.

A figure of `new_figure` is drawn with a handful of fixed colours; `figure_svg` replaces them by
style sheet variables, each with its light value as fall-back, so that one file suits both.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#20262e"
QUIET = "#69727d"
GRID = "#dfe3e8"
PAPER = "#fbfbfa"
# Okabe and Ito's colour-blind-safe set without its yellow, which white paper swallows.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c6d46")
_SERIES_DARK = (
    "#5fb3e6",
    "#ff8b4d",
    "#35c79a",
    "#e5a3c9",
    "#f2b84b",
    "#8fd0f5",
    "#b794d6",
    "#c9a97c",
)
_VARIABLES = {INK: "ink", "#000000": "ink", QUIET: "quiet", GRID: "grid", PAPER: "paper"} | {
    colour: f"s{index}" for index, colour in enumerate(SERIES)
}
_DARK = {"ink": "#e6e9ed", "quiet": "#9aa4af", "grid": "#39414b", "paper": "#14181d"} | {
    f"s{index}": colour for index, colour in enumerate(_SERIES_DARK)
}
THEMED = "equipoise-themed"

STYLE = (
    "<style>svg.eq-plot{color-scheme:light dark;fill:var(--plot-ink,#20262e)}"
    "@media (prefers-color-scheme:dark){svg.eq-plot{"
    + ";".join(f"--plot-{name}:{colour}" for name, colour in _DARK.items())
    + "}}</style>"
)
"""Stands in every themed SVG file, so that it also follows the setting when opened alone."""

_settings = RLock()  # matplotlib's settings belong to the whole process, servers have threads
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def _style() -> dict[Any, Any]:
    from cycler import cycler

    return {
        "axes.axisbelow": True,
        "axes.edgecolor": QUIET,
        "axes.facecolor": "none",
        "axes.formatter.useoffset": False,
        "axes.grid": True,
        "axes.labelcolor": INK,
        "axes.labelsize": 10,
        "axes.linewidth": 0.8,
        "axes.prop_cycle": cycler(color=SERIES),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "figure.facecolor": "none",
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        "lines.solid_capstyle": "round",
        "patch.edgecolor": "none",
        "patch.linewidth": 0,
        "text.color": INK,
        "xtick.color": QUIET,
        "xtick.labelcolor": INK,
        "xtick.labelsize": 9,
        "xtick.major.size": 3,
        "ytick.color": QUIET,
        "ytick.labelcolor": INK,
        "ytick.labelsize": 9,
        "ytick.major.size": 0,
    }


def new_figure(width: float = 7, height: float = 4, **kwargs: Any) -> tuple["Figure", Any]:
    """Return a figure in house style and its axes; nothing is registered with pyplot.

    Args:
        width: width in inches; 7 fills a report's column.
        height: height in inches.
        **kwargs: passed to `Figure.subplots` (`nrows`, `ncols`, `sharex`, ...).

    Returns:
        The figure, and one `Axes`, or an array of them as `Figure.subplots` gives.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _settings, mpl.rc_context(_style()):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        figure.set_gid(THEMED)
        axes = figure.subplots(**kwargs)
    return figure, axes


def plain(text: str) -> str:
    r"""Return `text` so that matplotlib draws it as it is: a dollar sign opens no formula.

    >>> plain("cost $5")
    'cost \\$5'
    """
    return text.replace("$", r"\$")


@contextmanager
def readers_font() -> Iterator[None]:
    """Silence glyphs that matplotlib lacks: words are set in the reader's font, which has them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def figure_svg(figure: "Figure", name: str = "plot", alt: str = "") -> str:
    """Return a matplotlib figure as an SVG text: no date, same figure same bytes.

    Element names are prefixed with `name`, so that several plots can stand in one page. Colours of
    the house style become style sheet variables; a figure made elsewhere keeps its own.
    """
    import matplotlib as mpl

    themed = figure.get_gid() == THEMED
    if themed:
        _settle(figure)
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "axes.unicode_minus": True,
    }
    buffer = io.StringIO()
    style = _style() if themed else {}
    with _settings, mpl.rc_context(style | settings), readers_font():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _finish(buffer.getvalue(), name, alt, themed, wide=figure.get_figwidth() >= 5)


def _settle(figure: "Figure") -> None:
    """Give titles and legends the house style, which matplotlib reads only while they are made."""
    for axes in figure.axes:
        if axes.get_title() and not axes.get_title(loc="left"):
            axes.set_title(axes.get_title(), loc="left", fontsize=11, fontweight="bold", pad=10)
            axes.set_title("")
    for legend in [axes.get_legend() for axes in figure.axes] + figure.legends:
        if legend is not None:
            legend.get_frame().set(facecolor=PAPER, edgecolor="none", alpha=0.85)


def _finish(svg: str, name: str, alt: str, themed: bool, wide: bool) -> str:
    from html import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, count=1, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg)) | {THEMED}

    def keep(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    svg = re.sub(r' id="([^"]*)"', keep, svg)
    svg = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", svg)
    svg = svg.replace(">*{stroke", ">svg[role=img] *{stroke").replace("'DejaVu Sans'", _FONT)
    if themed:
        svg = re.sub("|".join(_VARIABLES), _variable, svg)
    label = f' aria-label="{escape(alt)}"' if alt else ""
    kind = ("eq-plot" if themed else "plain-plot") + (" wide" if wide else "")
    head, _, body = svg.partition(">")
    return f'{head} class="{kind}" role="img"{label}>{STYLE if themed else ""}{body}'


def _variable(match: re.Match[str]) -> str:
    return f"var(--plot-{_VARIABLES[match[0]]}, {match[0]})"
