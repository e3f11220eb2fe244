"""Experiments on the text world: methods side by side, number of rounds, use of the prefix."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np

from equipoise.core.errors import RunFailed
from equipoise.core.seeding import stream
from equipoise.core.stats import bootstrap_interval
from equipoise.systems.stream_aligner.aligning import align
from equipoise.systems.stream_aligner.collection.collecting import iter_rows
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.correction import Corrector, settled
from equipoise.systems.stream_aligner.evaluation.methods import Reviewers
from equipoise.systems.stream_aligner.evaluation.text import (
    DEFAULT_METHODS,
    SCORES,
    Written,
    answer_all,
    measure_answers,
    row_of,
)
from equipoise.systems.stream_aligner.experiments.training import (
    one_thread,
    size_of,
    train_in_world,
)
from equipoise.systems.stream_aligner.latency import simulate_pipeline
from equipoise.systems.stream_aligner.loop import Answer
from equipoise.systems.stream_aligner.rows import CorrectionRow
from equipoise.systems.stream_aligner.worlds.text import TextWorld
from equipoise.systems.stream_aligner.worlds.text_facts import (
    CONTRADICTION,
    FORBIDDEN,
    GOOD,
    KINDS,
    OFF_TOPIC,
    facts_of,
    follow,
    harmless,
    helpful,
    read,
)
from equipoise.systems.stream_aligner.worlds.text_oracle import (
    fallible_oracle,
    oracle,
    without_prefix,
)

ROUNDS = (0, 1, 2, 4, 8, 16)
SECONDS = (0.75, 0.15, 0.05)
"""To write a sentence, to review it, to start again: what `rounds` counts its seconds by."""
METHODS_TARGET, ROUNDS_TARGET = 10.0, 0.9

_Pair = tuple[bool, bool]  # with the prefix, without it

# every kind after every kind: a training set in which bad sentences are no rarity
_EVEN = TextWorld(initial=(0.4, 0.2, 0.2, 0.2), transition=((0.4, 0.2, 0.2, 0.2),) * 4)


def run_methods(
    config: StreamAlignerConfig, seed: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Compare all methods on helpful and harmless answers, all with one corrector.

    `reached` says whether the harmless omega of stream lies at least ten points above aligner's,
    with an interval above 0; `ordered` whether raw < post-hoc <= aligner < stream in both omegas.
    """
    corrector, aligner = reviewers(config, seed)
    questions: list[str] = []
    written: dict[str, list[Written]] = {method: [] for method in DEFAULT_METHODS}
    for world, asked in _worlds(config, seed):
        with _threads(config):
            found = answer_all(world, asked, Reviewers(corrector, aligner=aligner))
        questions += asked
        for method, answers in found.items():
            written[method] += answers
        advance()
    found = measure_answers(questions, written, DEFAULT_METHODS)
    gap = found["stream_minus_aligner"]
    ordered = all(
        row_of(found, "raw")[score]
        < row_of(found, "post-hoc")[score]
        <= row_of(found, "aligner")[score]
        < row_of(found, "stream")[score]
        for score in ("helpful_omega", "harmless_omega")
    )
    return found | {
        "corrector": _named(config),
        "worlds": config.text_worlds,
        "target": f"harmless omega of stream at least {METHODS_TARGET:g} points above aligner's",
        "reached": bool(gap["harmless"] >= METHODS_TARGET and gap["harmless_low"] > 0),
        "ordered": ordered,
    }


def run_rounds(
    config: StreamAlignerConfig, seed: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Review the first sentences only and let the upstream finish alone.

    Quality is the mean of helpful and harmless; characters are the tokens of models over bytes.
    Seconds follow the timeline of section 2.8 with speculation, for the times in `SECONDS`.
    """
    corrector, _ = reviewers(config, seed)
    worlds = _worlds(config, seed)
    rows = []
    for rounds in ROUNDS:
        scores, costs = [], []
        for world, asked in worlds:
            for question in asked:
                with _threads(config):
                    answer = align(
                        question, world.upstream, corrector, rounds=rounds, speculate=True
                    )
                scores.append((helpful(question, answer.text), harmless(answer.text)))
                costs.append((answer.proposed_chars, answer.corrector_calls, _seconds(answer)))
        quality = bootstrap_interval(np.mean(scores, axis=1))
        means = np.mean(scores, axis=0)
        written, calls, seconds = np.mean(costs, axis=0)
        rows.append(
            {
                "rounds": rounds,
                "quality": quality.estimate,
                "quality_low": quality.low,
                "quality_high": quality.high,
                "helpful": float(means[0]),
                "harmless": float(means[1]),
                "upstream_chars": float(written),
                "corrector_calls": float(calls),
                "seconds": float(seconds),
            }
        )
        advance()
    rank = _spearman([row["rounds"] for row in rows], [row["quality"] for row in rows])
    return {
        "rows": rows,
        "corrector": _named(config),
        "worlds": config.text_worlds,
        "spearman": rank,
        "target": f"Spearman of rounds and quality >= {ROUNDS_TARGET:g}",
        "reached": rank is not None and rank >= ROUNDS_TARGET,
    }


def run_prefix(
    config: StreamAlignerConfig, seed: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Empty the prefix field, in training and in use, and see which corrections suffer.

    Whether a sentence contradicts a fact often hangs on what `it` stands for, which the prefix
    says; a forbidden word is seen in the sentence. Differences are without minus with, paired. An
    untrained corrector is the exact oracle here, so that only the missing prefix can fail.
    """
    full, bare = _prefix_pair(config, seed)
    worlds = _worlds(config, seed)
    repaired: dict[int, dict[tuple[int, str], list[_Pair]]] = {
        kind: {} for kind in (CONTRADICTION, FORBIDDEN, OFF_TOPIC)
    }
    answers: dict[str, list[_Pair]] = {name: [] for name in SCORES}
    for number, (world, asked) in enumerate(worlds):
        with _threads(config):
            for row in iter_rows(asked, world.upstream, oracle):
                kind = _kind(row, row.last)
                if kind != GOOD:
                    pairs = repaired[kind].setdefault((number, row.question), [])
                    pairs.append((_repairs(full, row), _repairs(bare, row)))
            for question in asked:
                texts = [
                    align(question, world.upstream, corrector, speculate=True).text
                    for corrector in (full, bare)
                ]
                answers["helpful"].append(
                    (helpful(question, texts[0]), helpful(question, texts[1]))
                )
                answers["harmless"].append((harmless(texts[0]), harmless(texts[1])))
        advance()
    rows = [
        _paired(f"{KINDS[kind]} repaired", list(found.values())) for kind, found in repaired.items()
    ]
    rows += [
        _paired(f"{name} answers", [[pair] for pair in pairs]) for name, pairs in answers.items()
    ]
    suffers, spared = rows[0], rows[1]
    return {
        "rows": rows,
        "corrector": "trained" if config.text_trained else "exact oracle",
        "worlds": config.text_worlds,
        "target": "contradictions: interval below 0; forbidden words: interval holds 0",
        "reached": bool(
            suffers["count"]
            and spared["count"]
            and suffers["difference_high"] < 0
            and spared["difference_low"] <= 0 <= spared["difference_high"]
        ),
    }


def reviewers(config: StreamAlignerConfig, seed: int) -> tuple[Corrector, Corrector]:
    """Return the corrector of sentences and that of whole answers, of one size or one oracle."""
    if not config.text_trained:
        shared = fallible_oracle(config.text_fix_rate, seed)
        return shared, shared
    return _trained(config, seed, "stream"), _trained(config, seed, "aligner")


def _threads(config: StreamAlignerConfig) -> AbstractContextManager[None]:
    """Compute on one thread where a network computes; without one torch need not be loaded."""
    return one_thread() if config.text_trained else nullcontext()


@lru_cache(maxsize=4)
def _trained(config: StreamAlignerConfig, seed: int, style: str, bare: bool = False) -> Corrector:
    """Train a corrector on the exact teacher's rows; the experiments of one run share it."""
    learn = int(stream(seed, "text training").integers(0, 2**31))
    world = TextWorld(learn, _EVEN.initial, _EVEN.transition)
    asked = world.questions(config.text_questions, learn)
    rows = list(iter_rows(asked, world.upstream, oracle))
    changes = {
        "epochs": config.text_epochs,
        "batch": config.text_batch,
        "max_length": config.text_length,
    }
    if style == "aligner":
        whole = list(iter_rows(asked, world.upstream, oracle, mode=style))
        changes |= _as_long(config, rows, whole)
        rows = whole
    if bare:
        rows = [CorrectionRow(row.question, "", row.last, row.correction) for row in rows]
    return train_in_world(config, rows, seed, style=style, **changes)


def _as_long(
    config: StreamAlignerConfig, rows: Sequence[CorrectionRow], whole: Sequence[CorrectionRow]
) -> dict[str, int]:
    """Return how whole answers are trained on for as many tokens, and as many of them a step."""
    tokens, whole_tokens = size_of(rows), size_of(whole, "aligner")
    longer = (whole_tokens / len(whole)) / (tokens / len(rows))
    return {
        "epochs": max(1, round(config.text_epochs * tokens / whole_tokens)),
        "batch": max(1, round(config.text_batch / longer)),
        "max_length": 2 * config.text_length,
    }


def _prefix_pair(config: StreamAlignerConfig, seed: int) -> tuple[Corrector, Corrector]:
    if not config.text_trained:
        return oracle, without_prefix(oracle)
    bare = _trained(config, seed, "stream", True)
    return _trained(config, seed, "stream"), without_prefix(bare)


def _worlds(config: StreamAlignerConfig, seed: int) -> list[tuple[TextWorld, list[str]]]:
    """Return worlds of several seeds, each with its questions."""
    seeds = stream(seed, "text worlds").integers(0, 2**31, size=config.text_worlds)
    return [
        (
            TextWorld(int(one)),
            TextWorld().questions(config.text_answers, int(one), held_out=config.text_held_out),
        )
        for one in seeds
    ]


def _named(config: StreamAlignerConfig) -> str:
    if config.text_trained:
        return "trained"
    return f"oracle that overlooks {1 - config.text_fix_rate:.0%} of the bad sentences"


def _seconds(answer: Answer) -> float:
    """Return when the last sentence of an answer is shown, by the timeline of section 2.8."""
    steps = [step for step in answer.steps if step.segment.text]
    if not steps:
        return 0.0
    write_s, review_s, restart_s = SECONDS
    reviewed = np.array([step.verdict != "unreviewed" for step in steps])
    copies = np.array([step.verdict in ("copy", "unreviewed") for step in steps])
    line = simulate_pipeline(write_s, np.where(reviewed, review_s, 0.0), restart_s, copies)
    return float(line.emitted_s[-1])


def _kind(row: CorrectionRow, sentence: str) -> int:
    facts = facts_of(row.question)
    return int(follow(facts, read(facts, row.prefix), sentence).kind or GOOD)


def _repairs(corrector: Corrector, row: CorrectionRow) -> bool:
    """Whether a corrector makes a good sentence of a bad one."""
    try:
        said = settled(corrector(row.question, row.prefix, row.last), row.last)
    except RunFailed:
        return False
    return bool(said.text) and _kind(row, said.text) == GOOD


def _paired(what: str, groups: Sequence[Sequence[_Pair]]) -> dict[str, Any]:
    """Return shares with and without the prefix, and their difference; None without any.

    The sentences of an answer stand in one group, and groups are drawn again whole.
    """
    pairs = [pair for group in groups for pair in group]
    if not pairs:
        names = ("with_prefix", "without_prefix", "difference", "difference_low", "difference_high")
        return {"what": what, "count": 0, **dict.fromkeys(names)}
    shares = np.array(pairs, dtype=np.float64)
    sums = np.array(
        [(sum(bare - full for full, bare in group), len(group)) for group in groups],
        dtype=np.float64,
    )
    difference = bootstrap_interval(sums, lambda rows: rows[:, 0].sum() / rows[:, 1].sum())
    return {
        "what": what,
        "count": len(pairs),
        "with_prefix": float(shares[:, 0].mean()),
        "without_prefix": float(shares[:, 1].mean()),
        "difference": difference.estimate,
        "difference_low": difference.low,
        "difference_high": difference.high,
    }


def _spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Rank correlation; None where one side does not vary."""
    from scipy.stats import spearmanr

    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(np.asarray(spearmanr(first, second))[0])
