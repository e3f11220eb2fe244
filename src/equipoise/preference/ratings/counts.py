"""Sufficient statistics of paired comparisons: wins and ties of every pair that met."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput
from equipoise.preference.ratings.coding import (
    OUTCOMES,
    CodedBattles,
    check_models,
    check_weights,
    code_battles,
)
from equipoise.preference.ratings.tally import tally, tally_both

BLOCK = 1 << 16  # votes coded at a time: the working set stays in the processor's cache
MAX_TABLE = 1 << 22  # cells of a full (pair, outcome) table; above, cells are found by sorting


@dataclass(frozen=True, eq=False)
class PairCounts:
    """How often each pair met and who won: all that ratings need, whatever the number of battles.

    Attributes:
        models: Names of the K models.
        pairs: (M, 2) positions i < j in `models` of the pairs that met, in lexicographic order.
        wins: (M, 2) wins of i and of j.
        ties: (M,) ties, `both_bad` included.
        both_bad: (M,) how many of the ties were `both_bad`.
    """

    models: tuple[str, ...]
    pairs: NDArray[np.intp]
    wins: NDArray[np.float64]
    ties: NDArray[np.float64]
    both_bad: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        models = check_models(self.models)
        positions = _in_rows("pairs", self.pairs)
        m = len(positions)
        wins = _in_rows("wins", self.wins)
        ties = as_floats("ties", self.ties).reshape(-1)
        both_bad = as_floats("both_bad", self.both_bad).reshape(-1)
        if not len(both_bad):
            both_bad = np.zeros(m)
        if not len(wins) == len(ties) == len(both_bad) == m:
            raise InvalidInput(
                f"PairCounts needs one entry a pair: {m} pairs, {len(wins)} wins, {len(ties)} ties"
            )
        i, j = positions.T
        whole = (positions == np.floor(positions)).all()
        if not (whole and ((i >= 0) & (i < j) & (j < len(models))).all()):
            raise InvalidInput(
                f"pairs must hold positions i < j below {len(models)}, whole numbers from 0"
            )
        pairs = positions.astype(np.intp)
        if len({(int(i), int(j)) for i, j in pairs}) < m:
            raise InvalidInput("a pair stands twice; add up its counts")
        if not all(np.isfinite(x).all() and (x >= 0).all() for x in (wins, ties, both_bad)):
            raise InvalidInput("counts must be finite and >= 0")
        if (both_bad > ties).any():
            row = int(np.argmax(both_bad > ties))
            raise InvalidInput(
                f"both_bad[{row}] is {both_bad[row]:g}; it is part of ties[{row}], {ties[row]:g}"
            )
        for name, value in (
            ("models", models),
            ("pairs", pairs),
            ("wins", wins),
            ("ties", ties),
            ("both_bad", both_bad),
        ):
            object.__setattr__(self, name, value)

    @property
    def battles(self) -> float:
        """Number of battles (sum of their weights)."""
        return float(self.wins.sum() + self.ties.sum())

    @property
    def pair_games(self) -> NDArray[np.float64]:
        """(M,) battles of each pair."""
        return self.wins.sum(axis=1) + self.ties

    @property
    def games(self) -> NDArray[np.float64]:
        """(K,) battles of each model."""
        return tally_both(self.pairs, self.pair_games, len(self.models))

    def matrix(self) -> NDArray[np.float64]:
        """Return S (K, K): S[i, j] = wins of i over j + half their ties."""
        k = len(self.models)
        points = np.zeros((k, k))
        i, j = self.pairs.T
        points[i, j] = self.wins[:, 0] + self.ties / 2
        points[j, i] = self.wins[:, 1] + self.ties / 2
        return points

    def merge(self, other: "PairCounts") -> "PairCounts":
        """Return the counts of both; models of `other` that are new follow those of this one."""
        known = set(self.models)
        models = self.models + tuple(name for name in other.models if name not in known)
        place = {name: position for position, name in enumerate(models)}
        moved = np.array([place[name] for name in other.models], dtype=np.intp)
        pairs = np.concatenate([self.pairs, moved[other.pairs]])
        wins = np.concatenate([self.wins, other.wins])
        ties = np.concatenate([self.ties, other.ties])
        both_bad = np.concatenate([self.both_bad, other.both_bad])
        turned = pairs[:, 0] > pairs[:, 1]
        pairs[turned] = pairs[turned, ::-1]
        wins[turned] = wins[turned, ::-1]
        keys, index = np.unique(pairs[:, 0] * len(models) + pairs[:, 1], return_inverse=True)

        def total(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return tally(index, values, len(keys))

        return PairCounts(
            models,
            np.column_stack(np.divmod(keys, max(1, len(models)))),
            np.column_stack([total(wins[:, 0]), total(wins[:, 1])]),
            total(ties),
            total(both_bad),
        )


def count_battles(
    model_a: ArrayLike | Iterable[Any],
    model_b: ArrayLike | Iterable[Any],
    outcome: ArrayLike | Iterable[Any],
    *,
    models: Sequence[str] | None = None,
    weights: ArrayLike | None = None,
) -> PairCounts:
    """Count battles by pair.

    Args:
        model_a: (N,) names of the first models, or integers: positions in `models`.
        model_b: (N,) the second ones, likewise.
        outcome: (N,) of "a", "b", "tie", "both_bad" (or 0, 1, 2, 3).
        models: All names, in the order wanted; None: those found, sorted ("0", "1", ... for
            integers).
        weights: (N,) >= 0; None counts each battle once.

    Raises:
        InvalidInput: a bad entry; the row is named, counted from 0.

    >>> counts = count_battles(["x", "y", "x"], ["y", "x", "z"], ["a", "tie", "b"])
    >>> counts.models, counts.wins.tolist(), counts.ties.tolist()
    (('x', 'y', 'z'), [[1.0, 0.0], [0.0, 1.0]], [1.0, 0.0])
    """
    coded = code_battles(model_a, model_b, outcome, models)
    mass = None if weights is None else check_weights(weights, len(coded.a))
    return count_coded(coded, mass)


def count_coded(battles: CodedBattles, weights: NDArray[np.float64] | None = None) -> PairCounts:
    """Count battles that are already integers (see `count_battles`)."""
    k, kinds = len(battles.models), len(OUTCOMES)
    cells = k * k * kinds
    if cells <= MAX_TABLE:
        table = np.zeros(cells)
        for start in range(0, len(battles.a), BLOCK):
            rows = slice(start, start + BLOCK)
            key = (battles.a[rows] * k + battles.b[rows]) * kinds + battles.outcome[rows]
            table += np.bincount(key, None if weights is None else weights[rows], minlength=cells)
        used = np.flatnonzero(table)
        return _from_cells(battles.models, used, table[used])
    key = (battles.a * k + battles.b) * kinds + battles.outcome
    used, index = np.unique(key, return_inverse=True)
    each = np.ones(len(key)) if weights is None else weights
    return _from_cells(battles.models, used, tally(index, each, len(used)))


def _in_rows(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return `values` as (M, 2) float64."""
    array = as_floats(name, values)
    if array.size % 2:
        raise InvalidInput(f"{name} must hold two numbers a pair, got {array.size}")
    return array.reshape(-1, 2)


def _from_cells(
    models: tuple[str, ...], cells: NDArray[np.intp], mass: NDArray[np.float64]
) -> PairCounts:
    """Gather ordered (a, b, outcome) cells into unordered pairs."""
    k, kinds = max(1, len(models)), len(OUTCOMES)
    ordered, outcome = np.divmod(cells[mass > 0], kinds)
    mass = mass[mass > 0]
    a, b = np.divmod(ordered, k)
    keys, index = np.unique(np.minimum(a, b) * k + np.maximum(a, b), return_inverse=True)
    first_won = (outcome == 0) & (a < b) | (outcome == 1) & (a > b)
    second_won = (outcome == 1) & (a < b) | (outcome == 0) & (a > b)

    def total(chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        return tally(index[chosen], mass[chosen], len(keys))

    return PairCounts(
        models,
        np.column_stack(np.divmod(keys, k)),
        np.column_stack([total(first_won), total(second_won)]),
        total(outcome >= 2),
        total(outcome == 3),
    )


def counts_from_matrix(
    wins: ArrayLike, *, ties: ArrayLike | None = None, models: Sequence[str] | None = None
) -> PairCounts:
    """Return the counts that a matrix of wins spells.

    Args:
        wins: (K, K): wins[i, j] = times i beat j; the diagonal is 0.
        ties: (K, K) symmetric: ties[i, j] = ties of i and j (each counted once); None: no ties.
        models: K names; None: "0", "1", ...

    Raises:
        InvalidInput: not square, negative or not finite, a diagonal entry, ties not symmetric.
    """
    won = as_floats("wins", wins)
    tied = np.zeros_like(won) if ties is None else as_floats("ties", ties)
    k = len(won) if won.ndim else 0
    for name, matrix in (("wins", won), ("ties", tied)):
        if matrix.shape != (k, k):
            raise InvalidInput(f"{name} must be a square matrix ({k}, {k}), got {matrix.shape}")
        if not (np.isfinite(matrix).all() and (matrix >= 0).all()):
            raise InvalidInput(f"{name} must hold finite numbers >= 0")
        if matrix.diagonal().any():
            row = int(np.argmax(matrix.diagonal() != 0))
            raise InvalidInput(f"{name}[{row}, {row}] is not 0: a model plays against itself")
    if not np.array_equal(tied, tied.T):
        raise InvalidInput("ties must be symmetric: ties[i, j] = ties[j, i]")
    names = tuple(str(i) for i in range(k)) if models is None else check_models(models)
    if len(names) != k:
        raise InvalidInput(f"models has {len(names)} names for a matrix of {k} rows")
    i, j = np.nonzero(np.triu(won + won.T + tied, 1))
    return PairCounts(
        names, np.column_stack([i, j]), np.column_stack([won[i, j], won[j, i]]), tied[i, j]
    )
