"""Posterior, jackknife+, conformal, compression, kernel, curves, torch, files, shards."""

import sys

import numpy as np
import pytest
from sklearn.datasets import make_friedman1
from sklearn.gaussian_process import GaussianProcessRegressor

from equipoise.core.errors import InvalidInput, MissingData, MissingExtra
from equipoise.systems.rflaf import (
    ActivationTable,
    Basis,
    LiftedStatistics,
    RFLAFClassifier,
    RFLAFConfig,
    RFLAFRegressor,
    RFLAFTransformer,
    fit_shards,
    leverage_scores,
    load_model,
    make_synthetic,
    save_model,
)

X, Y = make_friedman1(150, n_features=5, noise=1.0, random_state=0)
NEW, NEW_Y = make_friedman1(400, n_features=5, noise=1.0, random_state=1)
OPTIONS = {"n_components": 15, "n_basis": 9, "random_state": 0, "n_starts": 2}


@pytest.fixture(scope="module")
def model():
    return RFLAFRegressor(**OPTIONS).fit(X, Y)


def features_of(model, x):
    table = ActivationTable(model.activation_coef_, model.basis_)
    return table(model.calibration_.z(x)).reshape(len(x), -1)


def test_posterior_by_definition(model):
    phi, new = features_of(model, X), features_of(model, NEW)
    d = np.diff(np.eye(9), n=2, axis=0)
    a = model.activation_coef_[0]
    p = a @ (model.alpha_ * np.eye(9) + model.smooth_ * d.T @ d) @ a
    f = phi - phi.mean(0)
    g = f.T @ f / 150 + p * np.eye(15)
    dof = np.trace(np.linalg.solve(g, f.T @ f / 150)) + 1
    noise = ((Y - model.predict(X)) ** 2).sum() / (150 - dof)
    gap = new - phi.mean(0)
    spread = (gap @ np.linalg.inv(150 * g) * gap).sum(1)
    _, std = model.predict(NEW, return_std=True)
    np.testing.assert_allclose(std**2, noise * (1 + 1 / 150 + spread), rtol=1e-6)


def test_jackknife_against_refits(model):
    phi, new = features_of(model, X), features_of(model, NEW[:7])
    d = np.diff(np.eye(9), n=2, axis=0)
    a = model.activation_coef_[0]
    p = a @ (model.alpha_ * np.eye(9) + model.smooth_ * d.T @ d) @ a
    mu, radius = np.empty((7, 150)), np.empty(150)
    for i in range(150):
        rest = np.arange(150) != i
        f, y = phi[rest], Y[rest]
        c = f - f.mean(0)
        v = np.linalg.solve(c.T @ c + 150 * p * np.eye(15), c.T @ (y - y.mean()))
        mu[:, i] = y.mean() + (new - f.mean(0)) @ v
        radius[i] = abs(Y[i] - y.mean() - (phi[i] - f.mean(0)) @ v)
    out = model.predict_interval(NEW[:7], 0.9, "jackknife")
    low = np.sort(mu - radius, axis=1)[:, int(np.floor(0.1 * 151)) - 1]
    high = np.sort(mu + radius, axis=1)[:, int(np.ceil(0.9 * 151)) - 1]
    np.testing.assert_allclose(out.low, low, rtol=1e-6)
    np.testing.assert_allclose(out.high, high, rtol=1e-6)
    assert np.isinf(model.predict_interval(NEW[:1], 0.999, "jackknife").low).all()


@pytest.mark.parametrize("method", ["bayes", "jackknife", "conformal"])
def test_coverage(method):
    m = RFLAFRegressor(**OPTIONS).fit(X, Y).conformalize(NEW[:200], NEW_Y[:200])
    out = m.predict_interval(NEW[200:], 0.9, method)
    covered = np.mean((out.low <= NEW_Y[200:]) & (NEW_Y[200:] <= out.high))
    assert 0.8 < covered < 0.98
    np.testing.assert_allclose(out.estimate, m.predict(NEW[200:]))


def test_conformal_ranks():
    m = RFLAFRegressor(**OPTIONS).fit(X, Y).conformalize(NEW[:9], NEW_Y[:9])
    worst = np.abs(NEW_Y[:9] - m.predict(NEW[:9])).max()
    out = m.predict_interval(NEW[:3], 0.9, "conformal")
    np.testing.assert_allclose(out.high - out.estimate, worst)
    assert np.isinf(m.predict_interval(NEW[:3], 0.91, "conformal").high).all()


def test_prediction_sets_cover():
    rng = np.random.default_rng(0)
    label = (Y + rng.normal(size=150) > 14).astype(int)
    fresh = (NEW_Y + rng.normal(size=400) > 14).astype(int)
    m = RFLAFClassifier(**OPTIONS).fit(X, label).conformalize(NEW[:200], fresh[:200])
    sets = m.predict_set(NEW[200:], 0.9)
    assert 0.8 < sets[np.arange(200), fresh[200:]].mean() <= 1


def test_leverage_known_answer():
    features = np.array([[2.0, 0], [-2, 0], [2, 0], [-2, 0]])
    features[:, 1] = [1, 1, -1, -1]
    out = leverage_scores(features, 0.5)
    np.testing.assert_allclose(out.scores, [1.6, 1])
    assert out.effective_dimension == pytest.approx(2.6)
    np.testing.assert_allclose(out.probabilities, [0.61538462, 0.38461538], atol=1e-8)
    default = leverage_scores(features)
    np.testing.assert_allclose(default.scores, leverage_scores(features, 0.5).scores)
    with pytest.raises(InvalidInput, match="ridge is 0"):
        leverage_scores(features, 0)


@pytest.mark.parametrize("rank", [1, 2])
def test_compression(rank):
    big = RFLAFRegressor(60, 9, rank=rank, random_state=0, n_starts=2).fit(X, Y)
    small = big.compress(25, X, Y, random_state=0)
    units = small.random_weights_.shape[1]
    assert units <= 25
    assert small.n_components == units
    assert big.random_weights_.shape[1] == 60
    assert all(
        (small.random_weights_[:, j : j + 1] == big.random_weights_).all(0).any()
        for j in range(units)
    )
    assert small.score(NEW, NEW_Y) > 0.6
    phi = features_of(small, X)
    flat = small.readout_.reshape(-1, 1)
    np.testing.assert_allclose(small.predict(X), phi @ flat[:, 0] + small.intercept_[0], atol=1e-6)
    _, std = small.predict(X, return_std=True)
    assert np.all(std > 0)
    labels = Y > 14
    c = RFLAFClassifier(40, 9, random_state=0, n_starts=2).fit(X, labels)
    assert c.compress(20, X, labels, random_state=0).score(X, labels) > 0.75


def test_curve_and_picture(model):
    curve = model.activation_curve()
    assert curve.value.shape == (401, 1)
    assert np.all(curve.low <= curve.value)
    assert np.isfinite(curve.high).all()
    at = model.activation_curve([0.0, 1.0])
    np.testing.assert_allclose(
        at.value[:, 0], model.basis_.values([0.0, 1.0]) @ model.activation_coef_[0]
    )
    axes = model.plot_activation()
    assert axes.get_xlabel() == "pre-activation z"
    assert model.plot_activation(axes, band=False, histogram=False) is axes


def test_kernel_is_the_limit_of_many_units(model):
    kernel = model.to_kernel()
    k = kernel(NEW[:5], NEW[:4])
    w = np.random.default_rng(0).normal(size=(5, 100_000))
    table = ActivationTable(model.activation_coef_[0], model.basis_)
    phi = [table(((NEW[:n] - model.offset_) / model.scale_) @ w) for n in (5, 4)]
    products = phi[0][:, None] * phi[1][None]
    error = products.mean(-1) - k
    assert np.all(np.abs(error) < 5 * products.std(-1) / np.sqrt(100_000))
    np.testing.assert_allclose(kernel.diag(NEW[:5]), np.diag(kernel(NEW[:5])), rtol=1e-10)
    assert not kernel.is_stationary()
    gp = GaussianProcessRegressor(1.0 * kernel, alpha=1e-2, normalize_y=True).fit(X, Y)
    assert gp.score(NEW, NEW_Y) > 0.6
    with pytest.raises(InvalidInput, match="fit with basis='rbf'"):
        RFLAFRegressor(**OPTIONS, basis="bspline").fit(X, Y).to_kernel()


@pytest.mark.parametrize("basis", ["rbf", "bspline"])
def test_torch_net_reproduces_and_trains(basis):
    torch = pytest.importorskip("torch")
    from equipoise.systems.rflaf import LAN, LearnableActivation

    m = RFLAFRegressor(**OPTIONS, rank=2, basis=basis).fit(X, Y)
    net = m.unfreeze()
    assert isinstance(net, LAN)
    out = net(torch.tensor(X))
    np.testing.assert_allclose(out.detach().numpy(), m.predict(X), atol=1e-6)
    optimiser = torch.optim.SGD(net.parameters(), lr=1e-4)
    losses = []
    for _ in range(5):
        loss = ((net(torch.tensor(X)) - torch.tensor(Y)) ** 2).mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0]
    z = torch.linspace(-1.5, 1.5, 50)
    for init, curve in (("relu", z.clamp(min=0)), ("identity", z)):
        layer = LearnableActivation(Basis.uniform(17), init)
        assert layer(z.reshape(5, 10)).shape == (5, 10)
        assert (layer(z) - curve).abs().max().item() < 0.1
    with pytest.raises(InvalidInput, match="did you mean 'relu'"):
        LearnableActivation(Basis.uniform(5), "rel")


@pytest.mark.parametrize("kind", ["regressor", "stream", "classifier", "transformer"])
def test_files(kind, tmp_path):
    labels = np.where(Y > 14, "high", "low")
    made = {
        "regressor": lambda: RFLAFRegressor(**OPTIONS).fit(X, Y).conformalize(NEW, NEW_Y),
        "stream": lambda: RFLAFRegressor(**OPTIONS).partial_fit(X, Y),
        "classifier": lambda: RFLAFClassifier(**OPTIONS, class_weight={"high": 2, "low": 1}).fit(
            X, labels
        ),
        "transformer": lambda: RFLAFTransformer(**OPTIONS).fit(X, Y),
    }[kind]()
    save_model(made, tmp_path / "m")
    read = load_model(tmp_path / "m")
    assert type(read) is type(made)
    assert read.get_params() == made.get_params()
    if kind == "transformer":
        np.testing.assert_array_equal(read.transform(NEW), made.transform(NEW))
        return
    np.testing.assert_array_equal(read.predict(NEW), made.predict(NEW))
    if kind == "classifier":
        np.testing.assert_array_equal(read.predict_proba(NEW), made.predict_proba(NEW))
    if kind == "regressor":
        for method in ("bayes", "jackknife", "conformal"):
            one, other = (m.predict_interval(NEW, 0.9, method) for m in (read, made))
            np.testing.assert_array_equal(one.low, other.low)
    if kind == "stream":
        read.partial_fit(NEW, NEW_Y)
        made.partial_fit(NEW, NEW_Y)
        np.testing.assert_allclose(read.predict(X), made.predict(X), rtol=1e-8)


def test_damaged_files(model, tmp_path):
    path = save_model(model, tmp_path / "m")
    with pytest.raises(InvalidInput, match=r"needed is 'equipoise\.rflaf\.model/1'"):
        load_model(
            LiftedStatistics(np.ones((1, 1)), Basis.uniform(3)).save(tmp_path / "statistics")
        )
    data = (path / "arrays.safetensors").read_bytes()
    (path / "arrays.safetensors").write_bytes(data[:-5])
    with pytest.raises(InvalidInput, match="model/1 expected"):
        load_model(path)
    with pytest.raises(MissingData):
        load_model(tmp_path / "none")
    with pytest.raises(InvalidInput, match="takes a fitted"):
        save_model(RFLAFRegressor(), tmp_path / "x")


def test_shards():
    whole = RFLAFRegressor(**OPTIONS).calibrate(X[:50]).partial_fit(X, Y)
    shards = [(X[:50], Y[:50]), lambda: (X[50:90], Y[50:90]), (X[90:], Y[90:])]
    m = fit_shards(RFLAFRegressor(**OPTIONS), shards)
    np.testing.assert_allclose(m.predict(X), whole.predict(X), atol=1e-6 * np.ptp(Y))
    assert m.statistics_.n_samples == 150
    with pytest.raises(InvalidInput, match="did you mean 'joblib'"):
        fit_shards(m, shards, backend="jobib")
    with pytest.raises(InvalidInput, match="no shard"):
        fit_shards(m, [])


def test_ray_absent_names_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"equipoise\[scale\]"):
        fit_shards(RFLAFRegressor(**OPTIONS), [(X, Y)], backend="ray")


def test_synthetic_sets():
    data = make_synthetic("f2", 50, 500, 3)
    assert (data.X.shape, data.y.shape, data.task) == ((50, 2), (50,), "regression")
    np.testing.assert_array_equal(data.y, make_synthetic("f2", 50, 500, 3).y)
    assert not np.array_equal(data.y, make_synthetic("f3", 50, 500, 3).y)
    with pytest.raises(InvalidInput, match="unknown synthetic set"):
        make_synthetic("f4")
    assert RFLAFConfig.preset("paper").n_basis == 401
