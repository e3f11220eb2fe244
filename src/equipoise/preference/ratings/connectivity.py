"""Which ratings exist: leagues, classes, and the place of every model towards the main class.

Ford 1957: the maximum of a Bradley-Terry likelihood exists, and is unique up to a shift, exactly
where every model can be reached from every other along wins (a tie is half a win each way).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from equipoise.preference.ratings.counts import PairCounts
from equipoise.preference.ratings.tally import tally

STATUSES = ("ok", "above", "below", "undetermined", "isolated")


@dataclass(frozen=True)
class Connectivity:
    """The graph in which i -> j where i took points from j.

    Attributes:
        leagues: Weakly connected components; ratings of two leagues are not comparable. Leagues
            and the names in them stand in the order of `PairCounts.models`.
        classes: Strongly connected components, likewise.
        status: Per model `ok` (in the main class of its league: rated), `above` (a chain of wins
            leads to the main class and none back), `below`, `undetermined` (neither) or
            `isolated` (no game).
        connected: Whether there is at most one league.
    """

    leagues: tuple[tuple[str, ...], ...]
    classes: tuple[tuple[str, ...], ...]
    status: Mapping[str, str]
    connected: bool


@dataclass(frozen=True, eq=False)
class Graph:
    """`Connectivity` as arrays: (K,) league, (K,) class (`group`), (K,) index into `STATUSES`."""

    league: NDArray[np.intp]
    group: NDArray[np.intp]
    status: NDArray[np.intp]

    @property
    def rated(self) -> NDArray[np.intp]:
        """Positions of the models with status `ok`."""
        return np.flatnonzero(self.status == 0)


def connectivity(counts: PairCounts) -> Connectivity:
    """Return leagues, classes and the status of each model; a tie counts as half a win each way."""
    graph = graph_of(counts.models, counts.pairs, points(counts), counts.pair_games)
    leagues = _members(graph.league, counts.models)
    return Connectivity(
        leagues, _members(graph.group, counts.models), statuses(graph, counts.models),
        len(leagues) <= 1,
    )  # fmt: skip


def points(counts: PairCounts) -> NDArray[np.float64]:
    """Return (M, 2): wins plus half the ties of i and of j."""
    return counts.wins + counts.ties[:, None] / 2


def statuses(graph: Graph, models: tuple[str, ...]) -> dict[str, str]:
    """Return name -> status."""
    return {name: STATUSES[code] for name, code in zip(models, graph.status)}


def graph_of(
    models: tuple[str, ...],
    pairs: NDArray[np.intp],
    taken: NDArray[np.float64],
    games: NDArray[np.float64],
) -> Graph:
    """Return the graph of pairs (M, 2) with an arrow i -> j where `taken[:, 0]` > 0, and back.

    The main class of a league is the one with the most `games` (M,) inside it; among equals the one
    that holds the smallest name.
    """
    k = len(models)
    if k == 0:
        empty = np.zeros(0, dtype=np.intp)
        return Graph(empty, empty, empty)
    tails = np.concatenate([pairs[taken[:, 0] > 0, 0], pairs[taken[:, 1] > 0, 1]])
    heads = np.concatenate([pairs[taken[:, 0] > 0, 1], pairs[taken[:, 1] > 0, 0]])
    arrows = csr_array((np.ones(len(tails), np.int8), (tails, heads)), shape=(k, k))
    count, group = connected_components(arrows, directed=True, connection="strong")
    if count == 1:  # the usual case: nothing further to find
        return Graph(
            np.zeros(k, dtype=np.intp),
            np.zeros(k, dtype=np.intp),
            np.full(k, STATUSES.index("isolated") if k == 1 else 0, dtype=np.intp),
        )
    league = _ordered(connected_components(arrows, directed=False)[1])
    group = _ordered(group)
    inside = group[pairs[:, 0]] == group[pairs[:, 1]]
    weight = tally(group[pairs[inside, 0]], games[inside], count)
    status = np.full(k, STATUSES.index("undetermined"), dtype=np.intp)
    back = csr_array(arrows.T)
    for main in _main_classes(models, league, group, weight):
        members = np.flatnonzero(group == main)
        start = int(members[0])
        if len(members) == 1 and np.count_nonzero(league == league[start]) == 1:
            status[start] = STATUSES.index("isolated")
            continue
        for arrow, name in ((back, "above"), (arrows, "below")):
            reached = breadth_first_order(arrow, start, return_predecessors=False)
            status[reached] = STATUSES.index(name)
        status[members] = 0
    return Graph(league, group, status)


def _main_classes(
    models: tuple[str, ...],
    league: NDArray[np.intp],
    group: NDArray[np.intp],
    weight: NDArray[np.float64],
) -> list[int]:
    best: dict[int, tuple[float, str, int]] = {}
    for position, name in enumerate(models):
        candidate = (-float(weight[group[position]]), name, int(group[position]))
        at = int(league[position])
        if at not in best or candidate < best[at]:
            best[at] = candidate
    return [best[at][2] for at in sorted(best)]


def _ordered(labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return labels renumbered by first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.intp)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def _members(labels: NDArray[np.intp], models: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    groups: dict[int, list[str]] = {}
    for name, label in zip(models, labels.tolist()):
        groups.setdefault(label, []).append(name)
    return tuple(tuple(groups[label]) for label in sorted(groups))
