"""Log-likelihoods of paired comparisons with four treatments of ties, and their derivatives.

All are functions of the strength difference d = t_i - t_j of a pair and, where ties have their own
probability, of one shared parameter eta:

- `half`: a tie is half a win each way; `drop`: ties are left out. P(i) = 1 / (1 + exp(-d)).
- `davidson` (Davidson 1970): P(i) : P(tie) : P(j) = exp(t_i) : nu exp((t_i+t_j)/2) : exp(t_j),
  eta = log nu.
- `rao_kupper` (Rao and Kupper 1967): P(i) = exp(t_i) / (exp(t_i) + theta exp(t_j)), likewise P(j),
  and P(tie) = (theta^2 - 1) P(i) P(j) = (1 - theta^-2) (1 - P(i)) (1 - P(j)) is the rest;
  eta = log theta > 0.

Every one is concave in (t, eta).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

Floats = NDArray[np.float64]

TIE_MODELS = ("half", "drop", "davidson", "rao_kupper")
NO_TIES = {"davidson": 0.0, "rao_kupper": 1.0}  # the tie parameter where nothing was tied


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Counts a pair: wins of i, wins of j, ties; each (..., M)."""

    first: Floats
    second: Floats
    tied: Floats

    def take(self, pairs: NDArray[np.bool_]) -> "Outcomes":
        """Return the counts of chosen pairs."""
        return Outcomes(self.first[..., pairs], self.second[..., pairs], self.tied[..., pairs])

    def without_ties(self) -> "Outcomes":
        """Return the decided games only."""
        return Outcomes(self.first, self.second, np.zeros_like(self.tied))


@dataclass(frozen=True, eq=False)
class Terms:
    """Derivatives of the log-likelihood, summed over games.

    Attributes:
        d: (..., M) derivative by the difference of each pair; `e`: (...) by eta.
        dd: (..., M) minus the second derivative by the difference; `de` mixed; `ee` (...) by eta.
    """

    d: Floats
    dd: Floats
    e: Floats | None = None
    de: Floats | None = None
    ee: Floats | None = None


def terms(model: str, d: Floats, eta: Floats | None, n: Outcomes) -> Terms:
    """Return the derivatives for outcomes `n` at differences d (..., M) and eta (..., 1).

    `eta` None treats ties as half wins (`half`; also every model where nothing was tied).
    """
    if eta is None:
        return _binary(d, n)
    return _davidson(d, eta, n) if model == "davidson" else _rao_kupper(d, eta, n)


def log_likelihood(model: str, d: Floats, eta: Floats | None, n: Outcomes) -> Floats:
    """Return the log-likelihood (...) of outcomes `n`, -inf outside the model (theta < 1)."""
    if eta is None:
        return ((n.first + n.tied / 2) * d + (n.first + n.second + n.tied) * log_expit(-d)).sum(-1)
    if model == "davidson":
        games = n.first + n.second + n.tied
        decided = (n.first - n.second) * d / 2
        return (decided + n.tied * eta - games * _davidson_log_sum(d, eta)).sum(-1)
    if not np.all(eta > 0):
        return np.full(d.shape[:-1], -np.inf)
    value = (n.first + n.tied) * log_expit(d - eta) + (n.second + n.tied) * log_expit(-d - eta)
    return (value + n.tied * (2 * eta + np.log1p(-np.exp(-2 * eta)))).sum(-1)


def _davidson_log_sum(d: Floats, eta: Floats) -> Floats:
    top = np.maximum(np.abs(d) / 2, eta)
    return top + np.log(np.exp(d / 2 - top) + np.exp(eta - top) + np.exp(-d / 2 - top))


def _binary(d: Floats, n: Outcomes) -> Terms:
    games = n.first + n.second + n.tied
    p = expit(d)
    expected = games * p
    return Terms(n.first + n.tied / 2 - expected, expected * (1.0 - p))


def _davidson(d: Floats, eta: Floats, n: Outcomes) -> Terms:
    games = n.first + n.second + n.tied
    log_sum = _davidson_log_sum(d, eta)
    first, tied, second = (np.exp(x - log_sum) for x in (d / 2, eta, -d / 2))
    lean = (first - second) / 2
    return Terms(
        (n.first - n.second) / 2 - games * lean,
        games * ((first + second) / 4 - lean**2),
        (n.tied - games * tied).sum(-1),
        -games * tied * lean,
        (games * tied * (1.0 - tied)).sum(-1),
    )


def _rao_kupper(d: Floats, eta: Floats, n: Outcomes) -> Terms:
    if not np.all(eta > 0):  # outside the model: a search backs off from an infinite slope
        nowhere = np.full(d.shape, np.inf)
        return Terms(nowhere, nowhere, nowhere.sum(-1), nowhere, nowhere.sum(-1))
    first, second = n.first + n.tied, n.second + n.tied
    p, q = expit(d - eta), expit(-d - eta)
    pull, push = first * p * (1.0 - p), second * q * (1.0 - q)
    shrink = np.exp(-2 * eta)
    return Terms(
        first * (1.0 - p) - second * (1.0 - q),
        pull + push,
        (2 * n.tied / (1.0 - shrink) - first * (1.0 - p) - second * (1.0 - q)).sum(-1),
        push - pull,
        (pull + push + n.tied * 4 * shrink / (1.0 - shrink) ** 2).sum(-1),
    )


def probabilities(model: str, d: Floats, eta: float | None) -> tuple[Floats, Floats, Floats]:
    """Return P(i wins), P(tie), P(j wins) at differences d; without eta nothing is tied."""
    if eta is None:
        return expit(d), np.zeros_like(d), expit(-d)
    if model == "davidson":
        if eta == np.inf:
            return np.zeros_like(d), np.ones_like(d), np.zeros_like(d)
        top = np.maximum(np.abs(d) / 2, eta)
        first, tied, second = np.exp(d / 2 - top), np.exp(eta - top), np.exp(-d / 2 - top)
        total = first + tied + second
        return first / total, tied / total, second / total
    not_first, not_second = expit(eta - d), expit(eta + d)
    return expit(d - eta), -np.expm1(-2.0 * eta) * not_first * not_second, expit(-d - eta)


def game_information(model: str, d: Floats, eta: float | None) -> Floats:
    """Return the expected information that one more game of a pair has about its difference."""
    p, tied, q = probabilities(model, d, eta)
    if eta is None:
        return p * q
    if model == "davidson":
        return (p + q) / 4 - (p - q) ** 2 / 4
    return (p + tied) * p * (1.0 - p) + (q + tied) * q * (1.0 - q)


def squared_scores(
    model: str, d: Floats, eta: float | None, n: Outcomes
) -> tuple[Floats, Floats | None, float | None]:
    """Return the sums of squared scores of single games: (M,) of d, (M,) d times eta, eta.

    The scores are of (win of i, win of j, tie): for a binary model 1-P, -P, 1/2-P.
    """
    ones = np.ones_like(d)
    if eta is None:
        p = expit(d)
        s_d = (1.0 - p, -p, 0.5 - p)
        return _weighted(n, s_d, s_d), None, None
    if model == "davidson":
        p, tied, q = probabilities(model, d, eta)
        lean = (p - q) / 2
        s_d = (0.5 - lean, -0.5 - lean, -lean)
        s_e = (-tied, -tied, 1.0 - tied)
    else:
        p, q = expit(d - eta), expit(-d - eta)
        s_d = (1.0 - p, -(1.0 - q), q - p)
        tie = 2 / (1.0 - np.exp(-2 * eta)) * ones - (1.0 - p) - (1.0 - q)
        s_e = (-(1.0 - p), -(1.0 - q), tie)
    return _weighted(n, s_d, s_d), _weighted(n, s_d, s_e), float(_weighted(n, s_e, s_e).sum())


def _weighted(
    n: Outcomes, x: tuple[Floats, Floats, Floats], y: tuple[Floats, Floats, Floats]
) -> Floats:
    return n.first * x[0] * y[0] + n.second * x[1] * y[1] + n.tied * x[2] * y[2]


def start_eta(model: str, n: Outcomes) -> float:
    """Return eta at equal strengths: where the search begins."""
    tied = float(n.tied.sum())
    share = tied / (tied + float(n.first.sum() + n.second.sum()))
    if model == "davidson":
        return float(np.log(2 * share / (1 - share)))
    return float(np.log((1 + share) / (1 - share)))
