"""Worlds by name: as upstream of a collection, and as place of an evaluation."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from equipoise.core.errors import unknown_name
from equipoise.systems.stream_aligner.aligning import Upstream
from equipoise.systems.stream_aligner.config import StreamAlignerConfig

WORLDS = ("sentence", "arithmetic", "text", "smollm2")


def place_of(
    world: str, config: StreamAlignerConfig, count: int, seed: int
) -> tuple[Callable[..., dict[str, Any]], Any, list[str]]:
    """Return how a world is evaluated, the world itself and its questions.

    Args:
        world: of `WORLDS`.
        config: sizes and rates.
        count: questions.
        seed: of questions and slips.
    """
    if world == "text":
        from equipoise.systems.stream_aligner.evaluation.text import evaluate_text
        from equipoise.systems.stream_aligner.worlds.text import TextWorld

        place = TextWorld(seed)
        return evaluate_text, place, place.questions(count, seed, held_out=config.text_held_out)
    if world == "sentence":
        from equipoise.systems.stream_aligner.evaluation.sentence import (
            SpokenWorld,
            evaluate_sentence,
        )

        place = SpokenWorld(config.steps, seed)
        return evaluate_sentence, place, place.questions(count, seed)
    if world == "smollm2":
        from equipoise.systems.stream_aligner.evaluation.smollm2 import evaluate_smollm2
        from equipoise.systems.stream_aligner.worlds.smollm2 import RealWorld

        place = RealWorld(config.model, config.numbers, config.max_tokens)
        return evaluate_smollm2, place, place.questions(count, seed)
    from equipoise.systems.stream_aligner.evaluation.arithmetic import evaluate_arithmetic
    from equipoise.systems.stream_aligner.worlds.arithmetic import ArithmeticWorld

    place = ArithmeticWorld(config.steps, config.world_largest, config.error_rate, seed)
    return evaluate_arithmetic, place, place.questions(count, seed)


def open_source(
    upstream: str, config: StreamAlignerConfig, *, max_tokens: int, seed: int, device: str
) -> AbstractContextManager[Upstream]:
    """Open an upstream by its spec, `world:NAME` included.

    Args:
        upstream: as `open_upstream` knows it, or `world:` and one of `WORLDS`.
        config: sizes and rates of the worlds.
        max_tokens: longest answer.
        seed: of sampled answers and slips.
        device: where local models compute.

    Raises:
        InvalidInput: an unknown world; the nearest is named.
    """
    from equipoise.systems.stream_aligner.evaluation.sentence import SpokenWorld
    from equipoise.systems.stream_aligner.upstreams import open_upstream
    from equipoise.systems.stream_aligner.worlds.arithmetic import ArithmeticWorld
    from equipoise.systems.stream_aligner.worlds.smollm2 import RealWorld
    from equipoise.systems.stream_aligner.worlds.text import TextWorld

    kind, _, name = upstream.partition(":")
    if kind != "world":
        return open_upstream(upstream, max_tokens=max_tokens, seed=seed, device=device)
    if name not in WORLDS:
        raise unknown_name("world", name, WORLDS)
    if name == "text":
        return nullcontext(TextWorld(seed).upstream)
    if name == "sentence":
        return nullcontext(SpokenWorld(config.steps, seed).upstream)
    if name == "smollm2":
        return RealWorld(config.model, config.numbers, max_tokens, device).upstream()
    return nullcontext(ArithmeticWorld(error_rate=config.world_error_rate, seed=seed).upstream)
