"""Maximum-likelihood strengths of models that are all tied to each other by wins."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.special import expit, log_expit

from equipoise.preference.ratings import likelihood
from equipoise.preference.ratings.likelihood import Outcomes
from equipoise.preference.ratings.newton import (
    DenseSystem,
    Evaluation,
    Gauge,
    Maximum,
    SparseSystem,
    assemble,
    covariance_diagonal,
    maximise,
    sandwich_product,
)
from equipoise.preference.ratings.tally import tally_difference

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class StrengthProblem:
    """A likelihood over K strengths.

    Attributes:
        k: Number of strengths.
        pairs: (M, 2) positions i < j.
        outcomes: Counts of each pair, (M,).
        tie_model: One of `likelihood.TIE_MODELS`.
        prior: Drawn games of each model against a virtual opponent of strength 0 (always plain
            wins and losses: they say nothing about ties).
        gauge: League of each strength, or None with a prior.
    """

    k: int
    pairs: NDArray[np.intp]
    outcomes: Outcomes
    tie_model: str
    prior: float
    gauge: Gauge

    @cached_property
    def battles(self) -> float:
        """Number of games that the likelihood is of."""
        n = self.outcomes
        return float(n.first.sum() + n.second.sum() + n.tied.sum())

    @cached_property
    def tie_state(self) -> str:
        """How the tie parameter is found: `none` (ties are half wins or absent), `fit`, `endless`.

        Endless: the likelihood grows for ever with it (only ties, or too few wins among them).
        """
        if self.tie_model in ("half", "drop") or not self.outcomes.tied.any():
            return "none"
        return "endless" if _ties_unbounded(self) else "fit"

    def evaluate(self, point: Floats) -> Evaluation:
        """Return log-likelihood, gradient and information at a point (K,) or (K + 1,)."""
        t = point[: self.k]
        i, j = self.pairs.T
        eta = point[self.k :] if len(point) > self.k else None
        d = t[i] - t[j]
        terms = likelihood.terms(self.tie_model, d, eta, self.outcomes)
        slope = self._spread(terms.d)
        if self.prior:
            slope = slope + self.prior * (0.5 - expit(t))
        gradient = slope if terms.e is None else np.append(slope, terms.e)

        def value() -> float:
            height = likelihood.log_likelihood(self.tie_model, d, eta, self.outcomes)
            pinned = self.prior / 2 * (log_expit(t) + log_expit(-t)).sum() if self.prior else 0.0
            return float(height + pinned)

        return Evaluation(gradient, value, lambda: self._hessian(t, terms))

    def _hessian(self, t: Floats, terms: likelihood.Terms) -> Any:
        pinned = self.prior * expit(t) * expit(-t) if self.prior else None
        if terms.de is None or terms.ee is None:
            return assemble(self.k, self.pairs, terms.dd, diagonal=pinned)
        return assemble(
            self.k,
            self.pairs,
            terms.dd,
            diagonal=pinned,
            border=self._spread(terms.de)[:, None],
            corner=np.reshape(terms.ee, (1, 1)),
        )

    def score_products(self, t: Floats, eta: float | None) -> Any:
        """Return V (P, P): the sum over games of the outer product of their scores."""
        i, j = self.pairs.T
        dd, de, ee = likelihood.squared_scores(self.tie_model, t[i] - t[j], eta, self.outcomes)
        pinned = None
        if self.prior:
            p = expit(t)
            pinned = self.prior / 2 * ((1 - p) ** 2 + p**2)
        if de is None or ee is None:
            return assemble(self.k, self.pairs, dd, diagonal=pinned)
        border, corner = self._spread(de)[:, None], np.array([[ee]])
        return assemble(self.k, self.pairs, dd, diagonal=pinned, border=border, corner=corner)

    def _spread(self, per_pair: Floats) -> Floats:
        return tally_difference(self.pairs[:, 0], self.pairs[:, 1], per_pair, self.k)


@dataclass(frozen=True, eq=False)
class StrengthSolution:
    """Strengths (K,) centred in each league, their covariance and information (K, K)."""

    strength: Floats
    point: Floats  # where the search ended: strengths before centring, then other parameters
    tie_parameter: float | None
    covariance: Any
    information: Any
    converged: bool
    iterations: int
    residual: float
    system: DenseSystem | SparseSystem
    middle: Any | None  # V of the sandwich, or None

    def anchored_diagonal(self, r: int, moved: Floats) -> Any:
        """Return the diagonal covariance of t - t_r, exact in its cross terms (sparse systems)."""
        assert isinstance(self.system, SparseSystem)
        unit = np.zeros((self.system.matrix.shape[0], 1))
        unit[r] = 1.0
        centred = len(moved) if self.system.gauge is None else 0
        crossed = sandwich_product(self.system, self.middle, unit, centred)[: len(moved), 0]
        diagonal = np.asarray(self.covariance.diagonal())
        shifted = diagonal + moved * (crossed[r] - 2 * crossed)
        shifted[r] = 0.0
        return diags_array(np.maximum(shifted, 0.0))


def solve_strengths(
    problem: StrengthProblem,
    *,
    covariance: str,
    tolerance: float,
    max_iterations: int,
    nearby: "StrengthSolution | None" = None,
) -> StrengthSolution:
    """Return the maximum and its covariance; the search begins at a solution `nearby`."""
    maximum = find_maximum(problem, tolerance, max_iterations, nearby)
    t, eta = maximum.point[: problem.k], None
    if len(maximum.point) > problem.k:
        eta = float(maximum.point[-1])
    middle = problem.score_products(t, eta) if covariance == "sandwich" else None
    spread, information = _covariance(problem, maximum.system, middle)
    parameter = likelihood.NO_TIES.get(problem.tie_model)
    if eta is not None:
        parameter = float(np.exp(eta))
    if problem.tie_state == "endless":
        parameter, spread = np.inf, spread * np.nan
        if problem.outcomes.first.any() or problem.outcomes.second.any():
            t = t * np.nan
    return StrengthSolution(
        centre(t, problem.gauge),
        maximum.point,
        parameter,
        spread,
        information,
        maximum.converged,
        maximum.iterations,
        maximum.residual,
        maximum.system,
        middle,
    )


def find_maximum(
    problem: StrengthProblem,
    tolerance: float,
    max_iterations: int,
    nearby: StrengthSolution | None = None,
) -> Maximum:
    """Return the maximum over the strengths and, where it is fitted, the tie parameter's log."""
    point = np.zeros(problem.k) if nearby is None else nearby.point
    if nearby is None and problem.tie_state == "fit":
        point = np.append(point, likelihood.start_eta(problem.tie_model, problem.outcomes))
    return maximise(
        problem.evaluate,
        point,
        problem.k,
        problem.gauge,
        tolerance=tolerance,
        max_iterations=max_iterations,
        warm=None if nearby is None else nearby.system,
    )


def centre(t: Floats, gauge: Gauge) -> Floats:
    """Return strengths with mean 0 in each league (over all where `gauge` is None)."""
    if not len(t):
        return t
    league = np.zeros(len(t), dtype=np.intp) if gauge is None else gauge
    return t - (np.bincount(league, t) / np.bincount(league))[league]


def _covariance(
    problem: StrengthProblem, system: DenseSystem | SparseSystem, middle: Any | None
) -> tuple[Any, Any]:
    """Return covariance and information (K, K) of the centred strengths."""
    k = problem.k
    if isinstance(system, SparseSystem):
        information = csr_array(system.matrix)[:k, :k]
        centred = k if problem.gauge is None else 0
        return diags_array(covariance_diagonal(system, middle, centred)[:k]), information
    inverse = system.inverse()
    whole = inverse if middle is None else inverse @ middle @ inverse
    spread = (whole + whole.T)[:k, :k] / 2
    information = system.matrix[:k, :k]
    if len(system.matrix) > k:
        border = system.matrix[:k, k:]
        information = information - border @ border.T / system.matrix[-1, -1]
    if problem.gauge is None and k:  # strengths were pinned by the prior; centre them now
        spread = spread - spread.mean(axis=0)
        spread = spread - spread.mean(axis=1)[:, None]
    return spread, information


def _ties_unbounded(problem: StrengthProblem) -> bool:
    """Whether strengths can drift so that more ties always fit better.

    A drift moves d_i and the tie parameter by 1: every win needs d_i - d_j >= 1, every tie
    |d_i - d_j| <= 1. Such d exist unless some cycle of the graph holds more wins than ties; with a
    prior strengths cannot drift, and only a table without wins is endless.
    """
    n = problem.outcomes
    i, j = problem.pairs.T
    if problem.prior:
        return not (n.first.any() or n.second.any())
    tails = np.concatenate([i[n.first > 0], j[n.second > 0]])
    heads = np.concatenate([j[n.first > 0], i[n.second > 0]])
    wins = csr_array((np.ones(len(tails)), (tails, heads)), shape=(problem.k, problem.k))
    if connected_components(wins, directed=True, connection="strong")[0] < problem.k:
        return False  # a cycle of wins alone
    both = (
        np.concatenate([i[n.tied > 0], j[n.tied > 0]]),
        np.concatenate([j[n.tied > 0], i[n.tied > 0]]),
    )
    start, end = np.concatenate([tails, both[0]]), np.concatenate([heads, both[1]])
    cost = np.concatenate([np.full(len(tails), -1.0), np.ones(len(both[0]))])
    distance = np.zeros(problem.k)  # Bellman and Ford: settles unless a cycle has negative cost
    for _ in range(problem.k):
        updated = distance.copy()
        np.minimum.at(updated, end, distance[start] + cost)
        if np.array_equal(updated, distance):
            return True
        distance = updated
    return False
