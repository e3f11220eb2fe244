"""Bootstrap of ratings by resampling the (pair, outcome) cells: cost independent of the battles."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import unknown_name
from equipoise.core.seeding import stream
from equipoise.core.stats import check_level
from equipoise.preference.ratings import likelihood
from equipoise.preference.ratings.bradley_terry import (
    SCALE,
    check_options,
    inside_classes,
    position_of,
    rated_graph,
    strength_problem,
)
from equipoise.preference.ratings.coding import check_whole
from equipoise.preference.ratings.connectivity import STATUSES, Graph
from equipoise.preference.ratings.counts import PairCounts
from equipoise.preference.ratings.likelihood import Outcomes
from equipoise.preference.ratings.newton import DENSE_LIMIT, league_means
from equipoise.preference.ratings.strengths import StrengthProblem, centre, find_maximum

Floats = NDArray[np.float64]

SCHEMES = ("multinomial", "poisson")
RESIDUAL = 1e-6  # of a replicate, times the number of battles
STEPS = 20  # batched Newton steps before a replicate is solved by itself
BLOCK_BYTES = 1 << 26
UNBOUNDED = {"above": np.inf, "below": -np.inf}


@dataclass(frozen=True, eq=False)
class RatingSamples:
    """Replicates of ratings.

    Attributes:
        models: Names of the K models.
        log_strength: (B, K); +inf or -inf where a replicate leaves a model unbounded, NaN where
            undetermined.
        league: (K,) league of each model.
        anchor_rating: Rating at log_strength 0.
    """

    models: tuple[str, ...]
    log_strength: Floats
    league: NDArray[np.intp]
    anchor_rating: float

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return the percentile ends (low, high), each (K,), in rating units, maybe infinite."""
        low, high = percentile_ends(self.log_strength, level)
        return self.anchor_rating + SCALE * low, self.anchor_rating + SCALE * high


def bootstrap_bradley_terry(
    counts: PairCounts,
    *,
    replicates: int = 1000,
    seed: int = 0,
    scheme: str = "multinomial",
    tie_model: str = "half",
    prior: float = 0.0,
    anchor: str | None = None,
    anchor_rating: float = 1000.0,
) -> RatingSamples:
    """Refit ratings to resampled battles.

    Args:
        counts: The sufficient statistics.
        replicates: How many.
        seed: Seed of the resampling.
        scheme: multinomial (as many battles as there were) or poisson (each cell by itself).
        tie_model: As in `fit_bradley_terry`; also `prior`, `anchor`, `anchor_rating`.
        prior: Drawn games of each model against a virtual opponent.
        anchor: The model that is at 0 in every replicate.
        anchor_rating: Rating at log_strength 0.

    Raises:
        InvalidInput: unknown option or anchor, a number that is not finite or out of its range.
    """
    check_options(tie_model, prior, anchor_rating=anchor_rating)
    if scheme not in SCHEMES:
        raise unknown_name("scheme", scheme, SCHEMES)
    check_whole("replicates", replicates, 1)
    if anchor is not None:
        position_of(counts.models, anchor)
    refit = _Refit(counts, tie_model, prior)
    blocks = [refit.solve(n) for n in _resample(counts, replicates, seed, scheme)]
    strength = np.concatenate(blocks)
    if anchor is not None:
        r = position_of(counts.models, anchor)
        together = np.full(len(counts.models), prior > 0) | (
            refit.graph.league == refit.graph.league[r]
        )
        with np.errstate(invalid="ignore"):
            strength[:, together] -= strength[:, [r]]
    return RatingSamples(counts.models, strength, refit.graph.league, anchor_rating)


def _resample(counts: PairCounts, replicates: int, seed: int, scheme: str) -> Iterator[Outcomes]:
    """Yield blocks of resampled outcomes (b, M); the blocks do not change what is drawn."""
    rng = stream(seed, "bootstrap_bradley_terry")
    m, k = len(counts.pairs), len(counts.models)
    cells = np.concatenate([counts.wins[:, 0], counts.wins[:, 1], counts.ties])
    used = np.flatnonzero(cells)
    mass = cells[used]
    n = max(1, round(float(mass.sum()))) if len(used) else 0
    size = max(1, BLOCK_BYTES // (8 * (12 * m + 2 * min(k, DENSE_LIMIT) ** 2 + 1)))
    for start in range(0, replicates, size):
        b = min(size, replicates - start)
        table = np.zeros((b, 3 * m))
        if n and scheme == "multinomial":
            table[:, used] = rng.multinomial(n, mass / mass.sum(), size=b) * (mass.sum() / n)
        elif n:
            table[:, used] = rng.poisson(mass, size=(b, len(mass)))
        yield Outcomes(table[:, :m], table[:, m : 2 * m], table[:, 2 * m :])


class _Refit:
    """The fit to the original battles, and refits from there."""

    def __init__(self, counts: PairCounts, tie_model: str, prior: float) -> None:
        self.counts, self.tie_model, self.prior = counts, tie_model, prior
        self.graph = rated_graph(counts, tie_model, prior)
        self.problem = strength_problem(counts, self.graph, tie_model, prior)
        self.tolerance = 1e-9 * max(1.0, self.problem.battles)
        self.point = find_maximum(self.problem, self.tolerance, 100).point
        self.inside = inside_classes(counts, self.graph, prior)

    def solve(self, n: Outcomes) -> Floats:
        """Return strengths (b, K) of resampled outcomes (b, M)."""
        strength = np.full((len(n.first), len(self.counts.models)), np.nan)
        done = self._solve_together(n, strength)
        for row in np.flatnonzero(~done):
            strength[row] = self._solve_alone(Outcomes(n.first[row], n.second[row], n.tied[row]))
        return strength

    def _solve_together(self, n: Outcomes, strength: Floats) -> NDArray[np.bool_]:
        """Fill the rows whose graph is as before, by batched Newton; return which those are."""
        problem, k = self.problem, self.problem.k
        chosen = n.take(self.inside)
        if self.tie_model == "drop":
            chosen = chosen.without_ties()
        usable = self._intact(chosen, n)
        if k > DENSE_LIMIT or not usable.any():
            return np.zeros(len(usable), dtype=bool)
        rows = np.flatnonzero(usable)
        part = Outcomes(chosen.first[rows], chosen.second[rows], chosen.tied[rows])
        point, holds = batched_newton(problem, part, self.point)
        good = rows[holds]
        for row, t in zip(good, point[holds, :k]):
            strength[row, self.graph.rated] = centre(t, problem.gauge)
        for name, value in UNBOUNDED.items():
            strength[np.ix_(good, np.flatnonzero(self.graph.status == STATUSES.index(name)))] = (
                value
            )
        done = np.zeros(len(usable), dtype=bool)
        done[good] = True
        return done

    def _intact(self, chosen: Outcomes, n: Outcomes) -> NDArray[np.bool_]:
        """Which replicates keep the rated models one class, and the others where they were."""
        fits_ties = len(self.point) > self.problem.k
        usable = np.ones(len(n.first), dtype=bool)
        if fits_ties:
            traded = (chosen.first > 0) & (chosen.second > 0)  # wins both ways: never endless
            usable &= chosen.tied.any(axis=1) & traded.any(axis=1)
        if self.tie_model in likelihood.NO_TIES and not fits_ties:
            usable &= not self.problem.outcomes.tied.any()  # endless: each row needs its own check
        if self.prior:
            return usable
        if len(self.graph.rated) < len(self.counts.models):
            half = 0.0 if self.tie_model == "drop" else n.tied / 2
            for replicate, whole in (
                (n.first + half, self.counts.wins[:, 0]),
                (n.second + half, self.counts.wins[:, 1]),
            ):
                arrows = whole if self.tie_model == "drop" else whole + self.counts.ties
                usable &= (replicate[:, arrows > 0] > 0).all(axis=1)
        return usable & _strongly_connected(self.problem, chosen)

    def _solve_alone(self, n: Outcomes) -> Floats:
        """Return strengths (K,) of one replicate with its own graph."""
        counts = PairCounts(
            self.counts.models,
            self.counts.pairs,
            np.column_stack([n.first, n.second]),
            n.tied,
        )
        graph = rated_graph(counts, self.tie_model, self.prior)
        if not self.prior:
            graph = _within(graph, self.graph, counts)
        problem = strength_problem(counts, graph, self.tie_model, self.prior)
        strength = np.full(len(counts.models), np.nan)
        for name, value in UNBOUNDED.items():
            strength[graph.status == STATUSES.index(name)] = value
        if problem.tie_state == "endless" and (n.first.any() or n.second.any()):
            strength[graph.rated] = np.nan
            return strength
        t = find_maximum(problem, self.tolerance, 100).point[: problem.k]
        strength[graph.rated] = self._placed(centre(t, problem.gauge), graph, problem)
        return strength

    def _placed(self, t: Floats, graph: Graph, problem: StrengthProblem) -> Floats:
        """Shift each league so that losing a model does not move the mean of those that stay."""
        if problem.gauge is None:
            return t
        original = np.full(len(self.counts.models), np.nan)
        original[self.graph.rated] = centre(self.point[: self.problem.k], self.problem.gauge)
        before = np.nan_to_num(original[graph.rated])
        return t + before - centre(before, problem.gauge)


def _within(graph: Graph, original: Graph, counts: PairCounts) -> Graph:
    """Return `graph` with one main class for each league of the original graph.

    Resampling can split a league; what has lost its tie to the main part is undetermined there.
    """
    if np.array_equal(graph.league, original.league):
        return graph
    status = graph.status.copy()
    i = counts.pairs[:, 0]
    battles = np.bincount(graph.league[i], counts.pair_games, minlength=graph.league.max() + 1)
    undetermined = STATUSES.index("undetermined")
    for league in range(original.league.max() + 1):
        parts = np.unique(graph.league[original.league == league])
        main = parts[np.argmax(battles[parts])]
        status[(original.league == league) & (graph.league != main)] = undetermined
    return Graph(graph.league, graph.group, status)


def _strongly_connected(problem: StrengthProblem, n: Outcomes) -> NDArray[np.bool_]:
    """Return (b,): whether all models of each league still reach each other along wins."""
    b, k = len(n.first), problem.k
    if k > DENSE_LIMIT or problem.gauge is None or not k:
        return np.ones(b, dtype=bool)
    i, j = problem.pairs.T
    arrows = np.zeros((b, k, k), dtype=np.float32)
    arrows[:, i, j] = n.first + n.tied > 0
    arrows[:, j, i] = n.second + n.tied > 0
    starts = np.unique(problem.gauge, return_index=True)[1]
    whole = np.ones(b, dtype=bool)
    for matrix in (arrows, arrows.transpose(0, 2, 1)):
        reached = np.zeros((b, 1, k), dtype=np.float32)
        reached[:, 0, starts] = 1.0
        count = -1
        while count != (count := int(reached.sum())):
            reached = np.maximum(reached, np.matmul(reached, matrix) > 0).astype(np.float32)
        whole &= reached[:, 0].all(axis=1)
    return whole


def batched_newton(
    problem: StrengthProblem, n: Outcomes, start: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return points (b, P) and which of them solve their score equations, all from `start` (P,)."""
    k, p, b = problem.k, len(start), len(n.first)
    i, j = problem.pairs.T
    point = np.tile(start, (b, 1))
    holds = np.zeros(b, dtype=bool)
    gauge = np.zeros((p, p))
    if problem.gauge is not None:
        gauge[:k, :k] = league_means(problem.gauge)
    incidence = _incidence(problem)
    goal = RESIDUAL * max(1.0, problem.battles)
    for _ in range(STEPS):
        rows = np.flatnonzero(~holds)
        part = Outcomes(n.first[rows], n.second[rows], n.tied[rows])
        t = point[rows, :k]
        eta = point[rows, k:] if p > k else None
        terms = likelihood.terms(problem.tie_model, t[:, i] - t[:, j], eta, part)
        slope = terms.d @ incidence
        curve = _batched_hessian(problem, terms, incidence, p)
        if problem.prior:
            s = 1.0 / (1.0 + np.exp(-t))
            slope = slope + problem.prior * (0.5 - s)
            curve[:, np.arange(k), np.arange(k)] += problem.prior * s * (1 - s)
        if terms.e is not None:
            slope = np.column_stack([slope, terms.e])
        good = np.abs(slope).max(axis=1, initial=0.0) <= goal
        holds[rows[good]] = True
        if holds.all():
            break
        scale = np.einsum("bii->b", curve[:, :k, :k])[:, None, None] / max(1, k)
        try:
            step = np.linalg.solve(curve + scale * gauge, slope[:, :, None])[:, :, 0]
        except np.linalg.LinAlgError:
            break
        if problem.tie_model == "rao_kupper" and eta is not None:
            step *= _inside_model(eta, step[:, k:])
        point[rows[~good]] += step[~good]
    return point, holds & np.isfinite(point).all(axis=1)


def _inside_model(eta: Floats, step: Floats) -> Floats:
    """Return the share (b, 1) of each step that leaves eta > 0, no less than half of it."""
    return 1.0 / np.maximum(1.0, -2.0 * step / eta)


def _incidence(problem: StrengthProblem) -> "NDArray[np.float64]":
    from scipy.sparse import csr_array

    m = len(problem.pairs)
    rows = np.arange(m)
    values = np.concatenate([np.ones(m), -np.ones(m)])
    place = (np.concatenate([rows, rows]), problem.pairs.T.ravel())
    return csr_array((values, place), shape=(m, problem.k))  # type: ignore[return-value]


def _batched_hessian(
    problem: StrengthProblem, terms: likelihood.Terms, incidence: Floats, p: int
) -> Floats:
    """Return minus the Hessian (b, P, P) of every replicate."""
    k = problem.k
    i, j = problem.pairs.T
    curve = np.zeros((len(terms.dd), p, p))
    curve[:, i, j] = curve[:, j, i] = -terms.dd
    curve[:, np.arange(k), np.arange(k)] = terms.dd @ abs(incidence)
    if terms.de is not None and terms.ee is not None:
        border = terms.de @ incidence
        curve[:, :k, k], curve[:, k, :k], curve[:, k, k] = border, border, terms.ee
    return curve


def percentile_ends(samples: Floats, level: float) -> tuple[Floats, Floats]:
    """Return the percentile ends over the first axis; NaN is left out, infinity stays infinite."""
    tail = (1.0 - check_level(level)) / 2.0
    ordered = np.sort(samples, axis=0)  # NaN goes last
    known = np.count_nonzero(~np.isnan(samples), axis=0)
    last = np.maximum(known - 1, 0)

    def at(share: float) -> Floats:
        place = last * share
        nearest = np.rint(place)
        place = np.where(np.abs(place - nearest) <= 1e-14 * last, nearest, place)
        below, above = (end(place).astype(np.intp) for end in (np.floor, np.ceil))
        low = np.take_along_axis(ordered, below[None], axis=0)[0]
        high = np.take_along_axis(ordered, above[None], axis=0)[0]
        with np.errstate(invalid="ignore"):
            mixed = low + (place - below) * (high - low)
        edge = np.where(np.isneginf(low), low, high)
        return np.where(np.isfinite(low) & np.isfinite(high), mixed, edge)

    return at(tail), at(1.0 - tail)
