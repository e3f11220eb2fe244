"""Lifted one-pass statistics: everything a fit needs, additive, exact to merge and to remove.

b(x) = vec(B_i(z_m)), index m*N + i. Kept are the weighted sums of b b^T, b y^T, b, y, y^2 and the
weights: 8 (M N)^2 bytes, whatever the number of rows. For any activation, penalty and rank the
readout, the objective, its gradient, GCV and the posterior follow from these sums alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, blas, cholesky, solve_triangular

from equipoise.core.checkpoints import load_checkpoint, save_checkpoint
from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.rflaf.lifted_problem import LiftedProblem
from equipoise.systems.rflaf.objective import Array, Basis
from equipoise.systems.rflaf.problem import LIFTED_LIMIT
from equipoise.systems.rflaf.scaling import Calibration

FORMAT = "equipoise.rflaf.statistics/1"
_CHUNK_VALUES = 4_000_000
_ROUNDING = 1e-9
_DSYRK: Any = blas.dsyrk  # type: ignore[attr-defined]


def need_lifted_size(n_components: int, n_basis: int) -> None:
    """Raise `InvalidInput` where M*N is too large for lifted statistics."""
    size = n_components * n_basis
    if size > LIFTED_LIMIT:
        raise InvalidInput(
            f"n_components * n_basis = {size} is above the limit {LIFTED_LIMIT} of lifted "
            f"statistics, which would need {8 * size**2:,} bytes; take a smaller n_components, "
            "or fit all rows at once with engine='data'"
        )


class LiftedStatistics:
    """Additive sums of lifted features for one fixed projection, scaling and basis.

    Every change validates its rows first and then happens whole or not at all.

    Args:
        weights: W, (d, M).
        basis: the N functions.
        offset: (d,) or a number.
        scale: (d,) or a number, > 0.
        n_outputs: K.

    Attributes:
        gram: sum w b b^T, (M*N, M*N).
        cross: sum w b y^T, (M*N, K).
        feature_sum: sum w b, (M*N,).
        target_sum: sum w y, (K,).
        target_square_sum: sum w y^2, (K,).
        weight_sum: sum w.
        n_samples: rows seen.
    """

    def __init__(
        self,
        weights: ArrayLike,
        basis: Basis,
        *,
        offset: ArrayLike = 0.0,
        scale: ArrayLike = 1.0,
        n_outputs: int = 1,
    ) -> None:
        w = np.array(weights, dtype=np.float64)
        if w.ndim != 2 or w.size == 0 or not np.isfinite(w).all():
            raise InvalidInput(f"weights must be a finite (d, M) array, got shape {w.shape}")
        if n_outputs < 1:
            raise InvalidInput(f"n_outputs is {n_outputs!r}; it must be >= 1")
        need_lifted_size(w.shape[1], basis.size)
        shift = np.broadcast_to(np.asarray(offset, dtype=np.float64), (w.shape[0],)).copy()
        divisor = np.broadcast_to(np.asarray(scale, dtype=np.float64), (w.shape[0],)).copy()
        if not (np.isfinite(shift).all() and np.isfinite(divisor).all() and (divisor > 0).all()):
            raise InvalidInput("offset must be finite, scale finite and > 0")
        self.calibration = Calibration(w, shift, divisor, basis)
        size = w.shape[1] * basis.size
        # only the lower triangle is kept up to date between readings of `gram`
        self._triangle = np.zeros((size, size), order="F")
        self._whole = True
        self.cross = np.zeros((size, n_outputs))
        self.feature_sum = np.zeros(size)
        self.target_sum = np.zeros(n_outputs)
        self.target_square_sum = np.zeros(n_outputs)
        self.weight_sum = 0.0
        self.n_samples = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled; sums that arrive in read-only memory (joblib, Ray) are copied."""
        for name, value in state.items():
            locked = isinstance(value, np.ndarray) and not value.flags.writeable
            setattr(self, name, np.array(value, order="K") if locked else value)

    @property
    def n_outputs(self) -> int:
        """K."""
        return self.cross.shape[1]

    @property
    def gram(self) -> Array:
        """Sum of w b b^T, (M*N, M*N); a view, not to be written to."""
        if not self._whole:
            _mirror(self._triangle)
            self._whole = True
        return self._triangle

    @property
    def nbytes(self) -> int:
        """Bytes of all sums."""
        sums = (self.cross, self.feature_sum, self.target_sum, self.target_square_sum)
        return self._triangle.nbytes + sum(array.nbytes for array in sums)

    def update(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Add rows.

        Args:
            X: raw rows, (n, d).
            y: (n,) or (n, K).
            sample_weight: (n,), >= 0.

        Raises:
            InvalidInput: wrong shapes, NaN or infinity (the array is named); nothing changed.
        """
        rows, targets, weight = self._checked(X, y, sample_weight)
        self._accumulate(rows, targets, weight)
        return self

    def _accumulate(self, rows: Array, targets: Array, weight: Array) -> None:
        self._whole = False
        for lifted, part in self._lift(rows):
            w = weight[part]
            self.cross += lifted.T @ (targets[part] * w[:, None])
            self.feature_sum += w @ lifted
            lifted *= np.sqrt(w)[:, None]
            self._triangle = _DSYRK(
                1.0, lifted, beta=1.0, c=self._triangle, trans=1, lower=1, overwrite_c=1
            )
        self.target_sum += weight @ targets
        self.target_square_sum += weight @ targets**2
        self.weight_sum += float(weight.sum())
        self.n_samples += len(rows)

    def _lift(self, rows: Array) -> Iterator[tuple[Array, slice]]:
        """Yield lifted rows, (n_c, M*N), chunk by chunk."""
        basis = self.calibration.basis
        size = self.feature_sum.size
        step = max(1, _CHUNK_VALUES // size)
        for start in range(0, len(rows), step):
            part = slice(start, min(start + step, len(rows)))
            yield basis.values(self.calibration.z(rows[part])).reshape(-1, size), part

    def remove(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Subtract rows that were added before: afterwards it is as if they had never been seen.

        Raises:
            InvalidInput: bad rows, more weight than was added, or rows that cannot have been
                among those added (the Gram matrix would lose its positive semidefiniteness
                beyond rounding); nothing changed.
        """
        rows, targets, weight = self._checked(X, y, sample_weight)
        part = LiftedStatistics._like(self)
        part._accumulate(rows, targets, weight)
        left = self.weight_sum - part.weight_sum
        if left <= _ROUNDING * self.weight_sum or self.n_samples <= part.n_samples:
            raise InvalidInput(
                f"cannot remove {part.n_samples} rows of weight {part.weight_sum:g} from "
                f"{self.n_samples} of weight {self.weight_sum:g}; remove only what was added"
            )
        new = LiftedStatistics._like(self)
        new._triangle = self.gram - part.gram
        for name in ("cross", "feature_sum", "target_sum", "target_square_sum"):
            setattr(new, name, getattr(self, name) - getattr(part, name))
        new.weight_sum, new.n_samples = left, self.n_samples - part.n_samples
        _check_semidefinite(new, self)
        self.__dict__.update(new.__dict__)
        return self

    def merge(self, other: "LiftedStatistics") -> "LiftedStatistics":
        """Return the statistics of both sets of rows; neither operand changes.

        Raises:
            InvalidInput: weights, basis, offset, scale or outputs differ (the first is named).
        """
        self.need_same(other)
        new = LiftedStatistics._like(self)
        new._triangle = self.gram + other.gram
        for name in ("cross", "feature_sum", "target_sum", "target_square_sum", "weight_sum"):
            setattr(new, name, getattr(self, name) + getattr(other, name))
        new.n_samples = self.n_samples + other.n_samples
        return new

    def need_same(self, other: "LiftedStatistics") -> None:
        """Raise `InvalidInput` naming what differs between two calibrations."""
        mine, theirs = self.calibration, other.calibration
        for name in ("weights", "basis", "offset", "scale"):
            a, b = getattr(mine, name), getattr(theirs, name)
            same = a == b if name == "basis" else np.array_equal(a, b)
            if not same:
                raise InvalidInput(
                    f"the statistics differ in their {name}; merge only those made with one "
                    "calibration (calibrate once, or accumulate --like the first)"
                )
        if self.n_outputs != other.n_outputs:
            raise InvalidInput(
                f"the statistics differ in their outputs: {self.n_outputs} and {other.n_outputs}"
            )

    @classmethod
    def _like(cls, other: "LiftedStatistics") -> Self:
        at = other.calibration
        return cls(
            at.weights, at.basis, offset=at.offset, scale=at.scale, n_outputs=other.n_outputs
        )

    def problem(self, *, fit_intercept: bool = True) -> LiftedProblem:
        """Return the fitting problem of these sums."""
        if not self.weight_sum > 0:
            raise InvalidInput("the statistics hold no rows yet; call update first")
        return LiftedProblem(
            self.gram,
            self.cross,
            self.feature_sum,
            self.target_sum,
            self.target_square_sum,
            self.weight_sum,
            self.calibration.basis,
            fit_intercept=fit_intercept,
        )

    def _checked(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Array, Array, Array]:
        """Return rows, targets (n, K) and weights in float64, or raise."""
        d = self.calibration.offset.size
        rows, targets = (np.asarray(a, dtype=np.float64) for a in (X, y))
        if rows.ndim != 2 or rows.shape[1] != d:
            raise InvalidInput(f"X has shape {rows.shape}; it must be (n, {d})")
        if targets.ndim == 1:
            targets = targets[:, None]
        if targets.shape != (len(rows), self.n_outputs):
            raise InvalidInput(
                f"y has shape {np.shape(y)}; it must be ({len(rows)}, {self.n_outputs})"
            )
        weight = np.ones(len(rows))
        if sample_weight is not None:
            weight = np.asarray(sample_weight, dtype=np.float64)
        if weight.shape != (len(rows),) or (weight < 0).any():
            raise InvalidInput("sample_weight must hold one number >= 0 for each row")
        for name, array in (("X", rows), ("y", targets), ("sample_weight", weight)):
            if not np.isfinite(array).all():
                raise InvalidInput(f"{name} holds NaN or infinity")
        return rows, targets, weight

    def save(self, path: str | Path) -> Path:
        """Write a folder (arrays with their checksum, `meta.json`), whole or not at all."""
        at = self.calibration
        arrays = {
            "weights": at.weights,
            "offset": at.offset,
            "scale": at.scale,
            "centers": at.basis.centers,
            "gram": self.gram,
            "cross": self.cross,
            "feature_sum": self.feature_sum,
            "target_sum": self.target_sum,
            "target_square_sum": self.target_square_sum,
        }
        meta = {
            "format": FORMAT,
            "basis": at.basis.kind,
            "bandwidth": at.basis.bandwidth,
            "weight_sum": self.weight_sum,
            "n_samples": self.n_samples,
        }
        return save_checkpoint(path, arrays, meta)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            MissingData: nothing there.
            InvalidInput: truncated, changed or foreign; the expected format is named.
        """
        arrays, meta = read_checked(path, FORMAT, "statistics")
        basis = Basis(meta["basis"], arrays["centers"], meta["bandwidth"])
        at = Calibration(arrays["weights"], arrays["offset"], arrays["scale"], basis)
        return cls.of_sums(at, arrays, meta)

    @classmethod
    def of_sums(cls, at: Calibration, arrays: dict[str, Array], counts: dict[str, Any]) -> Self:
        """Return statistics from their sums by name, with `weight_sum` and `n_samples`."""
        outputs = arrays["cross"].shape[1]
        new = cls(at.weights, at.basis, offset=at.offset, scale=at.scale, n_outputs=outputs)
        new._triangle = np.asfortranarray(arrays["gram"])
        for name in ("cross", "feature_sum", "target_sum", "target_square_sum"):
            setattr(new, name, arrays[name])
        new.weight_sum, new.n_samples = float(counts["weight_sum"]), int(counts["n_samples"])
        return new


def read_checked(path: str | Path, expected: str, what: str) -> tuple[dict[str, Array], Any]:
    """Return arrays and meta of a checkpoint of this room's format, or raise one line."""
    try:
        read = load_checkpoint(path)
    except (InvalidInput, RunFailed) as error:
        raise InvalidInput(f"{path} holds no whole {what} ({expected} expected): {error}") from None
    found = read.meta.get("format") if isinstance(read.meta, dict) else None
    if found != expected:
        raise InvalidInput(f"{path} has format {found!r}; needed is {expected!r}")
    return read.arrays, read.meta


def _mirror(triangle: Array) -> None:
    """Copy the lower triangle onto the upper one, in place, block by block."""
    n = len(triangle)
    for start in range(0, n, 512):
        stop = min(start + 512, n)
        block = triangle[start:stop, start:stop]
        block[...] = np.tril(block) + np.tril(block, -1).T
        triangle[start:stop, stop:] = triangle[stop:, start:stop].T


def _check_semidefinite(new: LiftedStatistics, old: LiftedStatistics) -> None:
    """Raise where the moments of (b, 1, y) are not those of any rows, beyond rounding."""
    size = new.feature_sum.size
    scale = max(float(np.einsum("ii->i", old.gram).max(initial=0.0)), old.weight_sum)
    whole = np.empty((size + 1, size + 1))
    whole[:size, :size] = new.gram
    whole[size, :size] = whole[:size, size] = new.feature_sum
    whole[size, size] = new.weight_sum
    whole.ravel()[:: size + 2] += _ROUNDING * scale
    message = (
        "these rows cannot have been among those added: without them the moments are no longer "
        "those of any data; nothing was removed"
    )
    try:
        lower = cholesky(whole, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        raise InvalidInput(message) from None
    cross = np.vstack([new.cross, new.target_sum])
    explained = (solve_triangular(lower, cross, lower=True, check_finite=False) ** 2).sum(axis=0)
    slack = 1e-6 * old.target_square_sum + np.finfo(float).tiny
    if (explained > new.target_square_sum + slack).any():
        raise InvalidInput(message)
