"""The experiment with a real model on both sides: SmolLM2 adds, a trained SmolLM2 corrects."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from equipoise.core.errors import MissingData, MissingExtra
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner.arithmetic import correct_sums
from equipoise.systems.stream_aligner.collection.smollm2_rows import RealRows, collect_rows
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.correctors import PromptedCorrector
from equipoise.systems.stream_aligner.evaluation.methods import Reviewers
from equipoise.systems.stream_aligner.evaluation.smollm2 import Answers, answer_real, measure_real
from equipoise.systems.stream_aligner.rows import CorrectionRow
from equipoise.systems.stream_aligner.tasks import OPEN_QUESTIONS
from equipoise.systems.stream_aligner.worlds.smollm2 import SCRIPTED, Opened, RealWorld

if TYPE_CHECKING:
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector

METHODS = ("raw", "post-hoc", "aligner", "stream", "oracle")
FINAL_TARGET, STATED_TARGET, PRECISION_TARGET, COPY_TARGET = 0.5, 0.9, 0.9, 0.9
TARGET = (
    f"final answers right >= {FINAL_TARGET:.0%} and above aligner's, intervals apart; stated sums "
    f"right >= {STATED_TARGET:.0%}; edit precision and copy rate on benign text >= "
    f"{PRECISION_TARGET:g}"
)
_PROMPTED_TOKENS = 48  # longest reply of the untrained model; a sentence has about 15
_LENGTH = 512  # tokens of an example
_PASS_ROWS = 40


def run_smollm2(
    config: StreamAlignerConfig, seed: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Train correctors of sentences and of whole answers; compare them where the model really adds.

    Both learn from the same questions, answers, drills and benign text, from the same base. All
    seeds' answers are pooled. Where the configuration trains nothing, the demonstration's scripted
    model answers and the exact oracle corrects, which only shows that the loop works.

    Returns:
        What `measure_real` returns, and `corrector`, `target`, `reached`, `checks` (each part of
        the target), `seeds`, `by_seed` (with the seconds of its stages), `passes` of decoding, and
        where something was trained `seconds`; where the model is not stored no rows, `reached` None
        and `missing`.
    """
    world = RealWorld(
        config.model if config.smollm2_trained else SCRIPTED, config.numbers, config.max_tokens
    )
    begun = time.monotonic()
    try:
        with world.opened() as opened:
            one = _trained_seed if config.smollm2_trained else _scripted_seed
            runs = [
                one(config, world, opened, _seeds(seed, number), advance)
                for number in range(config.smollm2_seeds)
            ]
    except (MissingData, MissingExtra) as error:
        return {"rows": [], "target": TARGET, "reached": None, "missing": str(error)}
    found = measure_real(reduce(Answers.pooled, (answers for answers, _ in runs)))
    details = [detail for _, detail in runs]
    by_seed = [_summary(answers) | detail for answers, detail in runs]
    checks = check_targets(found)
    if config.smollm2_trained:
        found["seconds"] = time.monotonic() - begun
    return found | {
        "corrector": "trained" if config.smollm2_trained else "exact oracle",
        "model": world.model,
        "target": TARGET,
        "checks": checks,
        "reached": all(checks.values()) if config.smollm2_trained else None,
        "seeds": len(runs),
        "by_seed": by_seed,
        "passes": details[0].get("passes", []),
    }


def check_targets(found: dict[str, Any]) -> dict[str, bool]:
    """Return which parts of the target a result of `measure_real` reaches.

    An untouched count (nan) reaches nothing.
    """
    rows = {row["method"]: row for row in found["rows"]}
    streamed, aligned = rows["stream"], rows["aligner"]
    return {
        "final answers right": streamed["accuracy"] >= FINAL_TARGET,
        "above aligner, intervals apart": streamed["accuracy_low"] > aligned["accuracy_high"],
        "stated sums right": streamed["stated_share"] >= STATED_TARGET,
        "edit precision": found["edit_precision"] >= PRECISION_TARGET,
        "copy rate on benign text": found["copy_rate"] >= COPY_TARGET,
    }


def _seeds(seed: int, number: int) -> tuple[int, int, int]:
    """Return the seeds of training questions, test questions and training, apart from others'."""
    drawn = stream(seed, "smollm2", number).integers(0, 2**31, size=3)
    learn, test, train = map(int, drawn)
    return learn, test, train


def _scripted_seed(
    config: StreamAlignerConfig,
    world: RealWorld,
    opened: Opened,
    seeds: tuple[int, int, int],
    advance: Callable[[], None],
) -> tuple[Answers, dict[str, Any]]:
    asked = world.questions(config.smollm2_answers, seeds[1])
    answers = answer_real(
        opened,
        asked,
        Reviewers(correct_sums),
        methods=METHODS,
        plain=OPEN_QUESTIONS[:5],
        advance=advance,
    )
    return answers, {}


def _trained_seed(
    config: StreamAlignerConfig,
    world: RealWorld,
    opened: Opened,
    seeds: tuple[int, int, int],
    advance: Callable[[], None],
) -> tuple[Answers, dict[str, Any]]:
    learn, test, train = seeds
    clock = _Clock()
    rows = collect_rows(
        world,
        opened,
        questions=config.smollm2_questions,
        drills=config.smollm2_drills,
        sums=config.smollm2_sums,
        seed=learn,
        advance=advance,
    )
    clock.note("collecting")
    corrector = train_real(config, rows.of("stream"), "stream", train, advance)
    clock.note("training")
    aligner = train_real(config, rows.of("aligner"), "aligner", train, advance)
    clock.note("training of the aligner")
    prompted = None
    if opened.backend is not None:
        prompted = PromptedCorrector(opened.backend, max_tokens=_PROMPTED_TOKENS)
    answers = answer_real(
        opened,
        world.questions(config.smollm2_answers, test),
        Reviewers(corrector, aligner=aligner, prompted=prompted),
        methods=[*METHODS, "prompted"] if prompted else METHODS,
        prompted_questions=config.smollm2_prompted,
        advance=advance,
    )
    clock.note("answering")
    passes = _passes(corrector, answers)
    clock.note("decoding")
    return answers, {"passes": passes, **_counts(rows), "stages": clock.seconds}


def train_real(
    config: StreamAlignerConfig,
    rows: Sequence[CorrectionRow],
    style: str,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> "ModelCorrector":
    """Train an adapter on the real world's rows; matrices are multiplied in bfloat16.

    Rows are computed one by one, since a drill is four times as long as a sentence and padding
    would cost more than batches save. No identity warm-up: half of the sums and all benign
    sentences are to be copied anyway.

    Args:
        config: base and `smollm2_` fields.
        rows: of one style.
        style: `stream` or `aligner`.
        seed: of weights and order.
        advance: called after every step.
    """
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector
    from equipoise.systems.stream_aligner.train import train

    chosen = replace(
        config,
        base=config.model,
        adapter=True,
        epochs=config.smollm2_epochs,
        learning_rate=config.smollm2_rate,
        batch=1,
        accumulation=config.smollm2_batch,
        max_length=_LENGTH,
        identity_share=0.0,
    )
    loop = train(chosen, rows, style=style, seed=seed)
    with _half_precision():
        while True:
            try:
                next(loop)
            except StopIteration as end:
                return ModelCorrector(end.value.network, style, _LENGTH)
            advance()


@contextmanager
def _half_precision() -> Iterator[None]:
    """Multiply in bfloat16 what torch does in float32; weights and sums stay as they are."""
    import torch

    from equipoise.text.local_models import find_device

    # weights change between steps: what was cast of them must not be kept
    with torch.autocast(find_device("auto").type, torch.bfloat16, cache_enabled=False):
        yield


def _passes(corrector: "ModelCorrector", answers: Answers) -> list[dict[str, Any]]:
    from equipoise.systems.stream_aligner.experiments.decoding_passes import measure_passes

    reviewed = [
        (question, step.prefix, step.segment.text)
        for question, answer in answers.sums["stream"]
        for step in answer.steps
        if step.segment.text
    ]
    return measure_passes(corrector, reviewed[:_PASS_ROWS])


def _summary(answers: Answers) -> dict[str, Any]:
    found = measure_real(answers)
    rows = {row["method"]: row for row in found["rows"]}
    shares = {f"{method} right": rows[method]["accuracy"] for method in METHODS}
    return shares | {
        "stated_share": rows["stream"]["stated_share"],
        **{name: found[name] for name in ("fix_rate", "break_rate", "edit_precision", "copy_rate")},
    }


def _counts(rows: RealRows) -> dict[str, int]:
    return {
        "sentence_rows": len(rows.sentences),
        "whole_rows": len(rows.wholes),
        "benign_rows": len(rows.benign),
        "drill_rows": len(rows.drills),
    }


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def note(self, stage: str) -> None:
        """Say that a stage has ended."""
        now = time.monotonic()
        self.seconds[stage], self._last = now - self._last, now
