"""A small Kolmogorov-Arnold network as a scikit-learn estimator: the baseline of learnt edges.

Every edge of a layer has a curve of its own, cubic B-splines on a uniform grid plus a SiLU (Liu et
al., KAN: Kolmogorov-Arnold Networks, arXiv 2404.19756).
"""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

if TYPE_CHECKING:
    import torch

_REACH = 3.0
_VALIDATION = 0.15
_CHECK_EVERY = 50


def cubic_bspline(u: "torch.Tensor") -> "torch.Tensor":
    """Return the cardinal cubic B-spline, support (-2, 2), elementwise."""
    a = u.abs()
    inner = 2 / 3 - a**2 + a**3 / 2
    outer = (2 - a).clamp(min=0) ** 3 / 6
    return inner.where(a < 1, outer)


def make_layers(widths: list[int], grid: int, seed: int) -> "torch.nn.Module":
    """Return a net of KAN layers with these widths; inputs are expected within (-3, 3)."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    step = 2 * _REACH / grid
    centers = torch.linspace(-_REACH - step, _REACH + step, grid + 3)

    class Layer(torch.nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            scale = inputs**-0.5
            curves = torch.randn(inputs * centers.numel(), outputs, generator=rng)
            self.curves = torch.nn.Parameter(0.1 * scale * curves)
            straight = torch.randn(inputs, outputs, generator=rng)
            self.straight = torch.nn.Parameter(scale * straight)
            self.shift = torch.nn.Parameter(torch.zeros(outputs))

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            basis = cubic_bspline((x[:, :, None] - centers) / step).flatten(1)
            smooth = torch.nn.functional.silu(x) @ self.straight
            return basis @ self.curves + smooth + self.shift

    return torch.nn.Sequential(*(Layer(*pair) for pair in pairwise(widths)))


class KANEstimator(BaseEstimator):
    """A KAN with one hidden layer, trained by Adam with early stopping on 15 % of the rows.

    Args:
        task: regression or classification.
        hidden: width of the hidden layer.
        grid: cells of each curve.
        steps: most steps of Adam.
        batch_size: rows of a step.
        learning_rate: of Adam.
        random_state: seed.
    """

    def __init__(
        self,
        task: str = "regression",
        *,
        hidden: int = 16,
        grid: int = 8,
        steps: int = 2000,
        batch_size: int = 256,
        learning_rate: float = 5e-3,
        random_state: int = 0,
    ) -> None:
        self.task = task
        self.hidden = hidden
        self.grid = grid
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "KANEstimator":
        """Train on X (n, d), y (n,)."""
        import torch

        X, y = validate_data(self, X, y)
        target, outputs = self._encode(np.asarray(y))
        self.net_ = make_layers([X.shape[1], self.hidden, outputs], self.grid, self.random_state)
        loss_of = torch.nn.functional.cross_entropy if outputs > 1 else torch.nn.functional.mse_loss
        rng = np.random.default_rng(self.random_state)
        order = rng.permutation(len(X))
        held = max(1, round(_VALIDATION * len(X)))
        rows = torch.as_tensor(X, dtype=torch.float32)
        check, train = order[:held], order[held:] if len(X) > held else order
        optimiser = torch.optim.Adam(self.net_.parameters(), lr=self.learning_rate)
        best, kept = np.inf, self.net_.state_dict()
        for step in range(self.steps):
            batch = rng.choice(train, size=min(self.batch_size, len(train)), replace=False)
            loss = loss_of(self.net_(rows[batch]).squeeze(1), target[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if (step + 1) % _CHECK_EVERY == 0:
                with torch.no_grad():
                    error = float(loss_of(self.net_(rows[check]).squeeze(1), target[check]))
                if error < best:
                    best = error
                    kept = {k: v.clone() for k, v in self.net_.state_dict().items()}
        self.net_.load_state_dict(kept)
        return self

    def _encode(self, y: Any) -> tuple["torch.Tensor", int]:
        import torch

        if self.task == "classification":
            self.classes_, codes = np.unique(y, return_inverse=True)
            return torch.as_tensor(codes), max(2, self.classes_.size)
        self.center_, spread = float(y.mean()), float(y.std())
        self.spread_ = spread if spread > 0 else 1.0
        return torch.as_tensor((y - self.center_) / self.spread_, dtype=torch.float32), 1

    def predict(self, X: Any) -> Any:
        """Return predictions, (n,)."""
        import torch

        check_is_fitted(self, "net_")
        X = validate_data(self, X, reset=False)
        with torch.no_grad():
            out = self.net_(torch.as_tensor(X, dtype=torch.float32)).numpy().astype(np.float64)
        if self.task == "classification":
            return self.classes_[out.argmax(axis=1)]
        return out[:, 0] * self.spread_ + self.center_

    def score(self, X: Any, y: Any) -> float:
        """Return accuracy or R^2."""
        from sklearn.metrics import accuracy_score, r2_score

        measure = accuracy_score if self.task == "classification" else r2_score
        return float(measure(y, self.predict(X)))

    @property
    def n_parameters_(self) -> int:
        """How many numbers were learnt."""
        check_is_fitted(self, "net_")
        return sum(p.numel() for p in self.net_.parameters())
