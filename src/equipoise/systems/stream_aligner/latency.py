"""How long a reviewed answer takes: the period of the pipeline and its exact timeline.

U seconds to generate a sentence, A to correct it, R to restart the upstream, q the share of copies.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput


@dataclass(frozen=True)
class PipelinePeriod:
    """Seconds per sentence without and with speculation, and their ratio."""

    sequential_s: float
    speculative_s: float
    speedup: float


def pipeline_period(
    generate_s: float, correct_s: float, restart_s: float, copy_rate: float
) -> PipelinePeriod:
    """Return `S = A + R + U` and, one sentence of run-ahead, `T = q max(A, U) + (1 - q) S`.

    >>> pipeline_period(0.75, 0.15, 0.05, 0.8).speculative_s
    0.79
    """
    times = {"generate_s": generate_s, "correct_s": correct_s, "restart_s": restart_s}
    for name, value in times.items():
        _check_seconds(name, as_floats(name, value))
    if not 0 <= copy_rate <= 1:
        raise InvalidInput(f"copy_rate is {copy_rate!r}; it must lie in [0, 1]")
    sequential = float(sum(times.values()))
    speculative = float(copy_rate * max(correct_s, generate_s) + (1 - copy_rate) * sequential)
    speedup = sequential / speculative if speculative > 0 else 1.0
    return PipelinePeriod(sequential, speculative, speedup)


@dataclass(frozen=True)
class Timeline:
    """When each sentence of an answer is shown.

    Attributes:
        emitted_s: (N,) seconds from the start.
        period_s: mean gap between two sentences (nan for a single one).
        discarded: speculated sentences that were thrown away.
        review_s: (N,) when the check of each sentence begins.
    """

    emitted_s: NDArray[np.float64]
    period_s: float
    discarded: int
    review_s: NDArray[np.float64]


def simulate_pipeline(
    generate_s: ArrayLike,
    correct_s: ArrayLike,
    restart_s: float,
    copies: ArrayLike,
    *,
    speculate: bool = True,
) -> Timeline:
    """Return the exact timeline of one answer.

    The check of sentence k starts at t_k and shows it at t_k + A_k; `t_1 = U_1`; after a copy under
    speculation `t_{k+1} = t_k + max(A_k, U_{k+1})`, else `t_k + A_k + R + U_{k+1}`.

    Args:
        generate_s: U, a number or (N,).
        correct_s: A, a number or (N,).
        restart_s: R.
        copies: (N,) bool, which sentences the corrector copies.
        speculate: keep generating while the corrector reviews.
    """
    copied = np.asarray(copies)
    if copied.ndim != 1 or copied.size == 0 or copied.dtype != np.bool_:
        raise InvalidInput(
            f"copies has shape {copied.shape} and type {copied.dtype}; it must be (N,) bool, N >= 1"
        )
    generate = _per_sentence("generate_s", generate_s, copied.size)
    correct = _per_sentence("correct_s", correct_s, copied.size)
    _check_seconds("restart_s", as_floats("restart_s", restart_s))
    starts = np.empty(copied.size)
    starts[0] = generate[0]
    for k in range(copied.size - 1):
        if speculate and copied[k]:
            starts[k + 1] = starts[k] + max(correct[k], generate[k + 1])
        else:
            starts[k + 1] = starts[k] + correct[k] + restart_s + generate[k + 1]
    emitted = starts + correct
    period = float(np.diff(emitted).mean()) if copied.size > 1 else float("nan")
    discarded = int((~copied[:-1]).sum()) if speculate else 0
    return Timeline(emitted, period, discarded, starts)


def _per_sentence(name: str, value: ArrayLike, count: int) -> NDArray[np.float64]:
    array = as_floats(name, value)
    if array.shape not in ((), (count,)):
        raise InvalidInput(f"{name} has shape {array.shape}; it must be a number or ({count},)")
    _check_seconds(name, array)
    return np.broadcast_to(array, (count,))


def _check_seconds(name: str, value: NDArray[np.float64]) -> None:
    if not (np.isfinite(value).all() and (value >= 0).all()):
        raise InvalidInput(f"{name} must be finite seconds >= 0, got {value.tolist()!r}")
