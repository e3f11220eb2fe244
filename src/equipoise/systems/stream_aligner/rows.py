"""Correction rows: what a corrector is trained on, read from any of the forms that hold them.

| a line (or an entry of one JSON array) | becomes |
|---|---|
| `{"question", "prefix", "last", "correction"}` | a row of style `stream` |
| `{"question", "answer", "correction"}` | a row of style `aligner`: prefix empty, last the answer |
| a comparison record | the same: the rejected answer, its refinement or the chosen one |

`solution`, `verdict` and `source` are optional. A broken line is reported with its number and the
others are used.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput, nearest
from equipoise.core.files import write_atomic
from equipoise.preference.comparisons import Comparison, Rating, Segment
from equipoise.preference.comparisons.lines import Line
from equipoise.preference.comparisons.records import parse_record
from equipoise.systems.stream_aligner.correction import VERDICTS
from equipoise.systems.stream_aligner.entries import check_broken, iter_entries, listed

STYLES = ("stream", "aligner")


@dataclass(frozen=True)
class CorrectionRow:
    """One sentence and what should stand in its place.

    Attributes:
        question: what was asked.
        prefix: the corrected answer before the sentence.
        last: the sentence under review; in style `aligner` the whole answer.
        correction: what replaces it; empty for a drop.
        verdict: copy, edit, drop or stop, where known.
        solution: the right answer, where known.
        source: where the row comes from.
    """

    question: str
    prefix: str
    last: str
    correction: str
    verdict: str | None = None
    solution: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            optional = name in _OPTIONAL
            if not (isinstance(value, str) or (optional and value is None)):
                kind = "null" if value is None else type(value).__name__
                raise InvalidInput(f"{name!r} is {kind}; it must be text")
        if self.verdict is not None and self.verdict not in VERDICTS:
            close = nearest(self.verdict, VERDICTS)
            hint = f"; did you mean {close!r}?" if close else ""
            raise InvalidInput(
                f"'verdict' is {self.verdict[:40]!r}; allowed: {', '.join(VERDICTS)}{hint}"
            )

    def to_json(self, style: str = "stream") -> dict[str, str]:
        """Return the JSON object of the row in one of `STYLES`; what is not known is left out."""
        record = {"question": self.question}
        if style == "aligner":
            record |= {"answer": self.last, "correction": self.correction}
        else:
            record |= {"prefix": self.prefix, "last": self.last, "correction": self.correction}
        known = {name: getattr(self, name) for name in ("solution", "verdict", "source")}
        return record | {name: value for name, value in known.items() if value is not None}


_OPTIONAL = ("verdict", "solution", "source")


@dataclass(frozen=True)
class Rows:
    """A file of rows.

    Attributes:
        rows: in the order of the file.
        style: `stream` or `aligner`, which all its rows share.
        broken: `(line, reason)` of each line that could not be used.
        left_out: comparison records that say nothing for a corrector: ties, undecided ones,
            ratings, and answers that are not text.
    """

    rows: tuple[CorrectionRow, ...]
    style: str
    broken: tuple[tuple[int, str], ...] = ()
    left_out: int = 0


def read_rows(path: str | Path, *, keep_going: bool = False) -> Rows:
    """Read a file of rows: JSON lines or one JSON array, plain or gzip.

    Args:
        path: the file.
        keep_going: use what is good however much is broken.

    Raises:
        MissingData: there is no such file.
        InvalidInput: more than 1 % of the lines are broken, or no row is left.
    """
    found: list[CorrectionRow] = []
    broken: list[tuple[int, str]] = []
    style, left_out = None, 0
    for line in iter_entries(path):
        try:
            row, its_style = _parse(line)
            if row is None:
                left_out += 1
                continue
            if style not in (None, its_style):
                raise InvalidInput(f"a row of style {its_style} in a file of style {style}")
        except InvalidInput as error:
            broken.append((line.number, str(error)))
            continue
        style = its_style
        found.append(row)
    check_broken(path, broken, len(found) + len(broken) + left_out, keep_going=keep_going)
    if not found:
        reason = f"; {listed(broken)}" if broken else ""
        raise InvalidInput(f"{path} holds no rows{reason}")
    return Rows(tuple(found), style or STYLES[0], tuple(broken), left_out)


def write_rows(rows: Iterable[CorrectionRow], path: str | Path, *, style: str = "stream") -> int:
    """Write rows as JSON lines, whole or not at all; return how many there were.

    Args:
        rows: any iterable.
        path: the file; its folder is made.
        style: `stream`, or `aligner` for rows without a prefix.

    Raises:
        InvalidInput: a row with a prefix where the style has none.
    """
    if style not in STYLES:
        raise InvalidInput(f"style is {style!r}; allowed: {', '.join(STYLES)}")
    lines = []
    for row in rows:
        if style == "aligner" and row.prefix:
            raise InvalidInput(f"row {len(lines) + 1} has a prefix, which style 'aligner' has not")
        lines.append(json.dumps(row.to_json(style), ensure_ascii=False) + "\n")
    write_atomic(path, "".join(lines))
    return len(lines)


def _parse(line: Line) -> tuple[CorrectionRow | None, str]:
    """Return a line's row and style; no row where a comparison record has none.

    Raises:
        InvalidInput: the line cannot be used.
    """
    if line.problem:
        raise InvalidInput(line.problem)
    value = line.value
    if not isinstance(value, dict):
        raise InvalidInput(f"no JSON object but {type(value).__name__}")
    if "schema" in value or "response_a" in value:
        return _from_comparison(value), "aligner"
    known = {name: value.get(name) for name in _OPTIONAL}
    if "last" not in value and "answer" in value:
        needed, style = ("question", "answer", "correction"), "aligner"
    else:
        needed, style = ("question", "prefix", "last", "correction"), "stream"
    for name in needed:
        if name not in value:
            raise InvalidInput(f"{name!r} is missing")
    if style == "aligner":
        row = CorrectionRow(value["question"], "", value["answer"], value["correction"], **known)
    else:
        row = CorrectionRow(*(value[name] for name in needed), **known)
    return row, style


def _from_comparison(value: dict[str, Any]) -> CorrectionRow | None:
    """Return a comparison's row, None where it names no better answer in words."""
    record: Comparison | Rating = parse_record(value)
    if not isinstance(record, Comparison) or record.winner not in ("a", "b"):
        return None
    said = record.feedback.get("b" if record.winner == "a" else "a")
    better = said.refinement if said is not None and said.refinement else record.chosen
    texts = [_text(part) for part in (record.prompt, record.rejected, better)]
    if None in texts:
        return None
    question, answer, correction = (text or "" for text in texts)
    return CorrectionRow(question, "", answer, correction, source=record.origin.source or None)


def _text(segments: Iterable[Segment]) -> str | None:
    """Return the words of segments, of a conversation those of its last turn; None for media."""
    parts = list(segments)
    if any(part.modality != "text" or part.text is None for part in parts):
        return None
    turns = [part for part in parts if part.role == "user"]
    return "\n".join(part.text or "" for part in (turns[-1:] or parts))
