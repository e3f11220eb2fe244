"""Experiments whose right result is known: induction, arithmetic, latency; trained correctors."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.seeding import stream
from equipoise.core.stats import bootstrap_interval, wilson_interval
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.experiments.cost import run_cost
from equipoise.systems.stream_aligner.experiments.gate import run_gate
from equipoise.systems.stream_aligner.experiments.interpret import run_interpret
from equipoise.systems.stream_aligner.experiments.size import run_size
from equipoise.systems.stream_aligner.experiments.smollm2 import run_smollm2
from equipoise.systems.stream_aligner.experiments.text import run_methods, run_prefix, run_rounds
from equipoise.systems.stream_aligner.experiments.training import run_identity, run_trained_sums
from equipoise.systems.stream_aligner.latency import pipeline_period, simulate_pipeline
from equipoise.systems.stream_aligner.objective import arithmetic_accuracy
from equipoise.systems.stream_aligner.worlds.sentence import (
    SentenceWorld,
    SimulatedWorld,
    random_world,
    simulate_world,
)
from equipoise.systems.stream_aligner.worlds.sums import simulate_sums

LATENCY_POINTS = (
    (0.75, 0.15, 0.05, 0.8),
    (0.5, 0.5, 0.0, 0.9),
    (0.2, 0.6, 0.1, 0.5),
    (1, 0.1, 0.3, 1),
)
STANDARD_ERRORS, COVERED_SHARE = 4, 0.9
CLOSED_FORM_POINTS, ALIGNER_POINTS = 3, 10
CLOCK_ERROR = 0.01
_SENTENCES = 20_000


def run_induction(
    config: StreamAlignerConfig, seed: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Compare the real loop on random table models with the closed form."""
    rows = []
    for number in range(config.worlds):
        rng = stream(seed, "induction", number)
        world = random_world(rng)
        simulated = simulate_world(world, config.steps, config.answers, rng)
        rows.append({"world": number, **_compare_world(world, simulated, config.steps)})
        advance()
    largest = max(row["largest_error"] for row in rows)
    covered = sum(row["covered"] for row in rows)
    return {
        "rows": rows,
        "largest_error": largest,
        "covered": covered,
        "worlds": len(rows),
        "target": f"marginals within {STANDARD_ERRORS:g} standard errors, gain covered in "
        f"{COVERED_SHARE:.0%} of the worlds",
        "reached": largest <= STANDARD_ERRORS and covered >= COVERED_SHARE * len(rows),
    }


def _compare_world(world: SentenceWorld, simulated: SimulatedWorld, steps: int) -> dict[str, Any]:
    exact = world.closed_form(steps)
    errors = [
        _largest_error(getattr(simulated, method), getattr(exact, method))
        for method in ("raw", "post_hoc", "stream")
    ]
    bad = np.stack(
        [
            np.isin(states, world.bad).mean(axis=1)
            for states in (simulated.post_hoc, simulated.stream)
        ],
        axis=1,
    )
    gain = bootstrap_interval(bad, _gain)
    return {
        "largest_error": max(errors),
        "gain": gain.estimate,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "gain_exact": exact.gain,
        "covered": bool(gain.low <= exact.gain <= gain.high),
    }


def _gain(bad: NDArray[np.float64]) -> float:
    post_hoc, streamed = bad.mean(axis=0)
    return float(post_hoc / streamed) if streamed > 0 else float("inf")


def _largest_error(states: NDArray[np.int64], exact: NDArray[np.float64]) -> float:
    """Largest difference of a marginal from the closed form, in standard errors."""
    count, kinds = len(states), exact.shape[1]
    shares = np.stack([(states == kind).mean(axis=0) for kind in range(kinds)], axis=1)
    deviation = np.sqrt(np.maximum(exact * (1 - exact), 1e-12) / count)
    return float((np.abs(shares - exact) / deviation).max())


def run_arithmetic(
    config: StreamAlignerConfig, seed: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Compare the real loop on running sums with the closed form, then a trained corrector.

    `covered` counts the simulated corrector's methods; the trained one's rows follow, their closed
    form taken at its measured fix and break rates.
    """
    rng = stream(seed, "arithmetic")
    found = simulate_sums(
        config.steps,
        config.answers,
        rng,
        error_rate=config.error_rate,
        fix_rate=config.fix_rate,
        break_rate=config.break_rate,
    )
    exact = arithmetic_accuracy(config.steps, config.error_rate, config.fix_rate, config.break_rate)
    advance()
    rows = []
    for method in ("raw", "post_hoc", "stream"):
        hits = getattr(found, method)
        share = wilson_interval(int(hits.sum()), len(hits), level=0.999)
        closed = getattr(exact, method)
        rows.append(
            {
                "method": method,
                "exact": closed,
                "measured": share.estimate,
                "measured_low": share.low,
                "measured_high": share.high,
                "covered": bool(share.low <= closed <= share.high),
            }
        )
    covered = sum(row["covered"] for row in rows)
    trained = run_trained_sums(config, seed, advance)
    return {
        "rows": rows + [_trained_row(row) for row in trained["rows"]],
        "covered": covered,
        "trained": trained,
        "target": f"stream within {CLOSED_FORM_POINTS} points of the closed form at the measured "
        f"rates and at least {ALIGNER_POINTS} above aligner",
        "reached": abs(trained["stream_minus_closed_form"]) <= CLOSED_FORM_POINTS / 100
        and trained["stream_minus_aligner"] >= ALIGNER_POINTS / 100,
    }


def _trained_row(row: dict[str, Any]) -> dict[str, Any]:
    low, high, closed = row["accuracy_low"], row["accuracy_high"], row.get("closed_form")
    return {
        "method": f"{row['method']} (trained corrector)",
        "exact": closed,
        "measured": row["accuracy"],
        "measured_low": low,
        "measured_high": high,
        "covered": None if closed is None else bool(low <= closed <= high),
    }


def run_latency(
    config: StreamAlignerConfig, seed: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Compare the exact timeline of a long answer with the formula of its period."""
    rows = []
    for generate_s, correct_s, restart_s, copy_rate in LATENCY_POINTS:
        rng = stream(seed, "latency", str((generate_s, correct_s, restart_s, copy_rate)))
        copies = rng.random(_SENTENCES) < copy_rate
        formula = pipeline_period(generate_s, correct_s, restart_s, copy_rate)
        timelines = [
            simulate_pipeline(generate_s, correct_s, restart_s, copies, speculate=speculate)
            for speculate in (False, True)
        ]
        sequential, speculative = (timeline.period_s for timeline in timelines)
        rows.append(
            {
                "generate_s": generate_s,
                "correct_s": correct_s,
                "restart_s": restart_s,
                "copy_rate": copy_rate,
                "formula_s": formula.speculative_s,
                "timeline_s": speculative,
                "speedup_formula": formula.speedup,
                "speedup": sequential / speculative,
                "relative_error": abs(speculative / formula.speculative_s - 1),
            }
        )
        advance()
    largest = max(row["relative_error"] for row in rows)
    return {
        "rows": rows,
        "largest_error": largest,
        "target": f"timeline within {CLOCK_ERROR:.0%} of the formula",
        "reached": largest <= CLOCK_ERROR,
    }


EXPERIMENTS = {
    "induction": run_induction,
    "arithmetic": run_arithmetic,
    "identity": run_identity,
    "latency": run_latency,
    "methods": run_methods,
    "rounds": run_rounds,
    "prefix": run_prefix,
    "size": run_size,
    "interpret": run_interpret,
    "cost": run_cost,
    "gate": run_gate,
    "smollm2": run_smollm2,
}
"""What `reproduce --only` knows."""
