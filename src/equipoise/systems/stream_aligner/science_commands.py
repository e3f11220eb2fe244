"""The verbs `train` and `evaluate`: a corrector from rows, and how good one is."""

import time
from pathlib import Path
from typing import Any

from equipoise.core.config import load_config
from equipoise.core.console import note, progress
from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.files import to_json
from equipoise.core.runs import Run
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.evaluation.named_worlds import WORLDS, place_of

_ROOM = "stream_aligner"


def train(
    rows: Path,
    *,
    base: str | None = None,
    identity_share: float | None = None,
    schedule: str | None = None,
    lora: bool = False,
    full: bool = False,
    keep_going: bool = False,
    gate: bool = False,
    preset: str = "tiny",
    seed: int = 42,
    out: Path | None = None,
    device: str = "auto",
    **changes: str,
) -> dict[str, Any]:
    """Train a corrector on rows; the same line with --out continues an interrupted training.

    Args:
        rows: file of correction rows or comparison records.
        base: scratch (a small decoder over bytes), or a model's name or path.
        identity_share: part of the training whose target is the sentence itself.
        schedule: warmup (that part comes first) or mixed (that share of every batch).
        lora: train an adapter, where the base is a model; the default but in preset paper.
        full: train all its weights instead.
        keep_going: use the good rows of a file with more than 1 % broken ones.
        gate: keep some answers from the training and fit a gate on them, with which sure copies
            skip the corrector (fields gate_features, gate_budget, gate_share).
        preset: tiny (own decoder), small (SmolLM2-135M with an adapter) or paper.
        seed: of weights, order and mixture.
        out: run folder; an interrupted run in it is continued.
        device: where to compute.
        **changes: fields of StreamAlignerConfig.
    """
    from equipoise.systems.stream_aligner.gate.training import add_gate, hold_out
    from equipoise.systems.stream_aligner.rows import read_rows

    begun = time.monotonic()
    if full and lora:
        raise InvalidInput("give --lora or --full, not both")
    named = {
        "base": base,
        "identity_share": identity_share,
        "schedule": schedule,
        "adapter": lora if lora or full else None,
    }
    given = {name: value for name, value in named.items() if value is not None}
    config = load_config(StreamAlignerConfig, overrides={**changes, **given}, preset=preset)
    read, kept = read_rows(rows, keep_going=keep_going), ()
    for line, reason in read.broken[:10]:
        note(f"{rows}, line {line}: {reason}")
    if gate:
        read, kept = hold_out(config, read, seed)
    with Run.create(_ROOM, "train", config, preset=preset, seed=seed, folder=out) as run:
        trained, losses = _training(config, read, run, seed, device)
        measured = {
            "rows": len(read.rows) - trained.too_long,
            "too_long": trained.too_long,
            "broken": len(read.broken),
            "style": read.style,
            "base": config.base,
            "steps": trained.steps,
            "first_loss": losses[0],
            "loss": sum(losses[-10:]) / len(losses[-10:]),
            "parameters": sum(p.numel() for p in trained.network.module.parameters()),
        }
        if gate:
            measured["gate"] = add_gate(config, trained, kept, seed)
        run.finish({"measured": measured, "units": {"loss": "nats a target token"}})
    return {
        "run": str(run.path),
        "checkpoint": str(trained.checkpoint),
        **measured,
        "seconds": time.monotonic() - begun,
    }


def evaluate(
    *,
    corrector: str,
    world: str | None = None,
    file: Path | None = None,
    kind: str = "auto",
    upstream: str | None = None,
    methods: str | None = None,
    aligner: str | None = None,
    prompted: str | None = None,
    score: str | None = None,
    judge: str | None = None,
    questions: int | None = None,
    limit: int | None = None,
    keep_going: bool = False,
    preset: str = "tiny",
    seed: int = 0,
    out: Path | None = None,
    device: str = "auto",
    **changes: str,
) -> dict[str, Any]:
    """Measure a corrector, method by method: on a world whose right answers are known, or a file.

    The same line with --file and --out continues an interrupted evaluation.

    Args:
        corrector: identity, arithmetic, rules:FILE, prompted:BACKEND, model:PATH or oracle:WORLD.
        world: sentence (bad ones invite the next), arithmetic, text, or smollm2 (the
            configuration's model adds two-digit numbers).
        file: questions of your own instead of a world: GSM8K, XSTest (CSV), BeaverTails-Evaluation,
            HH dialogues, LLMFAO answers, or lines with `question`; also gzip.
        kind: of the file: auto, gsm8k, xstest, beavertails, hh, llmfao or questions.
        upstream: who answers a file: URL#MODEL, local:MODEL, transformers:PATH or replay:FILE; by
            default the answers that the file holds are reviewed.
        methods: names joined by commas: raw, aligner, post-hoc, stream (the default on a file),
            prompted; in a world also oracle (in the default there); in the world text also
            best-of-2 and as-published.
        aligner: corrector of whole answers for the method aligner; by default the same one, shown a
            finished answer sentence by sentence where it was trained on sentences.
        prompted: instruction-prompted model for the method prompted.
        score: what is judged on a file: help, harm, math, or several joined by commas; none
            measures the changes alone; by default math on GSM8K, help on LLMFAO and plain
            questions, harm on the others.
        judge: model that judges, openai:URL#MODEL, local:MODEL or transformers:PATH; without one
            exact numbers (GSM8K) and the refusal classifier (XSTest, HH) stand in.
        questions: how many of a world; the configuration's world_answers by default.
        limit: how many of a file, drawn by the seed; all by default.
        keep_going: use the good entries of a file with more than 1 % broken ones.
        preset: tiny, small or paper.
        seed: of questions and slips.
        out: run folder.
        device: where local models compute.
        **changes: fields of StreamAlignerConfig: steps, error_rate, world_largest, text_held_out.
    """
    from equipoise.systems.stream_aligner.evaluation import evaluating_files
    from equipoise.systems.stream_aligner.evaluation.methods import Reviewers

    if (world is None) == (file is None):
        raise InvalidInput(
            "give either --world (sentence, arithmetic, text, smollm2) or --file FILE"
        )
    if world is not None and world not in WORLDS:
        raise unknown_name("world", world, WORLDS)
    config = load_config(StreamAlignerConfig, overrides=changes, preset=preset)
    usual = "raw,aligner,post-hoc,stream" + (",oracle" if world else "")
    chosen = _names(methods or usual)
    if not chosen:
        raise InvalidInput(f"no method is named; usual: {usual}")
    given = {"kind": kind, "upstream": upstream, "judge": judge, "limit": limit}
    given |= {"scores": _names(score or ""), "keep_going": keep_going}
    evaluating_files.check_options(world, given, questions)
    specs = {"corrector": corrector, "aligner": aligner, "prompted": prompted}
    made = {name: _corrector(spec, device) for name, spec in specs.items() if spec}
    if file is not None:
        plan = evaluating_files.FilePlan(file, **specs, methods=chosen, **given)
        return evaluating_files.evaluate_file(
            plan, made, config, preset=preset, seed=seed, out=out, device=device
        )
    assert world is not None  # one of the two is given
    count = config.world_answers if questions is None else questions
    if count < 1:
        raise InvalidInput(f"questions is {count}; it must be >= 1")
    measure, place, asked = place_of(world, config, count, seed)
    with Run.create(_ROOM, "evaluate", config, preset=preset, seed=seed, folder=out) as run:
        with progress("answers", len(asked) * len(chosen)) as bar:
            found = measure(
                place,
                asked,
                Reviewers(**made),
                methods=chosen,
                advance=bar.advance,
            )
        measured = {"world": world, "corrector": corrector, **found}
        run.finish({"measured": measured})
    return {"run": str(run.path), **to_json(measured)}


def _names(joined: str) -> tuple[str, ...]:
    """Return names that commas join."""
    return tuple(name.strip() for name in joined.split(",") if name.strip())


def _corrector(spec: str, device: str) -> Any:
    from equipoise.systems.stream_aligner.collection.teachers import make_teacher
    from equipoise.systems.stream_aligner.correctors import make_corrector

    if spec.startswith("oracle:"):
        return make_teacher(spec)
    places = {"device": device} if spec.startswith(("prompted:", "model:")) else {}
    return make_corrector(spec, **places)


def _training(config: StreamAlignerConfig, read: Any, run: Run, seed: int, device: str) -> Any:
    """Run the training loop under a progress bar; return what it trained, and all losses."""
    from equipoise.systems.stream_aligner.train import train as training

    losses: list[float] = []
    loop = training(config, read.rows, style=read.style, seed=seed, out=run.path, device=device)
    with progress("training steps") as bar:
        while True:
            try:
                record = next(loop)
            except StopIteration as end:
                return end.value, losses
            losses.append(record["loss"])
            bar.describe(f"training, loss {record['loss']:.3f}")
            bar.advance()
