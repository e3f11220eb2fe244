from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.config import DecoderShape, StreamAlignerConfig
from equipoise.systems.stream_aligner.experiments import size
from equipoise.systems.stream_aligner.experiments.size import (
    METHODS,
    _tests,
    run_size,
    shapes_of,
    slopes,
    summarise_sizes,
)
from equipoise.systems.stream_aligner.networks.byte_model import ByteDecoder
from equipoise.systems.stream_aligner.worlds.arithmetic import oracle

SHAPES = (
    DecoderShape(width=8, layers=1, heads=1, window=2),
    DecoderShape(width=16, layers=1, heads=1, window=2),
)
SMALL = StreamAlignerConfig.preset(
    "tiny",
    world_decoder=SHAPES[0],
    size_widths=(8, 16),
    size_layers=(1, 1),
    size_questions=4,
    size_worlds=2,
    size_answers=2,
)


def hits_of(*shares: tuple[float, float], answers: int = 100) -> np.ndarray:
    """Answers (sizes, methods, answers) of which the first ones are right."""
    first = np.arange(answers) / answers
    return np.array([[first < share for share in pair] for pair in shares])


def test_slopes_known_by_hand() -> None:
    # a straight line through three sizes: 0.2 for ten times the parameters, and none
    found = slopes([100, 1000, 10_000], hits_of((0.2, 0.9), (0.4, 0.9), (0.6, 0.9)))
    assert found.estimate == pytest.approx([0.2, 0.0, -0.2])
    assert found.low[0] < 0.2 < found.high[0]
    # the same answers are right whatever the size: no resampling of answers tilts that
    assert found.low[1] == pytest.approx(0.0)
    assert found.high[1] == pytest.approx(0.0)
    # between neighbours that are no power of ten apart
    wide = slopes([1000, 100_000], hits_of((0.1, 0.5), (0.5, 0.9)))
    assert wide.estimate == pytest.approx([0.2, 0.2, 0.0])


@pytest.mark.parametrize("parameters", [[100], [100, 100]])
def test_one_size_has_no_slope(parameters: list[int]) -> None:
    with pytest.raises(InvalidInput, match="two different sizes"):
        slopes(parameters, hits_of(*[(0.1, 0.5)] * len(parameters)))


@pytest.mark.parametrize(
    ("shares", "flatter", "reached"),
    [
        (((0.2, 0.9), (0.9, 0.95)), True, True),
        (((0.5, 0.50), (0.53, 0.52)), True, False),  # flatter, but not beyond chance
        (((0.5, 0.1), (0.5, 0.9)), False, False),
    ],
)
def test_flatter_is_reached_only_beyond_chance(
    shares: tuple[tuple[float, float], ...], flatter: bool, reached: bool
) -> None:
    hits = hits_of(*shares)
    rng = np.random.default_rng(0)
    for pair in hits.reshape(-1, hits.shape[-1]):
        rng.shuffle(pair)
    found = summarise_sizes(SHAPES, [100, 1000], hits)
    assert (found["flatter"], found["reached"]) == (flatter, reached)
    gap = found["slopes"]["stream"]["estimate"] - found["slopes"]["aligner"]["estimate"]
    assert found["slopes"]["difference"]["estimate"] == pytest.approx(gap)


def test_rows_say_size_method_and_interval() -> None:
    found = summarise_sizes(SHAPES, [700, 2400], hits_of((0.2, 0.9), (0.4, 1.0)))
    told = [(row["parameters"], row["method"], row["accuracy"]) for row in found["rows"]]
    assert told == [
        (700, "aligner", 0.2),
        (700, "stream", 0.9),
        (2400, "aligner", 0.4),
        (2400, "stream", 1.0),
    ]
    assert [row["width"] for row in found["rows"]] == [8, 8, 16, 16]
    for row in found["rows"]:
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
        assert row["answers"] == 100


@pytest.mark.standard
def test_both_kinds_are_trained_at_every_size() -> None:
    done: list[int] = []
    found = run_size(SMALL, 0, lambda: done.append(1))
    assert len(done) == 3 * len(SHAPES)
    counted = [sum(p.numel() for p in ByteDecoder(shape).parameters()) for shape in SHAPES]
    assert [row["parameters"] for row in found["rows"]] == [one for one in counted for _ in METHODS]
    assert {row["answers"] for row in found["rows"]} == {4}
    assert found["training_rows"] == SMALL.size_questions * SMALL.size_steps
    assert found["aligner_rows"] == SMALL.size_questions
    assert set(found["slopes"]) == {"aligner", "stream", "difference"}
    assert found["reached"] in (True, False)


class Stub:
    """A corrector without errors that says how large it is."""

    def __init__(self, review: Any, parameters: int) -> None:
        weights = [SimpleNamespace(numel=lambda: parameters)]
        self.network = SimpleNamespace(module=SimpleNamespace(parameters=lambda: weights))
        self.review = review

    def __call__(self, question: str, prefix: str, sentence: str) -> Any:
        return self.review(question, prefix, sentence)


@pytest.mark.standard
def test_perfect_correctors_are_right_at_every_size_and_learn_what_fits_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, int, float]] = []

    def sentences(config: StreamAlignerConfig, rows: Any, seed: int) -> Stub:
        assert {row.last.count("=") for row in rows} == {1}
        seen.append(("stream", config.world_decoder.width, config.world_rate))
        return Stub(oracle, 10 * config.world_decoder.width)

    def answers(config: StreamAlignerConfig, rows: Any, whole: Any, seed: int) -> Stub:
        # right to the end, whatever was proposed
        assert all(row.correction == oracle(row.question, "", row.last).text for row in whole)
        assert len(rows) == SMALL.size_steps * len(whole)
        seen.append(("aligner", config.world_decoder.width, config.world_rate))
        return Stub(oracle, 1)

    monkeypatch.setattr(size, "train_in_world", sentences)
    monkeypatch.setattr(size, "train_aligner", answers)
    wide = replace(SMALL, size_widths=(8, 16, 128), size_layers=(1, 1, 1))
    found = run_size(wide, 0, lambda: None)
    assert {row["accuracy"] for row in found["rows"]} == {1.0}
    assert [row["parameters"] for row in found["rows"][::2]] == [80, 160, 1280]
    assert found["slopes"]["difference"]["estimate"] == pytest.approx(0.0)
    assert found["reached"] is False
    rates = [rate for _, _, rate in seen[::2]]
    # the peak falls with the width, from twice a width of 64 on
    assert rates == pytest.approx([SMALL.world_rate, SMALL.world_rate, SMALL.world_rate / 2])
    assert [kind for kind, _, _ in seen] == ["aligner", "stream"] * 3


def test_as_many_layers_as_widths() -> None:
    assert shapes_of(SMALL) == SHAPES
    with pytest.raises(InvalidInput, match="size_widths has 2 values and size_layers 1"):
        shapes_of(replace(SMALL, size_layers=(1,)))


def test_no_question_was_learned_from_and_too_small_a_world_is_refused() -> None:
    config = replace(SMALL, steps=2, world_largest=3)
    asked = [question for _, group in _tests(config, 0, ()) for question in group]
    assert len(asked) == 4
    other = [question for _, group in _tests(config, 0, {asked[0]}) for question in group]
    assert len(other) == 4
    assert asked[0] not in other
    everything = {
        f"Add {one}, {two} and {three}." for one in (1, 2) for two in (1, 2) for three in (1, 2)
    }
    with pytest.raises(InvalidInput, match="0 are not among the training's, 2 are needed"):
        _tests(replace(config, world_largest=2), 0, everything)


def test_the_presets_sizes_are_what_they_say() -> None:
    shapes = shapes_of(StreamAlignerConfig.preset("small"))
    counted = [sum(p.numel() for p in ByteDecoder(shape).parameters()) for shape in shapes]
    for count, said in zip(counted, (0.1e6, 0.3e6, 1e6, 3e6), strict=True):
        assert count == pytest.approx(said, rel=0.1)
