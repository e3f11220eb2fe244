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
    "world_questions": 1500,
    "world_length": 192,
    "world_answers": 400,
    "identity_shares": (0.0, 0.02, 0.1, 0.2, 0.5),
    "compare_schedules": True,
    "rewriting_aligner": True,
    "text_trained": True,
    "text_answers": 60,
}

# 0.1, 0.3, 1 and 3 million parameters, and a corrector to look into
_STUDIED: Mapping[str, Any] = {
    "size_widths": (56, 88, 128, 200),
    "size_layers": (1, 2, 4, 5),
    "size_steps": 4,
    "size_largest": 6,
    "size_questions": 800,
    "size_worlds": 5,
    "size_answers": 40,
    "interpret_questions": 1200,
    "interpret_epochs": 3,
    "interpret_rows": 400,
    "interpret_both": True,
    "gate_questions": 600,
    "gate_trained": True,
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
        text_batch: rows of a step.
        text_length: tokens of an example.
        text_held_out: evaluate on places, colours and hours that no training has.
        size_widths: of the decoders that the experiment `size` compares.
        size_layers: of each of them.
        size_steps: sentences of its answers.
        size_largest: largest number in its questions.
        size_questions: questions whose answers its correctors learn from, once.
        size_batch: rows of a step.
        size_worlds: seeds of the arithmetic world that it evaluates on.
        size_answers: answers of each.
        interpret_questions: questions whose answers the corrector of `interpret` learns from.
        interpret_epochs: passes over them.
        interpret_rows: rows that its probes learn from, and as many fresh ones.
        interpret_both: whether it also looks into the pupil of a teacher whose edits change the
            result alone.
        gate_features: what a gate looks at: `text`, or `layer:K` of the corrector (0: embedding).
        gate_budget: most of the sentences that need an edit that may skip the corrector.
        gate_share: part of the questions that `train --gate` keeps from the training; a third each
            fits, calibrates and measures the gate.
        gate_questions: questions that the experiment `gate` fits on, and as many each to calibrate
            and to measure.
        gate_trained: whether it also trains correctors, for gates on their layers.
        smollm2_trained: train correctors for the experiment `smollm2`; else scripted answers and
            the exact oracle stand in.
        smollm2_seeds: trainings, each with its own questions, whose answers are pooled.
        smollm2_questions: running sums whose answers by the model its correctors learn from.
        smollm2_drills: rows of many sums that they learn from besides.
        smollm2_sums: additions in each of those.
        smollm2_epochs: passes over all rows.
        smollm2_batch: rows of a step.
        smollm2_rate: peak learning rate.
        smollm2_answers: questions of the evaluation.
        smollm2_prompted: of them for the untrained, prompted model.
        file_tokens: longest answer to a question of the user's file.
        judge_tokens: longest answer of a model that judges.
        file_requests: to a model behind a URL at the same time, answering or judging a file.
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
    text_batch: int = 16
    text_length: int = 448
    text_held_out: bool = False
    size_widths: tuple[int, ...] = (24, 48)
    size_layers: tuple[int, ...] = (1, 1)
    size_steps: int = 2
    size_largest: int = 4
    size_questions: int = 80
    size_batch: int = 8
    size_worlds: int = 2
    size_answers: int = 10
    interpret_questions: int = 200
    interpret_epochs: int = 1
    interpret_rows: int = 60
    interpret_both: bool = False
    gate_features: str = "text"
    gate_budget: float = 0.01
    gate_share: float = 0.3
    gate_questions: int = 160
    gate_trained: bool = False
    smollm2_trained: bool = False
    smollm2_seeds: int = 1
    smollm2_questions: int = 60
    smollm2_drills: int = 500
    smollm2_sums: int = 10
    smollm2_epochs: int = 1
    smollm2_batch: int = 4
    smollm2_rate: float = 1e-3
    smollm2_answers: int = 20
    smollm2_prompted: int = 8
    file_tokens: int = 512
    judge_tokens: int = 512
    file_requests: int = 8

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {},
        "small": {
            "sum_questions": 24,
            "open_questions": 8,
            "worlds": 20,
            "answers": 4000,
            "base": "smollm2-135m",
            **_TRAINED,
            **_STUDIED,
            "smollm2_trained": True,
            "smollm2_answers": 60,
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
            **_STUDIED,
            "smollm2_trained": True,
            "smollm2_seeds": 3,
            "smollm2_answers": 200,
        },
    }
