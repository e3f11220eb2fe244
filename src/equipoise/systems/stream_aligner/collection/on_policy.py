"""Collect and train in turns: the current corrector steers, the teacher labels (DAgger; ours)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.core.runs import info_of
from equipoise.systems.stream_aligner.aligning import Upstream
from equipoise.systems.stream_aligner.collection.collecting import Collected, collect_file
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.correction import Corrector
from equipoise.systems.stream_aligner.rows import CorrectionRow, read_rows, write_rows


@dataclass(frozen=True)
class OnPolicy:
    """What alternating rounds came to: each one's collection, and the last corrector's run."""

    rounds: tuple[Collected, ...]
    corrector: Path


def collect_on_policy(
    questions: Sequence[str],
    upstream: Upstream,
    teacher: Corrector,
    out: Path,
    config: StreamAlignerConfig,
    *,
    count: int,
    settings: dict[str, Any],
    rounds: int = 16,
    seed: int = 42,
    device: str = "auto",
    advance: Callable[[], None] = lambda: None,
) -> OnPolicy:
    """Collect rows and train a corrector on all of them, `count` times; resumable as a whole.

    In the first round the teacher steers; afterwards the corrector trained last, so that the
    prefixes are those its own mistakes lead to. `out` ends with the rows of all rounds; each
    round's rows and run stand in `OUT.rounds`.

    Args:
        questions, upstream, teacher, out, settings, rounds, advance: as in `collect_file`.
        config: how to train.
        count: rounds of collecting and training.
        seed: of the trainings.
        device: where to compute.
    """
    if count < 1:
        raise InvalidInput(f"on_policy is {count!r}; it must be >= 1")
    folder = out.with_name(f"{out.name}.rounds")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[CorrectionRow] = []
    found: list[Collected] = []
    steer: Corrector | None = None
    run = folder
    for number in range(1, count + 1):
        file = folder / f"round-{number}.jsonl"
        found.append(
            collect_file(
                questions,
                upstream,
                teacher,
                file,
                settings=settings | {"round": number, "seed": seed},
                rounds=rounds,
                steer=steer,
                source=f"round {number}",
                advance=advance,
            )
        )
        rows += read_rows(file, keep_going=True).rows
        run = folder / f"run-{number}"
        steer = _trained(config, rows, run, seed, device)
    write_rows(rows, out)
    return OnPolicy(tuple(found), run)


def _trained(
    config: StreamAlignerConfig, rows: Sequence[CorrectionRow], run: Path, seed: int, device: str
) -> Corrector:
    """Train a corrector in a run folder, or load the one that was trained there."""
    from equipoise.systems.stream_aligner.model_corrector import make_model_corrector
    from equipoise.systems.stream_aligner.train import train_to_the_end

    if not (run / "run.json").exists() or info_of(run).status != "done":
        train_to_the_end(config, rows, seed=seed, out=run, device=device)
    return make_model_corrector(run, device=device)
