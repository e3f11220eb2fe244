"""The learned gate in the exactly solvable worlds: what it skips, what it misses, what it saves."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from equipoise.core.errors import RunFailed
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner.collection.collecting import iter_rows
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.experiments.training import (
    one_thread,
    train_in_world,
    world_rows,
)
from equipoise.systems.stream_aligner.gate.features import TEXT
from equipoise.systems.stream_aligner.gate.linear import CopyGate
from equipoise.systems.stream_aligner.gate.training import (
    Scorer,
    fit_gate,
    keeps_budget,
    measure_gate,
    redrawn_miss_rate,
)
from equipoise.systems.stream_aligner.rows import CorrectionRow
from equipoise.systems.stream_aligner.worlds.text import TextWorld
from equipoise.systems.stream_aligner.worlds.text_oracle import oracle

if TYPE_CHECKING:
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector

_COSTED = 280  # fresh sentences that a corrector reviews with and without its gate
_EVEN = (0.4, 0.2, 0.2, 0.2)


def run_gate(config: StreamAlignerConfig, seed: int, advance: Callable[[], None]) -> dict[str, Any]:
    """Gate sentences on text, and on a first and last layer of trained correctors.

    The score is fitted, the threshold set and both measured on different answers of one world.
    `reached` says that no miss rate's interval on fresh bad sentences lies above the budget;
    `below_budget` how many of the rates themselves do not exceed it. A threshold keeps the budget
    in the mean over calibrations, a single one may lie above: `redrawn` is the mean over many, and
    `miss_chance` how often a single one comes to as many misses.
    """
    rows = []
    for world in ("text", "arithmetic") if config.gate_trained else ("text",):
        learn, calibrate, fresh = _parts(config, world, seed)
        corrector = _corrector(config, world, seed) if config.gate_trained else None
        for features in _features(corrector):
            if corrector is None:
                scorer = Scorer(features)
            else:
                scorer = Scorer(features, corrector.network, max_length=corrector.max_length)
            with one_thread() if corrector is not None else nullcontext():
                gate = fit_gate(scorer, learn, calibrate, config.gate_budget)
                rows.append(
                    {"world": world}
                    | measure_gate(scorer, gate, fresh)
                    | _savings(corrector, gate, fresh)
                    | {"redrawn": redrawn_miss_rate(scorer, gate, [*calibrate, *fresh], seed)}
                )
            advance()
    return {
        "rows": rows,
        "target": "the interval of no miss rate on fresh bad sentences lies above the budget",
        "reached": all(keeps_budget(row) for row in rows),
        "below_budget": sum(
            row["miss_rate"] is not None and row["miss_rate"] <= row["budget"] for row in rows
        ),
    }


def _parts(config: StreamAlignerConfig, world: str, seed: int) -> list[list[CorrectionRow]]:
    """Return rows to fit on, to calibrate on and to measure on, of different questions each."""
    known: set[str] = set()
    parts = []
    for one in stream(seed, "gate", world).integers(0, 2**31, size=3):
        rows = _rows(config, world, config.gate_questions, int(one))
        parts.append([row for row in rows if row.question not in known])
        known |= {row.question for row in rows}
    return parts


def _rows(
    config: StreamAlignerConfig, world: str, questions: int, seed: int, **chances: Any
) -> list[CorrectionRow]:
    if world == "arithmetic":
        return world_rows(config, questions, seed)
    place = TextWorld(seed, **chances)
    return list(iter_rows(place.questions(questions, seed), place.upstream, oracle))


def _corrector(config: StreamAlignerConfig, world: str, seed: int) -> "ModelCorrector":
    """Train a world's corrector on answers drawn apart from the gates'.

    In the text world, whose questions are few, about one in a hundred is asked in both.
    """
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector

    learn = int(stream(seed, "gate", world, "training").integers(0, 2**31))
    if world == "arithmetic":
        trained = train_in_world(config, _rows(config, world, config.world_questions, learn), seed)
    else:
        # a training set in which bad sentences are no rarity
        even = {"initial": _EVEN, "transition": (_EVEN,) * 4}
        rows = _rows(config, world, config.text_questions, learn, **even)
        longest = {"epochs": config.text_epochs, "max_length": config.text_length}
        trained = train_in_world(config, rows, seed, **longest)
    assert isinstance(trained, ModelCorrector)
    return trained


def _features(corrector: "ModelCorrector | None") -> list[str]:
    if corrector is None:
        return [TEXT]
    from equipoise.systems.stream_aligner.networks.interpreting import blocks_of

    return [TEXT, "layer:1", f"layer:{len(blocks_of(corrector.network))}"]


def _savings(
    corrector: "ModelCorrector | None", gate: CopyGate, rows: Sequence[CorrectionRow]
) -> dict[str, float | None]:
    """Return what a gate saves on the first fresh sentences; None without a corrector to save.

    `passes_saved` is the share of the corrector's passes; `work_saved` that of tokens times blocks,
    in which the gate's own reading counts.
    """
    if corrector is None:
        return {"passes_saved": None, "work_saved": None}
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector
    from equipoise.systems.stream_aligner.networks.interpreting import blocks_of

    depth, costs = len(blocks_of(corrector.network)), []
    for chosen in (None, gate):
        one = ModelCorrector(corrector.network, "stream", corrector.max_length, gate=chosen)
        for row in rows[:_COSTED]:
            _review(one, row)
        gating = one.gate_tokens_read * (gate.layer or 0)
        costs.append((one.passes, one.tokens_read * depth + gating))
    (passes, work), (fewer, less) = costs
    return {"passes_saved": 1 - fewer / passes, "work_saved": 1 - less / work}


def _review(corrector: "ModelCorrector", row: CorrectionRow) -> None:
    try:
        corrector(row.question, row.prefix, row.last)
    except RunFailed:  # a correction without end has had its passes all the same
        return
