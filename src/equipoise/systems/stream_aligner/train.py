"""Training a corrector: supervised learning of corrections, with Aligner's identity warm-up.

The objective is `objective.correction_loss`, the paper's; the recipe (Adam with betas 0.9 and 0.95,
cosine with 3 % warm-up, no weight decay, prompt masked, end of text learned) is that of the paper's
release. Clipping the gradient at norm 1 is ours.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.metrics import StepRecord
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.networks.batches import SCHEDULES, Plan, pad_batch, prepare
from equipoise.systems.stream_aligner.objective import correction_loss
from equipoise.systems.stream_aligner.prompts import IGNORED, STYLES
from equipoise.systems.stream_aligner.rows import CorrectionRow

if TYPE_CHECKING:
    from equipoise.systems.stream_aligner.networks.families import Network

WARM_UP = 0.03
_CLIP = 1.0


@dataclass(frozen=True)
class Recipe:
    """Settings of one training, with what the configuration leaves open filled in for its base.

    Attributes:
        epochs: passes over the rows.
        learning_rate: peak.
        batch: rows computed together.
        accumulation: batches of one optimiser step.
        max_length: tokens of an example.
        lora: train an adapter instead of all weights.
    """

    epochs: int
    learning_rate: float
    batch: int
    accumulation: int
    max_length: int
    lora: bool

    @classmethod
    def of(cls, config: StreamAlignerConfig) -> "Recipe":
        """Return the recipe of a configuration; section 2.5's table gives what is None."""
        scratch = config.base == "scratch"
        lora = config.adapter and not scratch
        rate = 3e-3 if scratch else 2e-4 if lora else 2e-5
        defaults = {
            "epochs": 3,
            "learning_rate": rate,
            "batch": 64 if scratch else 4,
            "accumulation": 1 if scratch else 2,
            "max_length": 256 if scratch else 512,
        }
        given = {name: getattr(config, name) for name in defaults}
        chosen = {name: defaults[name] if given[name] is None else given[name] for name in defaults}
        for name, value in chosen.items():
            if not value > 0:
                raise InvalidInput(f"{name} is {value!r}; it must be > 0")
        return cls(**chosen, lora=lora)


@dataclass(frozen=True)
class Trained:
    """A trained corrector.

    Attributes:
        network: with its tokenizer.
        style: of its prompts.
        description: what its checkpoint says of it.
        steps: optimiser steps done in all.
        too_long: rows that were left out.
        checkpoint: its folder, where it was saved.
    """

    network: "Network"
    style: str
    description: dict[str, Any]
    steps: int
    too_long: int
    checkpoint: Path | None


def train(
    config: StreamAlignerConfig,
    rows: Sequence[CorrectionRow],
    *,
    style: str = "stream",
    seed: int = 42,
    out: Path | None = None,
    device: str = "auto",
) -> Iterator[StepRecord]:
    """Train a corrector on rows, yielding a record after every optimiser step.

    Records hold `step`, `loss` (nats a target token), `learning_rate`, `rows` and `copies` (rows
    whose target was their own sentence). The generator's return value is a `Trained`.

    Args:
        config: base, recipe, identity share and schedule.
        rows: correction rows of one style.
        style: `stream` or `aligner`.
        seed: of weights, order and mixture.
        out: run folder for metrics and checkpoints; an interrupted training in it is continued and
            ends as if it had not been interrupted.
        device: where to compute.

    Raises:
        InvalidInput: a setting out of range, no usable row, or rows other than those that the
            training in `out` began with.
    """
    import torch

    from equipoise.core.runs import Run
    from equipoise.systems.stream_aligner.networks import checkpoints
    from equipoise.systems.stream_aligner.networks.families import open_network

    recipe = _checked(config, style)
    network = open_network(
        config.base,
        config.decoder,
        lora=recipe.lora,
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        seed=seed,
        device=device,
    )
    data = prepare(rows, style, network.tokenizer, recipe.max_length)
    per_step = recipe.batch * recipe.accumulation
    steps = recipe.epochs * -(-len(data.real) // per_step)
    plan = Plan(len(data.real), per_step, steps, config.identity_share, config.schedule, seed)
    description = checkpoints.describe(network, style, recipe.max_length, data.sha256, seed)
    weights = [parameter for parameter in network.module.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(
        weights, lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
    )
    run = Run.create("stream_aligner", "train", config, seed=seed, folder=out) if out else None
    done = 0
    if run is not None:
        done = checkpoints.load_state(run.checkpoints, network, optimiser, description)
        run.rewind(done)
        for record in run.metrics:
            yield record
    network.module.train()
    for step in range(done + 1, steps + 1):
        rate = recipe.learning_rate * _schedule(step, steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        picked = plan.pick(step)
        examples = [(data.identity if copy else data.real)[row] for row, copy in picked]
        loss = _backward(network, examples, recipe.batch)
        torch.nn.utils.clip_grad_norm_(weights, _CLIP)
        optimiser.step()
        optimiser.zero_grad()
        values = {
            "loss": loss,
            "learning_rate": rate,
            "rows": len(picked),
            "copies": sum(copy for _, copy in picked),
        }
        record = StepRecord(step, **values) if run is None else run.log(step, **values)
        if run is not None and step % config.save_every == 0 and step < steps:
            checkpoints.save_state(run.checkpoints, network, optimiser, step, description)
        yield record
    network.module.eval()
    checkpoint = None
    if run is not None:
        checkpoint = checkpoints.save_corrector(run.checkpoints / "final", network, description)
        checkpoints.drop_state(run.checkpoints)
        if not run.joined:
            run.finish({"measured": {"steps": steps, "checkpoint": str(checkpoint)}})
    return Trained(network, style, description, steps, data.too_long, checkpoint)


def train_to_the_end(*arguments: Any, **options: Any) -> tuple[Trained, list[StepRecord]]:
    """Run `train` and return what it trained, and its records."""
    records, loop = [], train(*arguments, **options)
    while True:
        try:
            records.append(next(loop))
        except StopIteration as end:
            return end.value, records


def _checked(config: StreamAlignerConfig, style: str) -> Recipe:
    if style not in STYLES:
        raise unknown_name("prompt style", style, STYLES)
    if config.schedule not in SCHEDULES:
        raise unknown_name("schedule", config.schedule, SCHEDULES)
    if not 0 <= config.identity_share <= 1:
        raise InvalidInput(f"identity_share is {config.identity_share!r}; it must lie in [0, 1]")
    if config.save_every < 1:
        raise InvalidInput(f"save_every is {config.save_every!r}; it must be >= 1")
    return Recipe.of(config)


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over the first 3 % of the steps, then half a cosine; in (0, 1]."""
    rising = max(1, round(WARM_UP * steps))
    if step <= rising:
        return step / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising + 1)))


def _backward(network: "Network", examples: list[Any], batch: int) -> float:
    """Add the gradient of the mean loss over all target tokens of `examples`; return the loss."""
    import torch

    targets = [int((example.labels != IGNORED).sum()) for example in examples]
    device = next(network.module.parameters()).device
    total = 0.0
    for start in range(0, len(examples), batch):
        tokens, labels, keep = pad_batch(examples[start : start + batch], network.tokenizer.pad_id)
        logits = network.logits(torch.from_numpy(tokens).to(device), keep)
        share = sum(targets[start : start + batch]) / sum(targets)
        loss = correction_loss(logits, torch.from_numpy(labels[:, -keep:]).to(device)) * share
        loss.backward()
        total += float(loss.detach())
    return total
