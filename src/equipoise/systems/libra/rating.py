"""Ratings from a file of votes, in the form that `rate --json` and the arena share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.console import note
from equipoise.core.errors import unknown_name
from equipoise.preference.ratings import (
    PairCounts,
    bootstrap_bradley_terry,
    connectivity,
    count_battles,
    fit_bradley_terry,
    rank_sets,
)
from equipoise.systems.libra.vote_file import read_ballot

INTERVALS = ("sandwich", "bootstrap")


def rate_file(
    path: str | Path, *, ballot: str | None = None, skip_bad: bool = False, **options: Any
) -> dict[str, Any]:
    """Return the ratings of a vote file; `options` are those of `rate_counts`.

    Raises:
        InvalidInput: a row that cannot be read (its line is named), unless `skip_bad`, which keeps
            the good rows and says how many were bad.
    """
    bad: list[str] = []
    on_bad = (lambda line, problem: bad.append(f"line {line}: {problem}")) if skip_bad else None
    votes = read_ballot(path, ballot, on_bad=on_bad)
    if bad:
        note(f"{path}: {len(bad)} rows could not be read and are left out; first: {bad[0]}")
    counts = count_battles(votes.model_a, votes.model_b, votes.outcome, weights=votes.weight)
    return rate_counts(counts, skipped=votes.skipped, **options)


def rate_counts(
    counts: PairCounts,
    *,
    skipped: int = 0,
    tie_model: str = "half",
    prior: float = 0.0,
    interval: str = "sandwich",
    replicates: int = 1000,
    anchor: str | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit ratings and return them as plain data, models by falling rating, unrated ones last.

    What is unbounded (an end of an interval, the tie parameter where nobody won) is None.

    Args:
        counts: battles counted by pair.
        skipped: votes that were read but do not count.
        tie_model: half, drop, davidson or rao_kupper.
        prior: drawn games against a virtual opponent, per model.
        interval: `sandwich` or `bootstrap`, for intervals and rank sets alike.
        replicates: bootstrap draws.
        anchor: model at rating 1000; without it the mean of a league.
        level: of intervals and rank sets.
        seed: of the bootstrap.
    """
    if interval not in INTERVALS:
        raise unknown_name("interval", interval, INTERVALS)
    common = {"tie_model": tie_model, "prior": prior, "anchor": anchor}
    fit = fit_bradley_terry(counts, **common)
    spread = fit
    if interval == "bootstrap":
        spread = bootstrap_bradley_terry(counts, replicates=replicates, seed=seed, **common)
    low, high = spread.interval(level)
    ranks = rank_sets(spread, level=level)
    models = [_model_row(fit, ranks, index, low, high) for index in range(len(fit.models))]
    models.sort(key=lambda row: (row["rating"] is None, -(row["rating"] or 0.0), row["model"]))
    return {
        "models": models,
        "leagues": [list(league) for league in connectivity(counts).leagues],
        "battles": float(counts.battles),
        "ties": float(counts.ties.sum()),
        "skipped": int(skipped),
        "tie_model": fit.tie_model,
        "tie_parameter": None if fit.tie_parameter is None else _finite(fit.tie_parameter),
        "converged": bool(fit.converged),
        "residual": float(fit.residual),
    }


def _model_row(fit: Any, ranks: Any, index: int, low: Any, high: Any) -> dict[str, Any]:
    """Return what is known of one model; a model without a rating has None for all of it."""
    model = fit.models[index]
    ranked = ranks.models.index(model)
    rated = bool(np.isfinite(fit.rating[index]))
    return {
        "model": model,
        "rating": _finite(fit.rating[index]),
        "low": _finite(low[index]) if rated else None,
        "high": _finite(high[index]) if rated else None,
        "log_strength": _finite(fit.log_strength[index]),
        "standard_error": _finite(fit.standard_error[index]),
        "games": float(fit.games[index]),
        "status": fit.status[model],
        "league": int(fit.league[index]),
        "rank_best": int(ranks.best[ranked]) if rated else None,
        "rank_worst": int(ranks.worst[ranked]) if rated else None,
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def rating_text(rated: Mapping[str, Any], *, most: int = 30) -> str:
    """Return ratings as a table of plain text, at most `most` models."""
    rows = rated["models"]
    width = max([len(row["model"]) for row in rows], default=5)
    lines = [f"{'model':<{width}}  rating  interval          ranks   games  status"]
    for row in rows[:most]:
        rating = "-" if row["rating"] is None else f"{row['rating']:.1f}"
        ends = (
            "-"
            if row["low"] is None or row["high"] is None
            else f"{row['low']:.0f} to {row['high']:.0f}"
        )
        ranks = "-" if row["rank_best"] is None else f"{row['rank_best']}-{row['rank_worst']}"
        lines.append(
            f"{row['model']:<{width}}  {rating:>6}  {ends:<16}  {ranks:<6}  {row['games']:>5g}  "
            f"{row['status']}"
        )
    if len(rows) > most:
        lines.append(f"... and {len(rows) - most} more")
    if len(rated["leagues"]) > 1:
        lines.append(
            f"{len(rated['leagues'])} leagues: ratings compare within a league only, ranks restart"
        )
    return "\n".join(lines)
