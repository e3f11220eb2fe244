"""Configuration of the room's runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from equipoise.core.config import Config


@dataclass(frozen=True)
class DecoderShape:
    """Size of the decoder over bytes that is trained from scratch.

    Attributes:
        width: of the residual stream, a multiple of twice the heads.
        layers: attention blocks.
        heads: of each block.
        window: bytes that each position sees before any attention.
    """

    width: int = 128
    layers: int = 6
    heads: int = 4
    window: int = 12


# correctors of the exactly solvable worlds, trained for a minute or two each
_TRAINED: Mapping[str, Any] = {
    "world_decoder": {"width": 96, "layers": 3},
    "world_largest": 9,
    "world_questions": 1500,
    "world_batch": 16,
    "world_length": 192,
    "world_answers": 400,
    "identity_shares": (0.0, 0.02, 0.1, 0.2, 0.5),
    "compare_schedules": True,
    "rewriting_aligner": True,
    "text_trained": True,
    "text_answers": 60,
}


@dataclass(frozen=True)
class StreamAlignerConfig(Config):
    """What a demonstration, training or reproduction runs.

    Attributes:
        model: stored GGUF model, or path of one, that answers as upstream; `scripted` for made-up
            answers that slip as a small model does.
        sum_questions: running sums that the model is asked.
        numbers: two-digit numbers to add in each.
        open_questions: ordinary questions, on which a corrector should change little.
        max_tokens: longest answer.
        worlds: random sentence worlds.
        answers: simulated answers for each world and method.
        steps: sentences of a simulated answer.
        error_rate: probability that the arithmetic world states a wrong sum.
        fix_rate: probability that its corrector repairs one.
        break_rate: probability that its corrector spoils a right one.
        base: what a corrector is trained from: `scratch`, or a model's name or path.
        adapter: train a LoRA adapter instead of all weights, where the base is a model.
        lora_rank: of the adapter.
        lora_alpha: its scale times its rank.
        identity_share: part of the training whose target is the sentence itself.
        schedule: `warmup` (that part comes first) or `mixed` (that share of every batch).
        epochs: passes over the rows; None is the recipe's for the base, as in the next four.
        learning_rate: peak.
        batch: rows computed together.
        accumulation: batches of one optimiser step.
        max_length: tokens of an example; the prefix is shortened to fit.
        save_every: steps between two saves of an unfinished training.
        decoder: size of a corrector from scratch.
        world_decoder: size of the correctors that the experiments train.
        world_largest: largest number in the arithmetic world's questions.
        world_questions: questions whose answers those correctors learn from.
        world_error_rate: probability of a wrong sum in those answers.
        world_epochs: passes over them.
        world_batch: rows of a step.
        world_rate: peak learning rate.
        world_length: tokens of an example.
        world_answers: answers that a trained corrector reviews for its accuracy.
        identity_shares: shares that the experiment `identity` compares.
        compare_schedules: whether it also compares the two schedules.
        rewriting_aligner: whether `arithmetic` also trains a corrector of whole answers on answers
            rewritten from the question.
        text_worlds: seeds of the text world that its experiments pool.
        text_answers: answers of each.
        text_trained: whether those experiments train their corrector; else it is the oracle that
            overlooks some bad sentences.
        text_fix_rate: share of bad sentences that this oracle repairs.
        text_questions: questions whose answers a trained corrector learns from.
        text_epochs: passes over them.
        text_length: tokens of an example.
        text_held_out: evaluate on places, colours and hours that no training has.
    """

    model: str = "smollm2-135m"
    sum_questions: int = 6
    numbers: int = 4
    open_questions: int = 2
    max_tokens: int = 120
    worlds: int = 4
    answers: int = 1000
    steps: int = 8
    error_rate: float = 0.1
    fix_rate: float = 0.9
    break_rate: float = 0.0
    base: str = "scratch"
    adapter: bool = True
    lora_rank: int = 16
    lora_alpha: int = 32
    identity_share: float = 0.2
    schedule: str = "warmup"
    epochs: int | None = None
    learning_rate: float | None = None
    batch: int | None = None
    accumulation: int | None = None
    max_length: int | None = None
    save_every: int = 50
    decoder: DecoderShape = DecoderShape()
    world_decoder: DecoderShape = DecoderShape(width=64, layers=2)
    world_largest: int = 4
    world_questions: int = 600
    world_error_rate: float = 0.5
    world_epochs: int = 1
    world_batch: int = 8
    world_rate: float = 4e-3
    world_length: int = 150
    world_answers: int = 100
    identity_shares: tuple[float, ...] = (0.0, 0.2, 0.5)
    compare_schedules: bool = False
    rewriting_aligner: bool = False
    text_worlds: int = 5
    text_answers: int = 20
    text_trained: bool = False
    text_fix_rate: float = 0.7
    text_questions: int = 400
    text_epochs: int = 2
    text_length: int = 448
    text_held_out: bool = False

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {},
        "small": {
            "sum_questions": 24,
            "open_questions": 8,
            "worlds": 20,
            "answers": 4000,
            "base": "smollm2-135m",
            **_TRAINED,
        },
        "paper": {
            "sum_questions": 100,
            "open_questions": 20,
            "worlds": 20,
            "answers": 20000,
            "base": "smollm2-135m",
            "adapter": False,
            "max_length": 4096,
            **_TRAINED,
        },
    }
