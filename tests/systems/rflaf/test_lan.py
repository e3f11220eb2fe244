"""The net in torch: values, gradients, initial curves, what is trained, estimators reproduced."""

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import (
    Basis,
    RFLAFClassifier,
    RFLAFRegressor,
    RFLAFTransformer,
    activation,
    loss_gradient,
)

torch = pytest.importorskip("torch")

from equipoise.systems.rflaf import LAN, LearnableActivation  # noqa: E402

X, Y = make_friedman1(100, n_features=5, noise=0.3, random_state=0)
SMALL = {"n_components": 10, "n_basis": 7, "random_state": 0, "n_starts": 2}


def grad(tensor):
    assert tensor.grad is not None
    return tensor.grad.numpy()


@pytest.mark.parametrize("kind", ["rbf", "bspline", "poly"])
def test_the_layer_is_the_activation_and_differentiates_it(kind):
    basis = Basis.uniform(6, (-1.5, 1.0), 1.2, kind)
    layer = LearnableActivation(basis, "random", seed=2).double()
    z = torch.linspace(-4, 4, 301, dtype=torch.float64, requires_grad=True)
    out = layer(z)
    a = layer.coef.detach().numpy()
    points = z.detach().numpy()
    np.testing.assert_allclose(out.detach().numpy(), activation(points, a, basis), atol=1e-12)
    out.sum().backward()
    np.testing.assert_allclose(grad(z), basis.derivatives(points) @ a, atol=1e-9)
    np.testing.assert_allclose(grad(layer.coef), basis.values(points).sum(0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0,)])
def test_the_layer_keeps_shapes(shape):
    z = torch.zeros(shape)
    out = LearnableActivation(Basis.uniform(5))(z)
    assert out.shape == z.shape
    assert out.dtype == torch.float32


@pytest.mark.parametrize("kind", ["rbf", "bspline"])
@pytest.mark.parametrize("n", [1, 9, 33])
def test_random_curves_follow_the_seed(kind, n):
    basis = Basis.uniform(n, kind=kind)
    one, again, other = (
        LearnableActivation(basis, "random", seed=s).coef.detach() for s in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert all(
        torch.isfinite(LearnableActivation(basis, init).coef).all() for init in ("relu", "identity")
    )


def test_a_layer_can_be_trained_in_any_net():
    net = torch.nn.Sequential(
        torch.nn.Linear(5, 8), LearnableActivation(Basis.uniform(9)), torch.nn.Linear(8, 1)
    )
    torch.manual_seed(0)
    for layer in (net[0], net[2]):
        layer.reset_parameters()
    x = torch.tensor((X - X.mean(0)) / X.std(0), dtype=torch.float32)
    y = torch.tensor((Y - Y.mean()) / Y.std(), dtype=torch.float32)[:, None]
    before = net[1].coef.detach().clone()
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    for _ in range(100):
        loss = ((net(x) - y) ** 2).mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.4 * losses[0]
    assert not torch.equal(net[1].coef, before)
    state = net[1].state_dict()
    twin = LearnableActivation(Basis.uniform(9), "random")
    twin.load_state_dict(state)
    assert torch.equal(twin(x), net[1](x))


@pytest.mark.parametrize("kind", ["rbf", "bspline"])
def test_gradients_are_the_published_ones(kind):
    basis = Basis.uniform(6, kind=kind)
    net = LAN(5, 7, basis=basis, seed=3)
    x, y = torch.tensor(X[:30] - 0.5), torch.tensor(Y[:30])
    loss = ((net(x)[:, 0] - y) ** 2).mean()
    loss.backward()
    w, a, v = (part.detach().numpy() for part in (net.weights, net.coef[0], net.readout[:, 0, 0]))
    by_formula = loss_gradient(X[:30] - 0.5, Y[:30], w, a, v, basis)
    assert loss.item() == pytest.approx(by_formula.loss, rel=1e-10)
    for found, expected in (
        (grad(net.weights), by_formula.weights),
        (grad(net.coef)[0], by_formula.coef),
        (grad(net.readout)[:, 0, 0], by_formula.readout),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("train_projection", [True, False])
def test_the_projection_is_trained_only_where_asked(train_projection):
    net = LAN(3, 4, 2, rank=2, train_projection=train_projection)
    before = net.weights.detach().clone()
    optimiser = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    loss = net(torch.ones(6, 3, dtype=torch.float64)).pow(2).mean() + net.intercept.sum()
    loss.backward()
    optimiser.step()
    assert torch.equal(net.weights, before) != train_projection
    names = {name for name, p in net.named_parameters() if p.requires_grad}
    assert names - {"weights"} == {"coef", "readout", "intercept"}
    assert ("weights" in names) == train_projection


def test_first_values_have_the_stated_spread_and_follow_the_seed():
    net, again, other = LAN(50, 400, seed=1), LAN(50, 400, seed=1), LAN(50, 400, seed=2)
    assert net.weights.std().item() == pytest.approx(1, rel=0.05)
    assert net.readout.std().item() * 20 == pytest.approx(1, rel=0.2)
    assert torch.equal(net.readout, again.readout)
    assert not torch.equal(net.readout, other.readout)
    assert net(torch.zeros(2, 50)).shape == (2, 1)


@pytest.mark.parametrize("kind", ["one", "two", "binary", "classes", "features"])
@pytest.mark.parametrize("rank", [1, 2])
def test_estimators_are_reproduced_from_raw_rows(kind, rank):
    labels = np.array(["a", "b", "c"])[np.digitize(Y, np.quantile(Y, [0.3, 0.7]))]
    options = SMALL | {"rank": rank}
    rows = X * [1, 10, 0.1, 1, 1] + [0, 0, 5, 100, 0]
    made = {
        "one": lambda: RFLAFRegressor(**options).fit(rows, Y),
        "two": lambda: RFLAFRegressor(**options).fit(rows, np.c_[Y, X[:, 0]]),
        "binary": lambda: RFLAFClassifier(**options).fit(rows, Y > 14),
        "classes": lambda: RFLAFClassifier(**options).fit(rows, labels),
        "features": lambda: RFLAFTransformer(**options).fit(rows, Y),
    }[kind]()
    net = LAN.from_estimator(made)
    out = net(torch.tensor(rows)).detach().numpy()
    if kind == "features":
        flat = made.readout_.reshape(-1, 1)
        expected = made.transform(rows) @ flat + made.intercept_
    else:
        expected = made.predict(rows) if kind in ("one", "two") else made.decision_function(rows)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out, expected, atol=1e-6 * np.abs(expected).max())
    single = net.float()(torch.tensor(rows, dtype=torch.float32))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(
        single.detach().numpy(), expected, atol=1e-3 * np.abs(expected).max()
    )
    # training the net leaves the estimator alone
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1.0)
    assert made.activation_coef_ @ made.activation_coef_.T == pytest.approx(np.eye(rank))


def test_training_goes_on_below_the_estimators_error():
    m = RFLAFRegressor(**SMALL).fit(X, Y)
    net, x, y = m.unfreeze(), torch.tensor(X), torch.tensor(Y)
    start = ((net(x) - y) ** 2).mean().item()
    assert start == pytest.approx(((m.predict(X) - Y) ** 2).mean(), rel=1e-5)
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(60):
        loss = ((net(x) - y) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert ((net(x) - y) ** 2).mean().item() < 0.9 * start


@pytest.mark.parametrize("name", ["in_features", "n_components", "n_outputs", "rank"])
def test_sizes_below_one_are_refused(name):
    sizes = {"in_features": 2, "n_components": 3, name: 0}
    with pytest.raises(InvalidInput, match=f"{name} is 0"):
        LAN(**sizes)


def test_an_estimator_must_be_fitted():
    with pytest.raises(InvalidInput, match="call fit first"):
        LAN.from_estimator(RFLAFRegressor())
