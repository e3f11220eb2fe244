"""A report under construction: sections, tables, figures, media, saved as data and as a page."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from difflib import SequenceMatcher
from hashlib import sha256
from pathlib import Path
from re import findall, fullmatch
from typing import TYPE_CHECKING, Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.files import to_json, write_atomic
from equipoise.report.blocks import checked_href
from equipoise.report.figures import figure_svg
from equipoise.report.media import KINDS, kind_of, suffix_of
from equipoise.report.page import page_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 1


class Report:
    """What a room wants to show of a run, block by block, in the order of the calls.

    Everything is shown as plain text, whatever it holds. `save` writes `report.json` (the blocks)
    and `report.html` (one self-contained page); `render_run` puts the blocks of a run folder's
    `report.json` at the top of the run's own page.
    """

    def __init__(self, title: str, lead: str = "") -> None:
        """Start a report.

        Args:
            title: its heading.
            lead: one or two sentences that say what was found.
        """
        self.title = title
        self.lead = lead
        self.blocks: list[dict[str, Any]] = []
        self._files: dict[str, str | bytes | Path] = {}

    def section(self, title: str, text: str = "") -> None:
        """Begin a section, or without a title go on with paragraphs; empty lines part them."""
        self.blocks.append({"type": "section", "title": title, "text": text})

    def table(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        columns: Mapping[str, str] | Sequence[str] | None = None,
        caption: str = "",
    ) -> None:
        """Add a table.

        Args:
            rows: mappings; values may be numbers, texts, truth values, `Interval`s, None or lists.
            columns: the keys to show, in order, or a mapping of key to heading. Without it all
                keys are shown, and `x`, `x_low`, `x_high` become one interval `x`.
            caption: a line above the table.
        """
        plain = [{str(key): _plain(row[key]) for key in row} for row in rows]
        block: dict[str, Any] = {"type": "table", "rows": plain, "caption": caption}
        if columns is not None:
            from equipoise.report.tables import heading

            named = (
                columns if isinstance(columns, Mapping) else {key: heading(key) for key in columns}
            )
            block["columns"] = dict(named)
        self.blocks.append(block)

    def figure(self, fig: "Figure", name: str, *, caption: str, alt: str = "") -> None:
        """Add a matplotlib figure; it is drawn now, so that it may be changed or closed after.

        Args:
            fig: best made by `new_figure`.
            name: file name without suffix, `plots/NAME.svg`; letters, digits, `-` and `_`.
            caption: what the reader should see.
            alt: what the picture shows, for those who cannot see it; the caption without it.
        """
        if fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) is None:
            raise InvalidInput(f"figure name {name!r} may hold letters, digits, '-' and '_' only")
        file = f"plots/{name}.svg"
        if file in self._files:
            raise InvalidInput(
                f"a figure called {name!r} is in this report already; take another name"
            )
        self._files[file] = figure_svg(fig, name, alt or caption)
        self.blocks.append({"type": "figure", "file": file, "caption": caption, "alt": alt})

    def media(self, source: str | Path | bytes, *, caption: str, kind: str | None = None) -> None:
        """Add a picture, a clip or a sound; small ones are put into the page itself.

        Args:
            source: a file, or the bytes of one (PNG, JPEG, GIF, WebP, SVG, MP4, WebM, WAV, MP3,
                OGG, FLAC). A file outside the run folder is copied to `media/` by `save`.
            caption: a line below it.
            kind: `image`, `video` or `audio`; by default told from the file.
        """
        if isinstance(source, bytes):
            name = sha256(source).hexdigest()[:16] + suffix_of(source)
        else:
            source = Path(source)
            if not source.is_file():
                raise InvalidInput(f"there is no file {source}; give a file or its bytes")
            name = source.name
        if kind is not None and kind not in KINDS:
            raise unknown_name("kind of media", kind, KINDS)
        kind = kind or kind_of(name)
        file = f"media/{name}"
        if self._files.get(file, source) != source:
            file = f"media/{len(self._files)}-{name}"
        self._files[file] = source
        self.blocks.append({"type": "media", "file": file, "kind": kind, "caption": caption})

    def compare(
        self, left: str, right: str, *, titles: tuple[str, str], ops: Sequence[Any] | None = None
    ) -> None:
        """Add two texts side by side, what differs marked.

        Args:
            left: e.g. an original answer.
            right: e.g. the corrected one.
            titles: a heading for each.
            ops: pieces in order, each with `.kind` (`equal`, `replace`, `delete`, `insert`),
                `.original` and `.corrected`; without them words are compared.
        """
        pieces = ops if ops is not None else _word_ops(left, right)
        plain = [
            {key: str(_get(op, key)) for key in ("kind", "original", "corrected")} for op in pieces
        ]
        self.blocks.append(
            {"type": "compare", "left": left, "right": right, "titles": list(titles), "ops": plain}
        )

    def link(self, title: str, href: str) -> None:
        """Add a link: http, https, mailto or a path relative to the report."""
        try:
            checked_href(href)
        except ValueError as error:
            raise InvalidInput(
                f"address {href!r}: {error}; allowed: http, https, mailto, a path"
            ) from None
        self.blocks.append({"type": "link", "title": title, "href": href})

    def save(self, folder: str | Path) -> Path:
        """Write `report.json`, the plots and media, and `report.html`; return the page's path."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._save_files(folder)
        data = {"schema": SCHEMA, "title": self.title, "lead": self.lead, "blocks": self.blocks}
        text = json.dumps(data, ensure_ascii=False, indent=1) + "\n"
        # half of a surrogate pair, which a model may write, becomes its JSON escape
        write_atomic(folder / "report.json", text.encode("utf-8", "backslashreplace"))
        return write_atomic(
            folder / "report.html", page_html(self.title, self.lead, self.blocks, folder)
        )

    def _save_files(self, folder: Path) -> None:
        root = folder.resolve()
        for file, content in self._files.items():
            target = folder / file
            if not isinstance(content, Path):
                write_atomic(target, content)
            elif content.resolve().is_relative_to(root):
                relative = content.resolve().relative_to(root).as_posix()
                for block in self.blocks:
                    if block.get("file") == file:
                        block["file"] = relative
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(content, target)


def _plain(value: Any) -> Any:
    """Return a cell as JSON data; a result record becomes a mapping."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    return to_json(value)


def _get(op: Any, key: str) -> Any:
    return op[key] if isinstance(op, Mapping) else getattr(op, key)


def _word_ops(left: str, right: str) -> list[dict[str, str]]:
    """Return the word-level difference of two texts; very long ones are not compared."""
    a, b = (findall(r"\s+|\w+|[^\w\s]", text) for text in (left, right))
    if len(a) * len(b) > 25_000_000:
        return [{"kind": "equal", "original": left, "corrected": right}]
    return [
        {"kind": kind, "original": "".join(a[i:j]), "corrected": "".join(b[k:m])}
        for kind, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    ]
