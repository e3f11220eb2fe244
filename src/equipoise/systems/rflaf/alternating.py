"""Alternating least squares: exact ridge steps in the readout and in the activation by turns."""

import numpy as np

from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.problem import Evaluation, Problem
from equipoise.systems.rflaf.ridge import penalty_matrix, solve_spd
from equipoise.systems.rflaf.varpro import Descent, orthonormal


def alternate(
    problem: Problem, a: Array, alpha: float, smooth: float, *, max_iter: int, tol: float
) -> Descent:
    """Minimise J by turns; `history` holds J after every half-step, which never increases.

    One iteration is an activation step (R*N unknowns, penalty |V|^2 P) and a readout step.
    """
    coef, _ = orthonormal(a)
    at = problem.evaluate(coef, alpha, smooth)
    history = [at.value]
    penalty = penalty_matrix(coef.shape[1], alpha, smooth)
    for _ in range(max_iter):
        middle, raw = _activation_step(problem, coef, at, penalty, alpha, smooth)
        candidate, _ = orthonormal(raw)
        tried = problem.evaluate(candidate, alpha, smooth)
        if not tried.value <= history[-1]:  # rounding: nothing is left to gain
            break
        coef, at = candidate, tried
        history += [min(middle, history[-1]), at.value]
        if history[-3] - history[-1] <= tol * abs(history[-3]):
            break
    return Descent(coef, at, tuple(history))


def _activation_step(
    problem: Problem, a: Array, at: Evaluation, penalty: Array, alpha: float, smooth: float
) -> tuple[float, Array]:
    """Return J after the activation step and the new coefficients, not orthonormal."""
    moments = problem.curvature(a, at.readout)
    size = np.einsum("mrk,mqk->rq", at.readout, at.readout)
    system = moments.design_gram + np.kron(size, penalty)
    solved = solve_spd(system, moments.design_target[:, None], alpha).reshape(a.shape)
    return problem.objective(solved, at.readout, alpha, smooth), solved
