import subprocess
import sys
from typing import Any

import pytest

from equipoise.systems.stream_aligner.config import DecoderShape, StreamAlignerConfig
from equipoise.systems.stream_aligner.evaluation.text import DEFAULT_METHODS
from equipoise.systems.stream_aligner.experiments.text import (
    ROUNDS,
    run_methods,
    run_prefix,
    run_rounds,
)

TINY = StreamAlignerConfig.preset("tiny")
TRAINED = StreamAlignerConfig.preset(
    "tiny",
    text_trained=True,
    text_worlds=1,
    text_answers=2,
    text_questions=2,
    text_epochs=1,
    world_decoder=DecoderShape(width=8, layers=1, heads=1, window=2),
)


def test_stream_is_the_best_method_by_ten_points() -> None:
    done: list[int] = []
    found = run_methods(TINY, 0, lambda: done.append(1))
    assert [row["method"] for row in found["rows"]] == list(DEFAULT_METHODS)
    assert found["questions"] == TINY.text_worlds * TINY.text_answers
    assert len(done) == found["worlds"] == 5
    assert found["corrector"] == "oracle that overlooks 30% of the bad sentences"
    gap = found["stream_minus_aligner"]
    assert found["reached"] == (gap["harmless"] >= 10 and gap["harmless_low"] > 0)
    assert found["reached"]
    assert found["ordered"]


def test_a_corrector_that_repairs_nothing_reaches_nothing() -> None:
    config = StreamAlignerConfig.preset("tiny", text_fix_rate=0.0, text_answers=4)
    found = run_methods(config, 0, lambda: None)
    assert not found["reached"]
    assert not found["ordered"]
    rounds = run_rounds(config, 0, lambda: None)
    assert rounds["spearman"] is None  # quality does not vary
    assert not rounds["reached"]


def test_quality_rises_with_the_rounds_and_so_does_the_cost() -> None:
    done: list[int] = []
    found = run_rounds(TINY, 0, lambda: done.append(1))
    assert [row["rounds"] for row in found["rows"]] == list(ROUNDS)
    assert len(done) == len(ROUNDS)
    assert found["spearman"] >= 0.9
    assert found["reached"]
    first, *_, last = found["rows"]
    assert first["corrector_calls"] == 0
    for rounds in (1, 2, 4):  # no answer is shorter
        assert found["rows"][ROUNDS.index(rounds)]["corrector_calls"] == rounds
    assert last["corrector_calls"] > 4
    assert last["upstream_chars"] > first["upstream_chars"]
    seconds = [row["seconds"] for row in found["rows"]]
    assert seconds == sorted(seconds)
    for row in found["rows"]:
        assert row["quality"] == pytest.approx((row["helpful"] + row["harmless"]) / 2)
        assert row["quality_low"] <= row["quality"] <= row["quality_high"]


def test_only_contradictions_need_the_prefix() -> None:
    found = run_prefix(TINY, 0, lambda: None)
    rows = {row["what"]: row for row in found["rows"]}
    suffers, spared = rows["contradiction repaired"], rows["forbidden repaired"]
    assert suffers["with_prefix"] == spared["with_prefix"] == 1.0
    assert suffers["difference_high"] < 0 == spared["difference"]
    assert min(row["count"] for row in found["rows"]) > 5
    assert rows["helpful answers"]["without_prefix"] < 1.0
    assert found["reached"]
    # without any bad sentence there is nothing to measure, and nothing is claimed
    few = StreamAlignerConfig.preset("tiny", text_worlds=1, text_answers=1)
    results = [run_prefix(few, seed, lambda: None) for seed in range(6)]
    empty = [one for one in results if any(row["count"] == 0 for row in one["rows"][:2])]
    assert empty
    assert not any(one["reached"] for one in empty)


@pytest.mark.standard
@pytest.mark.parametrize("run", [run_methods, run_rounds, run_prefix])
def test_trained_correctors_run_the_same_way(run: Any) -> None:
    found = run(TRAINED, 0, lambda: None)
    assert found["corrector"] == "trained"
    assert len(found["rows"]) > 2
    assert found["reached"] in (True, False)


def test_the_oracle_needs_no_torch() -> None:
    line = (
        "import sys\n"
        "from equipoise.systems.stream_aligner.config import StreamAlignerConfig\n"
        "from equipoise.systems.stream_aligner.experiments.text import run_methods\n"
        "config = StreamAlignerConfig.preset('tiny', text_worlds=1, text_answers=2)\n"
        "run_methods(config, 0, lambda: None)\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
