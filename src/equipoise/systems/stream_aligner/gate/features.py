"""What the learned gate looks at: the words of a sentence and where they stand, without a model."""

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput

TEXT = "text"
BUCKETS = 1 << 13
"""Columns that character n-grams and marked words are hashed into."""
DENSE = 6
"""Columns of overlap behind them."""

_ORDERS = (1, 2, 3, 4, 5)
_WORDS = re.compile(r"\w+|[^\w\s]")
_CLAUSES = re.compile(r"[.!?\n]+")


class Sentence(Protocol):
    """A sentence in its place: a correction row is one."""

    @property
    def question(self) -> str:
        """What was asked."""
        ...

    @property
    def prefix(self) -> str:
        """The corrected answer before it."""
        ...

    @property
    def last(self) -> str:
        """The sentence itself."""
        ...


def layer_of(features: str) -> int | None:
    """Return the layer that `layer:K` names, None for `text`.

    >>> layer_of("layer:2"), layer_of("text")
    (2, None)

    Raises:
        InvalidInput: anything else.
    """
    if features == TEXT:
        return None
    kind, _, number = features.partition(":")
    if kind != "layer" or not (number.isascii() and number.isdigit()):
        raise InvalidInput(
            f"gate features are {features!r}; write text, or layer:K for the hidden state behind "
            "the corrector's K-th block (0: its embedding)"
        )
    return int(number)


def base_depth(base: str) -> int | None:
    """Return how many blocks a model has; None where only loading it tells."""
    from equipoise.text.local_models import find_model

    source = find_model(base)
    file = Path(source.base) / "config.json"
    if not source.local or not file.is_file():
        return None
    try:
        depth = json.loads(file.read_text(encoding="utf-8"))["num_hidden_layers"]
    except (ValueError, KeyError, TypeError):
        return None
    return depth if isinstance(depth, int) else None


def text_features(
    sentences: Sequence[tuple[str, str, str]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the features of (question, prefix, sentence) triples as a sparse matrix's parts.

    Hashed are the sentence, its character n-grams of orders 1 to 5 and its words, each marked by
    whether question and prefix hold it; behind them stand `DENSE` numbers of overlap. Each of the
    three groups has length 1 at most, however long the sentence is.

    Returns:
        Row starts (N + 1,), columns and values (entries,), as `scipy.sparse.csr_matrix` takes them.
    """
    starts, columns, values = [0], [], []
    for question, prefix, sentence in sentences:
        where, what = _features(question, prefix, sentence)
        columns.append(where)
        values.append(what)
        starts.append(starts[-1] + len(where))
    if not columns:
        raise InvalidInput("there is no sentence to look at")
    return np.array(starts), np.concatenate(columns), np.concatenate(values)


def _features(
    question: str, prefix: str, sentence: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    asked, before, said = _words(question), _words(prefix), _words(sentence)
    known, written = set(asked), set(before)
    marked = (f"{word in known:d}{word in written:d} {word}" for word in said)
    groups = [_hashed(_grams(sentence)), _hashed(marked)]
    dense = _overlap(question, known, written, prefix, sentence, said)
    groups.append((BUCKETS + np.arange(DENSE), dense / DENSE**0.5))
    return np.concatenate([g[0] for g in groups]), np.concatenate([g[1] for g in groups])


def _grams(sentence: str) -> Iterator[str]:
    padded = f"\x02{sentence}\x03"
    yield f"whole {padded}"
    for order in _ORDERS:
        for start in range(len(padded) - order + 1):
            yield padded[start : start + order]


def _hashed(names: Iterable[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return columns and values (signs over the root of their number) of distinct names."""
    codes = [zlib.crc32(name.encode("utf-8", "replace")) for name in sorted(set(names))]
    hashed = np.array(codes, dtype=np.int64)
    signs = np.where(hashed >> 31 & 1, -1.0, 1.0)
    return hashed % BUCKETS, signs / max(1, len(codes)) ** 0.5


def _overlap(
    question: str, known: set[str], written: set[str], prefix: str, sentence: str, said: list[str]
) -> NDArray[np.float64]:
    """Return six numbers in [0, 1]: how a sentence overlaps with what stands before it.

    Shares of its words that the question holds, that the prefix holds, and that neither does;
    whether the prefix holds the whole sentence; its length in words, halved at 20; and whether the
    words it shares with the question stand in one sentence of it.
    """
    count = max(1, len(said))
    clauses = [set(_words(clause)) for clause in _CLAUSES.split(question)]
    shared = set(said) & known
    return np.array(
        [
            sum(word in known for word in said) / count,
            sum(word in written for word in said) / count,
            sum(word not in known and word not in written for word in said) / count,
            float(bool(sentence) and sentence in prefix),
            len(said) / (len(said) + 20),
            float(any(shared <= clause for clause in clauses)),
        ]
    )


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.lower())
