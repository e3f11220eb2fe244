"""Can one read off a trained corrector whether it will edit, and turn that up and down?"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.core.stats import clustered_mean
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.evaluation.text import edit_distance
from equipoise.systems.stream_aligner.experiments.training import (
    one_thread,
    train_in_world,
    training_seeds,
    unseen_rows,
    world_rows,
)
from equipoise.systems.stream_aligner.networks.batches import fit_prompt
from equipoise.systems.stream_aligner.networks.interpreting import (
    Examined,
    Probe,
    decode_steered,
    hidden_states,
    probe_layers,
)
from equipoise.systems.stream_aligner.rows import CorrectionRow

if TYPE_CHECKING:
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector

COEFFICIENTS = tuple(np.linspace(-1, 1, 9).tolist())
OPENING = "No: "
AUC_TARGET, SPEARMAN_TARGET, PUBLISHED_R_SQUARED = 0.9, 0.9, 0.93
_STEPS, _LARGEST, _BATCH = 3, 7, 8
_STEERED_SHARE = 4  # one fresh row in four is steered


def run_interpret(
    config: StreamAlignerConfig, seed: int, advance: Callable[[], None]
) -> dict[str, Any]:
    """Probe every layer for copy or edit at the end of the prompt, and steer along the difference.

    Two teachers of sums. One opens its edits with a word (`No: 2 + 3 = 5.`), so that its pupil must
    know before the first token whether it will edit; for it the targets hold. The other changes
    only the result: its pupil can write the sum anew without ever comparing, and need not know.
    An untrained network's probes stand beside: errors only add here, so the look of a result tells
    something already.
    Probes learn from training rows, where the layer for steering is chosen too, by their folds; all
    figures are of fresh rows that no training had. Edit ratio: characters of changed words over
    those of the sentence, at most 1. Intervals draw whole answers.
    """
    short, rows, fresh = _rows(config, seed)
    table, steering, lines = [], [], {}
    for teacher in TEACHERS if config.interpret_both else [TARGETED]:
        probes, points = _look_into(short, TEACHERS[teacher], rows, fresh, seed, advance)
        best = max(probes, key=lambda probe: probe.validated)
        table += [_probe_row(teacher, probe, best.layer) for probe in probes]
        steering += [{"teacher": teacher, **point} for point in points]
        ratios = [point["edit_ratio"] for point in points]
        lines[teacher] = {"auc": best.auc.estimate, "layer": best.layer}
        lines[teacher] |= straight_line(COEFFICIENTS, ratios)
    table += _untrained_rows(short, rows[: config.interpret_rows], fresh, seed)
    found = lines[TARGETED]
    rank = found["spearman"]
    return {
        "rows": table,
        "steering": steering,
        "lines": lines,
        "probed_rows": len(fresh),
        "steered_rows": len(_steered(fresh)),
        "published_r_squared": PUBLISHED_R_SQUARED,
        "target": f"AUC >= {AUC_TARGET:g} at some layer, Spearman of coefficient and edit ratio >= "
        f"{SPEARMAN_TARGET:g}",
        "reached": bool(
            found["auc"] >= AUC_TARGET and rank is not None and rank >= SPEARMAN_TARGET
        ),
    }


def _rows(
    config: StreamAlignerConfig, seed: int
) -> tuple[StreamAlignerConfig, list[CorrectionRow], list[CorrectionRow]]:
    """Return the settings of this experiment, rows to learn from, and fresh ones not among them."""
    learn, test = training_seeds(seed)
    short = replace(
        config,
        steps=_STEPS,
        world_largest=_LARGEST,
        world_batch=_BATCH,
        world_epochs=config.interpret_epochs,
    )
    rows = world_rows(short, config.interpret_questions, learn)
    unseen = unseen_rows(rows, world_rows(short, 2 * config.interpret_rows, test))
    return short, rows, unseen[: config.interpret_rows]


def _look_into(
    config: StreamAlignerConfig,
    change: Callable[[Sequence[CorrectionRow]], list[CorrectionRow]],
    rows: Sequence[CorrectionRow],
    fresh: Sequence[CorrectionRow],
    seed: int,
    advance: Callable[[], None],
) -> tuple[list[Probe], list[dict[str, float]]]:
    """Train a teacher's pupil; return its probes, and the edit ratio at every coefficient."""
    taught, asked = change(rows), change(fresh)
    corrector = train_in_world(config, taught, seed)
    advance()
    with one_thread():
        probes = _probe(corrector, taught[: config.interpret_rows], asked, seed)
        advance()
        best = max(probes, key=lambda probe: probe.validated)
        points = [
            _steer(corrector, _steered(asked), best, coefficient) for coefficient in COEFFICIENTS
        ]
    advance()
    return probes, points


def _steered(fresh: Sequence[CorrectionRow]) -> Sequence[CorrectionRow]:
    return fresh[: max(2, len(fresh) // _STEERED_SHARE)]


def opened(rows: Sequence[CorrectionRow]) -> list[CorrectionRow]:
    """Return the rows of a teacher whose edits open with `No: `."""
    return [
        replace(row, correction=OPENING + row.correction) if row.correction != row.last else row
        for row in rows
    ]


TARGETED = "edits open with No"
TEACHERS: dict[str, Callable[[Sequence[CorrectionRow]], list[CorrectionRow]]] = {
    TARGETED: opened,
    "edits change the result": list,
}
"""What is done to the exact teacher's rows."""


def straight_line(places: Sequence[float], values: Sequence[float]) -> dict[str, float | None]:
    """Return `slope`, `intercept`, `r_squared` of least squares, and the rank correlation.

    `r_squared` and `spearman` are None where the values do not vary.

    >>> straight_line([0, 1, 2], [1, 3, 5])["r_squared"]
    1.0
    """
    from scipy.stats import spearmanr

    if len(set(places)) < 2:
        raise InvalidInput("a line needs two different places")
    if len(set(values)) < 2:
        return {"slope": 0.0, "intercept": float(values[0]), "r_squared": None, "spearman": None}
    slope, intercept = np.polyfit(places, values, 1)
    correlation = np.corrcoef(places, values)[0, 1]
    rank = np.asarray(spearmanr(places, values))[0]
    return {
        "slope": float(slope),
        "intercept": float(intercept),
        "r_squared": float(correlation**2),
        "spearman": float(rank),
    }


def _probe(
    corrector: "ModelCorrector",
    rows: Sequence[CorrectionRow],
    fresh: Sequence[CorrectionRow],
    seed: int,
) -> list[Probe]:
    known, unseen = (
        Examined(
            hidden_states(corrector.network, [_prompt(corrector, row)[0] for row in group]),
            np.array([row.correction != row.last for row in group]),
            [row.question for row in group],
        )
        for group in (rows, fresh)
    )
    return probe_layers(known, unseen, seed)


def _untrained_rows(
    config: StreamAlignerConfig,
    rows: Sequence[CorrectionRow],
    fresh: Sequence[CorrectionRow],
    seed: int,
) -> list[dict[str, Any]]:
    """Return the probes of a network of the same shape that has learned nothing."""
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector
    from equipoise.systems.stream_aligner.networks.families import ByteNetwork

    network = ByteNetwork(config.world_decoder, seed)
    with one_thread():
        corrector = ModelCorrector(network, "stream", config.world_length)
        probes = _probe(corrector, rows, fresh, seed)
    return [_probe_row("none: an untrained network", probe, -1) for probe in probes]


def _steer(
    corrector: "ModelCorrector", rows: Sequence[CorrectionRow], probe: Probe, coefficient: float
) -> dict[str, float]:
    """Correct rows with a share of the direction added; return how much that changes them."""
    network, ratios, changed = corrector.network, [], []
    for row in rows:
        prompt, draft = _prompt(corrector, row)
        tokens = decode_steered(network, prompt, draft, probe.layer, coefficient * probe.direction)
        said = network.tokenizer.decode(tokens).strip()
        ratios.append(min(1.0, edit_distance(row.last, said)))
        changed.append(said != row.last)
    mean = clustered_mean(ratios, [row.question for row in rows])
    return {
        "coefficient": coefficient,
        "edit_ratio": mean.estimate,
        "edit_ratio_low": mean.low,
        "edit_ratio_high": mean.high,
        "edited": float(np.mean(changed)),
    }


def _prompt(corrector: "ModelCorrector", row: CorrectionRow) -> tuple[list[int], list[int]]:
    """Return the tokens of a row's prompt, as in training, and those of its sentence."""
    tokenizer = corrector.network.tokenizer
    draft = tokenizer.encode(row.last)
    space = corrector.max_length - len(draft) - 1
    prompt = fit_prompt(tokenizer, row.question, row.prefix, row.last, corrector.style, space)
    return prompt, draft


def _probe_row(teacher: str, probe: Probe, best: int) -> dict[str, Any]:
    return {
        "teacher": teacher,
        "layer": probe.layer,
        "auc": probe.auc.estimate,
        "auc_low": probe.auc.low,
        "auc_high": probe.auc.high,
        "auc_in_folds": probe.validated,
        "steered": probe.layer == best,
    }
