"""The page around a report's blocks: one file, no outside request, light and dark."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from equipoise.report.blocks import anchor, block_html, paragraphs


@cache
def _asset(name: str) -> str:
    return files("equipoise.report").joinpath(name).read_text(encoding="utf-8")


def script_hash() -> str:
    """Return the Content-Security-Policy source that allows the page's one script and no other."""
    digest = sha256(_asset("report.js").encode("utf-8")).digest()
    return f"'sha256-{b64encode(digest).decode('ascii')}'"


def policy() -> str:
    """Return the Content-Security-Policy of a report: its own script, no outside address."""
    return (
        f"default-src 'none'; script-src {script_hash()}; style-src 'unsafe-inline'; "
        "img-src data: 'self' file:; media-src data: 'self' file:; "
        "base-uri 'none'; form-action 'none'"
    )


def page_html(
    title: str,
    lead: str,
    blocks: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    eyebrow: str = "",
    facts: Sequence[tuple[str, str]] = (),
    status: str = "",
    after: Sequence[str] = (),
) -> str:
    """Return a whole page.

    Args:
        title: heading, escaped here as everything else.
        lead: first sentences.
        blocks: plain data as in `report.json`.
        folder: where the files lie that the blocks name.
        eyebrow: small line over the title.
        facts: short labels and values under it.
        status: state of the run, shown as a badge.
        after: HTML of further parts, already escaped.
    """
    body = "".join(block_html(block, folder) for block in blocks) + "".join(after)
    badge = f'<span class="badge {anchor(status)}">{escape(status)}</span>' if status else ""
    small = f'<p class="eyebrow">{escape(eyebrow)}{badge}</p>' if eyebrow or badge else ""
    items = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in facts
    )
    strip = f'<dl class="facts">{items}</dl>' if items else ""
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{escape(policy(), quote=False)}">
<meta name="generator" content="equipoise">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{_asset("report.css")}</style>
</head>
<body>
<main>
<header>{small}<h1>{escape(title)}</h1>
<div class="lead">{paragraphs(lead)}</div>{strip}</header>
{body}
</main>
<script>{_asset("report.js")}</script>
</body>
</html>
"""
    # what a model wrote may hold half of a surrogate pair
    return page.encode("utf-8", "replace").decode("utf-8")
