from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.experiments.decoding_passes import measure_passes
from equipoise.systems.stream_aligner.model_corrector import ModelCorrector
from equipoise.systems.stream_aligner.networks.families import Tokenizer

pytestmark = pytest.mark.standard  # the network's module loads torch
END = 0


class Letters:
    """A letter is a token."""

    end_id = END
    pad_id = END
    stop_ids: tuple[int, ...] = (1,)
    name = fingerprint = "letters"

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))


class Forced:
    """A network that says the sentence under review with every 9 turned into an 8."""

    tokenizer: Tokenizer = Letters()
    module: Any = None
    base = base_sha256 = ""

    def __init__(self, wavering: bool = False) -> None:
        self.read = 0
        self.wavering = wavering  # says something else where a draft stands before it

    def new_cache(self) -> list[int]:
        return []

    def logits(self, tokens: Any, keep: int) -> Any:
        raise NotImplementedError

    def crop(self, cache: list[int], length: int) -> None:
        del cache[length:]

    def extend(self, cache: list[int], tokens: Sequence[int], keep: int) -> NDArray[np.float64]:
        rows = np.zeros((keep, 128))
        self.read += len(tokens)
        first = len(cache) + len(tokens) - keep
        cache.extend(tokens)
        for place in range(keep):
            rows[place, self._next(self.tokenizer.decode(cache[: first + place + 1]), keep)] = 1.0
        return rows

    def _next(self, text: str, keep: int) -> int:
        head, mark, said = text.partition("##Your_Revision: ")
        if not mark:
            return END
        sentence = head.partition("##Answer_Last_Sentence: ")[2].removesuffix(" | ")
        target = sentence.replace("9", "7" if self.wavering and keep > 1 else "8")
        return ord(target[len(said)]) if target[: len(said)] == said != target else END


def _reviewed(*sentences: str) -> list[tuple[str, str, str]]:
    return [("q", "", sentence) for sentence in sentences]


def _ticking() -> Any:
    ticks = count()
    return lambda: float(next(ticks))


def test_passes_at_a_copy_rate_are_those_of_copies_and_edits_in_that_proportion() -> None:
    corrector = ModelCorrector(Forced(), "stream", 200)
    rows = measure_passes(corrector, _reviewed("abc.", "ab9.", "xyz."), (0.0, 0.5, 1.0))
    # a copy of four letters: one pass, or five token by token; an edit of one letter: two, or five
    assert [row["speculative_passes"] for row in rows] == [2.0, 1.5, 1.0]
    assert [row["plain_passes"] for row in rows] == [5.0, 5.0, 5.0]
    assert [row["fewer_passes"] for row in rows] == [2.5, pytest.approx(10 / 3), 5.0]
    assert {(row["copies"], row["edits"], row["differing"]) for row in rows} == {(2, 1, 0)}


def test_seconds_are_those_of_decoding_alone() -> None:
    corrector = ModelCorrector(Forced(), "stream", 200)
    (row,) = measure_passes(corrector, _reviewed("abc.", "ab9."), (0.8,), clock=_ticking())
    assert (row["speculative_s"], row["plain_s"], row["speedup"]) == (1.0, 1.0, 1.0)


def test_the_prompt_is_read_once_for_each_way() -> None:
    network = Forced()
    measure_passes(ModelCorrector(network, "stream", 200), _reviewed("abc.", "ab9."))
    prompt = len("##Question: q | ##Answer_Prefix:  | ##Answer_Last_Sentence: abc. | ##")
    prompt += len("Your_Revision: ")
    # its last letter is read again with what follows: 4 + 1 and 4 letters; 4 + 2 and 4 for the edit
    assert 4 * prompt < network.read < 4 * prompt + 30


def test_one_kind_alone_gives_no_mixture() -> None:
    corrector = ModelCorrector(Forced(), "stream", 200)
    assert measure_passes(corrector, _reviewed("abc.", "abd.")) == []
    assert measure_passes(corrector, _reviewed("ab9.")) == []
    assert measure_passes(corrector, []) == []


def test_ways_that_differ_are_counted() -> None:
    corrector = ModelCorrector(Forced(wavering=True), "stream", 200)
    (row,) = measure_passes(corrector, _reviewed("abc.", "ab9."), (0.5,))
    assert row["differing"] == 1


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_rates_out_of_range_are_refused(rate: float) -> None:
    with pytest.raises(InvalidInput, match="copy rate"):
        measure_passes(ModelCorrector(Forced(), "stream", 200), [], (rate,))
