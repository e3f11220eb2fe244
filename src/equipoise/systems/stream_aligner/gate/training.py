"""Fit a gate, calibrate it on held-out answers, and measure it on fresh ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.core.stats import wilson_interval
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.gate.features import base_depth, layer_of
from equipoise.systems.stream_aligner.gate.files import checkpoint_sha256, save_gate
from equipoise.systems.stream_aligner.gate.linear import (
    CopyGate,
    chance_of_misses,
    check_budget,
    conformal_threshold,
    fit_states,
    fit_text,
    smallest_calibration,
)
from equipoise.systems.stream_aligner.rows import CorrectionRow, Rows

if TYPE_CHECKING:
    from equipoise.systems.stream_aligner.networks.families import Network
    from equipoise.systems.stream_aligner.train import Trained

CURVE = 40
"""Thresholds at which the trade-off of a gate is told."""
DRAWS = 200
"""Calibrations over which a gate's mean miss rate is taken."""


def is_copy(row: CorrectionRow) -> bool:
    """Return whether a row's teacher left its sentence alone; a stop does not, whatever its text.

    >>> is_copy(CorrectionRow("q", "", "It rains.", "It rains.", "stop"))
    False
    """
    return row.correction == row.last and row.verdict in (None, "copy")


def split_answers(
    rows: Sequence[CorrectionRow], shares: Sequence[float], seed: int
) -> list[list[CorrectionRow]]:
    """Part rows by their question, so that no answer is in two parts; their order stays.

    Args:
        rows: of whole answers.
        shares: of the questions, one a part; what they leave of 1 is the last part.
        seed: of which question goes where.

    Raises:
        InvalidInput: shares that are negative or sum to more than 1.
    """
    if min(shares, default=0.0) < 0 or sum(shares) > 1 + 1e-9:
        raise InvalidInput(f"shares are {tuple(shares)}; they must be >= 0 and sum to 1 at most")
    asked = sorted({row.question for row in rows})
    order = stream(seed, "gate", "answers").permutation(len(asked))
    ends = [round(end * len(asked)) for end in np.cumsum(shares)]
    part = {asked[one]: int(np.searchsorted(ends, rank, "right")) for rank, one in enumerate(order)}
    parts: list[list[CorrectionRow]] = [[] for _ in range(len(shares) + 1)]
    for row in rows:
        parts[part[row.question]].append(row)
    return parts


@dataclass(frozen=True)
class Scorer:
    """Reads what a gate looks at off rows.

    Attributes:
        features: `text`, or `layer:K`.
        network: whose layers are read; not needed for text.
        style: of its prompts.
        max_length: of its prompts.
    """

    features: str
    network: "Network | None" = None
    style: str = "stream"
    max_length: int = 0

    def fit(self, rows: Sequence[CorrectionRow]) -> CopyGate:
        """Return a gate that knows its score and, not yet calibrated, never skips."""
        copies = [is_copy(row) for row in rows]
        if layer_of(self.features) is None:
            weights, bias = fit_text(_triples(rows), copies)
        else:
            weights, bias = fit_states(self._states(rows), copies)
        return CopyGate(self.features, weights, bias)

    def scores(self, gate: CopyGate, rows: Sequence[CorrectionRow]) -> NDArray[np.float64]:
        """Return the gate's scores (N,) of rows."""
        if not rows:
            return np.empty(0)
        if gate.layer is None:
            return gate.score_texts(_triples(rows))
        return gate.score_states(self._states(rows))

    def _states(self, rows: Sequence[CorrectionRow]) -> NDArray[np.float64]:
        from equipoise.systems.stream_aligner.gate.states import prompt_states

        layer = layer_of(self.features)
        if self.network is None or layer is None:
            raise InvalidInput(f"gate features {self.features!r} need the corrector's network")
        return prompt_states(
            self.network, rows, layer, style=self.style, max_length=self.max_length
        )


def fit_gate(
    scorer: Scorer,
    learn: Sequence[CorrectionRow],
    calibrate: Sequence[CorrectionRow],
    budget: float,
) -> CopyGate:
    """Fit a gate on rows and calibrate it on those of other answers.

    Args:
        scorer: reads the features.
        learn: rows that the score is fitted on.
        calibrate: rows that the threshold is set on; only those that need an edit count.
        budget: most of such sentences that may skip.

    Raises:
        InvalidInput: a budget outside (0, 1), too few rows of a kind, or an answer in both parts.
    """
    shared = {row.question for row in learn} & {row.question for row in calibrate}
    if shared:
        raise InvalidInput(
            f"{len(shared)} questions are in both parts, {sorted(shared)[0][:60]!r} for one; "
            "calibrate on answers that nothing was fitted on"
        )
    gate = scorer.fit(learn)
    bad = [row for row in calibrate if not is_copy(row)]
    threshold = conformal_threshold(scorer.scores(gate, bad), check_budget(budget))
    return replace(gate, threshold=threshold, budget=budget, calibration_bad=len(bad))


def measure_gate(scorer: Scorer, gate: CopyGate, fresh: Sequence[CorrectionRow]) -> dict[str, Any]:
    """Measure on fresh rows how often a gate skips clean sentences and misses bad ones.

    Returns:
        `skipped_share` of clean sentences and `miss_rate` of bad ones with 95 % Wilson intervals
        (`_low`, `_high`; None without any such sentence), `miss_chance` (`chance_of_misses`: small
        where more was missed than the draw of the calibration explains), counts of both,
        `threshold` (None: the gate never skips), `sentences_skipped` (share of all), and `curve`,
        pairs of skipped share and miss rate by threshold.
    """
    copies = np.array([is_copy(row) for row in fresh], dtype=bool)
    scores = scorer.scores(gate, fresh)
    skipped = scores > gate.threshold
    clean, bad = skipped[copies], skipped[~copies]
    few = gate.calibration_bad < smallest_calibration(gate.budget)
    return {
        "features": gate.features,
        "budget": gate.budget,
        "threshold": gate.threshold if math.isfinite(gate.threshold) else None,
        "calibration_bad": gate.calibration_bad,
        "calibration_needed": smallest_calibration(gate.budget),
        "note": "too few bad calibration sentences: the gate never skips" if few else "",
        "fresh_clean": len(clean),
        "fresh_bad": len(bad),
        **_share("skipped_share", clean),
        **_share("miss_rate", bad),
        "miss_chance": chance_of_misses(
            int(bad.sum()), len(bad), gate.calibration_bad, gate.budget
        ),
        "sentences_skipped": float(skipped.mean()) if len(skipped) else None,
        "curve": _curve(scores, copies),
    }


def redrawn_miss_rate(
    scorer: Scorer, gate: CopyGate, rows: Sequence[CorrectionRow], seed: int
) -> float | None:
    """Return the mean miss rate over `DRAWS` random halvings of answers into two uses.

    Each draw sets the threshold anew on one half and counts misses in the other: what the budget
    promises, which is a mean over draws. None where the rows hold too few bad sentences.

    Args:
        scorer: reads the features.
        gate: whose score stays as it is.
        rows: that the score was not fitted on.
        seed: of the draws.
    """
    bad = [row for row in rows if not is_copy(row)]
    scores = scorer.scores(gate, bad)
    asked = sorted({row.question for row in bad})
    number = {question: place for place, question in enumerate(asked)}
    answers = np.array([number[row.question] for row in bad], dtype=np.int64)
    rng, misses = stream(seed, "gate", "draws"), []
    for _ in range(DRAWS):
        half = rng.permutation(len(asked)) < len(asked) // 2
        calibrating = half[answers]
        if calibrating.any() and not calibrating.all():
            threshold = conformal_threshold(scores[calibrating], gate.budget)
            misses.append(float((scores[~calibrating] > threshold).mean()))
    return float(np.mean(misses)) if misses else None


def keeps_budget(found: dict[str, Any]) -> bool:
    """Return whether a measured miss rate's interval does not lie above the budget."""
    return found["miss_rate_low"] is not None and found["miss_rate_low"] <= found["budget"]


def hold_out(
    config: StreamAlignerConfig, read: Rows, seed: int
) -> tuple[Rows, tuple[CorrectionRow, ...]]:
    """Return the rows to train on, and those that are kept for a gate.

    Raises:
        InvalidInput: rows of whole answers, a share or budget out of range, features that are not
            there, or too few rows, before any time is spent on training.
    """
    if read.style != "stream":
        raise InvalidInput("a corrector of whole answers has no gate; leave out --gate")
    layer = layer_of(config.gate_features)
    if layer is not None:
        depth = config.decoder.layers if config.base == "scratch" else base_depth(config.base)
        if depth is not None and layer > depth:
            raise InvalidInput(
                f"gate features are {config.gate_features}; the corrector has layers 0 to {depth}"
            )
    check_budget(config.gate_budget)
    if not 0 < config.gate_share < 1:
        raise InvalidInput(f"gate_share is {config.gate_share!r}; it must lie in (0, 1)")
    kept, rest = split_answers(read.rows, [config.gate_share], seed)
    copies = sum(is_copy(row) for row in _thirds(kept, seed)[0])
    others = len(_thirds(kept, seed)[0]) - copies
    if not rest or min(copies, others) < 2:
        raise InvalidInput(
            f"the rows answer {len({row.question for row in read.rows})} questions: too few to "
            f"keep {config.gate_share:.0%} for a gate ({copies} copies and {others} others to fit)"
        )
    return replace(read, rows=tuple(rest)), tuple(kept)


def add_gate(
    config: StreamAlignerConfig, trained: "Trained", kept: Sequence[CorrectionRow], seed: int
) -> dict[str, Any]:
    """Fit, calibrate and measure the gate of a trained corrector; save it beside its checkpoint.

    A third of the kept answers each fits, calibrates and measures.

    Args:
        config: its `gate_` fields.
        trained: the corrector.
        kept: rows that its training did not see.
        seed: of the split.

    Returns:
        What `measure_gate` does, the curve left out.
    """
    from equipoise.systems.stream_aligner.gate.states import readable

    length = trained.description["max_length"]
    fitting = readable(trained.network, kept, max_length=length)
    learn, calibrate, fresh = _thirds(fitting, seed)
    scorer = Scorer(config.gate_features, trained.network, max_length=length)
    gate = fit_gate(scorer, learn, calibrate, config.gate_budget)
    if trained.checkpoint is not None:
        gate = replace(gate, corrector=checkpoint_sha256(trained.checkpoint))
        save_gate(trained.checkpoint, gate)
    found = measure_gate(scorer, gate, fresh)
    del found["curve"]
    return found


def _thirds(rows: Sequence[CorrectionRow], seed: int) -> list[list[CorrectionRow]]:
    return split_answers(rows, [1 / 3, 1 / 3], seed)


def _triples(rows: Sequence[CorrectionRow]) -> list[tuple[str, str, str]]:
    return [(row.question, row.prefix, row.last) for row in rows]


def _share(name: str, hits: NDArray[np.bool_]) -> dict[str, float | None]:
    if not len(hits):
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    found = wilson_interval(int(hits.sum()), len(hits))
    return {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}


def _curve(scores: NDArray[np.float64], copies: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Return skipped share of clean and miss rate of bad sentences, at bad scores as thresholds."""
    clean, bad = scores[copies], np.sort(scores[~copies])
    if not len(clean) or not len(bad):
        return []
    ranks = sorted({round(float(rank)) for rank in np.geomspace(1, len(bad), CURVE)})
    levels = [math.inf, *(bad[-rank] for rank in ranks), -math.inf]
    return [(float((clean > one).mean()), float((bad > one).mean())) for one in levels]
