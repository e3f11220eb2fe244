"""What copy-speculative decoding saves: passes and seconds by copy rate, against plain decoding."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.copying import CopyDecode, copy_decode_tail
from equipoise.systems.stream_aligner.networks.batches import fit_prompt
from equipoise.systems.stream_aligner.networks.sessions import Session

if TYPE_CHECKING:
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector

COPY_RATES = (0.5, 0.8, 0.95)
Reviewed = tuple[str, str, str]
"""Question, prefix and sentence under review."""


@dataclass(frozen=True)
class Decoded:
    """One sentence, decoded with the sentence as draft and without any.

    Attributes:
        is_copy: the corrector left it as it was.
        same: both ways gave the same tokens.
        passes: of the model, with the draft and without.
        seconds: the same; the prompt had been read before.
    """

    is_copy: bool
    same: bool
    passes: tuple[int, int]
    seconds: tuple[float, float]


def measure_passes(
    corrector: "ModelCorrector",
    reviewed: Sequence[Reviewed],
    copy_rates: Sequence[float] = COPY_RATES,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> list[dict[str, Any]]:
    """Return passes and seconds a sentence at several copy rates.

    Every sentence is decoded both ways from a prompt that has been read already, as it is in use
    (`ModelCorrector.anticipate`). The mean at a copy rate q is q times that of the sentences that
    the corrector copies and 1 - q times that of those it edits: the mixture holds it by
    construction.

    Args:
        corrector: trained, or any network whose decoding is to be timed.
        reviewed: sentences, of which it copies some and edits some.
        copy_rates: in [0, 1].
        clock: of the seconds.

    Returns:
        One row a rate: `copy_rate`, `speculative_passes`, `plain_passes`, `speculative_s`,
        `plain_s`, their ratios `fewer_passes` and `speedup`, and the counts `copies`, `edits` and
        `differing`: sentences whose tokens differ, which rounding alone can cause.
        No rows where either kind is missing.

    Raises:
        InvalidInput: a rate outside [0, 1].
    """
    for rate in copy_rates:
        if not 0 <= rate <= 1:
            raise InvalidInput(f"copy rate is {rate!r}; it must lie in [0, 1]")
    decoded = [_decode(corrector, one, clock) for one in reviewed]
    kinds = {kind: [one for one in decoded if one.is_copy == kind] for kind in (True, False)}
    if not all(kinds.values()):
        return []
    means = {
        kind: np.mean([(*one.passes, *one.seconds) for one in ones], axis=0)
        for kind, ones in kinds.items()
    }
    rows = []
    for rate in copy_rates:
        ours, plain, ours_s, plain_s = map(float, rate * means[True] + (1 - rate) * means[False])
        rows.append(
            {
                "copy_rate": rate,
                "speculative_passes": ours,
                "plain_passes": plain,
                "fewer_passes": plain / ours,
                "speculative_s": ours_s,
                "plain_s": plain_s,
                "speedup": plain_s / ours_s,
                "copies": len(kinds[True]),
                "edits": len(kinds[False]),
                "differing": sum(not one.same for one in decoded),
            }
        )
    return rows


def _decode(corrector: "ModelCorrector", one: Reviewed, clock: Callable[[], float]) -> Decoded:
    question, prefix, sentence = one
    tokenizer = corrector.network.tokenizer
    draft = tokenizer.encode(sentence)
    space = corrector.max_length - len(draft) - 1
    prompt = fit_prompt(tokenizer, question, prefix, sentence, corrector.style, space)
    found: list[tuple[CopyDecode, float]] = []
    for offered in (draft, []):
        session = Session(corrector.network)
        session.read(prompt)
        begun = clock()
        result = copy_decode_tail(
            session.tail, prompt, offered, tokenizer.end_id, max_new_tokens=2 * len(draft) + 64
        )
        found.append((result, clock() - begun))
    (ours, ours_s), (plain, plain_s) = found
    return Decoded(
        is_copy=ours.tokens == tuple(draft),
        same=ours.tokens == plain.tokens,
        passes=(ours.passes, plain.passes),
        seconds=(ours_s, plain_s),
    )
