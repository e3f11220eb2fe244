"""Ratings under control of context: style, position, or anything else known about a battle."""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings.bradley_terry import (
    RatingFit,
    position_of,
    rated_graph,
    rating_fit,
    strength_problem,
)
from equipoise.preference.ratings.coding import (
    POINTS,
    CodedBattles,
    check_number,
    code_battles,
)
from equipoise.preference.ratings.counts import count_coded
from equipoise.preference.ratings.newton import (
    DenseSystem,
    Evaluation,
    Maximum,
    assemble,
    covariance_diagonal,
    factorise,
    maximise,
)
from equipoise.preference.ratings.strengths import StrengthProblem, StrengthSolution, centre
from equipoise.preference.ratings.tally import tally, tally_difference

Floats = NDArray[np.float64]

STYLE_FEATURES = ("words", "headings", "list_items", "bold_spans")

DECIDED = 25.0  # logits by which a feature at least sways its typical battle if it decides it

_FENCE = re.compile(
    r"^(?P<lead>[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)"  # of quotes and list items
    r"(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})[^\n]*"  # no backtick may follow, or it is inline code
    r"(?:\n(?:.*?\n)??[ \t>]*(?P=fence)[`~]*[ \t\r]*$|.*\Z)",
    re.MULTILINE | re.DOTALL,
)
_HEADING = re.compile(r"^ {0,3}#{1,6}(?:\s|$)", re.MULTILINE)
_ITEM = re.compile(
    r"^[ \t]*(?!(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,})\r?$)"  # a rule is no item
    r"(?:[-*+]|\d{1,9}[.)])\s+\S",
    re.MULTILINE,
)
_BOLD = re.compile(r"\*\*(?=\S).+?(?<=\S)\*\*|(?<!\w)__(?=\S).+?(?<=\S)__(?!\w)")


@dataclass(frozen=True, eq=False)
class ContextualFit(RatingFit):
    """A `RatingFit` with the effects of features.

    Attributes:
        coefficients: (F,) beta, in log units per unit of each feature.
        coefficient_error: (F,) standard errors; infinite where the battles do not tell.
    """

    coefficients: Floats
    coefficient_error: Floats


def fit_contextual(
    model_a: ArrayLike | Iterable[Any],
    model_b: ArrayLike | Iterable[Any],
    outcome: ArrayLike | Iterable[Any],
    features: ArrayLike,
    *,
    ridge: float = 0.0,
    anchor: str | None = None,
) -> ContextualFit:
    """Fit logit P(a beats b) = t_a - t_b + beta . z with one feature row z per battle.

    Ties count as half a win each way. Ratings are those at z = 0. Covariances are sandwich ones.

    Args:
        model_a: (N,) names (or positions) of the first models.
        model_b: (N,) of the second ones.
        outcome: (N,) "a", "b", "tie" or "both_bad".
        features: (N, F), or (N,) for one feature; of a relative to b.
        ridge: Penalty ridge/2 |beta|^2, on beta only.
        anchor: The model at 0.

    Raises:
        InvalidInput: a bad row, features of another length or not finite, ridge < 0.
    """
    coded = code_battles(model_a, model_b, outcome)
    z = _check_features(features, len(coded.a))
    check_number("ridge", ridge, 0)
    counts = count_coded(coded)
    if anchor is not None:
        position_of(counts.models, anchor)
    graph = rated_graph(counts, "half", 0.0)
    problem = strength_problem(counts, graph, "half", 0.0)
    inside = (graph.status[coded.a] == 0) & (graph.group[coded.a] == graph.group[coded.b])
    table = _Table.of(coded, z, inside, graph.rated, problem, ridge)
    maximum = maximise(
        table.evaluate,
        np.zeros(problem.k + z.shape[1]),
        problem.k,
        problem.gauge,
        tolerance=1e-9 * max(1.0, problem.battles),
        max_iterations=100,
    )
    converged = maximum.converged and (ridge > 0 or not _decides(maximum, problem.k))
    solution, errors = _solution(table, problem, maximum, converged)
    if not converged:
        warnings.warn(
            "the contextual fit did not converge: a feature may decide battles by itself; "
            "give a ridge",
            RuntimeWarning,
            stacklevel=2,
        )
    fit = rating_fit(counts, graph, problem, solution, anchor, 1000.0)
    return ContextualFit(
        **vars(fit),
        coefficients=maximum.point[problem.k :] / table.unit,
        coefficient_error=errors / table.unit,
    )


def style_features(text_a: str, text_b: str) -> Floats:
    """Return (4,): words, headings, list items and bold spans as (a - b) / (a + b + 1).

    Markdown; headings, items and bold spans inside fenced code do not count.

    >>> style_features("one two three", "one").tolist()
    [0.4, 0.0, 0.0, 0.0]
    """
    a, b = (np.array(_style_counts(text), dtype=np.float64) for text in (text_a, text_b))
    return (a - b) / (a + b + 1)


def _style_counts(text: str) -> tuple[int, int, int, int]:
    prose = _FENCE.sub(r"\g<lead>```", text)
    marks = (len(pattern.findall(prose)) for pattern in (_HEADING, _ITEM, _BOLD))
    headings, items, bold = marks
    return len(text.split()), headings, items, bold


def _check_features(features: ArrayLike, n: int) -> Floats:
    z = as_floats("features", features)
    if z.ndim == 1 and len(z) == n:
        z = z[:, None]
    if z.ndim != 2 or len(z) != n:
        raise InvalidInput(f"features must be ({n}, F), one row a battle, got {z.shape}")
    bad = ~np.isfinite(z).all(axis=1)
    if bad.any():
        raise InvalidInput(f"row {int(np.argmax(bad))}: features must be finite numbers")
    return z


@dataclass(frozen=True, eq=False)
class _Table:
    """Battles among rated models: positions a, b (N,), points y (N,), features z (N, F).

    Features are in units (F,) of their typical size, so that no choice of units sways the search;
    the ridge (F,) is in these units too.
    """

    k: int
    a: NDArray[np.intp]
    b: NDArray[np.intp]
    y: Floats
    z: Floats
    unit: Floats
    pairs: NDArray[np.intp]
    pair_of: NDArray[np.intp]
    ridge: Floats

    @staticmethod
    def of(
        coded: CodedBattles,
        z: Floats,
        inside: NDArray[np.bool_],
        rated: NDArray[np.intp],
        problem: StrengthProblem,
        ridge: float,
    ) -> "_Table":
        place = np.full(len(coded.models), -1, dtype=np.intp)
        place[rated] = np.arange(len(rated))
        a, b = place[coded.a[inside]], place[coded.b[inside]]
        keys = problem.pairs[:, 0] * problem.k + problem.pairs[:, 1]  # sorted, as counted
        pair_of = np.searchsorted(keys, np.minimum(a, b) * problem.k + np.maximum(a, b))
        y = POINTS[coded.outcome[inside]]
        z = z[inside]
        unit = np.array([_typical_size(column) for column in z.T])
        scaled_ridge = (np.sqrt(ridge) / unit) ** 2
        return _Table(problem.k, a, b, y, z / unit, unit, problem.pairs, pair_of, scaled_ridge)

    def evaluate(self, point: Floats) -> Evaluation:
        t, beta = point[: self.k], point[self.k :]
        x = t[self.a] - t[self.b] + self.z @ beta
        p = expit(x)
        gap = self.y - p
        gradient = np.concatenate([self._spread(gap), gap @ self.z - self.ridge * beta])

        def value() -> float:
            return float((self.y * x + log_expit(-x)).sum() - (self.ridge * beta) @ beta / 2)

        return Evaluation(gradient, value, lambda: self.weighted(p * (1 - p), self.ridge))

    def score_products(self, point: Floats) -> Any:
        x = point[: self.k][self.a] - point[: self.k][self.b] + self.z @ point[self.k :]
        return self.weighted((self.y - expit(x)) ** 2, np.zeros_like(self.ridge))

    def weighted(self, weight: Floats, ridge: Floats) -> Any:
        """Return the normal equations [x z]' diag(weight) [x z] + ridge on the features."""
        loaded = weight[:, None] * self.z
        border = (
            np.array([self._spread(column) for column in loaded.T])
            .reshape(self.z.shape[1], self.k)
            .T
        )
        return assemble(
            self.k,
            self.pairs,
            tally(self.pair_of, weight, len(self.pairs)),
            border=border,
            corner=self.z.T @ loaded + np.diag(ridge),
        )

    def _spread(self, per_battle: Floats) -> Floats:
        return tally_difference(self.a, self.b, per_battle, self.k)


def _typical_size(column: Floats) -> float:
    """Return the median absolute value of the entries that are not 0; 1 where all are."""
    sizes = np.abs(column[column != 0])
    return float(np.median(sizes)) if len(sizes) else 1.0


def _decides(maximum: Maximum, k: int) -> bool:
    """Return whether a coefficient was still growing, for want of battles that hold it back."""
    coefficients = maximum.point[k:]
    large = np.abs(coefficients) > DECIDED
    if not large.any():
        return False
    variance = maximum.system.solve(np.eye(len(maximum.point))[:, k:])[k:].diagonal()
    return bool((large & ~(variance < coefficients**2)).any())


def _solution(
    table: _Table, problem: StrengthProblem, maximum: Maximum, converged: bool
) -> tuple[StrengthSolution, Floats]:
    """Return strengths with their covariance, and the standard errors of the coefficients."""
    k, system = problem.k, maximum.system
    middle = table.score_products(maximum.point)
    if isinstance(system, DenseSystem):
        inverse = system.inverse()
        with np.errstate(invalid="ignore"):  # no battles, no ridge: nothing is known, all is NaN
            whole = inverse @ middle @ inverse
        spread, diagonal = whole[:k, :k], whole.diagonal()
        border, corner = system.matrix[:k, k:], system.matrix[k:, k:]
        information = system.matrix[:k, :k] - border @ np.linalg.pinv(corner) @ border.T
    else:
        from scipy.sparse import csr_array, diags_array

        diagonal = covariance_diagonal(system, middle)
        spread = diags_array(diagonal[:k])
        information = csr_array(system.matrix)[:k, :k]
    errors = np.sqrt(np.maximum(diagonal[k:], 0.0))
    errors[_unidentified(system, k)] = np.inf
    solution = StrengthSolution(
        centre(maximum.point[:k], problem.gauge),
        maximum.point,
        None,
        spread,
        information,
        converged,
        maximum.iterations,
        maximum.residual,
        system,
        middle,
    )
    return solution, errors


def _unidentified(system: Any, k: int) -> NDArray[np.bool_]:
    """Return (F,): which coefficients can move, with strengths or others, and change no chance."""
    matrix = system.matrix
    f = matrix.shape[0] - k
    if f == 0:
        return np.zeros(0, dtype=bool)
    columns = matrix[:, k:] if isinstance(matrix, np.ndarray) else matrix[:, k:].toarray()
    top, corner = columns[:k], columns[k:]
    strengths = matrix[:k, :k]
    size = np.sqrt(np.where(corner.diagonal() > 0, corner.diagonal(), 1.0))
    explained = top.T @ factorise(strengths, k, system.gauge).solve(top) if k else 0.0
    rest = (corner - explained) / np.outer(size, size)
    values, vectors = np.linalg.eigh((rest + rest.T) / 2)
    return np.any(np.abs(vectors[:, values < 1e-9]) > 1e-6, axis=1)
