"""The same net in torch: projection and activation trained by any optimiser (published as LAN)."""

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.rflaf.objective import Basis

INITIAL = ("relu", "identity", "random")


def _basis_values(z: Tensor, centers: Tensor, basis: Basis) -> Tensor:
    """Return B_i(z), shape z.shape + (N,), differentiable in z."""
    if basis.kind == "poly":
        return z[..., None] ** torch.arange(centers.numel(), device=z.device)
    u = (z[..., None] - centers) / basis.bandwidth
    if basis.kind == "rbf":
        return torch.exp(-0.5 * u * u)
    t = u + 1
    pieces = (t**2 / 2, (-2 * t**2 + 6 * t - 3) / 2, (3 - t) ** 2 / 2)
    out = torch.zeros_like(t)
    for k, piece in enumerate(pieces):
        out = torch.where((t >= k) & (t < k + 1), piece, out)
    return out * (4 / 3)


class LearnableActivation(nn.Module):
    """sigma(z) = sum_i a_i B_i(z), one for all units, for use in any torch net; keeps shapes.

    Args:
        basis: the N functions; outside their span the activation goes to zero (Gaussians,
            splines).
        init: curve to start from, fitted by least squares on the span: `relu`, `identity` or
            `random`.
        seed: of `random`.
    """

    centers: Tensor

    def __init__(self, basis: Basis, init: str = "relu", *, seed: int = 0) -> None:
        super().__init__()
        if init not in INITIAL:
            raise unknown_name("init", init, INITIAL)
        self.basis = basis
        self.register_buffer("centers", torch.tensor(np.array(basis.centers), dtype=torch.float32))
        self.coef = nn.Parameter(torch.tensor(_initial(basis, init, seed), dtype=torch.float32))

    def forward(self, z: Tensor) -> Tensor:
        """Return sigma(z), shaped like z."""
        return _basis_values(z, self.centers, self.basis) @ self.coef


def _initial(basis: Basis, init: str, seed: int) -> Any:
    if init == "random":
        return np.random.default_rng(seed).standard_normal(basis.size) / np.sqrt(basis.size)
    c, h = basis.centers, basis.bandwidth
    ends = (c[0], c[-1]) if c.size > 1 else (c[0] - h, c[0] + h)
    z = np.linspace(*ends, 50 * basis.size)
    curve = np.maximum(z, 0) if init == "relu" else z
    design = basis.values(z)
    # a little ridge keeps neighbouring coefficients from growing against each other
    system = design.T @ design + 1e-6 * len(z) * np.eye(basis.size)
    return np.linalg.solve(system, design.T @ curve)


class LAN(nn.Module):
    """Net with learnable activations: raw X -> scaled rows -> projection -> sigma -> readout.

    Args:
        in_features: d.
        n_components: M.
        n_outputs: K.
        basis: the N functions.
        rank: R activations.
        train_projection: whether W is a trained parameter.
        seed: of the initial values (W ~ N(0, 1), a ~ N(0, 1/N), v ~ N(0, 1/M)).
    """

    centers: Tensor
    offset: Tensor
    scale: Tensor

    def __init__(
        self,
        in_features: int,
        n_components: int = 300,
        n_outputs: int = 1,
        *,
        basis: Basis | None = None,
        rank: int = 1,
        train_projection: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (
            ("in_features", in_features),
            ("n_components", n_components),
            ("n_outputs", n_outputs),
            ("rank", rank),
        ):
            if isinstance(value, bool) or value != int(value) or value < 1:
                raise InvalidInput(f"{name} is {value!r}; it must be an integer >= 1")
        self.basis = Basis.uniform(17) if basis is None else basis
        n_basis = self.basis.size
        draw = torch.Generator().manual_seed(seed)

        def normal(*shape: int, size: int = 1) -> Tensor:
            return torch.randn(*shape, generator=draw, dtype=torch.float64) / size**0.5

        self.weights = nn.Parameter(normal(in_features, n_components), train_projection)
        self.coef = nn.Parameter(normal(rank, n_basis, size=n_basis))
        self.readout = nn.Parameter(normal(n_components, rank, n_outputs, size=n_components))
        self.intercept = nn.Parameter(torch.zeros(n_outputs, dtype=torch.float64))
        self.register_buffer("centers", torch.tensor(np.array(self.basis.centers)))
        self.register_buffer("offset", torch.zeros(in_features, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(in_features, dtype=torch.float64))
        self.squeeze = False

    @classmethod
    def from_estimator(cls, estimator: Any, *, train_projection: bool = True) -> Self:
        """Return the net that reproduces a fitted estimator's outputs from raw X.

        For a regressor these are its predictions (one-dimensional where its targets were), for a
        classifier its decision function. Numbers are float64; `.float()` makes them float32.

        Raises:
            InvalidInput: the estimator is not fitted.
        """
        if not hasattr(estimator, "readout_"):
            raise InvalidInput("LAN.from_estimator needs a fitted estimator; call fit first")
        m, rank, outputs = estimator.readout_.shape
        net = cls(
            estimator.offset_.size,
            m,
            outputs,
            basis=estimator.basis_,
            rank=rank,
            train_projection=train_projection,
        )
        with torch.no_grad():
            for name, value in (
                ("weights", estimator.random_weights_),
                ("coef", estimator.activation_coef_),
                ("readout", estimator.readout_),
                ("intercept", estimator.intercept_),
                ("offset", estimator.offset_),
                ("scale", estimator.scale_),
            ):
                getattr(net, name).copy_(torch.tensor(np.asarray(value)))
        binary = getattr(estimator, "classes_", np.empty(0)).size in (1, 2)
        net.squeeze = bool(getattr(estimator, "_single", False)) or binary
        return net

    def forward(self, X: Tensor) -> Tensor:
        """Return outputs, (n, K), or (n,) after an estimator with one-dimensional targets."""
        z = ((X.to(self.weights.dtype) - self.offset) / self.scale) @ self.weights
        sigma = _basis_values(z, self.centers, self.basis) @ self.coef.T
        out = torch.einsum("nmr,mrk->nk", sigma, self.readout) + self.intercept
        return out[:, 0] if self.squeeze else out
