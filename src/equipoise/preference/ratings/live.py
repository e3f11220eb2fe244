"""Ratings that follow every vote: one cell changes, and the fit goes on from where it stood."""

from collections.abc import Sequence

import numpy as np

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.preference.ratings.bradley_terry import (
    RatingFit,
    check_options,
    position_of,
    rated_graph,
    rating_fit,
    strength_problem,
)
from equipoise.preference.ratings.coding import OUTCOMES, check_models
from equipoise.preference.ratings.connectivity import Graph
from equipoise.preference.ratings.counts import PairCounts
from equipoise.preference.ratings.strengths import StrengthSolution, solve_strengths


class LiveRatings:
    """Bradley-Terry ratings (ties as half wins) under a stream of votes.

    A vote changes one cell of the counts. The next `fit()` takes Newton steps from the last maximum
    (one is usually enough) and equals a full refit; the graph is looked at again only when a win
    appears or disappears between two models.

    >>> live = LiveRatings(["x", "y"])
    >>> for outcome in ["a", "a", "a", "b"]:
    ...     live.add("x", "y", outcome)
    >>> round(live.fit().difference("x", "y")[0], 6)
    1.098612
    """

    def __init__(self, models: Sequence[str], *, prior: float = 0.0) -> None:
        check_options("half", prior)
        self._models = check_models(models)
        self._place = {name: position for position, name in enumerate(self._models)}
        self._prior = prior
        self._row: dict[tuple[int, int], int] = {}
        self._pairs = np.zeros((16, 2), dtype=np.intp)
        self._cells = np.zeros((16, 4))  # wins of i, wins of j, ties, both_bad (again)
        self._counts: PairCounts | None = None  # views of the arrays above
        self._graph: Graph | None = None
        self._solution: StrengthSolution | None = None

    def add(self, a: str, b: str, outcome: str) -> None:
        """Count one battle of `a` and `b`: outcome "a", "b", "tie" or "both_bad".

        Raises:
            InvalidInput: unknown name or outcome, or a model against itself; nothing is changed.
        """
        self._change(a, b, outcome, 1.0)

    def remove(self, a: str, b: str, outcome: str) -> None:
        """Take one battle back.

        Raises:
            InvalidInput: as `add`, or no such battle is counted; nothing is changed.
        """
        self._change(a, b, outcome, -1.0)

    @property
    def counts(self) -> PairCounts:
        """The battles counted so far."""
        counts = self._current()
        order = np.lexsort((counts.pairs[:, 1], counts.pairs[:, 0]))
        order = order[counts.pair_games[order] > 0]
        return PairCounts(
            self._models,
            counts.pairs[order],
            counts.wins[order],
            counts.ties[order],
            counts.both_bad[order],
        )

    def fit(self) -> RatingFit:
        """Return the ratings after all votes so far, with their sandwich covariance."""
        counts = self._current()
        if self._graph is None:
            self._graph, self._solution = rated_graph(counts, "half", self._prior), None
        graph = self._graph
        problem = strength_problem(counts, graph, "half", self._prior)
        self._solution = solve_strengths(
            problem,
            covariance="sandwich",
            tolerance=1e-9 * max(1.0, problem.battles),
            max_iterations=100,
            nearby=self._solution,
        )
        fit = rating_fit(counts, graph, problem, self._solution, None, 1000.0)
        if problem.k < len(self._models):  # which class is the main one depends on all games
            self._graph = None
        return fit

    def _change(self, a: str, b: str, outcome: str, amount: float) -> None:
        i, j = (position_of_fast(self._place, self._models, name) for name in (a, b))
        if i == j:
            raise InvalidInput(f"{a!r} plays against itself")
        if outcome not in OUTCOMES:
            raise unknown_name("outcome", outcome, OUTCOMES)
        cell = OUTCOMES.index(outcome)
        if i > j:
            i, j, cell = j, i, (1, 0, 2, 3)[cell]
        row = self._row.get((i, j))
        plain = 0.0 if row is None else self._cells[row, 2] - self._cells[row, 3]
        counted = plain if cell == 2 else 0.0 if row is None else self._cells[row, cell]
        if counted + amount < 0:
            raise InvalidInput(f"no battle of {a!r} and {b!r} with outcome {outcome!r} is counted")
        if row is None:
            row = self._new_row(i, j)
        before = self._arrows(row)
        self._cells[row, cell] += amount
        if cell == 3:
            self._cells[row, 2] += amount
        if self._arrows(row) != before:
            self._graph = None

    def _arrows(self, row: int) -> tuple[bool, bool, bool]:
        first, second, tied, _ = self._cells[row]
        return bool(first + tied > 0), bool(second + tied > 0), bool(first + second + tied > 0)

    def _new_row(self, i: int, j: int) -> int:
        row = len(self._row)
        if row == len(self._pairs):
            self._pairs = np.concatenate([self._pairs, np.zeros_like(self._pairs)])
            self._cells = np.concatenate([self._cells, np.zeros_like(self._cells)])
        self._pairs[row] = i, j
        self._row[i, j] = row
        self._counts = None
        return row

    def _current(self) -> PairCounts:
        if self._counts is None:
            used = slice(0, len(self._row))
            cells = self._cells[used]
            self._counts = PairCounts(
                self._models, self._pairs[used], cells[:, :2], cells[:, 2], cells[:, 3]
            )
        return self._counts


def position_of_fast(place: dict[str, int], models: tuple[str, ...], name: str) -> int:
    """Return the position of a name by a table; the error of `position_of` where it is unknown."""
    known = place.get(name) if isinstance(name, str) else None
    return position_of(models, name) if known is None else known
