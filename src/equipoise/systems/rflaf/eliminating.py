"""Compression by elimination: take away the unit that costs least, again and again (ours).

The leverage scores of `compression` look at the features alone; here the targets decide. Removing
feature j of a ridge raises its objective by v_j^2 / (G^-1)_jj at once, the others refitted (LeCun,
Hassibi), and the next costs follow from a rank-one change. The activation is learnt anew on what
is left: half-way, and at the end. Units that went early may fit the last activation better than
some that stayed, so a few are exchanged at last.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from equipoise.systems.rflaf.fitted import FittedModel, moments_of_rows
from equipoise.systems.rflaf.fitting import fit_rows
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.planning import Plan
from equipoise.systems.rflaf.problem import FeatureMoments
from equipoise.systems.rflaf.ridge import add_penalty, penalty_matrix, solve_spd
from equipoise.systems.rflaf.scaling import Calibration

_STARTS = 2
_FLOOR = 1e-7
_SWAPS = 50


def surviving_units(moments: FeatureMoments, penalty: Array, keep: int) -> NDArray[np.intp]:
    """Return the units left when the cheapest one has been taken away until `keep` remain.

    Args:
        moments: of the features, p = M*R, feature m*R + r.
        penalty: of each unit's readout, (R, R).
        keep: units to keep.
    """
    rank, p = len(penalty), len(moments.gram)
    inverse = solve_spd(_system(moments, penalty), np.eye(p), _FLOOR)
    readout = inverse @ moments.cross
    left = np.arange(p // rank)
    while len(left) > keep:
        blocks = inverse.reshape(len(left), rank, len(left), rank)
        own = blocks[np.arange(len(left)), :, np.arange(len(left)), :]
        values = readout.reshape(len(left), rank, -1)
        costs = (values * np.linalg.solve(own, values)).sum(axis=(1, 2))
        least = int(costs.argmin())
        gone = slice(least * rank, (least + 1) * rank)
        change = np.linalg.solve(own[least], inverse[gone])
        readout = readout - inverse[:, gone] @ np.linalg.solve(own[least], readout[gone])
        inverse = inverse - inverse[:, gone] @ change
        drop = np.arange(gone.start, gone.stop)
        inverse = np.delete(np.delete(inverse, drop, 0), drop, 1)
        readout, left = np.delete(readout, drop, 0), np.delete(left, least)
    return left


def exchanged_units(
    moments: FeatureMoments, penalty: Array, chosen: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Exchange units while one that is out lowers the objective more than one that is in.

    Args:
        moments: of the features of all units.
        penalty: of each unit's readout, (R, R).
        chosen: units to begin with.
    """
    rank = len(penalty)
    system = _system(moments, penalty)
    for _ in range(_SWAPS):
        out = np.setdiff1d(np.arange(len(system) // rank), chosen)
        if out.size == 0:
            break
        ins, outs = _features(chosen, rank), _features(out, rank)
        inverse = solve_spd(system[np.ix_(ins, ins)], np.eye(len(ins)), _FLOOR)
        between = system[np.ix_(outs, ins)]
        gap = moments.cross[outs] - between @ (inverse @ moments.cross[ins])
        gap = gap.reshape(len(out), rank, -1)
        own = system.reshape(-1, rank, len(system) // rank, rank)[out, :, out, :]
        explained = (between @ inverse).reshape(len(out), rank, -1)
        left = own - explained @ between.reshape(len(out), rank, -1).transpose(0, 2, 1)
        best = out[int((gap * np.linalg.solve(left, gap)).sum(axis=(1, 2)).argmax())]
        more = np.append(chosen, best)
        stay = more[surviving_units(_part(moments, _features(more, rank)), penalty, len(chosen))]
        if best not in stay:
            break
        chosen = stay
    return np.sort(chosen)


def _system(moments: FeatureMoments, penalty: Array) -> Array:
    floor = _FLOOR * max(float(np.trace(moments.gram)) / len(moments.gram), 1e-300)
    return add_penalty(moments.gram, penalty + floor * np.eye(len(penalty)))


def _features(units: NDArray[np.intp], rank: int) -> NDArray[np.intp]:
    return (units[:, None] * rank + np.arange(rank)).ravel()


def _part(moments: FeatureMoments, features: NDArray[np.intp]) -> FeatureMoments:
    gram = moments.gram[np.ix_(features, features)]
    return replace(moments, gram=gram, cross=moments.cross[features], mean=moments.mean[features])


def eliminated(
    at: Calibration,
    coef: Array,
    penalties: tuple[float, float],
    rows: tuple[Array, Array, Array],
    plan: Plan,
    keep: int,
) -> FittedModel:
    """Return a fit on the `keep` units that the targets need most.

    Args:
        at: calibration with all units.
        coef: activations that were learnt with them, (R, N).
        penalties: alpha and smooth of that fit.
        rows: X (n, d), targets (n, K) and weights.
        plan: how to learn the activation again.
        keep: units to keep; all of them where there are no more.
    """
    whole = at.weights.shape[1]
    solver = "varpro" if plan.search.solver == "adam" else plan.search.solver
    starts = min(_STARTS, plan.search.n_starts)
    search = replace(plan.search, solver=solver, rank=len(coef), n_starts=starts)
    plan = replace(plan, search=search)

    def moments_at(coef: Array, penalties: tuple[float, float]) -> tuple[FeatureMoments, Array]:
        moments = moments_of_rows(at, coef, *rows, fit_intercept=plan.fit_intercept)
        return moments, coef @ penalty_matrix(coef.shape[1], *penalties) @ coef.T

    def fit(units: NDArray[np.intp]) -> FittedModel:
        small = replace(at, weights=np.ascontiguousarray(at.weights[:, units]))
        return fit_rows(small, *rows, plan)[0]

    def shrink(units: NDArray[np.intp], coef: Array, size: int) -> NDArray[np.intp]:
        moments, penalty = moments_at(coef, penalties)
        some = _part(moments, _features(units, len(coef)))
        return units[surviving_units(some, penalty, size)]

    left, middle = np.arange(whole), round(np.sqrt(whole * keep))
    if keep < middle < whole:
        left = shrink(left, coef, middle)
        model = fit(left)
        coef, penalties = model.coef, _penalties(model)
    left = shrink(left, coef, keep)
    model = fit(left)
    final = exchanged_units(*moments_at(model.coef, _penalties(model)), left)
    return model if np.array_equal(final, left) else fit(final)


def _penalties(model: FittedModel) -> tuple[float, float]:
    return model.report["alpha"], model.report["smooth"]
