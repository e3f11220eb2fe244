"""Rows of the board: every model's score, what it is ranked by, its intervals and its marks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.evaluation import balanced_score
from equipoise.preference.ratings import PairCounts
from equipoise.systems.libra.axis import Axis, Replicates
from equipoise.systems.libra.board_inputs import BoardInputs
from equipoise.systems.libra.capability import RatedCapability
from equipoise.systems.libra.ranking import interval_ends, rank_of, rank_ranges, scored_replicates


@dataclass(frozen=True)
class BoardRow:
    """One model on the board; ends of intervals and ranks are None where they are not known."""

    model: str
    score: float | None
    score_low: float | None
    score_high: float | None
    capability: float | None
    capability_low: float | None
    capability_high: float | None
    safety: float | None
    safety_low: float | None
    safety_high: float | None
    categories: dict[str, float]
    capability_categories: dict[str, float]
    rank: int | None
    rank_best: int | None
    rank_worst: int | None
    items: int
    battles: float
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def ranked_value(row: BoardRow, by: str) -> tuple[float | None, float | None, float | None]:
    """Return what a row is ranked by (`settings["ranked_by"]`) and its interval's ends."""
    return getattr(row, by), getattr(row, f"{by}_low"), getattr(row, f"{by}_high")


@dataclass(frozen=True)
class Ranking:
    """What models are ranked by: `score`, or `safety` or `capability` where that is all there is.

    Attributes:
        by: name of the quantity.
        values: model -> its value, None where it cannot be ranked.
        samples: model -> replicates (B,), absent where its spread is not known.
    """

    by: str
    values: Mapping[str, float | None]
    samples: Mapping[str, Replicates]

    def order(self, model: str) -> tuple[bool, float, str]:
        """Return the sort key of a model: by falling value, unranked ones last, then by name."""
        value = self.values[model]
        return value is None, -(value or 0.0), model


def rank_models(
    models: Sequence[str], able: Axis, safety: Axis, *, weights: Sequence[float], p: float
) -> Ranking:
    """Return the balanced score of every model that has both sides, and its replicates.

    Where no model has a capability, or none a safety, the other side alone decides.
    """
    for name, axis, other in (("safety", safety, able), ("capability", able, safety)):
        if all(value is None for value in other.values.values()):
            return Ranking(name, axis.values, axis.samples)
    values: dict[str, float | None] = {}
    samples: dict[str, Replicates] = {}
    for model in models:
        pair = (able.values[model], safety.values[model])
        if None in pair:
            values[model] = None
            continue
        values[model] = float(balanced_score(np.asarray(pair, float), weights=weights, p=p))
        if model in able.samples and model in safety.samples:
            both = np.stack([able.samples[model], safety.samples[model]], axis=-1)
            samples[model] = scored_replicates(both, weights, p)
    return Ranking("score", values, samples)


def board_rows(
    inputs: BoardInputs,
    able: Axis,
    safety: Axis,
    ranking: Ranking,
    rated: RatedCapability | None,
    counts: PairCounts | None,
    settings: Mapping[str, Any],
) -> tuple[BoardRow, ...]:
    """Return the rows of the listed models in board order.

    Args:
        inputs: checked task rows with their marks.
        able: capability of every model.
        safety: safety of every model.
        ranking: what they are ranked by.
        rated: capability from ratings, for its remarks.
        counts: battles, for the number of each model.
        settings: of the board (`level`, `replicates`).
    """
    level = settings["level"]
    ranges = rank_ranges(ranking.values, ranking.samples, level=level)
    games = {} if counts is None else dict(zip(counts.models, map(float, counts.games)))
    balanced = ranking.by == "score"
    rows = []
    for model in sorted(inputs.models, key=ranking.order):
        value = ranking.values[model]
        score = interval_ends(ranking.samples.get(model) if balanced else None, level)
        capability = interval_ends(able.samples.get(model), level)
        safe = interval_ends(safety.samples.get(model), level)
        best, worst = ranges.get(model, (None, None))
        rows.append(
            BoardRow(
                model=model,
                score=value if balanced else None,
                score_low=score[0],
                score_high=score[1],
                capability=able.values[model],
                capability_low=capability[0],
                capability_high=capability[1],
                safety=safety.values[model],
                safety_low=safe[0],
                safety_high=safe[1],
                categories=dict(safety.categories[model]),
                capability_categories=dict(able.categories[model]),
                rank=None if value is None else rank_of(value, ranking.values),
                rank_best=best,
                rank_worst=worst,
                items=sum(row.n or 0 for row in inputs.results if row.model == model),
                battles=games.get(model, 0.0),
                missing=tuple(inputs.missing[model]),
                notes=_notes(model, inputs, ranking, rated, drawn=bool(settings["replicates"])),
            )
        )
    return tuple(rows)


def _notes(
    model: str,
    inputs: BoardInputs,
    ranking: Ranking,
    rated: RatedCapability | None,
    *,
    drawn: bool,
) -> tuple[str, ...]:
    """Return the remarks that belong to a model's row."""
    notes = list(inputs.notes.get(model, ()))
    if rated is not None and model in rated.notes:
        notes.append(rated.notes[model])
    if drawn and ranking.values[model] is not None and model not in ranking.samples:
        notes.append("no interval: the spread of at least one of its numbers is not known")
    return tuple(notes)
