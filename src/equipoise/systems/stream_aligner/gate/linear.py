"""The learned gate: sentences that are surely right skip the corrector, under a miss budget.

A linear model of cheap features scores a sentence by its log-odds of being copied. Only a score
above a threshold skips. The threshold is split-conformal and class-conditional: with `n` held-out
sentences that need an edit and `k = floor(budget (n + 1))`, it is the k-th largest of their scores,
the smallest value that at most `k - 1` of them exceed. A fresh sentence that needs an edit exceeds
it only if it is among the `k` largest of `n + 1` exchangeable scores (ties count against it), so

    P(skip | needs an edit) <= k / (n + 1) <= budget

over draws of calibration and fresh sentences, whatever the model is worth. `k >= 1` needs
`n >= 1 / budget - 1`: 99 sentences for 1 %; with fewer the gate never skips. Sentences of one
answer are not independent; exchangeable are whole answers, so the bound is that of one drawn
sentence an answer, and a nominal one for all. A shift (another upstream, other questions) voids it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner.gate.features import BUCKETS, DENSE, layer_of, text_features

if TYPE_CHECKING:
    import scipy.sparse

NOTE = "gate"
"""The note of a sentence that skipped the corrector."""


def check_budget(budget: float) -> float:
    """Return a miss budget that lies strictly between 0 and 1, else raise `InvalidInput`."""
    if not 0 < budget < 1:
        raise InvalidInput(f"gate_budget is {budget!r}; it must lie strictly between 0 and 1")
    return float(budget)


def allowed_rank(bad: int, budget: float) -> int:
    """Return `k = floor(budget (n + 1))`, exact in the budget's decimals.

    >>> allowed_rank(99, 0.01), allowed_rank(98, 0.01), allowed_rank(299, 0.01)
    (1, 0, 3)
    """
    if bad < 0:
        raise InvalidInput(f"there are {bad} calibration sentences; it must be >= 0")
    return math.floor(Fraction(str(check_budget(budget))) * (bad + 1))


def smallest_calibration(budget: float) -> int:
    """Return the fewest bad calibration sentences with which a gate can skip anything.

    >>> smallest_calibration(0.01), smallest_calibration(0.05)
    (99, 19)
    """
    return math.ceil(1 / Fraction(str(check_budget(budget)))) - 1


def chance_of_misses(missed: int, fresh: int, calibration: int, budget: float) -> float:
    """Return the probability that a calibrated gate misses at least as many as it did.

    A fresh sentence that needs an edit skips with a probability that itself varies with the
    calibration, as Beta(k, n + 1 - k) for untied scores of independent sentences; misses are then
    beta-binomial. A Wilson interval knows only the fresh sentences' chance, and so lies above the
    budget more often than its level says.

    Args:
        missed: fresh bad sentences that skipped.
        fresh: fresh bad sentences.
        calibration: bad sentences that the threshold was set on.
        budget: that it was set for.

    >>> round(chance_of_misses(1, 1, 99, 0.01), 4)  # k / (n + 1)
    0.01
    """
    if not 0 <= missed <= fresh:
        raise InvalidInput(f"missed is {missed} of {fresh}; it must lie in [0, {fresh}]")
    from scipy.stats import betabinom

    rank = allowed_rank(calibration, budget)
    if rank < 1:
        return float(missed == 0)
    return float(betabinom.sf(missed - 1, fresh, rank, calibration + 1 - rank))


def conformal_threshold(bad_scores: ArrayLike, budget: float) -> float:
    """Return the threshold above which a sentence may skip; infinite where none may.

    Args:
        bad_scores: (n,) scores of held-out sentences that need an edit.
        budget: most of such sentences that may skip, as a probability.

    >>> conformal_threshold([0.3, 0.9, 0.1], 0.5)  # k = 2
    0.3
    """
    scores = as_floats("bad_scores", bad_scores).reshape(-1)
    if np.isnan(scores).any():
        raise InvalidInput("bad_scores holds nan: a gate's scores are numbers")
    rank = allowed_rank(len(scores), budget)
    return math.inf if rank < 1 else float(np.sort(scores)[-rank])


@dataclass(frozen=True, eq=False)
class CopyGate:
    """A linear score of cheap features, and the threshold above which a sentence is a sure copy.

    Attributes:
        features: `text`, or `layer:K`.
        weights: (D,) of the features; a layer's standardisation is folded in.
        bias: added to the score, which is the log-odds of a copy.
        threshold: a score above it skips; infinite: none does.
        budget: probability that a sentence that needs an edit may skip.
        calibration_bad: such sentences that the threshold was set on.
        corrector: SHA-256 of the corrector's checkpoint; empty where there is none.
    """

    features: str
    weights: NDArray[np.float64]
    bias: float
    threshold: float = math.inf
    budget: float = 0.01
    calibration_bad: int = 0
    corrector: str = ""

    def __post_init__(self) -> None:
        check_budget(self.budget)
        if self.layer is None and self.weights.shape != (BUCKETS + DENSE,):
            raise InvalidInput(
                f"a gate on text has weights {self.weights.shape}; expected {(BUCKETS + DENSE,)}"
            )
        if self.weights.ndim != 1 or not np.isfinite(self.weights).all():
            raise InvalidInput("a gate's weights must be one row of finite numbers")

    @property
    def layer(self) -> int | None:
        """The block whose output it reads; None where it reads text."""
        return layer_of(self.features)

    @property
    def skips(self) -> bool:
        """Whether any score could skip; too few calibration sentences leave none."""
        return math.isfinite(self.threshold)

    def score_texts(self, sentences: Sequence[tuple[str, str, str]]) -> NDArray[np.float64]:
        """Return the scores (N,) of (question, prefix, sentence) triples."""
        starts, columns, values = text_features(sentences)
        return _rounded(np.add.reduceat(self.weights[columns] * values, starts[:-1]) + self.bias)

    def score_states(self, states: ArrayLike) -> NDArray[np.float64]:
        """Return the scores (N,) of hidden states (N, D)."""
        given = as_floats("states", states)
        if given.ndim != 2 or given.shape[1] != len(self.weights):
            raise InvalidInput(f"states are {given.shape}; expected (N, {len(self.weights)})")
        return _rounded(given @ self.weights + self.bias)

    def is_sure(self, score: float) -> bool:
        """Return whether a sentence with this score may skip the corrector."""
        return bool(score > self.threshold)


def _rounded(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return scores to a thousandth: the order of a sum must not part equal sentences."""
    return np.round(scores, 3)


def fit_text(
    sentences: Sequence[tuple[str, str, str]], copies: Sequence[bool]
) -> tuple[NDArray[np.float64], float]:
    """Fit the score on text; return weights and bias.

    Raises:
        InvalidInput: fewer than two copies or two others.
    """
    from scipy.sparse import csr_matrix

    starts, columns, values = text_features(sentences)
    size = (len(sentences), BUCKETS + DENSE)
    return _fit(csr_matrix((values, columns, starts), shape=size), copies, 100.0)


def fit_states(states: ArrayLike, copies: Sequence[bool]) -> tuple[NDArray[np.float64], float]:
    """Fit the score on hidden states (N, D); return weights and bias of the raw states."""
    given = as_floats("states", states)
    centre, spread = given.mean(axis=0), given.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    weights, bias = _fit((given - centre) / spread, copies, 0.1)
    return weights / spread, float(bias - centre @ (weights / spread))


def _fit(
    features: "NDArray[np.float64] | scipy.sparse.csr_matrix",
    copies: Sequence[bool],
    strength: float,
) -> tuple[NDArray[np.float64], float]:
    from sklearn.linear_model import LogisticRegression

    wanted = np.asarray(copies, dtype=bool)
    fewest = int(min(wanted.sum(), (~wanted).sum()))
    if fewest < 2:
        raise InvalidInput(f"a gate needs two copies and two others at least, got {fewest} of one")
    model = LogisticRegression(C=strength, max_iter=2000).fit(features, wanted)
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
