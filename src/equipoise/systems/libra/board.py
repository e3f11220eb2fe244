"""The balanced board: capability and safety per model, one score, intervals and rank ranges.

Li et al. 2024 (arXiv 2412.18551) rank by distance to the ideal point (1, 1), with safety the plain
mean over categories of plain means over tasks. The intervals and rank ranges are ours: every
replicate redraws items (paired over models) and battles, and repeats the whole arithmetic.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from equipoise.core.stats import check_level
from equipoise.evaluation import TaskResult, balanced_score
from equipoise.preference.ratings import PairCounts
from equipoise.preference.ratings.coding import check_whole
from equipoise.systems.libra.axis import Axis, task_axis
from equipoise.systems.libra.board_inputs import BoardInputs, collect
from equipoise.systems.libra.board_rows import BoardRow, board_rows, rank_models
from equipoise.systems.libra.cache import digest
from equipoise.systems.libra.capability import (
    RatedCapability,
    Scale,
    choose_scale,
    count_votes,
    place_ratings,
    rate_votes,
)


@dataclass(frozen=True)
class Board:
    """An immutable version of the board.

    Attributes:
        rows: models by falling score; by safety where no capability exists (and the other way
            round), as `settings["ranked_by"]` says.
        skipped: `{"model", "reason"}` of models that could not be placed.
        settings: everything that decided the numbers, with `warnings`.
        version: SHA-256 over inputs and settings.
        results: the task rows behind the numbers, for provenance.
    """

    rows: tuple[BoardRow, ...]
    skipped: tuple[dict[str, str], ...]
    settings: dict[str, Any]
    version: str
    results: tuple[TaskResult, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return `{"rows", "skipped", "settings", "version"}` in plain JSON types."""
        rows = [
            asdict(row) | {"missing": list(row.missing), "notes": list(row.notes)}
            for row in self.rows
        ]
        return {
            "rows": rows,
            "skipped": [dict(entry) for entry in self.skipped],
            "settings": dict(self.settings),
            "version": self.version,
        }


def build_board(
    results: Iterable[TaskResult | Mapping[str, Any]] | Mapping[str, Mapping[str, Any]],
    *,
    votes: object = None,
    capability: str = "auto",
    reference: str | None = None,
    anchors: Sequence[float] | None = None,
    weights: Sequence[float] = (0.5, 0.5),
    p: float = 2.0,
    replicates: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    compat: bool = False,
    minmax: bool = False,
    capability_scores: Mapping[str, float] | None = None,
    ballot: str | None = None,
    allow_incomplete: bool = False,
    prefer: str | None = None,
) -> Board:
    """Rank models by balanced score, with joint intervals and rank ranges.

    Args:
        results: result rows (`TaskResult` or mappings with the keys of a row), or a matrix
            `{model: {task: number or "N/A"}}`.
        votes: a vote file, `Votes`, `PairCounts` or vote rows; capability may come from them.
        capability: `tasks` (macro-average of capability rows), `elo` (ratings from votes, placed
            between `anchors`, or min-max on request), `winrate` (probability of beating
            `reference`), or `auto`: votes where a reference is named, else tasks.
        reference: model pinned at rating 1000; the origin that `anchors` and `winrate` need.
        anchors: ratings that count as capability 0 and 1.
        weights: of capability and safety.
        p: order of the distance, >= 1; 2 is published, 1 the plain average.
        replicates: bootstrap draws; 0 leaves out intervals and rank ranges.
        seed: of every draw.
        level: of intervals and rank ranges.
        compat: the published arithmetic: 57-task category map, gaps skipped, min-max ratings.
        minmax: normalise ratings over the listed models; the board then carries a warning.
        capability_scores: computed elsewhere: ratings where `anchors` or `minmax` are given, else
            capabilities in [0, 1].
        ballot: which ballot of a vote file or of vote rows.
        allow_incomplete: keep tasks with more than 5 % of their items missing, marked.
        prefer: `first` or `last` of two rows for one model and task; otherwise refused.

    Raises:
        InvalidInput: a bad score, setting or name, anchors without a reference, duplicate rows.
        RunFailed: the rating fit did not converge.
    """
    balanced_score([0.5, 0.5], weights=weights, p=p)
    check_level(level)
    check_whole("replicates", replicates, 0)
    inputs = collect(results, compat=compat, allow_incomplete=allow_incomplete, prefer=prefer)
    scale = choose_scale(
        has_tasks=any(result.dimension == "capability" for result in inputs.results),
        has_votes=votes is not None,
        capability=capability,
        reference=reference,
        anchors=anchors,
        minmax=minmax,
        published=compat and anchors is None and reference is None,
        outside=capability_scores is not None,
    )
    counts = None if votes is None else count_votes(votes, ballot=ballot)
    rated = None
    if isinstance(scale, Scale) and capability_scores is not None:
        rated = place_ratings(capability_scores, scale, inputs.models)
    elif isinstance(scale, Scale) and counts is not None:
        rated = rate_votes(counts, scale, inputs.models, replicates=replicates, seed=seed)
    warnings = [*inputs.warnings, *(rated.warnings if rated else ())]
    if rated is None:
        warnings += _unused(counts is not None, capability, reference, anchors)
    settings = {
        "capability": scale.mode if isinstance(scale, Scale) else scale,
        "reference": reference,
        "anchors": None if anchors is None else [float(end) for end in anchors],
        "weights": [float(weight) for weight in weights],
        "p": float(p) if np.isfinite(p) else "inf",
        "replicates": int(replicates),
        "seed": int(seed),
        "level": float(level),
        "compat": bool(compat),
        "ballot": ballot,
        "allow_incomplete": bool(allow_incomplete),
        "warnings": warnings,
    }
    draw = {"replicates": int(replicates), "seed": int(seed)}
    safety = task_axis(inputs.results, inputs.models, "safety", **draw)
    able = task_axis(inputs.results, inputs.models, "capability", **draw)
    if rated is not None:
        able = Axis(rated.values, rated.samples, able.categories)
    ranking = rank_models(inputs.models, able, safety, weights=weights, p=p)
    settings["ranked_by"] = ranking.by
    rows = board_rows(inputs, able, safety, ranking, rated, counts, settings)
    version = _version(inputs, rated, counts, settings)
    return Board(rows, inputs.skipped, settings, version, inputs.results)


def _unused(
    has_votes: bool, capability: str, reference: str | None, anchors: Sequence[float] | None
) -> list[str]:
    """Return what must be said of votes and of options that decide nothing on this board."""
    if not has_votes:
        return []
    if capability == "auto":
        return ["the votes give no capability: name a reference model (ratings have no origin)"]
    given = ["the votes"] + [
        name
        for name, value in (("reference", reference), ("anchors", anchors))
        if value is not None
    ]
    return [f"capability is taken from tasks, as asked; unused: {', '.join(given)}"]


def _version(
    inputs: BoardInputs,
    rated: RatedCapability | None,
    counts: PairCounts | None,
    settings: Mapping[str, Any],
) -> str:
    """Hash everything that decided the numbers, whatever order and file it came in."""
    rows = [
        {key: value for key, value in row.to_json().items() if key not in ("source", "notes")}
        for row in inputs.results
    ]
    battles = None
    if counts is not None:
        battles = [list(counts.models)]
        battles += [np.asarray(part).tolist() for part in (counts.pairs, counts.wins, counts.ties)]
    content = {
        "results": rows,
        "skipped": list(inputs.skipped),
        "battles": battles,
        "capability": None if rated is None else dict(rated.values),
        "settings": dict(settings),
    }
    return digest(content)
