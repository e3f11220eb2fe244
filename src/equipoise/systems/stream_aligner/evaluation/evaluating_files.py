"""How a corrector does on the user's own questions: answered, judged, reported, in one run folder.

Answers and a model's judgements are kept as they come, so that the same line goes on where an
interrupted one ended.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from equipoise.core.console import note, progress
from equipoise.core.errors import InvalidInput
from equipoise.core.files import sha256_file, to_json
from equipoise.core.runs import Run
from equipoise.systems.stream_aligner.batch import hashes_of, keep_settings
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.correction import Corrector
from equipoise.systems.stream_aligner.evaluation.file_answers import (
    DEFAULT_METHODS,
    answer_file,
    check_methods,
    chosen_questions,
)
from equipoise.systems.stream_aligner.evaluation.file_scores import (
    USUAL_SCORES,
    Scoring,
    make_scoring,
    measure_file,
)
from equipoise.systems.stream_aligner.evaluation.files import (
    EvaluationFile,
    FileQuestion,
    read_evaluation_file,
)
from equipoise.systems.stream_aligner.evaluation.prompted_judge import KeptVerdicts, PromptedJudge
from equipoise.systems.stream_aligner.upstreams import (
    at_once_of,
    backend_name,
    connections,
    open_upstream,
    read_answers,
)


@dataclass(frozen=True)
class FilePlan:
    """What is evaluated, and how; an interrupted run is continued by an equal one.

    Attributes:
        file: the questions.
        kind: of the file, or `auto`.
        upstream: spec of the model that answers; None for the file's own answers.
        corrector: spec; likewise `aligner` and `prompted`, for the methods of these names.
        methods: of `METHODS`.
        scores: of `SCORES`, or `none` alone to measure what was changed, unjudged; empty for what
            is usual for the kind.
        judge: spec of the model that judges; None for what can be had without.
        limit: how many questions; None for all.
        keep_going: use the good entries of a file with more than 1 % broken ones.
    """

    file: Path
    corrector: str
    kind: str = "auto"
    upstream: str | None = None
    aligner: str | None = None
    prompted: str | None = None
    methods: tuple[str, ...] = DEFAULT_METHODS
    scores: tuple[str, ...] = ()
    judge: str | None = None
    limit: int | None = None
    keep_going: bool = False


def evaluate_file(
    plan: FilePlan,
    correctors: Mapping[str, Corrector],
    config: StreamAlignerConfig,
    *,
    preset: str = "tiny",
    seed: int = 0,
    out: Path | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Answer, judge, and write a report; the same call with `out` continues an interrupted run.

    Args:
        plan: what to do.
        correctors: as in `answer_file`.
        config: `file_tokens` and `judge_tokens` bound the answers, `file_requests` what is asked
            at the same time.
        preset: noted in the run.
        seed: of the questions drawn and of sampled answers.
        out: run folder.
        device: where local models compute.

    Returns:
        What `measure_file` returns, with `run` and `report`.

    Raises:
        InvalidInput: a file, method or score that cannot be used; nothing has been written then.
    """
    from equipoise.systems.stream_aligner.evaluation.file_report import file_report

    check_methods(plan.methods, correctors)
    read = read_evaluation_file(plan.file, plan.kind, keep_going=plan.keep_going)
    for line, reason in read.broken[:10]:
        note(f"{plan.file}, line {line}: {reason}")
    asked = _asked(plan, read, seed)
    scores = _scores(plan, read.kind)
    _scorings(plan, read.kind, scores, None)
    at_once_of(None, config.file_requests)
    with Run.create(
        "stream_aligner", "evaluate", config, preset=preset, seed=seed, folder=out
    ) as run:
        keep_settings(run.path / "plan.json", _settings(plan), f"{run.path} holds an evaluation")
        with (
            _upstream(plan, config, seed, device) as upstream,
            progress("questions", len(asked)) as bar,
        ):
            file = run.path / "answers.jsonl"
            written = answer_file(
                asked,
                upstream,
                correctors,
                plan.methods,
                file,
                at_once=at_once_of(plan.upstream, config.file_requests, correctors.values()),
                advance=bar.advance,
            )
        with _judges(plan, config, scores, run.path, device) as judges:
            scorings = _scorings(plan, read.kind, scores, judges)
            found = measure_file(asked, written, plan.methods, scorings)
        measured = _told(plan, read) | found
        page = file_report(measured, asked, written).save(run.path)
        run.finish({"measured": measured})
    note(f"report: {page}")
    return {"run": str(run.path), "report": str(page), **to_json(measured)}


def check_options(world: str | None, options: Mapping[str, Any], questions: int | None) -> None:
    """Refuse options of a file beside a world, and a world's beside a file.

    Args:
        world: evaluated, None for a file.
        options: fields of `FilePlan`.
        questions: how many of a world.
    """
    if world is None:
        if questions is not None:
            raise InvalidInput("--questions counts a world's; with --file give --limit")
        return
    usual = {"kind": "auto", "scores": (), "keep_going": False}
    beside = [name for name, value in options.items() if value != usual.get(name)]
    if beside:
        name = beside[0].removesuffix("s").replace("_", "-")
        raise InvalidInput(f"--{name} belongs to --file; a world (--world {world}) has its own")


def _asked(plan: FilePlan, read: EvaluationFile, seed: int) -> list[FileQuestion]:
    """Return the questions of a plan, with the answers of a `replay:` upstream in their place."""
    replay = (plan.upstream or "").removeprefix("replay:")
    if plan.upstream is None and not read.answered:
        raise InvalidInput(
            f"{plan.file} (kind {read.kind!r}) holds questions without answers: name a model by "
            "--upstream, URL#MODEL, local:MODEL, transformers:PATH or replay:FILE"
        )
    if replay == (plan.upstream or ""):
        replayed = plan.upstream is None
        return chosen_questions(read, replayed=replayed, limit=plan.limit, seed=seed)
    answers = read_answers(replay)
    asked = {question.question: question for question in read.questions}
    for text in asked:
        if text not in answers:
            raise InvalidInput(f"{replay} holds no answer to {text!r:.80}")
    # a model would answer a question once, however often it stands in the file
    stored = tuple(replace(one, stored=answers[text]) for text, one in asked.items())
    known = replace(read, questions=stored)
    return chosen_questions(known, replayed=True, limit=plan.limit, seed=seed)


def _upstream(plan: FilePlan, config: StreamAlignerConfig, seed: int, device: str) -> Any:
    """Open the model that answers; None stands for stored answers."""
    if plan.upstream is None or plan.upstream.startswith("replay:"):
        return nullcontext(None)
    return open_upstream(
        plan.upstream,
        max_tokens=config.file_tokens,
        seed=seed,
        device=device,
        requests=config.file_requests,
    )


@contextmanager
def _judges(
    plan: FilePlan, config: StreamAlignerConfig, scores: Sequence[str], folder: Path, device: str
) -> Iterator[dict[str, PromptedJudge]]:
    """Open the model that judges, for every score; nothing where none is named or needed."""
    if plan.judge is None or not scores:
        yield {}
        return
    from equipoise.text import load_backend

    name, requests = backend_name(plan.judge, "judge"), config.file_requests
    with (
        load_backend(name, device=device, **connections(name, requests)) as backend,
        progress("judgements") as bar,
    ):
        yield {
            score: PromptedJudge(
                backend,
                score,
                max_tokens=config.judge_tokens,
                at_once=at_once_of(plan.judge, requests),
                kept=KeptVerdicts(folder / f"judgements-{score}.jsonl"),
                advance=bar.advance,
            )
            for score in scores
        }


def _told(plan: FilePlan, read: EvaluationFile) -> dict[str, Any]:
    """Return what is reported of a file and of who answered it."""
    return {
        "file": plan.file.name,
        "kind": read.kind,
        "broken": len(read.broken),
        "empty": sum(q.stored is not None and not q.stored.strip() for q in read.questions),
        "upstream": plan.upstream or "stored answers",
        "corrector": plan.corrector,
    }


def _scores(plan: FilePlan, kind: str) -> tuple[str, ...]:
    if plan.scores == ("none",):
        return ()
    if "none" in plan.scores:
        raise InvalidInput("score none measures the changes alone; leave it out, or the others")
    return tuple(dict.fromkeys(plan.scores)) or (USUAL_SCORES[kind],)


def _scorings(
    plan: FilePlan, kind: str, scores: Sequence[str], judges: Mapping[str, PromptedJudge] | None
) -> list[Scoring]:
    """Return how to score; without `judges` only to see whether it can be done."""
    if judges is None and plan.judge is not None:
        backend_name(plan.judge, "judge")
    return [
        make_scoring(kind, score, (judges or {}).get(score), plan.judge or "") for score in scores
    ]


def _settings(plan: FilePlan) -> dict[str, Any]:
    """Return what decides the rows of an evaluation, files by their hashes."""
    specs = {name: getattr(plan, name) for name in ("upstream", "corrector", "aligner", "prompted")}
    told = to_json(asdict(plan)) | {"sha256": sha256_file(plan.file)} | hashes_of(specs)
    prompts = plan.file.with_name("prompts.jsonl")
    return told | ({"prompts_sha256": sha256_file(prompts)} if prompts.is_file() else {})
