"""What a corrector says of one sentence, and how original and corrected text differ."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher

from equipoise.core.errors import InvalidInput, unknown_name

VERDICTS = ("copy", "edit", "drop", "stop")

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True)
class Correction:
    """A corrector's answer about one sentence.

    Attributes:
        text: what stands in the sentence's place; empty for a drop.
        verdict: `"copy"`, `"edit"`, `"drop"` (say nothing, ask again) or `"stop"` (say `text`,
            where it is not empty, and end the answer); None leaves it to the loop.
        note: why, for people.
    """

    text: str
    verdict: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise InvalidInput(f"a correction's text is {type(self.text).__name__}, not str")
        if self.verdict is not None and self.verdict not in VERDICTS:
            raise unknown_name("verdict", self.verdict, VERDICTS)
        if self.verdict == "drop" and self.text:
            raise InvalidInput(f"a drop has empty text, got {self.text!r}; use 'edit' to replace")


Corrector = Callable[[str, str, str], Correction | str]
"""`(question, prefix, sentence) -> Correction | str`: any callable reviews sentences."""


class TokenMeter(threading.local):
    """How many tokens a corrector's last call in this thread has cost; attribute `meter` of one.

    Attributes:
        tokens: read and written by its model.
    """

    tokens: int = 0


def settled(correction: Correction | str, sentence: str) -> Correction:
    """Return the correction with its verdict derived where it is open.

    Equal text is a copy, empty text a drop, anything else an edit. A "copy" whose text differs from
    the sentence is an edit, an "edit" without text a drop: the text decides.

    >>> settled("", "So 1 + 1 = 3.").verdict
    'drop'
    """
    if isinstance(correction, str):
        correction = Correction(correction)
    elif not isinstance(correction, Correction):
        raise InvalidInput(
            f"a corrector returned {type(correction).__name__}; it must be a Correction or str"
        )
    verdict = correction.verdict
    if verdict == "edit" and correction.text:
        return correction
    if verdict not in ("drop", "stop"):
        if correction.text == sentence:
            verdict = "copy"
        else:
            verdict = "edit" if correction.text else "drop"
    return Correction(correction.text, verdict, correction.note)


@dataclass(frozen=True)
class DiffOp:
    """One stretch of a word-level difference; kind is equal, replace, delete or insert."""

    kind: str
    original: str
    corrected: str


def diff_ops(original: str, corrected: str) -> tuple[DiffOp, ...]:
    """Return the word-level difference of two texts.

    The `original` parts join to `original`, the `corrected` parts to `corrected`.

    >>> [op.kind for op in diff_ops("So 12 + 30 = 41.", "So 12 + 30 = 42.")]
    ['equal', 'replace', 'equal']
    """
    left, right = _WORDS.findall(original), _WORDS.findall(corrected)
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    return tuple(
        DiffOp(kind, "".join(left[i:j]), "".join(right[k:m]))
        for kind, i, j, k, m in matcher.get_opcodes()
    )
