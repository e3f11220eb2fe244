"""The live page as an animated SVG, made from audit lines without a browser.

It plays in a loop by style sheet animations alone, so that it also moves as a picture in a page;
readers who asked for less motion see the last state. Colours follow the light or dark setting.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.audit.events import SEGMENT_VERDICTS, bounded_diff

_LINE, _CHAR = 19, 7.85  # pixels: height of a line and width of a character at 13 pixels
_HEAD, _PAD = 46, 14
_VERDICT_WIDTH = 118
_HOLD = 3.0  # seconds that the last state stays
_MOST_LINES = 8

_STYLE = """
svg{--paper:#fbfbfa;--ink:#20262e;--quiet:#5d6671;--line:#e2e5e9;--band:#f3f5f7;
--copy:#5d6671;--edit:#1a7f4b;--drop:#b3261e;--stop:#0b62a3;--unreviewed:#9a5b00}
@media (prefers-color-scheme:dark){svg{--paper:#14181d;--ink:#e6e9ed;--quiet:#9aa4af;--line:#313942;
--band:#222932;--copy:#9aa4af;--edit:#5fcf94;--drop:#ff8a80;--stop:#76bdf0;--unreviewed:#f0b35a}}
text{font:13px ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
text{fill:var(--ink);white-space:pre}
.h{font-weight:700}.q,.copy .o{fill:var(--quiet)}
.d{fill:var(--drop);text-decoration:line-through}.i{fill:var(--edit);font-weight:700}
.v{font-weight:700;fill:var(--m)}.b{fill:var(--m)}
.copy{--m:var(--copy)}.edit{--m:var(--edit)}.drop{--m:var(--drop)}.stop{--m:var(--stop)}
.unreviewed{--m:var(--unreviewed)}
"""


@dataclass(frozen=True)
class _Row:
    """A question or a segment, laid out: its SVG, its height in pixels, a segment's verdict."""

    svg: str
    height: float
    verdict: str = ""


def animated_diff(
    records: Iterable[Mapping[str, Any]],
    *,
    width: int = 860,
    height: int = 420,
    seconds_per_segment: float = 1.1,
) -> str:
    """Return an animated SVG in which segments appear one after the other, as on the live page.

    Args:
        records: audit lines of segments, with their texts, in the order in which they appear.
        width: pixels, at least 480.
        height: pixels, at least 160.
        seconds_per_segment: how long each is the newest.

    Raises:
        InvalidInput: no segment, or a size or time out of range.
    """
    if width < 480 or height < 160:
        raise InvalidInput(f"the picture is {width} x {height}; at least 480 x 160 are needed")
    if not 0 < seconds_per_segment < float("inf"):
        raise InvalidInput(f"seconds_per_segment is {seconds_per_segment!r}; it must be positive")
    rows = list(_rows(records, width))
    verdicts = [row.verdict for row in rows if row.verdict]
    if not verdicts:
        raise InvalidInput("an animation needs at least one segment, got none")
    total = len(verdicts) * seconds_per_segment + _HOLD
    body, rules, bottoms = _placed(rows, seconds_per_segment, total)
    rules += _scrolling(bottoms, height - _HEAD, seconds_per_segment, total)
    head, more = _counters(verdicts, width, seconds_per_segment, total)
    animated = f"@media (prefers-reduced-motion:no-preference){{{rules}{more}}}"
    end = -max(0.0, bottoms[-1] - (height - _HEAD))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="The live page, played again: '
        f'{len(verdicts)} sentences under review"><style>{_STYLE}{animated}</style>'
        f'<rect width="{width}" height="{height}" fill="var(--paper)"/>'
        f'<svg y="{_HEAD}" width="{width}" height="{height - _HEAD}">'
        f'<g class="all" transform="translate(0 {end:g})">{body}</g></svg>{head}</svg>'
    )


def _rows(records: Iterable[Mapping[str, Any]], width: int) -> Iterator[_Row]:
    """Yield the table: a question where the answer changes, then its segments."""
    answer = None
    for record in records:
        if record["request_id"] != answer:
            answer = record["request_id"]
            yield _question(str(record.get("question") or ""), width)
        yield _segment(record, width)


def _question(text: str, width: int) -> _Row:
    room = int((width - 2 * _PAD) / _CHAR)
    lines = _wrapped([(" ".join(text.split()) or "(no question)", False)], room)[:2]
    tall = len(lines) * _LINE + _PAD
    band = f'<rect width="{width}" height="{tall}" fill="var(--band)"/>'
    return _Row(band + _text(lines, _PAD, "h", "h"), tall)


def _segment(record: Mapping[str, Any], width: int) -> _Row:
    column = (width - _VERDICT_WIDTH - 4 * _PAD) / 2
    room, last, verdict = int(column / _CHAR), 3 * _PAD + 2 * column, record["verdict"]
    ops = bounded_diff(record["original"], record["corrected"])
    left = _wrapped([(op.original, op.kind != "equal") for op in ops], room)
    right = _wrapped([(op.corrected, op.kind != "equal") for op in ops], room)
    kind = "c"
    if not record["corrected"]:
        right, kind = [[("left out" if verdict == "drop" else "nothing", False)]], "q"
    tall = max(len(left), len(right), 1) * _LINE + _PAD
    parts = [_text(left, _PAD, "o", "d"), _text(right, 2 * _PAD + column, kind, "i")]
    parts.append(f'<text class="v" x="{last:g}" y="{_LINE}">{verdict}</text>')
    ms = record.get("corrector_ms")
    if isinstance(ms, (int, float)):
        beside = len(verdict) < 6
        x, y = (last + 6 * _CHAR, _LINE) if beside else (last, 2 * _LINE)
        parts.append(f'<text class="q" x="{x:g}" y="{y}">{ms:.0f} ms</text>')
        tall = max(tall, y + _PAD)
    return _Row(f'<rect class="b" width="3" height="{tall}"/>{"".join(parts)}', tall, verdict)


Line = list[tuple[str, bool]]


def _wrapped(pieces: Sequence[tuple[str, bool]], room: int) -> list[Line]:
    """Return pieces of text, marked or not, as lines of at most `room` columns.

    >>> _wrapped([("one two", False), (" three", True)], 8)
    [[('one two', False)], [('three', True)]]
    """
    lines: list[Line] = [[]]
    used = 0
    for text, marked in pieces:
        for word in re.findall(r"\S+|\s+", text):
            blank = word.isspace()
            if blank and ("\n" in word or "\r" in word):
                lines.append([])
                used = 0
                continue
            for part in _cut(" " if blank else _visible(word), room):
                wide = _columns(part)
                if used + wide > room:
                    lines.append([])
                    used = 0
                if not (blank and not used):
                    lines[-1].append((part, marked))
                    used += wide
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], [("...", False)]]
    return [_joined(line) for line in lines if line]


def _joined(line: Line) -> Line:
    """Return a line with neighbours of one mark put together, without a blank at its end."""
    found: Line = []
    for text, marked in line:
        if found and found[-1][1] == marked:
            found[-1] = (found[-1][0] + text, marked)
        else:
            found.append((text, marked))
    last, marked = found.pop()
    return [*found, (last.rstrip(), marked)] if last.rstrip() or not found else found


def _cut(word: str, room: int) -> Iterator[str]:
    """Yield a word in parts of at most `room` columns."""
    part, used = "", 0
    for character in word:
        wide = _columns(character)
        if used + wide > room:
            yield part
            part, used = "", 0
        part += character
        used += wide
    yield part


def _columns(text: str) -> int:
    """Return how many characters' width a text takes; those of East Asia take two."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _visible(text: str) -> str:
    """Return text without what XML cannot hold or what would turn its direction."""
    return "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Cf", "Cn") else c for c in text
    )


def _text(lines: list[Line], x: float, name: str, mark: str) -> str:
    """Return lines as SVG text."""
    spans = []
    for place, line in enumerate(lines):
        for number, (words, marked) in enumerate(line):
            at = f' x="{x:g}" y="{_LINE * (place + 1)}"' if number == 0 else ""
            kind = f' class="{mark}"' if marked else ""
            spans.append(f"<tspan{at}{kind}>{escape(words)}</tspan>")
    return f'<text class="{name}">{"".join(spans)}</text>' if spans else ""


def _placed(rows: list[_Row], seconds: float, total: float) -> tuple[str, str, list[float]]:
    """Return the rows one below the other, the rules that let each appear, each step's bottom."""
    parts, rules, bottoms = [], [], []
    y, step = 0.0, 0
    for row in rows:
        kind = f' class="{row.verdict}"' if row.verdict else ""
        parts.append(
            f'<g transform="translate(0 {y:g})"><g class="r{step}"><g{kind}>{row.svg}</g></g></g>'
        )
        y += row.height
        if row.verdict:
            rules.append(_appearing(f"r{step}", step * seconds, total))
            bottoms.append(y)
            step += 1
    return "".join(parts), "".join(rules), bottoms


def _appearing(name: str, start: float, total: float, end: float | None = None) -> str:
    """Return the rules by which the elements of a class are seen from `start` (to `end`)."""
    begin = 100 * start / total
    frames = f"0%,{max(0.0, begin - 0.01):.2f}%{{opacity:0}}" if begin > 0 else ""
    frames += f"{begin:.2f}%{{opacity:1}}"
    if end is None:
        frames += "100%{opacity:1}"
    else:
        close = 100 * end / total
        frames += f"{close - 0.01:.2f}%{{opacity:1}}{close:.2f}%,100%{{opacity:0}}"
    return f"@keyframes {name}{{{frames}}}.{name}{{animation:{name} {total:g}s linear infinite}}"


def _scrolling(bottoms: list[float], room: float, seconds: float, total: float) -> str:
    """Return the rules that keep the newest segment in sight."""
    frames, before = ["0%{transform:translate(0,0)}"], 0.0
    for step, bottom in enumerate(bottoms):
        shift = max(0.0, bottom - room)
        if shift == before:
            continue
        start = 100 * step * seconds / total
        end = start + 100 * min(0.3, seconds / 2) / total
        frames.append(f"{start:.2f}%{{transform:translate(0,{-before:g}px)}}")
        frames.append(f"{end:.2f}%{{transform:translate(0,{-shift:g}px)}}")
        before = shift
    frames.append(f"100%{{transform:translate(0,{-before:g}px)}}")
    return f"@keyframes all{{{''.join(frames)}}}.all{{animation:all {total:g}s linear infinite}}"


def _counters(verdicts: list[str], width: int, seconds: float, total: float) -> tuple[str, str]:
    """Return the bar at the top with its running counts, and the rules of their change."""
    counts: Counter[str] = Counter()
    parts, rules = [], []
    for step, verdict in enumerate(verdicts):
        counts[verdict] += 1
        last = step == len(verdicts) - 1
        words = "   ".join(
            f'<tspan class="{name}"><tspan class="v">{counts[name]}</tspan> {name}</tspan>'
            for name in SEGMENT_VERDICTS
            if counts[name]
        )
        hidden = "" if last else ' opacity="0"'
        parts.append(f'<text class="n{step}" x="{_PAD}" y="28"{hidden}>{words}</text>')
        end = None if last else (step + 1) * seconds
        rules.append(_appearing(f"n{step}", step * seconds, total, end))
    line = f'<path d="M0 {_HEAD - 0.5}H{width}" stroke="var(--line)"/>'
    paper = f'<rect width="{width}" height="{_HEAD}" fill="var(--paper)"/>'
    return paper + line + "".join(parts), "".join(rules)
