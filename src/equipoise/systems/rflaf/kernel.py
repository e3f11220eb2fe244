"""The learnt activation as an exact covariance: no random features at all."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.gaussian_process.kernels import Kernel

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf.objective import Array, Basis, activation_kernel, basis_kernel


class ActivationKernel(Kernel):
    """k_a(x, y) = sum_r a_r^T K(x, y) a_r as a kernel of scikit-learn's Gaussian processes.

    It has no hyperparameters. Kernel ridge takes it as `KernelRidge(kernel="precomputed")` on
    `kernel(X)`, or as a callable through `pairwise`.

    Args:
        coef: (N,) or (R, N).
        basis: Gaussians.
        offset: (d,), subtracted from the rows; None: 0.
        scale: (d,), divides them; None: 1.
    """

    def __init__(self, coef: Any, basis: Basis, offset: Any = None, scale: Any = None) -> None:
        self.coef = coef
        self.basis = basis
        self.offset = offset
        self.scale = scale

    def _rows(self, X: ArrayLike) -> Array:
        rows = np.atleast_2d(np.asarray(X, dtype=np.float64))
        if self.offset is not None:
            rows = rows - self.offset
        return rows if self.scale is None else rows / self.scale

    def __call__(self, X: ArrayLike, Y: Any = None, eval_gradient: bool = False) -> Any:
        """Return k(X, Y), (n, m), Y = X where None; the gradient has no columns."""
        rows = self._rows(X)
        if Y is not None and eval_gradient:
            raise InvalidInput("the kernel's gradient can be had only where Y is None")
        columns = rows if Y is None else self._rows(Y)
        k = activation_kernel(rows, columns, self.coef, self.basis)
        return (k, np.empty((len(rows), len(rows), 0))) if eval_gradient else k

    def diag(self, X: ArrayLike) -> Array:  # type: ignore[override]
        """Return k(x, x) for each row, (n,)."""
        a = np.atleast_2d(np.asarray(self.coef, dtype=np.float64))
        weight = a.T @ a
        found = [(weight * basis_kernel(x, x, self.basis)).sum() for x in self._rows(X)]
        return np.array(found)

    def is_stationary(self) -> bool:  # type: ignore[override]
        """Return False: the kernel depends on more than x - y."""
        return False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActivationKernel):
            return False
        pairs = [(getattr(self, n), getattr(other, n)) for n in ("coef", "offset", "scale")]
        same = all(
            (a is None) == (b is None) and (a is None or np.array_equal(a, b)) for a, b in pairs
        )
        return same and self.basis == other.basis

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ActivationKernel({np.atleast_2d(self.coef).shape[0]} activations, {self.basis!r})"
