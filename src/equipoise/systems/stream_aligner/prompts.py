"""What a corrector reads and learns: the prompt fields and the training example."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput, unknown_name

STYLES = ("stream", "aligner")
IGNORED = -100
"""Label of a position that carries no loss."""
STOP_TEXT = "[[STOP]]"
"""How a target says that the answer ends with it, where the tokenizer has no token for that."""

_LABEL = re.compile(
    r"##(?=(?:Question|Answer_Prefix|Answer_Last_Sentence|Your_Revision|Answer|Correction):)"
)


def corrector_prompt(question: str, prefix: str, sentence: str, *, style: str = "stream") -> str:
    """Return the text a model corrector completes with the corrected sentence.

    Style `stream` is the paper's: four fields joined by `" | "`; `aligner` (reconstructed) has
    three lines, `sentence` is the whole answer there and `prefix` must be empty. A field label
    inside question or prefix is neutralised (`##Question:` becomes `## Question:`), so a user
    cannot forge a field; the sentence under review is never changed.

    Raises:
        InvalidInput: an unknown style, or a prefix in style `aligner`.

    >>> corrector_prompt("q", "p", "s")
    '##Question: q | ##Answer_Prefix: p | ##Answer_Last_Sentence: s | ##Your_Revision: '
    """
    if style not in STYLES:
        raise unknown_name("prompt style", style, STYLES)
    question, prefix = _LABEL.sub("## ", question), _LABEL.sub("## ", prefix)
    if style == "stream":
        return (
            f"##Question: {question} | ##Answer_Prefix: {prefix} | "
            f"##Answer_Last_Sentence: {sentence} | ##Your_Revision: "
        )
    if prefix:
        raise InvalidInput("style 'aligner' corrects a whole answer: prefix must be empty")
    return f"##Question: {question}\n##Answer: {sentence}\n##Correction: "


@dataclass(frozen=True)
class Example:
    """One training row: `input_ids` and `labels`, int64 (T,)."""

    input_ids: NDArray[np.int64]
    labels: NDArray[np.int64]


def build_example(
    prompt_ids: Iterable[int], target_ids: Iterable[int], eos_id: int, max_length: int
) -> Example:
    """Return prompt + target + end of text, with the prompt masked by -100 in the labels.

    Raises:
        InvalidInput: longer than `max_length`; nothing is ever cut silently.

    >>> build_example([5, 6], [7], 2, 8).labels.tolist()
    [-100, -100, 7, 2]
    """
    prompt = np.asarray(list(prompt_ids), dtype=np.int64)
    target = np.asarray([*target_ids, eos_id], dtype=np.int64)
    length = len(prompt) + len(target)
    if length > max_length:
        raise InvalidInput(
            f"the example has {length} tokens (prompt {len(prompt)}, target with end "
            f"{len(target)}), max_length is {max_length}; shorten the prefix field"
        )
    masked = np.full(len(prompt), IGNORED, dtype=np.int64)
    return Example(np.concatenate([prompt, target]), np.concatenate([masked, target]))
