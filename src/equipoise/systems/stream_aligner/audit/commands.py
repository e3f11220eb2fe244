"""The verb `audit`: what a served proxy did, as numbers, as a page, as training rows."""

from pathlib import Path
from typing import Any

from equipoise.core.console import note
from equipoise.systems.stream_aligner.audit.log import AuditFile, read_audit


def audit(file: Path, *, html: Path | None = None, rows: Path | None = None) -> dict[str, Any]:
    """Say what a served proxy did: counts, a page of its answers, its edits as training rows.

    Older files that were rotated away (`FILE.1`, ...) are read as well.

    Args:
        file: audit log that `serve --audit` wrote.
        html: page to write: one card per answer, worst edits first.
        rows: JSONL of correction rows to write, one for each edit.
    """
    from equipoise.systems.stream_aligner.audit.summary import count_audit

    log = read_audit(file)
    counts = count_audit(log).to_json() | {"skipped_lines": log.skipped}
    _tell_skipped(log)
    if rows is not None:
        _write_rows(log, rows)
    if html is not None:
        from equipoise.systems.stream_aligner.audit.report import write_audit_page

        note(f"page: {write_audit_page(log, html)}")
    return counts


def _tell_skipped(log: AuditFile) -> None:
    for line in log.shown[:3]:
        note(f"{line.file}, line {line.line}: {line.reason}")
    if log.skipped > 3:
        note(f"{log.skipped} lines are no audit lines and were skipped")


def _write_rows(log: AuditFile, path: Path) -> None:
    from equipoise.systems.stream_aligner.audit.summary import AuditRows
    from equipoise.systems.stream_aligner.rows import write_rows

    found = AuditRows(log)
    count = write_rows(found, path)
    note(f"rows: {count} edits in {path}")
    if found.redacted:
        note(f"{found.redacted} edits were stored without their texts and give no rows")
    if found.incomplete:
        note(f"{found.incomplete} edits lack earlier lines of their answer and give no rows")
