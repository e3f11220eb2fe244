"""The published recipe: minibatch Adam on loss plus balance penalty (arXiv 2411.19468).

Defaults are the paper's: learning rate 1e-3, batch 128, betas (0.9, 0.999), 45 epochs, lambda1 1,
lambda2 0.1, no weight decay, v ~ N(0, 1/M), a ~ N(0, 1/N). Its learning-rate scheduler uses up the
first 8 batches, in which nothing else moves.
"""

from dataclasses import dataclass

import numpy as np

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.rflaf.objective import Array, Basis, balance_penalty
from equipoise.systems.rflaf.row_problem import PointBlock
from equipoise.systems.rflaf.table import Interpolation


@dataclass(frozen=True)
class AdamOptions:
    """Options of the recipe, by `solver_options`."""

    epochs: int = 45
    learning_rate: float = 1e-3
    batch_size: int = 128
    lambda1: float = 1.0
    lambda2: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.999
    warmup_batches: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not (whole or isinstance(value, (float, np.floating))):
                raise InvalidInput(f"{name} is {value!r}; it must be a number")
            if name in ("epochs", "batch_size", "warmup_batches") and not whole:
                raise InvalidInput(f"{name} is {value!r}; it must be a whole number")
            if not np.isfinite(value):
                raise InvalidInput(f"{name} is {value!r}; it must be finite")
        if self.epochs < 1 or self.batch_size < 1 or self.warmup_batches < 0:
            raise InvalidInput(
                f"epochs {self.epochs!r} and batch_size {self.batch_size!r} must be >= 1, "
                f"warmup_batches {self.warmup_batches!r} >= 0"
            )
        if not (self.learning_rate > 0 and 0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise InvalidInput("learning_rate must be > 0, beta1 and beta2 in [0, 1)")


@dataclass(frozen=True)
class AdamFit:
    """Activation (R, N), readout (M, R, K), intercept (K,); by epoch loss + penalty, activation."""

    coef: Array
    readout: Array
    intercept: Array
    history: tuple[float, ...]
    path: tuple[Array, ...]


def train_adam(
    rows: Array,
    weights: Array,
    y: Array,
    sample_weight: Array,
    basis: Basis,
    options: AdamOptions,
    rng: np.random.Generator,
    *,
    rank: int = 1,
    fit_intercept: bool = False,
    log_loss: bool = False,
) -> AdamFit:
    """Train activation and readout by the recipe.

    Args:
        rows: scaled rows, (n, d).
        weights: W, (d, M).
        y: targets (n, K); with `log_loss` one-hot classes, or one column of 0 and 1.
        sample_weight: (n,), scaled to mean one.
        basis: the N functions.
        options: the recipe's numbers.
        rng: initial values and the order of the rows.
        rank: number of activations.
        fit_intercept: the paper has none.
        log_loss: softmax (one column: logistic) cross-entropy instead of squared error.

    Raises:
        RunFailed: the numbers grow beyond all bounds.
    """
    n, m = len(rows), weights.shape[1]
    way = Interpolation(basis)
    weight = sample_weight / sample_weight.mean()
    parts = [
        rng.standard_normal((rank, basis.size)) / np.sqrt(basis.size),
        rng.standard_normal((m, rank, y.shape[1])) / np.sqrt(m),
        np.zeros(y.shape[1]),
    ]
    first, second = [np.zeros_like(p) for p in parts], [np.zeros_like(p) for p in parts]
    steps, batches, history, path = 0, 0, [], []
    for _ in range(options.epochs):
        order = rng.permutation(n)
        total = 0.0
        for start in range(0, n, options.batch_size):
            batch = order[start : start + options.batch_size]
            block = PointBlock(rows[batch] @ weights, way)
            loss, gradients = _loss(block, y[batch], weight[batch], parts, options, log_loss)
            total += loss * batch.size
            batches += 1
            if batches <= options.warmup_batches:
                continue
            steps += 1
            for j in range(3 if fit_intercept else 2):
                _adam_step(parts[j], gradients[j], first[j], second[j], steps, options)
        history.append(total / n)
        path.append(parts[0].copy())
        if not all(np.isfinite(part).all() for part in parts):
            raise RunFailed(
                f"Adam diverged in epoch {len(history)} at learning_rate "
                f"{options.learning_rate:g}; lower it, or scale the targets"
            )
    return AdamFit(parts[0], parts[1], parts[2], tuple(history), tuple(path))


def _adam_step(
    value: Array, gradient: Array, first: Array, second: Array, steps: int, options: AdamOptions
) -> None:
    first += (1 - options.beta1) * (gradient - first)
    second += (1 - options.beta2) * (gradient**2 - second)
    mean = first / (1 - options.beta1**steps)
    spread = np.sqrt(second / (1 - options.beta2**steps))
    value -= options.learning_rate * mean / (spread + 1e-8)


def _loss(
    block: PointBlock,
    y: Array,
    weight: Array,
    parts: list[Array],
    options: AdamOptions,
    log_loss: bool,
) -> tuple[float, list[Array]]:
    """Return a batch's loss with the penalty, and its gradients in a, v, b."""
    a, v, b = parts
    m, rank, outputs = v.shape
    phi = block.values(a)
    flat = v.reshape(m * rank, outputs)
    raw = phi @ flat + b
    if log_loss:
        losses, slope = cross_entropy(raw, y)
        loss = float(weight @ losses) / len(y)
        slope *= weight[:, None] / len(y)
    else:
        error = raw - y
        loss = float((weight[:, None] * error**2).mean())
        slope = 2 * weight[:, None] * error / error.size
    gap = (a**2).sum() / np.sqrt(a.shape[1]) - (v**2).sum() / np.sqrt(m)
    pull = 4 * options.lambda1 * gap
    grad_a = block.adjoint(slope @ flat.T)
    grad_a += pull / np.sqrt(a.shape[1]) * a + options.lambda2 / a.shape[1] * np.sign(a)
    grad_v = (phi.T @ slope).reshape(v.shape) - pull / np.sqrt(m) * v
    loss += balance_penalty(a, v, options.lambda1, options.lambda2)
    return loss, [grad_a, grad_v, slope.sum(axis=0)]


def cross_entropy(raw: Array, y: Array) -> tuple[Array, Array]:
    """Return the losses (n,) and their slope in `raw` (n, K); one column means two classes."""
    if raw.shape[1] == 1:
        losses = np.logaddexp(0, raw) - y * raw
        return losses[:, 0], 1 / (1 + np.exp(-np.clip(raw, -500, 500))) - y
    top = raw.max(axis=1, keepdims=True)
    exponent = np.exp(raw - top)
    norm = exponent.sum(axis=1, keepdims=True)
    losses = (np.log(norm) + top - (y * raw).sum(axis=1, keepdims=True))[:, 0]
    return losses, exponent / norm - y
