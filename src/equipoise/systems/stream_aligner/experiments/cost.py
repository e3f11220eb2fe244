"""What reviewing costs in tokens: of the upstream, by copy rate and loop, and of the corrector."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.core.stats import bootstrap_interval
from equipoise.systems.stream_aligner.aligning import align
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.correctors import identity
from equipoise.systems.stream_aligner.evaluation.text import PUBLISHED_ROUNDS, Written, write_answer
from equipoise.systems.stream_aligner.worlds.text import TextWorld

IDENTITY_TARGET = 1.05
RUN_AHEAD = 0.2
"""Share of the next sentence that is written during a review: 0.15 s of 0.75 s, as in `rounds`."""

COPY_RATES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)
PROMPT_TOKENS = {False: 4520, True: 1055}
"""Section 5, item 3, of the room's specification, without reuse and with, for these sizes:"""

_PROMPT = {"question": 50, "tags": 20, "behind": 14, "sentence": 25}
_SENTENCE, _EDIT = " It is an equal one.", ("equal", "other")


@dataclass(frozen=True)
class EqualSentences(TextWorld):
    """A scripted upstream: whatever was said, `sentences` of equal length make an answer.

    Attributes:
        sentences: of an answer.
        run_ahead: share of the next sentence that is written before one is reviewed; at least one
            character is, which tells that the sentence has ended.
    """

    sentences: int = PUBLISHED_ROUNDS
    run_ahead: float = 0.0

    def upstream(self, question: str, prefix: str) -> Iterator[str]:
        """Write what is missing; every sentence opens with a blank, so all have one length."""
        rest = _SENTENCE * max(0, self.sentences - prefix.count("."))
        length = len(_SENTENCE)
        start, end = 0, length + max(1, round(self.run_ahead * length))
        while start < len(rest):
            yield rest[start:end]
            start, end = end, end + length


def corrector_prompt_tokens(
    rounds: int, question: int, tags: int, behind: int, sentence: int, *, reuse: bool
) -> int:
    """Return the prompt tokens that a corrector reads for an answer of equal sentences, all copied.

    Without reuse each round reads question, tags, all sentences before and the proposed one. With
    it (section 5, item 3) what stands before the first change is kept: the last corrected sentence,
    the tags behind the prefix and the proposal are read anew.

    Args:
        rounds: sentences reviewed.
        question: tokens of the question.
        tags: tokens of all field labels.
        behind: those of them that stand behind the prefix.
        sentence: tokens of a sentence.
        reuse: keep keys and values between rounds.

    Raises:
        InvalidInput: no round, a negative size, or more labels behind the prefix than there are.

    >>> corrector_prompt_tokens(2, 50, 20, 14, 25, reuse=True)
    159
    """
    if rounds < 1 or min(question, tags, behind, sentence) < 0 or behind > tags:
        raise InvalidInput(
            f"rounds {rounds}, question {question}, tags {tags}, behind {behind}, sentence "
            f"{sentence}: rounds must be >= 1, sizes >= 0, behind <= tags"
        )
    first = question + tags + sentence
    if reuse:
        return first + (rounds - 1) * (sentence + behind + sentence)
    return rounds * first + sentence * rounds * (rounds - 1) // 2


def run_cost(config: StreamAlignerConfig, seed: int, advance: Callable[[], None]) -> dict[str, Any]:
    """Count the tokens of both models; characters are the tokens of models over bytes.

    `curve` holds the upstream's tokens over those of its answer by copy rate: with speculation,
    where a fifth of the next sentence, or all of it, is written during a review; and without, where
    each sentence is asked for anew and the upstream is stopped behind it.
    """
    loop = (PUBLISHED_ROUNDS + 1) / 2
    share, looped = identity_share(config, seed), published_share()
    rows = [
        _row(
            "identity with speculation: upstream tokens over the answer's",
            share,
            f"<= {IDENTITY_TARGET}",
            share <= IDENTITY_TARGET,
        ),
        _row(
            f"published loop, {PUBLISHED_ROUNDS} equal sentences: the same",
            looped,
            f"{loop:g} = (N + 1) / 2",
            abs(looped - loop) < 1e-9,
        ),
    ]
    for reuse, expected in PROMPT_TOKENS.items():
        counted = corrector_prompt_tokens(PUBLISHED_ROUNDS, **_PROMPT, reuse=reuse)
        what = f"corrector's prompt tokens, {PUBLISHED_ROUNDS} rounds, "
        what += "read incrementally" if reuse else "read anew each round"
        rows.append(_row(what, counted, str(expected), counted == expected))
    advance()
    curve = []
    for rate in COPY_RATES:
        curve.append(upstream_shares(rate, config.text_answers, seed))
        advance()
    return {
        "rows": rows,
        "curve": curve,
        "prompt_curve": [
            {
                "rounds": rounds,
                "read_anew": corrector_prompt_tokens(rounds, **_PROMPT, reuse=False),
                "kept": corrector_prompt_tokens(rounds, **_PROMPT, reuse=True),
            }
            for rounds in range(1, PUBLISHED_ROUNDS + 1)
        ],
        "published_loop": looped,
        "answers": config.text_answers,
        "target": f"identity <= {IDENTITY_TARGET}, published loop {loop:g}, prompt tokens "
        f"{PROMPT_TOKENS[False]} and {PROMPT_TOKENS[True]}",
        "reached": all(row["reached"] for row in rows),
    }


def identity_share(config: StreamAlignerConfig, seed: int) -> float:
    """Return what speculating with a corrector that copies everything makes an upstream write.

    As a multiple of what it writes alone, over the answers of one text world.
    """
    drawn = int(stream(seed, "cost").integers(0, 2**31))
    world = TextWorld(drawn)
    alone = reviewed = 0
    for question in world.questions(config.text_answers, drawn):
        alone += len("".join(world.upstream(question, "")))
        answer = align(question, world.upstream, identity, speculate=True)
        reviewed += answer.proposed_chars
    return reviewed / alone


def published_share(sentences: int = PUBLISHED_ROUNDS) -> float:
    """Return what the released loop makes an upstream write, as a multiple of its answer."""
    world = EqualSentences(sentences=sentences)
    text = "".join(world.upstream("", ""))
    alone = Written(text, None, len(text), 0)
    looped = write_answer("as-published", world, "", identity, alone=alone)
    return looped.upstream_chars / alone.upstream_chars


def upstream_shares(copy_rate: float, answers: int, seed: int) -> dict[str, float]:
    """Return what an upstream writes for an answer of sixteen sentences, as a multiple of it.

    Args:
        copy_rate: probability that a sentence is copied; an edit is as long as the proposal.
        answers: whose mean is taken.
        seed: of the verdicts; what is copied at one rate is copied at every higher one.

    Returns:
        `copy_rate`; `speculating` and `speculating_low`, `_high` (95 % bootstrap over answers) with
        `RUN_AHEAD`; `whole_sentence_ahead`; `sequential`.
    """
    plans = stream(seed, "verdicts").random((answers, PUBLISHED_ROUNDS)) < copy_rate
    ways = {
        "speculating": (True, RUN_AHEAD),
        "whole_sentence_ahead": (True, 1.0),
        "sequential": (False, 0.0),
    }
    found = {"copy_rate": copy_rate}
    for name, (speculate, ahead) in ways.items():
        shares = [_share(EqualSentences(run_ahead=ahead), plan, speculate) for plan in plans]
        found[name] = float(np.mean(shares))
        if name == "speculating":
            interval = bootstrap_interval(shares)
            found |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return found


def _share(world: EqualSentences, copies: Sequence[bool], speculate: bool) -> float:
    """Characters written over those shown, where the k-th sentence is copied as `copies` says."""
    verdicts = iter(copies)

    def review(question: str, prefix: str, sentence: str) -> str:
        return sentence if next(verdicts) else sentence.replace(*_EDIT)

    answer = align("", world.upstream, review, speculate=speculate)
    return answer.proposed_chars / len(answer.text)


def _row(what: str, measured: float, target: str, reached: bool) -> dict[str, Any]:
    return {"what": what, "measured": measured, "target": target, "reached": reached}
