"""Scorers that compare an answer with its target: `exact`, `number`, `yes_no`."""

import math
import re
import unicodedata
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.evaluation.items import Item
from equipoise.evaluation.score import UNPARSED, Score, graded

_CURRENCY = r"[$€£¥₹]"
# Digits in groups of thousands (Indian grouping too), else plain digits; a sign counts only where
# no word, number or bracket stands directly before it (10-3 is not -3).
_DIGITS = r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"(?<![\w)\]])(?P<sign>[-+−])?(?:{_CURRENCY}\s?)?(?P<inner>[-−])?(?P<a>{_DIGITS})"
    rf"(?P<exponent>[eE][-+]?\d+(?!\w))?(?:\s?[/⁄]\s?(?P<b>{_DIGITS}))?"
    rf"|(?P<bare>{_DIGITS})"
)
_ANSWER_IS = re.compile(r"answer\s+is\b|=", re.IGNORECASE)
_YES_NO = re.compile(r"(?<![^\W_])(yes|no)(?![^\W_])", re.IGNORECASE)


def fold(text: str) -> str:
    """Return `text` in NFKC form and casefolded.

    >>> fold("Ｓtraße")
    'strasse'
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def bare(text: str) -> str:
    """Return `text` folded, without whitespace and without punctuation around it.

    >>> bare(' "New York." ')
    'newyork'
    """
    folded = "".join(fold(text).split())
    start, end = 0, len(folded)
    while start < end and _is_punctuation(folded[start]):
        # The minus of a number is no punctuation: -5 is not 5.
        if folded[start] in "-−" and folded[start + 1 : start + 2].isdigit():
            break
        start += 1
    while end > start and _is_punctuation(folded[end - 1]):
        end -= 1
    return folded[start:end] or folded


def _is_punctuation(character: str) -> bool:
    return character == "`" or unicodedata.category(character).startswith("P")


def score_exact(reply: str, item: Item) -> Score:
    """Equality after NFKC, casefold, and removal of whitespace and surrounding punctuation.

    The target may be a list of accepted answers.
    """
    accepted = item.target if isinstance(item.target, list | tuple) else [item.target]
    given = bare(reply)
    return graded(any(given == bare(str(answer)) for answer in accepted), given[:80])


def score_number(reply: str, item: Item) -> Score:
    """The number a reply ends on, equal to the target within 1e-6 (relative above 1).

    Read is the first number after the last `####`; else after the last "answer is" or "=", the
    later of the two; else the last number.
    """
    given = read_number(reply)
    wanted = _target_number(item.target)
    if given is None or wanted is None:
        return UNPARSED
    return graded(abs(given - wanted) <= 1e-6 * max(1.0, abs(wanted)), f"{given:.15g}")


def read_number(text: str) -> float | None:
    """Return the number that `text` gives as its answer, None where there is none.

    Thousands commas, currency signs and `%` are dropped; fractions `a/b` are divided.

    >>> read_number("Half of 3 is 3/2, so the answer is 1.5 litres (or 1,500 ml).")
    1.5
    """
    marked = text.rfind("####")
    if marked >= 0 and (found := _first_number(text[marked + 4 :])) is not None:
        return found
    phrases = list(_ANSWER_IS.finditer(text))
    if phrases and (found := _first_number(text[phrases[-1].end() :])) is not None:
        return found
    numbers = [value for m in _NUMBER.finditer(text) if (value := _value(m)) is not None]
    return numbers[-1] if numbers else None


def _first_number(text: str) -> float | None:
    return next((v for m in _NUMBER.finditer(text) if (v := _value(m)) is not None), None)


def _value(match: re.Match[str]) -> float | None:
    if match["bare"]:
        value = float(match["bare"].replace(",", ""))
    else:
        value = float(match["a"].replace(",", "") + (match["exponent"] or ""))
        if match["b"]:
            divisor = float(match["b"].replace(",", ""))
            if divisor == 0:
                return None
            value /= divisor
        if match["sign"] in ("-", "−") or match["inner"]:
            value = -value
    return value if math.isfinite(value) else None


def _target_number(target: Any) -> float | None:
    if isinstance(target, str):
        return read_number(target)
    if isinstance(target, int | float) and not isinstance(target, bool) and math.isfinite(target):
        return float(target)
    return None


def check_number_item(item: Item) -> None:
    """Raise `InvalidInput` where the target holds no number."""
    if _target_number(item.target) is None:
        raise InvalidInput(
            f"target {item.target!r:.80} holds no number; the scorer compares numbers"
        )


def score_yes_no(reply: str, item: Item) -> Score:
    """The first `yes` or `no` of the reply, as a whole word, equal to the target."""
    found = _YES_NO.search(reply)
    if found is None:
        return UNPARSED
    given = found[1].casefold()
    return graded(given == yes_or_no(item.target), given)


def yes_or_no(target: Any) -> str | None:
    """Return a yes/no target (text or bool) as `yes` or `no`, None where it is neither."""
    text = {True: "yes", False: "no"}[target] if isinstance(target, bool) else bare(str(target))
    return text if text in ("yes", "no") else None


def check_yes_no_item(item: Item) -> None:
    """Raise `InvalidInput` where the target is neither yes nor no."""
    if yes_or_no(item.target) is None:
        raise InvalidInput(f"target {item.target!r:.80} is neither yes nor no")
