"""The page of an audit log: counts, how far edits went, one card per answer, worst edits first."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from equipoise.core.files import write_atomic
from equipoise.systems.stream_aligner.audit.animated_diff import animated_diff
from equipoise.systems.stream_aligner.audit.events import bounded_diff
from equipoise.systems.stream_aligner.audit.log import is_segment
from equipoise.systems.stream_aligner.audit.summary import (
    AuditCounts,
    changed_chars,
    detecting_requests,
    shown_text,
)
from equipoise.systems.stream_aligner.correction import DiffOp

MOST_CARDS = 200
_RECORDED = 24  # segments in the recording
_MOST_RECORDING_BYTES = 300_000
_PLAYED = "The live page, played again: answers in which most was changed."
_SAID = {
    "copy": "copied",
    "edit": "edited",
    "drop": "dropped",
    "stop": "stopped",
    "unreviewed": "not reviewed",
}

_STYLE = """<style>
article { border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem 0.2rem;
  margin: 0 0 1.4rem; }
article h3 { font-size: 1.05rem; }
article .quiet { font-size: 0.88rem; }
article td:last-child { min-width: 9rem; }
figure.played img { min-width: min(40rem, 190vw); }
</style>"""


def write_audit_page(
    records: Iterable[Mapping[str, Any]], out: str | Path, *, most: int = MOST_CARDS
) -> Path:
    """Write the page of an audit log as one HTML file without outside request.

    Args:
        records: lines of the log; they are gone through twice, of which only those of the answers
            that are shown are held.
        out: the file.
        most: answers that get a card: those in which most was changed.
    """
    from equipoise.report.page import page_html

    survey = _Survey()
    for record in records:
        survey.add(record)
    worst = survey.worst(most)
    answers: dict[str, list[Mapping[str, Any]]] = {name: [] for name in worst}
    for record in records:
        if record["request_id"] in answers and is_segment(record):
            answers[record["request_id"]].append(record)
    cards = [_card(found, survey.changed[name]) for name, found in answers.items()]
    parts = [
        _STYLE,
        *_overview(survey),
        *_recording(answers),
        *_introduction(survey, answers),
        *cards,
    ]
    page = page_html(
        "Stream Aligner: audit",
        _lead(survey),
        [],
        Path(out).parent,
        facts=_facts(survey.counts.to_json()),
        after=parts,
    )
    return write_atomic(out, page)


class _Survey:
    """What one pass over the log finds: counts, how much each answer and each edit changed."""

    def __init__(self) -> None:
        self.counts = AuditCounts()
        self.changed: Counter[str] = Counter()
        self.shares: list[float] = []
        self.events: Counter[str] = Counter()
        self.redacted = False

    def add(self, record: Mapping[str, Any]) -> None:
        self.counts.add(record)
        name = record["request_id"]
        if not is_segment(record):
            self.events[record["event"]] += 1
            return
        self.redacted |= bool(record.get("redacted"))
        record = with_diff(record)
        changed = changed_chars(record)
        self.changed[name] += changed
        if record["verdict"] == "edit":
            self.shares.append(edit_share(record))

    def worst(self, most: int) -> list[str]:
        """Return the answers in which most was changed, the worst first."""
        return heapq.nsmallest(most, self.changed, key=lambda name: (-self.changed[name], name))


def with_diff(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a segment's line whose `diff` fits its texts; a redacted one keeps what it tells."""
    if record.get("redacted"):
        good = all(
            isinstance(op, list) and len(op) == 3 and all(isinstance(n, int) for n in op[1:])
            for op in record.get("diff", ())
        )
        return record if good else {**record, "diff": []}
    ops = bounded_diff(record["original"], record["corrected"])
    return {**record, "diff": [(op.kind, op.original, op.corrected) for op in ops]}


def edit_share(record: Mapping[str, Any]) -> float:
    """Return the edit distance of a segment by words, as a share of the longer text; 0 to 1.

    >>> edit_share({"original": "aa", "corrected": "ab", "diff": [["replace", "aa", "ab"]]})
    1.0
    """
    chars = record.get("chars")
    if record.get("redacted") and isinstance(chars, dict):
        whole = max((chars.get(side) or 0 for side in ("original", "corrected")), default=0)
    else:
        whole = max(len(record["original"]), len(record["corrected"]))
    return min(1.0, changed_chars(record) / whole) if whole else 0.0


def _facts(counts: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = ("requests", "segments", "copies", "edits", "drops", "stops", "unreviewed", "timeouts")
    rate = [("edit rate", f"{counts['edit_rate']:.1%}")]
    return [(name, f"{counts[name]:,}") for name in names] + rate


def _lead(survey: "_Survey") -> str:
    counts = survey.counts.segments
    total = sum(counts.values())
    if not total:
        return "No sentence has been reviewed yet."
    said = [f"{counts[name]:,} {word}" for name, word in _SAID.items() if counts[name]]
    kept = " Texts were not kept, only their lengths." if survey.redacted else ""
    return f"{total:,} sentences of {len(survey.changed):,} answers: {', '.join(said)}.{kept}"


def _overview(survey: _Survey) -> list[str]:
    """Return the histogram, and what became of requests that did not end as usual."""
    from equipoise.report.blocks import block_html, plot_html
    from equipoise.report.figures import figure_svg

    parts = []
    if survey.shares:
        svg = figure_svg(plot_edit_distances(survey.shares), "edit-distance", "Edit distances")
        parts.append(
            plot_html(
                svg,
                f"How far {len(survey.shares):,} edits went: changed characters as a share of the "
                "longer sentence. Small changes stand on the left, sentences written anew on the "
                "right.",
            )
        )
    if survey.events:
        rows = [{"requests that": name, "count": n} for name, n in survey.events.most_common(20)]
        parts.append(block_html({"type": "table", "rows": rows}, Path()))
    return parts


def plot_edit_distances(shares: list[float]) -> Any:
    """Draw how many edits changed which share of their sentence."""
    from equipoise.report import new_figure
    from equipoise.report.figures import SERIES

    figure, axes = new_figure(7, 2.6)
    axes.hist(shares, bins=20, range=(0, 1), color=SERIES[0], rwidth=0.9)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the sentence that was changed")
    axes.set_ylabel("edits")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(visible=False, axis="x")
    return figure


def _recording(answers: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    """Return a recording of the live page, of the first answers shown; none if it were large."""
    from equipoise.report.media import data_address

    chosen: list[Mapping[str, Any]] = []
    for found in answers.values():
        if any(record.get("redacted") for record in found):
            return []
        if chosen and len(chosen) + len(found) > _RECORDED:
            break
        chosen += found[:_RECORDED]
    if not any(record["verdict"] != "copy" for record in chosen):
        return []
    svg = animated_diff(chosen)
    if len(svg) > _MOST_RECORDING_BYTES:
        return []
    # as a picture, for the rules of its style sheet are not to reach the page
    address = data_address(svg.encode("utf-8", "replace"), ".svg")
    picture = f'<div class="scroll" tabindex="0"><img src="{address}" alt="{_PLAYED}"></div>'
    caption = f"<figcaption>{_PLAYED}</figcaption>"
    return [f'<h2>As it was seen</h2><figure class="played">{picture}{caption}</figure>']


def _introduction(survey: _Survey, answers: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    from equipoise.report.blocks import block_html

    left = len(survey.changed) - len(answers)
    more = f" {left:,} answers in which less was changed are not shown." if left else ""
    text = f"Those in which most characters were changed stand first.{more}"
    detecting = detecting_requests(record for found in answers.values() for record in found)
    if detecting:
        text += (
            f"\n\nIn {len(detecting):,} of {len(answers):,} corrections were only recorded: "
            "whoever asked saw the original."
        )
    return [block_html({"type": "section", "title": "Answers", "text": text}, Path())]


def _card(records: list[Mapping[str, Any]], changed: int) -> str:
    """Return an answer as a card: question, what was said about it, both texts, the sentences."""
    from equipoise.report.blocks import block_html

    first = records[0]
    chars = first.get("chars")
    question = first.get("question") or "(no question)"
    if first.get("redacted"):
        length = chars.get("question") if isinstance(chars, dict) else None
        question = f"Question of {length} characters, not kept"
    counts = Counter(record["verdict"] for record in records)
    said = ", ".join(f"{counts[name]} {word}" for name, word in _SAID.items() if counts[name])
    about = [f"{changed:,} characters changed", said, first.get("model"), first.get("key_name")]
    small = escape(" · ".join(str(part) for part in about if part))
    block = {
        "type": "compare",
        "left": "",
        "right": "",
        "titles": ["Original", "Corrected"],
        "ops": [op for record in records for op in _ops(with_diff(record))],
    }
    texts = "" if first.get("redacted") else block_html(block, Path())
    return (
        f'<article><h3>{escape(question)}</h3><p class="quiet">{small}</p>{texts}'
        f"{_sentences(records)}</article>"
    )


def _ops(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return a segment's pieces, its leading whitespace in front, on the sides where it stood."""
    leading = record.get("leading", "")
    shown = leading if shown_text(record) else ""
    ops = [DiffOp("equal", leading, shown)] + [DiffOp(*op) for op in record["diff"]]
    return [{"kind": op.kind, "original": op.original, "corrected": op.corrected} for op in ops]


def _sentences(records: list[Mapping[str, Any]]) -> str:
    """Return the table of an answer's sentences that were not copied; copies are counted above."""
    from equipoise.report.blocks import block_html

    rows = [
        {
            "sentence": place,
            "verdict": record["verdict"],
            "changed": f"{edit_share(with_diff(record)):.0%}",
            "ms": record.get("corrector_ms"),
            "why": record.get("note", ""),
        }
        for place, record in enumerate(records, 1)
        if record["verdict"] != "copy"
    ]
    columns = {"sentence": "Sentence", "verdict": "Verdict", "changed": "Changed"}
    columns |= {"ms": "Review, ms", "why": "Why"}
    block = {"type": "table", "rows": rows, "columns": columns}
    return block_html(block, Path()) if rows else ""
