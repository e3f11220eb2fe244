"""What an audit log says in numbers, and the training rows that its edits make."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from equipoise.systems.stream_aligner.audit.events import is_late
from equipoise.systems.stream_aligner.audit.log import is_segment
from equipoise.systems.stream_aligner.rows import CorrectionRow

_PLURALS = {"copy": "copies", "edit": "edits", "drop": "drops", "stop": "stops"}


@dataclass
class AuditCounts:
    """Counts of an audit log; `add` takes its lines one by one.

    Attributes:
        segments: by verdict.
        timeouts: unreviewed segments whose corrector came too late.
        request_ids: of everything counted.
    """

    segments: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((*_PLURALS, "unreviewed"), 0)
    )
    timeouts: int = 0
    request_ids: set[str] = field(default_factory=set)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one line."""
        self.request_ids.add(record["request_id"])
        if is_segment(record):
            self.segments[record["verdict"]] += 1
            late = record["verdict"] == "unreviewed" and is_late(record.get("note", ""))
            self.timeouts += late

    def to_json(self) -> dict[str, Any]:
        """Return the counts as the verb `audit` gives them; `edit_rate` is edits / segments."""
        total = sum(self.segments.values())
        return {
            "requests": len(self.request_ids),
            "segments": total,
            **{plural: self.segments[verdict] for verdict, plural in _PLURALS.items()},
            "unreviewed": self.segments["unreviewed"],
            "timeouts": self.timeouts,
            "edit_rate": self.segments["edit"] / total if total else 0.0,
        }


def count_audit(records: Iterable[Mapping[str, Any]]) -> AuditCounts:
    """Return the counts of audit lines, which are read once and not kept."""
    counts = AuditCounts()
    for record in records:
        counts.add(record)
    return counts


def shown_text(record: Mapping[str, Any]) -> str:
    """Return what a segment added to the corrected answer, its leading whitespace included.

    >>> shown_text({"verdict": "drop", "leading": " ", "original": "No.", "corrected": ""})
    ''
    """
    if record["verdict"] == "drop" or (record["original"] and not record["corrected"]):
        return ""
    return record.get("leading", "") + record["corrected"]


def changed_chars(record: Mapping[str, Any]) -> int:
    """Return how many characters of a segment were put in, taken away or replaced.

    >>> changed_chars({"verdict": "edit", "diff": [["equal", "a ", "a "], ["replace", "1", "22"]]})
    2
    """
    return sum(
        max(a if isinstance(a, int) else len(a), b if isinstance(b, int) else len(b))
        for kind, a, b in record.get("diff", ())
        if kind != "equal"
    )


class _Prefix:
    """The answer that stood before the next segment of one request, rebuilt from the earlier ones.

    A segment tells the length of its prefix: that of the corrected text, or, where corrections were
    only recorded (`detect`), that of the original one. Where neither fits, lines are missing,
    unless the rounds show that they are all there.
    """

    def __init__(self, detects: bool = False) -> None:
        self.shown = self.untouched = ""
        self.detects = detects
        self.complete = True
        self.last_round: int | None = None

    def before(self, record: Mapping[str, Any]) -> str | None:
        """Return the prefix of a segment, None where it cannot be rebuilt."""
        number = record.get("round")
        if self.last_round is None:
            self.complete = number in (0, 1, None) and not record.get("prefix_chars")
        elif number is not None and number != self.last_round + 1:
            self.complete = False
        likely, other = self.shown, self.untouched
        if self.detects:
            likely, other = other, likely
        chars = record.get("prefix_chars", len(likely))
        if chars == len(likely) or (chars != len(other) and self.complete):
            return likely
        return other if chars == len(other) else None

    def favours(self, record: Mapping[str, Any]) -> int:
        """Return 1 where a segment's prefix is as long as only the original text, -1 if not."""
        chars = record.get("prefix_chars")
        return (chars == len(self.untouched)) - (chars == len(self.shown))

    def add(self, record: Mapping[str, Any]) -> None:
        """Go on behind a segment."""
        self.shown += shown_text(record)
        self.untouched += record.get("leading", "") + record["original"]
        number = record.get("round")
        self.last_round = number if isinstance(number, int) else (self.last_round or 0) + 1


def detecting_requests(records: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the requests whose answers passed untouched while corrections were recorded.

    The lengths of prefixes tell. Where corrections are as long as what they replace they tell
    nothing, and the request is taken to be as most of the log's others are.
    """
    prefixes: dict[str, _Prefix] = {}
    evidence: Counter[str] = Counter()
    for record in records:
        if is_segment(record) and not record.get("redacted"):
            rebuilt = prefixes.setdefault(record["request_id"], _Prefix())
            evidence[record["request_id"]] += rebuilt.favours(record)
            rebuilt.add(record)
    most = sum((count > 0) - (count < 0) for count in evidence.values()) > 0
    return {name for name, count in evidence.items() if count > 0 or (count == 0 and most)}


@dataclass
class AuditRows:
    """Training rows out of an audit log; iterating reads them.

    Attributes:
        records: lines of the log, in order; gone through twice.
        redacted: edits without text, which give no row.
        incomplete: edits whose earlier segments are missing from the log, which give none either.
    """

    records: Iterable[Mapping[str, Any]]
    redacted: int = 0
    incomplete: int = 0

    def __iter__(self) -> Iterator[CorrectionRow]:
        self.redacted = self.incomplete = 0
        detecting = detecting_requests(self.records)
        prefixes: dict[str, _Prefix] = {}
        for record in self.records:
            if not is_segment(record):
                continue
            if record.get("redacted"):
                self.redacted += record["verdict"] == "edit"
                continue
            name = record["request_id"]
            rebuilt = prefixes.setdefault(name, _Prefix(name in detecting))
            prefix = rebuilt.before(record)
            rebuilt.add(record)
            if record["verdict"] != "edit":
                continue
            if prefix is None:
                self.incomplete += 1
                continue
            yield CorrectionRow(
                record.get("question", ""),
                prefix,
                record["original"],
                record["corrected"],
                verdict="edit",
                source="audit",
            )
