"""Shards on a local Ray cluster: the same model, bounded work, errors as they were raised."""

import gc
import os
import tempfile
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from filelock import FileLock
from sklearn.datasets import make_friedman1

from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.systems.rflaf import RFLAFClassifier, RFLAFRegressor, fit_shards
from equipoise.systems.rflaf.shards import _on_ray

pytestmark = [pytest.mark.standard, pytest.mark.timeout(900)]  # waiting for the lock included

X, Y = make_friedman1(160, n_features=5, noise=0.5, random_state=0)
LABELS = np.array(["a", "b", "c"])[np.digitize(Y, np.quantile(Y, [0.3, 0.7]))]
SMALL = {"n_components": 10, "n_basis": 7, "random_state": 0, "n_starts": 2}
LOCAL = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 200 * 2**20}


def regressor() -> RFLAFRegressor:
    return RFLAFRegressor(**SMALL).calibrate(X)


def parts(y=Y):
    return [(X[a:b], y[a:b]) for a, b in pairwise([0, 40, 70, 71, 120, 160])]


def children() -> set[str]:
    return {p.name() for p in psutil.Process().children(recursive=True)}


@pytest.fixture(scope="module", autouse=True)
def settings():
    """Ray without a token file or statistics; whatever cluster there is stops at the end.

    One process of the tests at a time: clusters that start and stop beside each other end the
    processes that use them.
    """
    alone = FileLock(Path(tempfile.gettempdir()) / f"equipoise-{os.getuid()}-tests-of-ray.lock")
    with alone, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        ray = pytest.importorskip("ray")
        yield
        gc.collect()  # references die with their cluster still there
        ray.shutdown()
        assert not children() & {"raylet", "gcs_server"}


@pytest.fixture
def ray(settings):
    """A running cluster of two CPUs."""
    import ray

    if not ray.is_initialized():
        ray.init(**LOCAL, log_to_driver=False)
    return ray


def test_a_cluster_gives_the_model_of_joblib_and_of_all_rows(ray):
    found = fit_shards(regressor(), parts(), backend="ray")
    for other in (fit_shards(regressor(), parts()), regressor().partial_fit(X, Y)):
        np.testing.assert_allclose(found.predict(X), other.predict(X), atol=1e-6 * np.ptp(Y))
    assert found.statistics_.n_samples == 160
    assert found.inside_ == pytest.approx(regressor().partial_fit(X, Y).inside_)
    assert ray.is_initialized()


def test_callables_are_called_where_the_work_is_done(ray, tmp_path):
    def shard(part):
        def load():
            (tmp_path / f"{len(part[0])}-{os.getpid()}").touch()
            return part

        return load

    found = fit_shards(regressor(), (shard(part) for part in parts()), backend="ray")
    np.testing.assert_allclose(
        found.predict(X), regressor().partial_fit(X, Y).predict(X), atol=1e-6 * np.ptp(Y)
    )
    places = dict(path.name.split("-") for path in tmp_path.iterdir())
    assert set(places) == {"40", "30", "1", "49"}  # two have 40 rows
    assert str(os.getpid()) not in {places[size] for size in ("30", "1", "49")}


def test_what_comes_from_a_cluster_goes_on_streaming(ray):
    found = fit_shards(regressor(), parts()[:2], backend="ray")
    found.partial_fit(X[70:], Y[70:]).forget(X[:40], Y[:40])
    left = regressor().partial_fit(X[40:], Y[40:])
    np.testing.assert_allclose(found.predict(X), left.predict(X), atol=1e-5 * np.ptp(Y))
    far = ray.get(ray.put(found)).partial_fit(X[:40], Y[:40])
    assert far.statistics_.n_samples == 160


def test_a_classifier_of_squared_loss(ray):
    options = SMALL | {"loss": "squared"}
    found = fit_shards(RFLAFClassifier(**options), parts(LABELS), backend="ray")
    whole = RFLAFClassifier(**options).calibrate(X[:40]).partial_fit(X, LABELS)
    np.testing.assert_allclose(found.decision_function(X), whole.decision_function(X), atol=1e-5)
    np.testing.assert_array_equal(found.classes_, ["a", "b", "c"])


class Odd(Exception):
    """One that cannot be pickled."""

    def __init__(self):
        super().__init__("odd")
        self.lock = threading.Lock()


def fails(error):
    def load():
        raise error

    return load


def odd():
    raise Odd


@pytest.mark.parametrize(
    ("bad", "kind", "words"),
    [
        (fails(FileNotFoundError(2, "no such file", "feb.csv")), FileNotFoundError, "feb.csv"),
        ((X[:5], Y[:4]), ValueError, "inconsistent"),
        ((X[:5] * np.nan, Y[:5]), ValueError, "X contains NaN"),
        ((X[:5], np.c_[Y, Y][:5]), InvalidInput, "outputs"),
        (odd, RunFailed, "Odd"),
    ],
)
def test_a_shard_that_fails_says_so_and_changes_nothing(ray, bad, kind, words):
    fresh, calibrated, seen = RFLAFRegressor(**SMALL), regressor(), regressor()
    seen.partial_fit(X, Y)
    for model in (fresh, calibrated, seen):
        before = dict(vars(model))
        with pytest.raises(kind, match=words) as caught:
            fit_shards(model, [*parts(), bad, *parts()], backend="ray")
        assert not isinstance(caught.value, ray.exceptions.RayError)
        assert vars(model) == before


@pytest.mark.slow
def test_a_lost_worker_is_one_line(ray):
    with pytest.raises(RunFailed, match=r"no result of a shard: .*worker died") as caught:
        fit_shards(regressor(), [parts()[0], lambda: os._exit(1)], backend="ray")
    assert "\n" not in str(caught.value)


def test_shards_are_drawn_as_the_cluster_has_room(ray):
    drawn = []

    def shards():
        for part in parts() * 6:
            drawn.append(part)
            yield part

    work = _on_ray(ray, regressor(), shards())
    for done, _ in enumerate(work, start=1):
        assert len(drawn) <= done + 4
        if done == 5:
            break
    work.close()
    assert len(drawn) < 12
    assert fit_shards(regressor(), parts(), backend="ray").statistics_.n_samples == 160


@pytest.mark.slow
def test_without_a_cluster_one_is_started_and_stopped(settings, monkeypatch):
    import ray

    ray.shutdown()
    given = {}
    init = ray.init
    monkeypatch.setattr(ray, "init", lambda **kw: (given.update(kw), init(**LOCAL | kw)))
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")
    found = fit_shards(regressor(), parts(), backend="ray")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert given["include_dashboard"] is False
    assert not ray.is_initialized()
    assert not children() & {"raylet", "gcs_server"}
    np.testing.assert_allclose(
        found.predict(X), regressor().partial_fit(X, Y).predict(X), atol=1e-6 * np.ptp(Y)
    )
    with pytest.raises(ZeroDivisionError):
        fit_shards(found, [lambda: 1 / 0], backend="ray")
    assert not ray.is_initialized()
