"""Compression by elimination: take away the unit that costs least, again and again (ours).

The leverage scores of `compression` look at the features alone; here the targets decide. Removing
feature j of a ridge raises its objective by v_j^2 / (G^-1)_jj at once, the others refitted (LeCun,
Hassibi), and the next costs follow from a rank-one change. The activation is learnt anew on what
is left: half-way, and at the end.
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


def surviving_units(moments: FeatureMoments, penalty: Array, keep: int) -> NDArray[np.intp]:
    """Return the units left when the cheapest one has been taken away until `keep` remain.

    Args:
        moments: of the features, p = M*R, feature m*R + r.
        penalty: of each unit's readout, (R, R).
        keep: units to keep.
    """
    rank, p = len(penalty), len(moments.gram)
    floor = _FLOOR * max(float(np.trace(moments.gram)) / p, 1e-300)
    system = add_penalty(moments.gram, penalty + floor * np.eye(rank))
    inverse = solve_spd(system, np.eye(p), floor)
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
    middle = round(np.sqrt(whole * keep))
    if keep < middle < whole:
        half = _step(at, coef, penalties, rows, plan, middle)
        at, coef = half.calibration, half.coef
        penalties = half.report["alpha"], half.report["smooth"]
    return _step(at, coef, penalties, rows, plan, keep)


def _step(
    at: Calibration,
    coef: Array,
    penalties: tuple[float, float],
    rows: tuple[Array, Array, Array],
    plan: Plan,
    keep: int,
) -> FittedModel:
    moments = moments_of_rows(at, coef, *rows, fit_intercept=plan.fit_intercept)
    penalty = coef @ penalty_matrix(coef.shape[1], *penalties) @ coef.T
    chosen = surviving_units(moments, penalty, keep)
    small = replace(at, weights=np.ascontiguousarray(at.weights[:, chosen]))
    model, _ = fit_rows(small, *rows, plan)
    return model
