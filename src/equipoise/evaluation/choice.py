"""The `choice` scorer: which letter a reply answers, and never a capital letter inside prose."""

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.evaluation.answers import bare, fold
from equipoise.evaluation.items import Item
from equipoise.evaluation.score import UNPARSED, Score, graded

# Brackets, quotes and emphasis before a letter; LaTeX's too.
_OPEN = r"(?:\\(?:boxed|text|textbf|mathbf|mathrm)\s?\{|\\?[\[({<$*_\"'`])"
_ANSWER = re.compile(
    r"\banswer\s*(?:\bis\b|[*_]*:)[\s*_:]*(?:(?:the\s+)?(?:option|choice|letter)\s+)?"
    rf"(?P<open>{_OPEN}*)(?P<letter>[A-Za-z])(?![^\W_]|['’]\w)(?P<close>[\])}}>$]?)"
    r"(?=(?P<rest>[^\n]*))",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"(?:\s|{_OPEN})*([A-Za-z])[\s\\\])}}>$*_\"'`.:]*")
_LINE = re.compile(r"[ \t>*_-]*(?:\(([A-Za-z])\)|([A-Za-z])\)|([A-Z])\.(?=\s|$|\*))", re.MULTILINE)
_PAUSES = ("because", "since", "as", "and", "for", "which", "in", "is", "due")
_SPEAKS = ("think", "believe", "guess", "suppose", "would", "am", "do", "don't", "cannot", "can't")


def score_choice(reply: str, item: Item) -> Score:
    """The letter that the reply answers, equal to the target (a letter, or a choice's text).

    In order: the last "answer is" or "answer:" followed by a letter; a reply that is one letter;
    the only line that opens with `X)`, `(X)` or `X.`; the only choice whose whole text occurs.
    """
    letter = read_choice(reply, item.choices)
    if letter is None:
        return UNPARSED
    return graded(letter == target_letter(item.target, item.choices), letter)


def read_choice(reply: str, choices: Sequence[str]) -> str | None:
    """Return the letter that `reply` answers, None where it names none or several.

    >>> read_choice("Copper is a metal. The answer is (B).", ["oak", "copper"])
    'B'
    """
    letters = ascii_uppercase[: len(choices)]
    named = [
        match["letter"].upper()
        for match in _ANSWER.finditer(reply)
        if match["letter"].upper() in letters and not _is_article(match, choices)
    ]
    if named:
        return named[-1]
    alone = _ALONE.fullmatch(reply)
    if alone and alone[1].upper() in letters:
        return alone[1].upper()
    return _line_letter(reply, letters) or _whole_choice(reply, choices)


def _is_article(match: re.Match[str], choices: Sequence[str]) -> bool:
    """Say whether the letter is a word of the sentence, as in "the answer is a tree"."""
    letter, rest = match["letter"], match["rest"]
    if match["open"] or match["close"] or not re.match(r"\s+\w", rest):
        return False
    following = fold(rest).split()
    texts = [" ".join(fold(choice).split()) for choice in choices]
    if letter.isupper():
        words = " ".join([letter.casefold(), *following])
        # "The answer is A tree" gives the choice "a tree", wherever that stands.
        return (letter == "I" and following[0] in _SPEAKS) or any(
            len(text) > 1 and words.startswith(text) for text in texts
        )
    text = texts[ascii_uppercase.index(letter.upper())]
    return not (following[0].strip(",;") in _PAUSES or " ".join(following).startswith(text))


def _line_letter(reply: str, letters: str) -> str | None:
    opened = []
    for line in reply.splitlines():
        match = _LINE.match(line)
        letter = next((group for group in match.groups() if group), "").upper() if match else ""
        if letter and letter in letters:
            opened.append(letter)
    return opened[0] if len(opened) == 1 else None


def _whole_choice(reply: str, choices: Sequence[str]) -> str | None:
    text = " ".join(fold(reply).split())
    found = [
        ascii_uppercase[place]
        for place, choice in enumerate(choices)
        if re.search(rf"(?<!\w){re.escape(' '.join(fold(choice).split()))}(?!\w)", text)
    ]
    return found[0] if len(found) == 1 else None


def target_letter(target: Any, choices: Sequence[str]) -> str | None:
    """Return the letter of `target`: a letter, a choice's text, or a position from 0.

    A text that is a choice wins over its reading as a letter.
    """
    if isinstance(target, int) and not isinstance(target, bool):
        return ascii_uppercase[target] if 0 <= target < len(choices) else None
    wanted = bare(str(target))
    texts = [bare(choice) for choice in choices]
    if wanted in texts:
        return ascii_uppercase[texts.index(wanted)]
    letters = ascii_uppercase[: len(choices)]
    if len(wanted) == 1 and wanted.upper() in letters:
        return wanted.upper()
    if wanted.isdecimal() and int(wanted) < len(choices):
        return ascii_uppercase[int(wanted)]
    return None


def check_choice_item(item: Item) -> None:
    """Raise `InvalidInput` for fewer than 2 or more than 26 choices, or a target not among them."""
    if not 2 <= len(item.choices) <= 26:
        raise InvalidInput(f"{len(item.choices)} choices; allowed are 2 to 26")
    if target_letter(item.target, item.choices) is None:
        raise InvalidInput(
            f"target {item.target!r:.80} is neither a letter up to "
            f"{ascii_uppercase[len(item.choices) - 1]} nor one of the choices"
        )
