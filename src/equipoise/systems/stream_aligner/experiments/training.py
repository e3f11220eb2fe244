"""Experiments with trained correctors: the arithmetic world, and Aligner's identity share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.core.errors import RunFailed
from equipoise.core.seeding import stream
from equipoise.core.stats import wilson_interval
from equipoise.systems.stream_aligner.arithmetic import correct_sums
from equipoise.systems.stream_aligner.collection.collecting import iter_rows
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.correction import Corrector, settled
from equipoise.systems.stream_aligner.evaluation.arithmetic import accuracy_of, evaluate_arithmetic
from equipoise.systems.stream_aligner.evaluation.methods import Reviewers
from equipoise.systems.stream_aligner.prompts import corrector_prompt
from equipoise.systems.stream_aligner.rows import CorrectionRow
from equipoise.systems.stream_aligner.worlds.arithmetic import ArithmeticWorld, oracle

if TYPE_CHECKING:
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector

ALIGNER_SHARE = 0.2


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: matrices this small are slower on several, and sums differ by them."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def train_in_world(
    config: StreamAlignerConfig, rows: Sequence[CorrectionRow], seed: int, **changes: Any
) -> "ModelCorrector":
    """Train the corrector of an experiment.

    Args:
        config: its `world_` fields say how.
        rows: of one style.
        seed: of the training.
        **changes: `style`, and fields of the configuration.
    """
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector
    from equipoise.systems.stream_aligner.train import train_to_the_end

    style = changes.pop("style", "stream")
    settings = {
        "base": "scratch",
        "decoder": config.world_decoder,
        "epochs": config.world_epochs,
        "batch": config.world_batch,
        "accumulation": 1,
        "learning_rate": config.world_rate,
        "max_length": config.world_length,
    }
    chosen = replace(config, **(settings | changes))
    with one_thread():
        trained, _ = train_to_the_end(chosen, rows, style=style, seed=seed)
    length = trained.description["max_length"]
    return ModelCorrector(trained.network, style, length)


def world_rows(
    config: StreamAlignerConfig, questions: int, seed: int, mode: str = "stream"
) -> list[CorrectionRow]:
    """Return the exact teacher's rows of the arithmetic world; their questions follow `seed`.

    In mode `aligner` the same teacher corrects every sum of an answer where it stands.
    """
    world = ArithmeticWorld(config.steps, config.world_largest, config.world_error_rate, seed)
    asked = world.questions(questions, seed)
    return list(iter_rows(asked, world.upstream, correct_sums, mode=mode))


def unseen_rows(
    known: Sequence[CorrectionRow], rows: Sequence[CorrectionRow]
) -> list[CorrectionRow]:
    """Return the rows whose question, prefix and sentence are those of no known row."""
    seen = {(row.question, row.prefix, row.last) for row in known}
    return [row for row in rows if (row.question, row.prefix, row.last) not in seen]


def solved_rows(whole: Sequence[CorrectionRow]) -> list[CorrectionRow]:
    """Return rows of whole answers whose corrections are rewritten from the question."""
    return [replace(row, correction=oracle(row.question, "", row.last).text) for row in whole]


def train_aligner(
    config: StreamAlignerConfig,
    rows: Sequence[CorrectionRow],
    whole: Sequence[CorrectionRow],
    seed: int,
) -> "ModelCorrector":
    """Train a corrector of whole answers on about as many tokens as one of sentences.

    Args:
        config: as in `train_in_world`.
        rows: what the corrector of sentences learns from, in `world_epochs` passes.
        whole: rows of style `aligner`, passed over as often as gives as many tokens.
        seed: of the training.
    """
    passes = max(1, round(config.world_epochs * size_of(rows) / size_of(whole, "aligner")))
    room = {"style": "aligner", "epochs": passes, "max_length": 4 * config.world_length}
    return train_in_world(config, whole, seed, **room)


def run_trained_sums(
    config: StreamAlignerConfig, seed: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Train a corrector of sentences and one of whole answers, and compare them on running sums.

    Both have one size, the same questions, exact arithmetic as teacher and as many training tokens.
    With `rewriting_aligner` a third one learns whole answers rewritten from the question, which no
    correction of single sums can give: it needs the solution, not only a check.
    """
    learn, test = training_seeds(seed)
    rows = world_rows(config, config.world_questions, learn)
    corrector = train_in_world(config, rows, seed)
    advance()
    whole = world_rows(config, config.world_questions, learn, mode="aligner")
    aligner = train_aligner(config, rows, whole, seed)
    advance()
    world = ArithmeticWorld(config.steps, config.world_largest, config.error_rate, test)
    asked = world.questions(config.world_answers, test)
    with one_thread():
        found = evaluate_arithmetic(world, asked, Reviewers(corrector, aligner=aligner))
    advance()
    if config.rewriting_aligner:
        rewriting = train_aligner(config, rows, solved_rows(whole), seed)
        with one_thread():
            other = evaluate_arithmetic(
                world, asked, Reviewers(corrector, aligner=rewriting), methods=["aligner"]
            )
        found["rows"].append(other["rows"][0] | {"method": "aligner that rewrites"})
    closed = next(row["closed_form"] for row in found["rows"] if row["method"] == "stream")
    streamed = accuracy_of(found, "stream")
    return found | {
        "training_rows": len(rows),
        "aligner_rows": len(whole),
        "stream_minus_closed_form": streamed - closed,
        "stream_minus_aligner": streamed - accuracy_of(found, "aligner"),
    }


def run_identity(
    config: StreamAlignerConfig, seed: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Train with several identity shares; measure copying of clean and repair of bad sentences.

    Sums of two additions, so that a short training learns them; measured on fresh rows that are
    none of its own. The optimum is where the mean of copy rate and edit recall is largest.
    """
    learn, test = training_seeds(seed)
    short = replace(config, steps=2, world_epochs=2 * config.world_epochs)
    rows = world_rows(short, config.world_questions, learn)
    fresh = unseen_rows(rows, world_rows(short, config.world_answers, test))
    plans = [(share, "warmup") for share in config.identity_shares]
    if config.compare_schedules:
        plans.append((config.identity_share, "mixed"))
    table = []
    for share, schedule in plans:
        corrector = train_in_world(short, rows, seed, identity_share=share, schedule=schedule)
        with one_thread():
            copying = _copying(corrector, fresh)
        table.append({"share": share, "schedule": schedule, **copying})
        advance()
    best = max(table, key=lambda row: row["copy_rate"] + row["edit_recall"])
    return {
        "rows": table,
        "best_share": best["share"],
        "best_schedule": best["schedule"],
        "target": f"copy rate and edit recall together largest at a share of "
        f"{ALIGNER_SHARE:.0%}, where Aligner's ablation peaks",
        "reached": best["share"] == ALIGNER_SHARE
        if ALIGNER_SHARE in config.identity_shares
        else None,
    }


def _copying(corrector: Corrector, rows: Sequence[CorrectionRow]) -> dict[str, float]:
    """Copy rate on clean sentences and edit recall on bad ones, with Wilson intervals."""
    clean = [_says(corrector, row) for row in rows if row.correction == row.last]
    bad = [_says(corrector, row) for row in rows if row.correction != row.last]
    found: dict[str, float] = {}
    for name, hits in (("copy_rate", clean), ("edit_recall", bad)):
        share = wilson_interval(int(np.sum(hits)), max(1, len(hits)))
        found |= {name: share.estimate, f"{name}_low": share.low, f"{name}_high": share.high}
    return found


def _says(corrector: Corrector, row: CorrectionRow) -> bool:
    """Whether a corrector says of a row's sentence what its teacher said."""
    try:
        said = corrector(row.question, row.prefix, row.last)
    except RunFailed:
        return False
    return settled(said, row.last).text == row.correction


def size_of(rows: Sequence[CorrectionRow], style: str = "stream") -> int:
    """Return the characters of prompts and targets, which are a byte model's tokens."""
    return sum(
        len(corrector_prompt(row.question, row.prefix, row.last, style=style)) + len(row.correction)
        for row in rows
    )


def training_seeds(seed: int) -> tuple[int, int]:
    """Seeds of training and of test questions, apart from each other and from other seeds'."""
    first, second = stream(seed, "trained correctors").integers(0, 2**31, size=2)
    return int(first), int(second)
