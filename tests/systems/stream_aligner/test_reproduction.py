import json

import pytest

from equipoise.core.files import to_json
from equipoise.systems.stream_aligner.config import StreamAlignerConfig
from equipoise.systems.stream_aligner.reproduction import (
    EXPERIMENTS,
    LATENCY_POINTS,
    PUBLISHED,
)

SMALL = StreamAlignerConfig.preset("tiny", worlds=2, answers=150, steps=4)


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_equal_seeds_give_equal_results(name: str) -> None:
    done: list[int] = []
    first = EXPERIMENTS[name](SMALL, 3, lambda: done.append(1))
    second = EXPERIMENTS[name](SMALL, 3, lambda: None)
    assert first == second
    assert json.loads(json.dumps(to_json(first))) == to_json(first)
    assert len(done) == {"induction": 2, "arithmetic": 1, "latency": len(LATENCY_POINTS)}[name]
    if name != "latency":  # at copy rates of 0 and 1 the timeline has no chance in it
        assert EXPERIMENTS[name](SMALL, 4, lambda: None) != first


def test_the_real_loop_meets_the_closed_forms() -> None:
    induction = EXPERIMENTS["induction"](SMALL, 0, lambda: None)
    assert induction["largest_error"] < 5
    for row in induction["rows"]:
        assert row["gain_low"] <= row["gain"] <= row["gain_high"]
    sums = EXPERIMENTS["arithmetic"](SMALL, 0, lambda: None)
    assert [row["method"] for row in sums["rows"]] == ["raw", "post_hoc", "stream"]
    assert sums["covered"] == 3


def test_the_timeline_meets_the_formula_within_a_hundredth() -> None:
    found = EXPERIMENTS["latency"](SMALL, 0, lambda: None)
    assert found["largest_error"] < 0.01
    for row in found["rows"]:
        assert row["speedup"] == pytest.approx(row["speedup_formula"], rel=0.01)
        assert row["speedup"] >= 1


def test_published_figures_are_those_of_the_abstract() -> None:
    assert sorted(PUBLISHED.values()) == [3.5, 36.0, 76.1]
