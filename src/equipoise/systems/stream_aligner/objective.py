"""The paper's equations: the induced kernel, induction over sentences, the training loss.

Notation: pi is the upstream, mu the corrector; states are kinds of sentence. A correction turns the
upstream's kernel into `pi'(c | x, p) = sum_s mu(c | x, p, s) pi(s | x, p)` (arXiv 2501.05336; in
tables a product of two row-stochastic matrices).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.prompts import IGNORED

if TYPE_CHECKING:
    import torch

_TOLERANCE = 1e-8


def induced_kernel(transition: ArrayLike, correction: ArrayLike) -> NDArray[np.float64]:
    """Return the kernel of the corrected process, `transition @ correction`.

    Args:
        transition: (R, S), row r the distribution of the proposal after r.
        correction: (S, T), row s the distribution of the correction of s.

    Returns:
        (R, T), rows are distributions.

    Raises:
        InvalidInput: shapes that do not fit, or a row that is no distribution (it is named).
    """
    first, second = _stochastic("transition", transition), _stochastic("correction", correction)
    if first.shape[1] != second.shape[0]:
        raise InvalidInput(
            f"transition is {first.shape}, correction {second.shape}: columns of the first must be "
            "rows of the second"
        )
    return first @ second


@dataclass(frozen=True)
class Induction:
    """Marginals of the emitted sentences, and how often no bad one occurs.

    Attributes:
        raw, post_hoc, stream: (steps, S), row k the distribution of sentence k + 1 of the upstream
            alone, of its sentences corrected afterwards, and of the correction loop.
        clean_raw, clean_post_hoc, clean_stream: probability that no sentence of all is bad.
        gain: mean bad mass post hoc over mean bad mass of the stream (nan where both are 0).
    """

    raw: NDArray[np.float64]
    post_hoc: NDArray[np.float64]
    stream: NDArray[np.float64]
    clean_raw: float
    clean_post_hoc: float
    clean_stream: float
    gain: float


def induction(
    initial: ArrayLike,
    transition: ArrayLike,
    correction: ArrayLike,
    *,
    bad: Iterable[int],
    steps: int,
) -> Induction:
    """Return the exact marginals of the sentence world.

    Args:
        initial: (S,) distribution of the first proposal.
        transition: (S, S), proposal after each emitted sentence.
        correction: (S, S), what each proposal is corrected to.
        bad: indices of the bad states.
        steps: number of sentences, >= 1.
    """
    start = _stochastic("initial", np.atleast_2d(as_floats("initial", initial)))
    move, mend = _stochastic("transition", transition), _stochastic("correction", correction)
    size = start.shape[1]
    if start.shape[0] != 1 or move.shape != (size, size) or mend.shape != (size, size):
        raise InvalidInput(
            f"initial {np.shape(initial)}, transition {move.shape}, correction {mend.shape}: "
            "expected (S,), (S, S), (S, S)"
        )
    _check_steps(steps)
    good = np.ones(size)
    for state in bad:
        if isinstance(state, bool) or not 0 <= state < size or state != int(state):
            raise InvalidInput(f"bad state {state!r}; states are 0 to {size - 1}")
        good[int(state)] = 0.0
    raw = _marginals(start[0], move, steps)
    post_hoc = raw @ mend
    stream = _marginals(start[0] @ mend, move @ mend, steps)
    masked = mend * good  # columns of bad corrections removed
    bad_post_hoc, bad_stream = (post_hoc @ (1 - good)).mean(), (stream @ (1 - good)).mean()
    return Induction(
        raw=raw,
        post_hoc=post_hoc,
        stream=stream,
        clean_raw=_clean(start[0] * good, move * good, steps),
        clean_post_hoc=_clean(start[0] * (mend @ good), move * (mend @ good), steps),
        clean_stream=_clean(start[0] @ masked, move @ masked, steps),
        gain=_ratio(float(bad_post_hoc), float(bad_stream)),
    )


@dataclass(frozen=True)
class ArithmeticAccuracy:
    """Probability that the final answer of a running sum is right, for three ways to correct."""

    raw: float
    post_hoc: float
    stream: float


def arithmetic_accuracy(
    steps: int, error_rate: float, fix_rate: float, break_rate: float = 0.0
) -> ArithmeticAccuracy:
    """Return the exact accuracies of the arithmetic world.

    Args:
        steps: additions, each one sentence that builds on what stands before it.
        error_rate: e, probability that a stated result is wrong.
        fix_rate: c, probability that the corrector repairs a wrong sentence.
        break_rate: b, probability that it spoils a right one.

    Returns:
        raw `(1-e)^n`; stream `r^n` with `r = (1-e)(1-b) + e c`; post hoc `(1-e)^(n-1) r`, because
        the sentences after an early error still build on it.

    >>> round(arithmetic_accuracy(8, 0.1, 0.9).stream, 7)
    0.9227447
    """
    _check_steps(steps)
    for name, rate in (
        ("error_rate", error_rate),
        ("fix_rate", fix_rate),
        ("break_rate", break_rate),
    ):
        if not 0 <= rate <= 1:
            raise InvalidInput(f"{name} is {rate!r}; it must lie in [0, 1]")
    right = (1 - error_rate) * (1 - break_rate) + error_rate * fix_rate
    raw = (1 - error_rate) ** steps
    post_hoc = (1 - error_rate) ** (steps - 1) * right
    return ArithmeticAccuracy(float(raw), float(post_hoc), float(right**steps))


def correction_loss(logits: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    """Return the mean negative log-likelihood in nats per target token over the batch, a scalar.

    `-log mu(c | x, p, s)` of section 2: prompt positions are masked, the end of text is learned.

    Args:
        logits: (B, T, V); position t predicts `labels[:, t + 1]`.
        labels: (B, T) int64, -100 where nothing is learned.

    Raises:
        InvalidInput: shapes that do not fit, or no target token at all.
    """
    from torch.nn.functional import cross_entropy

    if logits.ndim != 3 or tuple(labels.shape) != tuple(logits.shape[:2]):
        raise InvalidInput(
            f"logits {tuple(logits.shape)}, labels {tuple(labels.shape)}: expected (B, T, V) and "
            "(B, T)"
        )
    targets = labels[:, 1:].reshape(-1)
    if not bool((targets != IGNORED).any()):
        raise InvalidInput("no target token in the batch: every label after the first is -100")
    predictions = logits[:, :-1].reshape(-1, logits.shape[-1])
    return cross_entropy(predictions, targets, ignore_index=IGNORED)


def _stochastic(name: str, matrix: ArrayLike) -> NDArray[np.float64]:
    array = as_floats(name, matrix)
    if array.ndim != 2 or array.size == 0:
        raise InvalidInput(f"{name} has shape {array.shape}; it must be a matrix")
    for index, row in enumerate(array):
        if not (row >= -_TOLERANCE).all() or not abs(row.sum() - 1) <= _TOLERANCE:
            raise InvalidInput(
                f"row {index} of {name} is no distribution: minimum {row.min():g}, sum "
                f"{row.sum():.10g}; rows must be >= 0 and sum to 1"
            )
    return array


def _marginals(
    first: NDArray[np.float64], kernel: NDArray[np.float64], steps: int
) -> NDArray[np.float64]:
    rows = [first]
    for _ in range(steps - 1):
        rows.append(rows[-1] @ kernel)
    return np.array(rows)


def _clean(first: NDArray[np.float64], kernel: NDArray[np.float64], steps: int) -> float:
    """Mass that is left after `steps` sentences when bad states lose theirs."""
    return float(_marginals(first, kernel, steps)[-1].sum())


def _ratio(above: float, below: float) -> float:
    if below > 0:
        return above / below
    return float("inf") if above > 0 else float("nan")


def _check_steps(steps: int) -> None:
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise InvalidInput(f"steps is {steps!r}; it must be an integer >= 1")
