"""Alternating least squares: exact ridge steps in the readout and in the activation by turns."""

import numpy as np

from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.problem import Evaluation, Problem
from equipoise.systems.rflaf.ridge import penalty_matrix, solve_spd
from equipoise.systems.rflaf.varpro import Descent, Step, orthonormal


def alternate(
    problem: Problem, a: Array, alpha: float, smooth: float, *, max_iter: int, tol: float
) -> Descent:
    """Minimise J by turns; `steps` holds every half-step, and J never increases.

    One iteration is an activation step (R*N unknowns, penalty |V|^2 P) and a readout step.
    """
    coef, _ = orthonormal(a)
    at = problem.evaluate(coef, alpha, smooth)
    steps = [Step(at.value, coef)]
    penalty = penalty_matrix(coef.shape[1], alpha, smooth)
    for _ in range(max_iter):
        middle, raw = _activation_step(problem, coef, at, penalty, alpha, smooth)
        candidate, _ = orthonormal(raw)
        tried = problem.evaluate(candidate, alpha, smooth)
        before = steps[-1].value
        if not tried.value <= before:  # rounding: nothing is left to gain
            break
        coef, at = candidate, tried
        steps += [Step(min(middle, before), coef), Step(at.value, coef)]
        if before - at.value <= tol * abs(before):
            break
    return Descent(coef, at, tuple(steps))


def _activation_step(
    problem: Problem, a: Array, at: Evaluation, penalty: Array, alpha: float, smooth: float
) -> tuple[float, Array]:
    """Return J after the activation step and the new coefficients, not orthonormal."""
    moments = problem.curvature(a, at.readout)
    size = np.einsum("mrk,mqk->rq", at.readout, at.readout)
    system = moments.design_gram + np.kron(size, penalty)
    solved = solve_spd(system, moments.design_target[:, None], alpha).reshape(a.shape)
    return problem.objective(solved, at.readout, alpha, smooth), solved
