"""One ballot of a vote file; a ballot that the file does not hold is named with those it does."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

from equipoise.core.errors import unknown_name
from equipoise.preference.comparisons.lines import iter_lines, open_lines
from equipoise.preference.ratings import Votes, read_votes

USUAL = "helpful"
"""Ballot of rows that name none."""


def read_ballot(
    path: str | Path,
    ballot: str | None = None,
    *,
    on_bad: Callable[[int, str], object] | None = None,
) -> Votes:
    """Read the votes of one ballot.

    Raises:
        MissingData: there is no such file.
        InvalidInput: a bad row and no `on_bad`, or no vote of this ballot in a file of others.
    """
    votes = read_votes(path, ballot=ballot, on_bad=on_bad)
    wanted = ballot or USUAL
    if not len(votes.outcome) and not votes.skipped:
        held = ballots(path)
        if held and wanted not in held:
            raise unknown_name(f"ballot in {path}", wanted, held)
    return votes


def ballots(path: str | Path) -> list[str]:
    """Return the names of the ballots that a vote file holds, sorted."""
    rows = [line.value for line in iter_lines(path)]
    if not any(isinstance(row, dict) for row in rows):
        with open_lines(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
            rows = [dict(row) for row in csv.DictReader(text)]
    found: set[str] = set()
    for row in rows:
        if isinstance(row, dict) and not row.get("winners"):
            found.add(str(row.get("ballot") or USUAL))
        elif isinstance(row, dict) and isinstance(row["winners"], dict):
            found.update(map(str, row["winners"]))
    return sorted(found)
