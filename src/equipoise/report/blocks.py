"""The blocks that a report is made of, from their plain data to escaped HTML."""

import re
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from equipoise.core.files import from_json
from equipoise.report.media import KINDS, data_address, media_html
from equipoise.report.tables import table_html

Block = Mapping[str, Any]


def block_html(block: Block, folder: Path) -> str:
    """Return one block as HTML; one that is broken says so and does not harm the others.

    Args:
        block: plain data with a `type`, as in `report.json`.
        folder: where the files lie that the block names.
    """
    render = _RENDERERS.get(str(block.get("type")))
    if render is None:
        return (
            f'<p class="problem">A block of type {escape(repr(block.get("type")))} is unknown.</p>'
        )
    try:
        return render(block, folder)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = escape(f"{type(error).__name__}: {error}")
        return (
            f'<p class="problem">A {escape(str(block["type"]))} could not be shown ({reason}).</p>'
        )


def paragraphs(text: str) -> str:
    """Return a text as paragraphs, parted at empty lines."""
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return "".join(f"<p>{escape(part)}</p>" for part in parts)


def inside(folder: Path, relative: str) -> Path:
    """Return the file that `relative` names, refusing one outside the folder."""
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{relative} lies outside the run folder")
    return path


def _section(block: Block, folder: Path) -> str:
    title, text = str(block["title"]), paragraphs(str(block.get("text", "")))
    return f'<h2 id="{anchor(title)}">{escape(title)}</h2>{text}' if title else text


def anchor(title: str) -> str:
    """Return the name by which a section's heading can be linked to."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"


def _table(block: Block, folder: Path) -> str:
    return table_html(from_json(block["rows"]), block.get("columns"), str(block.get("caption", "")))


def _figure(block: Block, folder: Path) -> str:
    file, caption = str(block["file"]), str(block.get("caption", ""))
    path = inside(folder, file)
    if not path.is_file():
        return f'<p class="problem">The plot {escape(file)} is missing.</p>'
    return plot_html(path.read_text(encoding="utf-8"), caption, str(block.get("alt", "")))


def plot_html(svg: str, caption: str = "", alt: str = "") -> str:
    """Return an SVG as a figure: inlined if it only draws, else a picture that cannot act."""
    if is_drawing(svg):
        picture = svg[svg.index("<svg") :]
    else:
        address = data_address(svg.encode("utf-8"), ".svg")
        picture = f'<img src="{address}" alt="{escape(alt or caption)}">'
    text = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="plot"><div class="scroll" tabindex="0">{picture}</div>{text}</figure>'


_ELEMENTS = (
    "svg|g|defs|path|use|text|tspan|rect|circle|line|polyline|polygon|ellipse|clipPath|image|title"
    "|desc|style|linearGradient|radialGradient|stop|marker|pattern|symbol"
)
_ATTRIBUTE = (
    r"\s+(?:xlink:href|href)=\"(?:#|data:image/(?:png|jpeg);base64,)[^\"<>&]*\""
    r"|\s+(?!on|href|xlink:href|src)[A-Za-z][\w:.-]*=\"(?:(?!url\((?!#)|image-set|@import)[^\"<>])*\""
)
# Possessive (`++`, `*+`): without it words before a forbidden tag take exponential time to refuse.
_DRAWING = re.compile(
    r"(?:<\?xml[^<>]*\?>|<!DOCTYPE svg PUBLIC[^<>\[\]]*>|\s)*"
    r"<svg\b(?:" + _ATTRIBUTE + r")*\s*>"
    r"(?:[^<>]++|<!--(?:(?!--)[^<>])*+-->|</(?:" + _ELEMENTS + r")\s*>"
    r"|<style(?: type=\"text/css\")?>(?:(?!url|@import|expression)[^<>\\])*</style>"
    r"|<(?!style\b)(?:" + _ELEMENTS + r")(?:" + _ATTRIBUTE + r")*\s*/?>)*+",
    re.IGNORECASE,
)


def is_drawing(svg: str) -> bool:
    """Return whether an SVG holds nothing but shapes, words and references into itself.

    Everything is compared with what is allowed: a script, an event attribute, a foreign element or
    an address elsewhere makes the answer no.
    """
    return _DRAWING.fullmatch(svg.strip()) is not None


def _media(block: Block, folder: Path) -> str:
    kind, file = str(block["kind"]), str(block["file"])
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r} is none of {', '.join(KINDS)}")
    return media_html(inside(folder, file), file, kind, str(block.get("caption", "")))


def _compare(block: Block, folder: Path) -> str:
    titles = [str(title) for title in block["titles"]]
    ops = block.get("ops") or [
        {"kind": "equal", "original": block["left"], "corrected": block["right"]}
    ]
    sides = []
    for title, side, tag in ((titles[0], "original", "del"), (titles[1], "corrected", "ins")):
        text = "".join(_marked(str(op[side]), str(op["kind"]), tag) for op in ops)
        sides.append(f'<div><h3>{escape(title)}</h3><div class="said">{text}</div></div>')
    return f'<div class="compare">{"".join(sides)}</div>'


def _marked(text: str, kind: str, tag: str) -> str:
    return escape(text) if kind == "equal" or not text else f"<{tag}>{escape(text)}</{tag}>"


def _link(block: Block, folder: Path) -> str:
    href = checked_href(str(block["href"]))
    title = escape(str(block["title"]))
    return f'<p class="link"><a href="{escape(href)}" rel="noopener">{title}</a></p>'


def checked_href(href: str) -> str:
    """Return an address that a report may link to: http, https, mailto or a relative path.

    Raises:
        ValueError: another scheme, such as `javascript:`.
    """
    scheme = re.match(r"\s*([a-zA-Z][a-zA-Z0-9+.-]*)\s*:", re.sub(r"[\x00-\x20]", "", href))
    if scheme and scheme[1].lower() not in ("http", "https", "mailto"):
        raise ValueError(f"links of kind {scheme[1]}: are not shown")
    return href


_RENDERERS: dict[str, Callable[[Block, Path], str]] = {
    "section": _section,
    "table": _table,
    "figure": _figure,
    "media": _media,
    "compare": _compare,
    "link": _link,
}
