"""Does quality hang on the corrector's size less for sentences than for whole answers?"""

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.core.stats import Interval, bootstrap_interval, wilson_interval
from equipoise.systems.stream_aligner.config import DecoderShape, StreamAlignerConfig
from equipoise.systems.stream_aligner.correction import Corrector
from equipoise.systems.stream_aligner.evaluation.arithmetic import evaluate_arithmetic
from equipoise.systems.stream_aligner.evaluation.methods import Reviewers
from equipoise.systems.stream_aligner.experiments.training import (
    one_thread,
    solved_rows,
    train_aligner,
    train_in_world,
    training_seeds,
    world_rows,
)
from equipoise.systems.stream_aligner.worlds.arithmetic import ArithmeticWorld

if TYPE_CHECKING:
    from equipoise.systems.stream_aligner.model_corrector import ModelCorrector

METHODS = ("aligner", "stream")
_DRAWN = 10  # questions for each that is asked: most of a small world's are the training's
_RATE_WIDTH = 64  # where `world_rate` holds as it is; wider decoders learn at a lower peak


def run_size(config: StreamAlignerConfig, seed: int, advance: Callable[[], None]) -> dict[str, Any]:
    """Train correctors of several sizes, of sentences and of whole answers, on the same questions.

    Each sees as many training tokens. Both have the exact teacher of their kind, so either could be
    right always: a corrector of whole answers learns them rewritten from the question (one that
    corrects every sum where it stands ends near the raw answers, whatever its size). Slopes are
    least squares of the accuracy over log10 of the parameters; their intervals resample questions.
    """
    learn, test = training_seeds(seed)
    small = replace(
        config,
        steps=config.size_steps,
        world_largest=config.size_largest,
        world_questions=config.size_questions,
        world_batch=config.size_batch,
        world_epochs=1,
    )
    rows = world_rows(small, small.world_questions, learn)
    solved = solved_rows(world_rows(small, small.world_questions, learn, mode="aligner"))
    tests = _tests(small, test, {row.question for row in rows})
    parameters, hits = [], []
    shapes = shapes_of(config)
    for shape in shapes:
        rate = config.world_rate * min(1.0, _RATE_WIDTH / shape.width)
        chosen = replace(small, world_decoder=shape, world_rate=rate)
        aligner = train_aligner(chosen, rows, solved, seed)
        advance()
        corrector = train_in_world(chosen, rows, seed)
        advance()
        parameters.append(count_parameters(corrector))
        hits.append(_hits(tests, corrector, aligner))
        advance()
    return summarise_sizes(shapes, parameters, np.array(hits)) | {
        "training_rows": len(rows),
        "aligner_rows": len(solved),
        "test_seeds": config.size_worlds,
    }


def shapes_of(config: StreamAlignerConfig) -> tuple[DecoderShape, ...]:
    """Return the decoders that are compared.

    Raises:
        InvalidInput: widths and layers are not as many.
    """
    widths, layers = config.size_widths, config.size_layers
    if len(widths) != len(layers):
        raise InvalidInput(
            f"size_widths has {len(widths)} values and size_layers {len(layers)}; they must be as "
            "many"
        )
    like = config.world_decoder
    return tuple(replace(like, width=width, layers=depth) for width, depth in zip(widths, layers))


def summarise_sizes(
    shapes: Sequence[DecoderShape], parameters: Sequence[int], hits: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return rows and slopes of answers that came out right or not.

    Args:
        shapes: of the correctors.
        parameters: of each.
        hits: (sizes, methods, answers), methods in the order of `METHODS`.

    Returns:
        `rows`; `slopes` by method and of their `difference` (stream minus aligner), points of
        accuracy for ten times the parameters, each with `low` and `high`; `flatter`; `target`
        and `reached`.

    Raises:
        InvalidInput: fewer than two different sizes.
    """
    rows = []
    for place, (shape, count) in enumerate(zip(shapes, parameters)):
        for method, right in zip(METHODS, hits[place]):
            share = wilson_interval(int(right.sum()), len(right))
            rows.append(
                {
                    "parameters": count,
                    "width": shape.width,
                    "layers": shape.layers,
                    "method": method,
                    "accuracy": share.estimate,
                    "accuracy_low": share.low,
                    "accuracy_high": share.high,
                    "answers": len(right),
                }
            )
    found = slopes(parameters, hits)
    names = (*METHODS, "difference")
    table = {
        name: {"estimate": float(slope), "low": float(low), "high": float(high)}
        for name, slope, low, high in zip(names, found.estimate, found.low, found.high)
    }
    return {
        "rows": rows,
        "slopes": table,
        "flatter": table["difference"]["estimate"] < 0,
        "target": "slope of stream in log10 size below aligner's, interval of the difference "
        "below 0",
        "reached": table["difference"]["high"] < 0,
    }


def slopes(parameters: Sequence[int], hits: NDArray[np.bool_]) -> Interval:
    """Return the slopes of aligner, of stream and stream minus aligner, as arrays (3,).

    >>> hits = np.array([[[0, 1], [1, 1]], [[1, 1], [1, 1]]], dtype=bool)
    >>> slopes([100, 1000], hits).estimate.tolist()
    [0.5, 0.0, -0.5]
    """
    sizes = np.log10(np.asarray(parameters, dtype=np.float64))
    centred = sizes - sizes.mean()
    spread = float((centred**2).sum())
    if len(sizes) < 2 or spread == 0:
        raise InvalidInput(f"a slope needs two different sizes, got {list(parameters)}")

    def statistic(answers: NDArray[np.float64]) -> NDArray[np.float64]:
        each = centred @ answers.mean(axis=0) / spread
        return np.array([*each, each[1] - each[0]])

    return bootstrap_interval(np.moveaxis(hits, 2, 0).astype(np.float64), statistic)


def count_parameters(corrector: "ModelCorrector") -> int:
    """Return how many numbers a trained corrector's module holds."""
    return sum(parameter.numel() for parameter in corrector.network.module.parameters())


def _tests(
    config: StreamAlignerConfig, seed: int, known: Container[str]
) -> list[tuple[ArithmeticWorld, list[str]]]:
    """Return worlds of several seeds, each with questions that no training had.

    Raises:
        InvalidInput: there are not enough of them.
    """
    found = []
    for one in stream(seed, "sizes").integers(0, 2**31, size=config.size_worlds):
        drawn = int(one)
        world = ArithmeticWorld(config.steps, config.world_largest, config.error_rate, drawn)
        asked = world.questions(_DRAWN * config.size_answers, drawn)
        fresh = [question for question in asked if question not in known][: config.size_answers]
        if len(fresh) < config.size_answers:
            raise InvalidInput(
                f"of {len(asked)} questions {len(fresh)} are not among the training's, "
                f"{config.size_answers} are needed; raise size_largest or size_steps"
            )
        found.append((world, fresh))
    return found


def _hits(
    tests: Sequence[tuple[ArithmeticWorld, Sequence[str]]], corrector: Corrector, aligner: Corrector
) -> NDArray[np.bool_]:
    """Return (methods, answers): which answers end right, over all worlds."""
    found = []
    for world, asked in tests:
        for question in asked:
            with one_thread():
                judged = evaluate_arithmetic(
                    world, [question], Reviewers(corrector, aligner=aligner), methods=METHODS
                )
            found.append([row["right"] == 1 for row in judged["rows"]])
    return np.array(found).T
