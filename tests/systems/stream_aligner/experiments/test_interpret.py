from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.config import DecoderShape, StreamAlignerConfig
from equipoise.systems.stream_aligner.experiments import interpret
from equipoise.systems.stream_aligner.experiments.interpret import (
    COEFFICIENTS,
    TARGETED,
    TEACHERS,
    opened,
    run_interpret,
    straight_line,
)
from equipoise.systems.stream_aligner.rows import CorrectionRow

SMALL = StreamAlignerConfig.preset(
    "tiny",
    world_decoder=DecoderShape(width=8, layers=2, heads=1, window=2),
    interpret_questions=20,
    interpret_rows=24,
    interpret_both=True,
)


def test_nine_coefficients_around_none() -> None:
    assert COEFFICIENTS == (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)


def test_a_line_known_by_hand() -> None:
    found = straight_line([-1, 0, 1], [0.1, 0.3, 0.5])
    assert found == pytest.approx({"slope": 0.2, "intercept": 0.3, "r_squared": 1, "spearman": 1})
    # values 0, 2, 1: slope 1/2 about 1; explained 1/2 of 2, so a quarter
    found = straight_line([0, 1, 2], [0, 2, 1])
    assert found == pytest.approx(
        {"slope": 0.5, "intercept": 0.5, "r_squared": 0.25, "spearman": 0.5}
    )
    falling = straight_line([0, 1, 2], [5, 4, 1])
    assert falling["spearman"] == pytest.approx(-1)
    flat = straight_line(COEFFICIENTS, [0.25] * 9)
    assert flat == {"slope": 0.0, "intercept": 0.25, "r_squared": None, "spearman": None}
    with pytest.raises(InvalidInput, match="two different places"):
        straight_line([1, 1], [0, 1])


def test_only_edits_are_opened() -> None:
    copied = CorrectionRow("Q?", "", "1 + 1 = 2.", "1 + 1 = 2.", "copy")
    edited = CorrectionRow("Q?", "So.", "1 + 1 = 3.", "1 + 1 = 2.", "edit")
    changed = opened([copied, edited])
    assert changed[0] == copied
    assert changed[1].correction == "No: 1 + 1 = 2."
    assert (changed[1].last, changed[1].prefix) == (edited.last, edited.prefix)
    assert TEACHERS["edits change the result"]([copied, edited]) == [copied, edited]


@pytest.mark.standard
def test_every_layer_is_probed_and_the_validated_one_steered() -> None:
    done: list[int] = []
    found = run_interpret(SMALL, 0, lambda: done.append(1))
    assert len(done) == 3 * len(TEACHERS)
    probed = [(row["teacher"], row["layer"]) for row in found["rows"]]
    kinds = [*TEACHERS, "none: an untrained network"]
    assert probed == [(kind, layer) for kind in kinds for layer in range(3)]
    for teacher in TEACHERS:
        rows = [row for row in found["rows"] if row["teacher"] == teacher]
        best = max(rows, key=lambda row: row["auc_in_folds"])
        assert [row["layer"] for row in rows if row["steered"]] == [best["layer"]]
        assert found["lines"][teacher]["layer"] == best["layer"]
        assert found["lines"][teacher]["auc"] == best["auc"]
        points = [point for point in found["steering"] if point["teacher"] == teacher]
        assert [point["coefficient"] for point in points] == list(COEFFICIENTS)
        for point in points:
            assert 0 <= point["edit_ratio_low"] <= point["edit_ratio"] <= 1
            assert point["edit_ratio"] <= point["edit_ratio_high"]
    for row in found["rows"]:
        assert row["auc_low"] - 1e-9 <= row["auc"] <= row["auc_high"] + 1e-9
    # at the end of the prompt every window holds the same label
    assert {round(row["auc"], 9) for row in found["rows"] if row["layer"] == 0} == {0.5}
    assert (found["probed_rows"], found["steered_rows"]) == (24, 6)


@pytest.mark.standard
def test_no_probed_or_steered_row_was_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, set[tuple[str, str, str]]] = {}

    def key(row: CorrectionRow) -> tuple[str, str, str]:
        return row.question, row.prefix, row.last

    def probe(corrector: Any, rows: Any, fresh: Any, seed: int) -> Any:
        given.setdefault("known", set()).update(map(key, rows))
        given.setdefault("fresh", set()).update(map(key, fresh))
        assert len(rows) == len(fresh) == SMALL.interpret_rows
        return real_probe(corrector, rows, fresh, seed)

    def learn(config: StreamAlignerConfig, rows: Any, seed: int) -> Any:
        given["learned"] = set(map(key, rows))
        return real_training(config, rows, seed)

    real_probe, real_training = interpret._probe, interpret.train_in_world
    monkeypatch.setattr(interpret, "_probe", probe)
    monkeypatch.setattr(interpret, "train_in_world", learn)
    run_interpret(SMALL, 3, lambda: None)
    assert given["known"] <= given["learned"]
    assert not given["fresh"] & given["learned"]


@pytest.mark.standard
def test_one_teacher_alone_and_what_it_reaches() -> None:
    found = run_interpret(replace(SMALL, interpret_both=False), 0, lambda: None)
    assert list(found["lines"]) == [TARGETED]
    line = found["lines"][TARGETED]
    met = line["auc"] >= 0.9 and line["spearman"] is not None and line["spearman"] >= 0.9
    assert found["reached"] is met


@pytest.mark.slow
def test_a_trained_corrector_knows_before_it_writes_and_can_be_steered() -> None:
    config = StreamAlignerConfig.preset(
        "tiny", interpret_questions=1200, interpret_epochs=3, interpret_rows=160
    )
    found = run_interpret(config, 7, lambda: None)
    line = found["lines"][TARGETED]
    assert line["auc"] >= 0.9
    assert line["spearman"] >= 0.9
    assert line["slope"] > 0
    untrained = [row["auc"] for row in found["rows"] if row["teacher"].startswith("none")]
    assert max(untrained) < line["auc"]
    ratios = [point["edit_ratio"] for point in found["steering"]]
    assert ratios[-1] - ratios[0] > 0.1
    assert np.isfinite(line["r_squared"])
