"""The room's verbs: plain functions whose parameters are options and whose result is the JSON."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from equipoise.core.config import load_config
from equipoise.core.console import note, progress
from equipoise.core.errors import InvalidInput
from equipoise.core.files import to_json
from equipoise.core.runs import Run
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner.config import StreamAlignerConfig

_ROOM = "stream_aligner"


def demo(
    *,
    preset: str = "tiny",
    seed: int = 0,
    out: Path | None = None,
    device: str = "auto",
    **changes: str,
) -> dict[str, Any]:
    """Have a real model add numbers with and without review, and write a report.

    The embedded model answers running sums and a few ordinary questions; exact arithmetic and a
    small house style review every sentence. Without the weights scripted answers stand in.

    Args:
        preset: tiny (under a minute), small or paper.
        seed: of the questions and the simulated worlds.
        out: run folder; an interrupted run in it is continued.
        device: where the model computes.
        **changes: fields of StreamAlignerConfig.
    """
    from equipoise.report import Report
    from equipoise.systems.stream_aligner import demonstration, report_page

    begun = time.monotonic()
    config = load_config(StreamAlignerConfig, overrides=changes, preset=preset)
    with Run.create(_ROOM, "demo", config, preset=preset, seed=seed, folder=out) as run:
        model = demonstration.model_at_hand(config)
        found = demonstration.answer_questions(run, config, model, seed, device)
        measured = demonstration.measure(found)
        report_page.show_on_terminal(found, measured)
        report = Report("Stream Aligner: demo", _headline(measured, model))
        report.figure(
            report_page.plot_methods(measured),
            "methods",
            caption=f"Final answers of {model} on running sums, by how it was corrected. "
            "A whole answer corrected at the end keeps what the model built on its early errors.",
        )
        report.table(report_page.method_rows(measured), caption="Raw, aligner, stream")
        _add_worlds(report, config, seed)
        report.section("Answers", "What the model wrote alone, and what was shown after review.")
        report_page.add_answers(report, found)
        page = report.save(run.path)
        run.finish({"measured": {"model": model, **to_json(measured)}})
    note(f"report: {page}")
    return {
        "run": str(run.path),
        "report": str(page),
        **to_json(measured),
        "seconds": time.monotonic() - begun,
    }


def _headline(measured: dict[str, Any], model: str) -> str:
    counts = [f"{measured[name]['final_right']}" for name in ("raw", "aligner", "stream")]
    lead = "Scripted answers stand in for a model. " if model == "scripted" else ""
    return (
        f"{lead}Of {measured['questions']} running sums the model alone ended right in "
        f"{counts[0]}, with its whole answer corrected afterwards in {counts[1]}, reviewed "
        f"sentence by sentence in {counts[2]}."
    )


def _add_worlds(report: Any, config: StreamAlignerConfig, seed: int) -> None:
    """Add the exactly solvable worlds: closed form as lines, the real loop as intervals."""
    from equipoise.systems.stream_aligner import report_page
    from equipoise.systems.stream_aligner.worlds.sentence import (
        contagious_world,
        simulate_world,
    )
    from equipoise.systems.stream_aligner.worlds.sums import simulate_sums

    rates = {
        "error_rate": config.error_rate,
        "fix_rate": config.fix_rate,
        "break_rate": config.break_rate,
    }
    lengths = sorted({1, 2, 4, 8, config.steps})
    with progress("exactly solvable worlds", config.answers * (1 + len(lengths))) as bar:
        world = contagious_world()
        simulated = simulate_world(
            world, config.steps, config.answers, stream(seed, "world"), advance=bar.advance
        )
        sums = {
            n: simulate_sums(
                n, config.answers, stream(seed, "sums", n), **rates, advance=bar.advance
            )
            for n in lengths
        }
    report.section(
        "Why early review helps",
        "Two worlds whose outcome is known exactly. Lines: closed form. Points: the real loop on "
        f"{config.answers} simulated answers, with 95 % intervals.",
    )
    report.figure(
        report_page.plot_bad_mass(world.closed_form(config.steps), simulated, world.bad),
        "bad-mass",
        caption="Bad mass by sentence, where a bad sentence invites the next one. Feeding the "
        "correction back makes later proposals better before they are corrected.",
    )
    report.figure(
        report_page.plot_accuracy(sums, **rates),
        "arithmetic",
        caption=f"A running sum, each stated result wrong with probability {config.error_rate:g} "
        f"and repaired with probability {config.fix_rate:g}.",
    )


def segment(
    source: str = "-",
    *,
    stdin: Annotated[bool, Parameter(name=("-", "--stdin"))] = False,
    max_chars: int = 400,
) -> dict[str, Any]:
    """Cut a text into the segments that the loop would review.

    Args:
        source: file, or - for standard input.
        stdin: read standard input, as without a file; a lone - on the command line is this option.
        max_chars: longest segment.
    """
    from equipoise.systems.stream_aligner.segments import Segmenter

    cutter = Segmenter(max_chars=max_chars)
    if stdin and source != "-":
        raise InvalidInput(f"give a file ({source}) or - for standard input, not both")
    if source == "-":
        raw = sys.stdin.buffer.read()
    else:
        try:
            raw = Path(source).read_bytes()
        except OSError as error:
            raise InvalidInput(f"{source}: {error.strerror or error}") from None
    found = [*cutter.feed(raw), *cutter.close()]
    text = raw.decode("utf-8", errors="replace")
    return {
        "segments": [
            {"leading": s.leading, "text": s.text, "kind": s.kind, "forced": s.forced}
            for s in found
        ],
        "count": len(found),
        "characters": len(text),
        "lossless": "".join(s.raw for s in found) == text,
    }


def correct(
    questions: Path,
    *,
    upstream: str,
    corrector: str,
    out: Path,
    comparisons: Path | None = None,
    mode: str = "stream",
    rounds: int | None = None,
    max_tokens: int = 512,
    requests: int = 8,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Answer a file of questions, every sentence reviewed; the same line again continues it.

    Args:
        questions: JSONL with `question` (or `prompt`).
        upstream: URL#MODEL, local:MODEL, transformers:PATH or replay:FILE.
        corrector: identity, arithmetic, rules:FILE, model:RUN or prompted:BACKEND.
        out: JSONL of answers; what it holds already is kept.
        comparisons: also write the changed answers as comparison records.
        mode: stream, aligner, detect or off.
        rounds: sentences to review; all by default.
        max_tokens: longest answer.
        requests: questions under way at the same time, where the upstream is a URL.
        seed: of sampled answers.
        device: where local models compute.
    """
    from equipoise.systems.stream_aligner import batch
    from equipoise.systems.stream_aligner.correctors import make_corrector
    from equipoise.systems.stream_aligner.loop import LoopOptions
    from equipoise.systems.stream_aligner.upstreams import at_once_of, open_upstream

    at_once_of(None, requests)  # refuses what is no count before anything else is done
    asked = batch.read_questions(questions)
    options = LoopOptions(mode=mode, rounds=rounds, speculate=True)
    places = {"device": device} if corrector.startswith("prompted:") else {}
    review = make_corrector(corrector, **places)
    specs = {"upstream": upstream, "corrector": corrector}
    told = {"mode": mode, "rounds": rounds, "max_tokens": max_tokens, "seed": seed}
    settings = specs | told | batch.hashes_of(specs)
    place = out.with_name(f"{out.name}.settings.json")
    batch.keep_settings(place, settings, f"{out} holds answers")
    with (
        open_upstream(
            upstream, max_tokens=max_tokens, seed=seed, device=device, requests=requests
        ) as source,
        progress("questions", len(asked)) as bar,
    ):
        rows = batch.correct_file(
            asked,
            source,
            review,
            out,
            at_once=at_once_of(upstream, requests, [review]),
            advance=bar.advance,
            mode=options.mode,
            rounds=options.rounds,
            speculate=options.speculate,
        )
    verdicts = [step["verdict"] for row in rows for step in row["steps"]]
    written = None if comparisons is None else batch.write_comparison_file(rows, comparisons)
    return {
        "out": str(out),
        "questions": len(rows),
        "changed": sum(row["answer"] != row["original"] for row in rows),
        "segments": len(verdicts),
        **{f"{name}s": verdicts.count(name) for name in ("drop", "edit", "stop")},
        "copies": verdicts.count("copy"),
        "unreviewed": verdicts.count("unreviewed"),
        "comparisons": written,
    }
