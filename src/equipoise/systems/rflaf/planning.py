"""How a fit is to go: the plan, the engine, the rows that the activation is learnt on."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.rflaf.adam import AdamOptions
from equipoise.systems.rflaf.choosing import Search
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.problem import CHUNK_BYTES, LIFTED_LIMIT
from equipoise.systems.rflaf.row_problem import RowProblem
from equipoise.systems.rflaf.scaling import Calibration
from equipoise.systems.rflaf.statistics import need_lifted_size

_COARSE_ROWS = 2000


@dataclass(frozen=True)
class Plan:
    """How to fit: the search, the engine and what else the estimators' parameters say."""

    search: Search
    engine: str = "auto"
    activation_rows: int = 20_000
    fit_intercept: bool = True
    adam: AdamOptions = field(default_factory=AdamOptions)
    chunk_bytes: int = CHUNK_BYTES
    log_loss: bool = False


def choose_engine(plan: Plan, n: int, n_components: int, n_basis: int) -> str:
    """Return `lifted` or `data`: as asked for, else the one that should take less time."""
    size = n_components * n_basis
    if plan.engine == "lifted":
        need_lifted_size(n_components, n_basis)
        if plan.search.alpha == "loo":
            raise InvalidInput("alpha='loo' needs rows; use engine='data' or alpha='gcv'")
        if plan.search.solver == "adam":
            raise InvalidInput("solver='adam' needs rows; use engine='data' or solver='varpro'")
        return "lifted"
    needs_rows = plan.search.alpha == "loo" or plan.search.solver == "adam"
    if plan.engine == "data" or needs_rows or size > LIFTED_LIMIT:
        return "data"
    # seconds on one core: a symmetric product of all rows and passes over the Gram matrix, against
    # passes over the rows; some hundred evaluations either way
    evaluations = 20 * plan.search.n_starts + 40
    rows = min(n, plan.activation_rows)
    coarse = min(rows, coarse_rows(n_components))
    lifted = n * size**2 / 5e10 + n * size * 1e-8 + evaluations * size**2 * 2e-9
    data = (evaluations * coarse + 25 * (rows - coarse)) * n_components * 6e-8
    return "lifted" if lifted < data else "data"


def row_problem(
    calibration: Calibration, X: Array, y: Array, sample_weight: Array, plan: Plan
) -> RowProblem:
    """Return the fitting problem of some rows."""
    return RowProblem(
        calibration.rows(X),
        calibration.weights,
        y,
        sample_weight,
        calibration.basis,
        fit_intercept=plan.fit_intercept,
        chunk_bytes=plan.chunk_bytes,
    )


def activation_part(n: int, plan: Plan) -> Any:
    """Return the rows on which the activation is learnt: all, or a seeded uniform subset."""
    if n <= plan.activation_rows:
        return slice(None)
    chosen = stream(plan.search.seed, "activation rows").permutation(n)[: plan.activation_rows]
    return np.sort(chosen)


def coarse_rows(n_components: int) -> int:
    """Return the rows on which starts are tried: enough to tell the units apart."""
    return max(_COARSE_ROWS, 4 * n_components)
