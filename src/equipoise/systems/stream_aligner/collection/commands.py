"""The verb `collect`: a real model, a world or stored answers, with a teacher in the loop."""

from pathlib import Path
from typing import Any

from equipoise.core.config import load_config
from equipoise.core.console import progress
from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.evaluation.named_worlds import open_source


def collect(
    *,
    upstream: str,
    teacher: str,
    questions: Path,
    out: Path,
    rounds: int = 16,
    mode: str = "stream",
    on_policy: int = 0,
    max_tokens: int = 512,
    preset: str = "tiny",
    seed: int = 42,
    device: str = "auto",
    **changes: str,
) -> dict[str, Any]:
    """Run the loop with a teacher in it and write a row for every sentence; resumable.

    Args:
        upstream: URL#MODEL, local:MODEL, transformers:PATH, replay:FILE, world:arithmetic (an
            upstream that adds, and slips at the configuration's world_error_rate), world:text,
            world:sentence, or world:smollm2 (the configuration's model, shown one worked sum).
        teacher: arithmetic, rules:FILE, oracle:arithmetic, oracle:text, oracle:sentence,
            prompted:BACKEND or model:PATH.
        questions: JSONL with `question` (or `prompt`).
        out: JSONL of rows; what it holds of the same collection is kept.
        rounds: most sentences of an answer.
        mode: stream, or aligner for one row of each whole answer.
        on_policy: rounds of collecting and training a corrector, which then steers; 0 for none.
        max_tokens: longest answer.
        preset: tiny, small or paper: how on-policy correctors are trained.
        seed: of sampled answers, of the world's slips, and of those trainings.
        device: where local models compute.
        **changes: fields of StreamAlignerConfig.
    """
    from equipoise.systems.stream_aligner import batch
    from equipoise.systems.stream_aligner.collection import collecting
    from equipoise.systems.stream_aligner.collection.teachers import make_teacher

    config = load_config(StreamAlignerConfig, overrides=changes, preset=preset)
    if mode not in ("stream", "aligner"):
        raise unknown_name("mode", mode, ("stream", "aligner"))
    if on_policy < 0 or (on_policy and mode == "aligner"):
        raise InvalidInput(f"on_policy is {on_policy}; it must be >= 0, and 0 in mode aligner")
    asked = batch.read_questions(questions)
    places = {"device": device} if teacher.startswith("prompted:") else {}
    labels = make_teacher(teacher, **places)
    settings: dict[str, Any] = {
        "upstream": upstream,
        "teacher": teacher,
        "seed": seed,
        "max_tokens": max_tokens,
        "world_error_rate": config.world_error_rate,
        "steps": config.steps,
    }
    common: dict[str, Any] = {"settings": settings, "rounds": rounds}
    opened = open_source(upstream, config, max_tokens=max_tokens, seed=seed, device=device)
    with opened as source, progress("questions", len(asked) * max(1, on_policy)) as bar:
        common["advance"] = bar.advance
        if on_policy:
            from equipoise.systems.stream_aligner.collection.on_policy import collect_on_policy

            training = {"count": on_policy, "seed": seed, "device": device}
            done = collect_on_policy(asked, source, labels, out, config, **training, **common)
            counts = [_counts(found) for found in done.rounds]
            return _summed(out, counts) | {"rounds": counts, "corrector": str(done.corrector)}
        kind = {"mode": mode, "source": teacher.partition(":")[0]}
        found = collecting.collect_file(asked, source, labels, out, **kind, **common)
    return _summed(out, [_counts(found)])


def _counts(found: Any) -> dict[str, int]:
    names = {"copy": "copies", "edit": "edits", "drop": "drops", "stop": "stops"}
    return {
        "questions": found.questions,
        "rows": found.rows,
        **{plural: found.verdicts.get(name, 0) for name, plural in names.items()},
        "unparsed": found.unparsed,
    }


def _summed(out: Path, counts: list[dict[str, int]]) -> dict[str, Any]:
    total = {name: sum(each[name] for each in counts) for name in counts[0]}
    return {"out": str(out), **total}
