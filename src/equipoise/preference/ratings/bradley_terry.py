"""The Bradley-Terry fit: strengths, their covariance, and what to say where there are none.

Maximises sum S_ij log P_ij over pairs, P_ij = 1 / (1 + exp(t_j - t_i)), S_ij = wins of i and half
the ties, by damped Newton from 0; the gradient is g_i = sum_j (S_ij - n_ij P_ij) and the
information the Laplacian with weights n_ij P_ij P_ji. Other treatments of ties: `likelihood.py`.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.stats import check_level
from equipoise.preference.ratings import likelihood
from equipoise.preference.ratings.coding import check_number, check_whole
from equipoise.preference.ratings.connectivity import Graph, graph_of, points, statuses
from equipoise.preference.ratings.counts import PairCounts
from equipoise.preference.ratings.likelihood import Outcomes
from equipoise.preference.ratings.strengths import (
    StrengthProblem,
    StrengthSolution,
    solve_strengths,
)

Floats = NDArray[np.float64]

SCALE = 400.0 / np.log(10.0)  # rating points per natural unit of strength
COVARIANCES = ("sandwich", "information")


@dataclass(frozen=True, eq=False)
class RatingFit:
    """Ratings of K models.

    Attributes:
        models: Names.
        log_strength: (K,) t; mean 0 in each league, or 0 at the anchor; NaN where status is not ok.
        rating: (K,) anchor_rating + (400 / ln 10) t.
        standard_error: (K,) of log_strength.
        covariance: (K, K) of log_strength; above 2,000 models a sparse diagonal matrix.
        information: (K, K) of the strengths (a tie parameter profiled out); sparse above 2,000.
        games: (K,) battles of each model.
        league: (K,) index of the league; ratings of two leagues are not comparable.
        status: Name -> ok, above, below, undetermined, isolated.
        tie_model: half, drop, davidson or rao_kupper.
        tie_parameter: nu, theta, or None.
        converged: Whether the score equations hold to the tolerance.
        iterations: Newton steps taken.
        residual: Largest absolute entry of the gradient.
        centred_variance: (K,) of the strengths before they were anchored, where the covariance is
            only a diagonal; None elsewhere.
    """

    models: tuple[str, ...]
    log_strength: Floats
    rating: Floats
    standard_error: Floats
    covariance: Any
    information: Any
    games: Floats
    league: NDArray[np.intp]
    status: Mapping[str, str]
    tie_model: str
    tie_parameter: float | None
    converged: bool
    iterations: int
    residual: float
    centred_variance: Floats | None = field(default=None, repr=False, kw_only=True)

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return the ends (low, high), each (K,), of normal intervals in rating units."""
        half = normal_quantile(level) * SCALE * self.standard_error
        return self.rating - half, self.rating + half

    def win_probability(self, a: str, b: str) -> float:
        """Return P(a beats b); NaN where the two are not comparable.

        With `half` and `drop` 1 / (1 + exp(t_b - t_a)); with a tie model the probability that a
        wins outright.
        """
        gap, _ = self.difference(a, b)
        eta = tie_eta(self)
        first, _, _ = likelihood.probabilities(self.tie_model, np.array([gap]), eta)
        return float(first[0])

    def difference(self, a: str, b: str) -> tuple[float, float]:
        """Return (t_a - t_b, its standard error) in log units; NaN across leagues."""
        i, j = (position_of(self.models, name) for name in (a, b))
        if self.league[i] != self.league[j]:
            return float("nan"), float("nan")
        gap = float(self.log_strength[i] - self.log_strength[j])
        return gap, float(self.difference_errors(i)[j]) if i != j else 0.0

    def difference_errors(self, i: int) -> Floats:
        """Return (K,): standard errors of t_i - t_j for every j, independent of the anchor.

        Above 2,000 models only variances are known, and those before anchoring are used.
        """
        if self.centred_variance is None:
            variance = self.covariance.diagonal()
            crossed = self.covariance[i]
        else:
            variance = self.centred_variance
            crossed = np.where(np.arange(len(variance)) == i, variance, 0.0)
        return np.sqrt(np.maximum(variance[i] + variance - 2 * crossed, 0.0))


def tie_eta(fit: RatingFit) -> float | None:
    """Return log of the tie parameter, or None where ties have no probability of their own."""
    nothing = likelihood.NO_TIES.get(fit.tie_model)
    if fit.tie_parameter is None or fit.tie_parameter == nothing:
        return None
    return float(np.log(fit.tie_parameter))


def position_of(models: tuple[str, ...], name: str) -> int:
    """Return the position of a model; raises `InvalidInput` with the nearest name."""
    if name not in models:
        raise unknown_name("model", name, models)
    return models.index(name)


def normal_quantile(level: float) -> float:
    """Return z of a two-sided normal interval of this level."""
    return NormalDist().inv_cdf(0.5 + check_level(level) / 2)


def fit_bradley_terry(
    counts: PairCounts,
    *,
    tie_model: str = "half",
    prior: float = 0.0,
    anchor: str | None = None,
    anchor_rating: float = 1000.0,
    covariance: str = "sandwich",
    tolerance: float = 1e-9,
    max_iterations: int = 100,
) -> RatingFit:
    """Fit strengths to counted battles by maximum likelihood.

    Args:
        counts: The sufficient statistics.
        tie_model: half, drop, davidson or rao_kupper.
        prior: c > 0 adds to each model c drawn games against a virtual opponent of strength 0.
        anchor: The model whose t is 0 and whose rating is `anchor_rating`; None: the league's mean.
        anchor_rating: Rating at t = 0.
        covariance: sandwich (robust) or information.
        tolerance: Residual allowed, times max(1, battles).
        max_iterations: Newton steps at most; without convergence a `RuntimeWarning` is given.

    Raises:
        InvalidInput: unknown option or anchor, an anchor that has no rating; a prior, tolerance or
            max_iterations below 0, or one of these or anchor_rating no finite number.

    >>> fit = fit_bradley_terry(PairCounts(("x", "y"), [[0, 1]], [[3, 1]], [0]))
    >>> round(fit.difference("x", "y")[0], 6), round(fit.difference("x", "y")[1], 6)
    (1.098612, 1.154701)
    """
    check_options(tie_model, prior, covariance, anchor_rating)
    check_number("tolerance", tolerance, 0)
    check_whole("max_iterations", max_iterations, 0)
    graph = rated_graph(counts, tie_model, prior)
    problem = strength_problem(counts, graph, tie_model, prior)
    solution = solve_strengths(
        problem,
        covariance=covariance,
        tolerance=tolerance * max(1.0, problem.battles),
        max_iterations=max_iterations,
    )
    if not solution.converged:
        warnings.warn(
            f"the fit did not converge in {solution.iterations} steps "
            f"(residual {solution.residual:.3g}); do not publish it",
            RuntimeWarning,
            stacklevel=2,
        )
    return rating_fit(counts, graph, problem, solution, anchor, anchor_rating)


def check_options(
    tie_model: str, prior: float, covariance: str = "sandwich", anchor_rating: float = 0.0
) -> None:
    """Refuse unknown options, with the nearest name, and numbers that are not finite."""
    if tie_model not in likelihood.TIE_MODELS:
        raise unknown_name("tie_model", tie_model, likelihood.TIE_MODELS)
    if covariance not in COVARIANCES:
        raise unknown_name("covariance", covariance, COVARIANCES)
    check_number("prior", prior, 0)
    check_number("anchor_rating", anchor_rating)


def rated_graph(counts: PairCounts, tie_model: str, prior: float) -> Graph:
    """Return the graph of wins; with a prior every model is `ok`, leagues stay as they are."""
    taken, games = points(counts), counts.pair_games
    if tie_model == "drop":
        taken, games = counts.wins, counts.wins.sum(axis=1)
    graph = graph_of(counts.models, counts.pairs, taken, games)
    if prior > 0:
        return Graph(graph.league, graph.group, np.zeros_like(graph.status))
    return graph


def strength_problem(
    counts: PairCounts, graph: Graph, tie_model: str, prior: float
) -> StrengthProblem:
    """Return the likelihood over the rated models and the games inside their classes."""
    rated = graph.rated
    pairs, outcomes = counts.pairs, Outcomes(counts.wins[:, 0], counts.wins[:, 1], counts.ties)
    if len(rated) < len(counts.models) or (prior == 0 and graph.group.any()):
        place = np.full(len(counts.models), -1, dtype=np.intp)
        place[rated] = np.arange(len(rated))
        inside = inside_classes(counts, graph, prior)
        pairs, outcomes = place[pairs[inside]], outcomes.take(inside)
    if tie_model == "drop":
        outcomes = outcomes.without_ties()
    league = graph.league[rated]
    if league.any():
        league = np.unique(league, return_inverse=True)[1]
    return StrengthProblem(
        k=len(rated),
        pairs=pairs,
        outcomes=outcomes,
        tie_model=tie_model,
        prior=prior,
        gauge=None if prior > 0 else league,
    )


def inside_classes(counts: PairCounts, graph: Graph, prior: float) -> NDArray[np.bool_]:
    """Return (M,): which pairs are two rated models of one class (with a prior: any two)."""
    ok = graph.status == 0
    i, j = counts.pairs.T
    inside = ok[i] & ok[j]
    return inside if prior > 0 else inside & (graph.group[i] == graph.group[j])


def rating_fit(
    counts: PairCounts,
    graph: Graph,
    problem: StrengthProblem,
    solution: StrengthSolution,
    anchor: str | None,
    anchor_rating: float,
) -> RatingFit:
    """Spread a solution over all models, anchored, with NaN where there is no rating."""
    strength, covariance = solution.strength, solution.covariance
    if anchor is not None:
        strength, covariance = anchored(counts.models, graph, problem, solution, anchor)
    k, rated = len(counts.models), graph.rated
    status = statuses(graph, counts.models)
    if len(rated) and np.isnan(strength).all():  # no finite tie parameter, see `tie_state`
        status.update({counts.models[position]: "undetermined" for position in rated})
    full = np.full(k, np.nan)
    full[rated] = strength
    errors = np.full(k, np.nan)
    errors[rated] = np.sqrt(np.maximum(np.asarray(covariance.diagonal()), 0.0))
    centred = None
    if not isinstance(covariance, np.ndarray):
        centred = np.full(k, np.nan)
        centred[rated] = np.asarray(solution.covariance.diagonal())
    return RatingFit(
        models=counts.models,
        log_strength=full,
        rating=anchor_rating + SCALE * full,
        standard_error=errors,
        covariance=_spread(covariance, rated, k, np.nan),
        information=_spread(solution.information, rated, k, 0.0),
        games=counts.games,
        league=graph.league,
        status=status,
        tie_model=problem.tie_model,
        tie_parameter=solution.tie_parameter,
        converged=solution.converged,
        iterations=solution.iterations,
        residual=solution.residual,
        centred_variance=centred,
    )


def anchored(
    models: tuple[str, ...],
    graph: Graph,
    problem: StrengthProblem,
    solution: StrengthSolution,
    anchor: str,
) -> tuple[Floats, Any]:
    """Return strengths and covariance with t of `anchor` at 0: both mapped by D = I - 1 e_r'."""
    position = position_of(models, anchor)
    place = np.flatnonzero(graph.rated == position)
    if not len(place):
        status = statuses(graph, models)[anchor]
        raise InvalidInput(
            f"anchor {anchor!r} has no rating (status {status}); choose a model with status ok, "
            "or give a prior"
        )
    r = int(place[0])
    moved = (
        np.ones(problem.k) if problem.gauge is None else 1.0 * (problem.gauge == problem.gauge[r])
    )
    strength = solution.strength - moved * solution.strength[r]
    covariance = solution.covariance
    if isinstance(covariance, np.ndarray):
        half = covariance - np.outer(moved, covariance[r])
        return strength, half - np.outer(half[:, r], moved)
    return strength, solution.anchored_diagonal(r, moved)


def _spread(matrix: Any, rated: NDArray[np.intp], k: int, fill: float) -> Any:
    """Return a matrix over the rated models as one over all k models."""
    if len(rated) == k:
        return matrix
    if isinstance(matrix, np.ndarray):
        full = np.full((k, k), fill)
        full[np.ix_(rated, rated)] = matrix
        return full
    from scipy.sparse import coo_array, csr_array

    entries = coo_array(matrix)
    values, rows, columns = entries.data, rated[entries.coords[0]], rated[entries.coords[1]]
    if np.isnan(fill):
        rest = np.setdiff1d(np.arange(k), rated)
        values = np.concatenate([values, np.full(len(rest), np.nan)])
        rows, columns = np.concatenate([rows, rest]), np.concatenate([columns, rest])
    return csr_array(coo_array((values, (rows, columns)), shape=(k, k)))
