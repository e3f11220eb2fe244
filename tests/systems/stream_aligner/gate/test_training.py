from pathlib import Path

import numpy as np
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.gate.features import base_depth
from equipoise.systems.stream_aligner.gate.linear import CopyGate
from equipoise.systems.stream_aligner.gate.training import (
    CURVE,
    Scorer,
    fit_gate,
    hold_out,
    is_copy,
    keeps_budget,
    measure_gate,
    redrawn_miss_rate,
    split_answers,
)
from equipoise.systems.stream_aligner.rows import CorrectionRow, Rows

pytestmark = pytest.mark.standard
TINY = StreamAlignerConfig.preset("tiny")


def rows_of(names: range, per_answer: int = 2, bad_share: float = 0.5) -> list[CorrectionRow]:
    """Answers whose bad sentences hold a word, and some of which look clean all the same."""
    rng = np.random.default_rng(names.start)
    rows = []
    for name in names:
        for number in range(per_answer):
            bad, hidden = rng.random() < bad_share, rng.random() < 0.1
            word = "fine" if hidden or not bad else "zorvex"
            sentence = f"Part {number} is {word}."
            correction = f"{sentence} Mended." if bad else sentence
            rows.append(CorrectionRow(f"Question {name}?", "", sentence, correction))
    return rows


class Fixed(Scorer):
    """Scores by the number that a row's sentence is."""

    def fit(self, rows):
        return CopyGate("layer:0", np.zeros(1), 0.0)

    def scores(self, gate, rows):
        return np.array([float(row.last) for row in rows])


def numbered(clean: list[float], bad: list[float], name: str = "q") -> list[CorrectionRow]:
    rows = [CorrectionRow(f"{name}{one}", "", str(one), str(one)) for one in clean]
    return rows + [CorrectionRow(f"{name}bad{one}", "", str(one), "x") for one in bad]


@pytest.mark.parametrize(
    ("correction", "verdict", "copies"),
    [
        ("It rains.", None, True),
        ("It rains.", "copy", True),
        ("It rains.", "stop", False),
        ("It snows.", None, False),
        ("", "drop", False),
    ],
)
def test_only_what_a_teacher_left_alone_is_a_copy(
    correction: str, verdict: str | None, copies: bool
) -> None:
    assert is_copy(CorrectionRow("q", "", "It rains.", correction, verdict)) == copies


def test_no_answer_is_in_two_parts() -> None:
    rows = rows_of(range(40), per_answer=3)
    parts = split_answers(rows, [0.25, 0.5], 0)
    asked = [{row.question for row in part} for part in parts]
    assert [len(one) for one in asked] == [10, 20, 10]
    assert set.union(*asked) == {row.question for row in rows}
    assert sum(len(part) for part in parts) == len(rows)
    for part in parts:
        assert part == [row for row in rows if row in part]
    assert split_answers(rows, [0.25, 0.5], 0) == parts
    assert split_answers(rows, [0.25, 0.5], 1) != parts
    assert split_answers(rows, [0.0], 0) == [[], rows]


def test_impossible_shares_are_refused() -> None:
    for shares in ([-0.1], [0.7, 0.7]):
        with pytest.raises(InvalidInput, match="shares are"):
            split_answers(rows_of(range(3)), shares, 0)


def test_a_gate_by_hand() -> None:
    calibrate = numbered([0.5], [float(one) for one in range(1, 40)])
    gate = fit_gate(Fixed("layer:0"), [], calibrate, 0.05)
    # 39 bad ones: k = 2, the second largest is 38
    assert (gate.threshold, gate.calibration_bad, gate.budget) == (38.0, 39, 0.05)
    fresh = numbered([38.0, 38.5, 50.0, 1.0], [38.0, 39.0, 2.0, 3.0, 4.0], "fresh")
    found = measure_gate(Fixed("layer:0"), gate, fresh)
    assert (found["fresh_clean"], found["fresh_bad"]) == (4, 5)
    assert (found["skipped_share"], found["miss_rate"]) == (0.5, 0.2)
    assert found["sentences_skipped"] == pytest.approx(3 / 9)
    assert found["miss_rate_low"] < 0.2 < found["miss_rate_high"]
    assert found["calibration_needed"] == 19
    assert found["note"] == ""
    assert 0.05 < found["miss_chance"] < 1  # one of five, where k / (n + 1) is a twentieth
    assert keeps_budget(found) == (found["miss_rate_low"] <= 0.05)
    curve = found["curve"]
    assert curve[0] == (0.0, 0.0)
    assert curve[1] == (0.25, 0.0)  # above every bad one
    assert curve[-1] == (1.0, 1.0)
    assert curve == sorted(curve)
    assert len(curve) <= CURVE + 2


def test_with_too_few_bad_sentences_the_gate_never_skips_and_says_so() -> None:
    calibrate = numbered([], [float(one) for one in range(18)])
    gate = fit_gate(Fixed("layer:0"), [], calibrate, 0.05)
    found = measure_gate(Fixed("layer:0"), gate, numbered([1e9], [1e8], "fresh"))
    assert found["threshold"] is None
    assert (found["skipped_share"], found["miss_rate"]) == (0.0, 0.0)
    assert found["note"] == "too few bad calibration sentences: the gate never skips"
    assert (found["calibration_bad"], found["calibration_needed"]) == (18, 19)


def test_rates_of_nothing_are_unknown() -> None:
    gate = fit_gate(Fixed("layer:0"), [], numbered([], [1.0] * 40), 0.05)
    found = measure_gate(Fixed("layer:0"), gate, numbered([2.0], [], "fresh"))
    assert (found["miss_rate"], found["miss_rate_high"], found["curve"]) == (None, None, [])
    assert found["miss_chance"] == 1.0
    assert not keeps_budget(found)
    assert measure_gate(Fixed("layer:0"), gate, [])["sentences_skipped"] is None


def test_what_was_fitted_on_does_not_calibrate() -> None:
    rows = rows_of(range(10))
    with pytest.raises(InvalidInput, match="questions are in both parts, 'Question 5"):
        fit_gate(Scorer("text"), rows, rows[10:12], 0.5)
    with pytest.raises(InvalidInput, match="need the corrector's network"):
        Scorer("layer:1").fit(rows)


def test_a_gate_on_text_keeps_its_budget_on_fresh_answers() -> None:
    learn, calibrate = rows_of(range(100)), rows_of(range(1000, 1300))
    fresh = rows_of(range(5000, 5600))
    scorer = Scorer("text")
    gate = fit_gate(scorer, learn, calibrate, 0.15)
    found = measure_gate(scorer, gate, fresh)
    # a tenth of the bad ones cannot be told from clean ones: within the budget, all of those skip
    assert found["skipped_share"] > 0.9
    assert found["miss_rate"] == pytest.approx(0.1, abs=0.04)
    assert keeps_budget(found)
    strict = fit_gate(scorer, learn, calibrate, 0.02)
    assert measure_gate(scorer, strict, fresh)["skipped_share"] == 0.0
    redrawn = redrawn_miss_rate(scorer, gate, [*calibrate, *fresh], 0)
    assert redrawn is not None
    assert redrawn <= 0.15
    assert redrawn == redrawn_miss_rate(scorer, gate, [*calibrate, *fresh], 0)
    assert redrawn_miss_rate(scorer, gate, [], 0) is None


def test_the_mean_over_redrawn_calibrations_is_the_budgets() -> None:
    rng = np.random.default_rng(3)
    rows = numbered([], list(rng.normal(size=400)))
    gate = fit_gate(Fixed("layer:0"), [], rows, 0.05)
    found = redrawn_miss_rate(Fixed("layer:0"), gate, rows, 0)
    assert found == pytest.approx(10 / 201, abs=0.005)  # k = 10 of 200 calibrating ones


def test_rows_are_held_out_by_question_before_any_training() -> None:
    read = Rows(tuple(rows_of(range(50))), "stream")
    rest, kept = hold_out(TINY, read, 0)
    assert len({row.question for row in kept}) == 15
    assert not {row.question for row in kept} & {row.question for row in rest.rows}
    assert len(rest.rows) + len(kept) == len(read.rows)
    assert (rest.style, rest.broken) == (read.style, read.broken)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gate_share": 0.0}, "gate_share is 0.0"),
        ({"gate_share": 1.0}, "gate_share is 1.0"),
        ({"gate_budget": 1.0}, "gate_budget is 1.0"),
        ({"gate_features": "words"}, "gate features are 'words'"),
        ({"gate_features": "layer:7"}, "the corrector has layers 0 to 6"),
        ({"gate_share": 0.01}, "the rows answer 50 questions: too few"),
    ],
)
def test_what_no_gate_comes_of_is_refused(changes: dict[str, object], message: str) -> None:
    config = StreamAlignerConfig.preset("tiny", **changes)
    read = Rows(tuple(rows_of(range(50))), "stream")
    with pytest.raises(InvalidInput, match=message):
        hold_out(config, read, 0)


def test_whole_answers_have_no_gate() -> None:
    with pytest.raises(InvalidInput, match="whole answers has no gate"):
        hold_out(TINY, Rows(tuple(rows_of(range(50))), "aligner"), 0)


def test_layers_that_a_model_has_not_are_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 4}')
    read = Rows(tuple(rows_of(range(50))), "stream")
    changes = {"base": str(tmp_path), "gate_features": "layer:5"}
    with pytest.raises(InvalidInput, match="the corrector has layers 0 to 4"):
        hold_out(StreamAlignerConfig.preset("tiny", **changes), read, 0)
    changes["gate_features"] = "layer:4"
    assert len(hold_out(StreamAlignerConfig.preset("tiny", **changes), read, 0)[1]) == 30
    (tmp_path / "config.json").write_text("{}")
    assert base_depth(str(tmp_path)) is None
