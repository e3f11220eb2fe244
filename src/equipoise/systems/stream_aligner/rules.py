"""Correctors from a rules file: regular expressions that replace, drop or stop.

A rules file is a JSON list; an entry is `{"find": REGEX, "replace": TEXT}` (TEXT may name groups:
`\\1`, `\\g<name>`) or `{"find": REGEX, "verdict": "drop" | "stop"}`, either with
`"ignore_case": true`. Entries apply in order, each to what the ones before it left; the first
verdict that applies ends the review, and that sentence is not shown. Every search runs under a time
limit, since a careless expression can take exponential time on the wrong sentence.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput, RunFailed, unknown_name
from equipoise.core.extras import require
from equipoise.systems.stream_aligner.correction import Correction

SEARCH_SECONDS = 0.2
"""Default time limit of one search."""

_FIELDS = ("find", "replace", "verdict", "ignore_case")


@dataclass(frozen=True)
class Rule:
    """One compiled entry: `replace` or `verdict`, never both."""

    pattern: Any
    replace: str | None
    verdict: str | None


@dataclass(frozen=True)
class RulesCorrector:
    """Applies rules to a sentence; question and prefix play no part.

    Attributes:
        rules: the compiled entries, in order.
        search_seconds: time limit of one search; exceeding it raises `RunFailed`, which the loop
            treats as any failure of a corrector.
    """

    rules: tuple[Rule, ...]
    search_seconds: float = SEARCH_SECONDS

    def __call__(self, question: str, prefix: str, sentence: str) -> Correction:
        """Review one sentence."""
        text, notes = sentence, []
        for number, rule in enumerate(self.rules, 1):
            try:
                if rule.verdict is not None:
                    if rule.pattern.search(text, timeout=self.search_seconds):
                        return Correction("", rule.verdict, f"rule {number}")
                    continue
                changed = rule.pattern.sub(rule.replace, text, timeout=self.search_seconds)
            except TimeoutError:
                raise RunFailed(
                    f"rule {number}: the search took longer than {self.search_seconds:g} s; "
                    "simplify its expression"
                ) from None
            if changed != text:
                notes.append(f"rule {number}")
                text = changed
        return Correction(text if text.strip() else "", note=", ".join(notes))


def read_rules(path: str | Path, *, search_seconds: float = SEARCH_SECONDS) -> RulesCorrector:
    """Load a rules file.

    Raises:
        InvalidInput: no such file, not a JSON list, or a bad entry (its number is named).
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"rules file {path}: {error.strerror or error}") from None
    except ValueError as error:  # bad JSON, bad UTF-8
        raise InvalidInput(f"rules file {path} is not JSON: {error}") from None
    return make_rules(entries, source=f"rules file {path}", search_seconds=search_seconds)


def make_rules(
    entries: Sequence[Mapping[str, Any]],
    *,
    source: str = "rules",
    search_seconds: float = SEARCH_SECONDS,
) -> RulesCorrector:
    """Compile rules given as Python objects; `source` opens the error messages."""
    if not isinstance(entries, list | tuple):
        raise InvalidInput(f"{source}: expected a list of entries, got {type(entries).__name__}")
    if not search_seconds > 0:
        raise InvalidInput(f"search_seconds is {search_seconds!r}; it must be > 0")
    rules = []
    for number, entry in enumerate(entries, 1):
        try:
            rules.append(_compile(entry))
        except InvalidInput as error:
            raise InvalidInput(f"{source}, entry {number}: {error}") from None
    return RulesCorrector(tuple(rules), search_seconds)


def _compile(entry: object) -> Rule:
    if not isinstance(entry, Mapping):
        raise InvalidInput(f"expected an object with 'find', got {type(entry).__name__}")
    for field in entry:
        if field not in _FIELDS:
            raise unknown_name("field", field, _FIELDS)
    find, replace, verdict = entry.get("find"), entry.get("replace"), entry.get("verdict")
    ignore_case = entry.get("ignore_case", False)
    if not isinstance(find, str) or not find:
        raise InvalidInput(f"'find' is {find!r}; it must be a regular expression (text)")
    if ("replace" in entry) == ("verdict" in entry):
        raise InvalidInput("give either 'replace' or 'verdict'")
    if "replace" in entry and not isinstance(replace, str):
        raise InvalidInput(f"'replace' is {replace!r}; it must be text")
    if "verdict" in entry and verdict not in ("drop", "stop"):
        raise unknown_name("verdict", verdict, ("drop", "stop"))
    if not isinstance(ignore_case, bool):
        raise InvalidInput(f"'ignore_case' is {ignore_case!r}; it must be true or false")
    regex: Any = require("regex", "text")
    try:
        pattern = regex.compile(find, regex.IGNORECASE if ignore_case else 0)
        if isinstance(replace, str):
            # The empty alternative matches at once, which compiles the replacement and its groups.
            regex.compile(f"|{find}", pattern.flags).sub(replace, "")
    except (regex.error, IndexError) as error:
        raise InvalidInput(f"bad regular expression or replacement: {error}") from None
    return Rule(pattern, replace, verdict)
