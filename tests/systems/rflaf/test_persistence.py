"""Models as folders: everything that is asked of them survives, and damage is refused."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_friedman1
from sklearn.exceptions import NotFittedError

from equipoise.core.errors import InvalidInput, MissingData
from equipoise.systems.rflaf import (
    RFLAFClassifier,
    RFLAFRegressor,
    RFLAFTransformer,
    load_model,
    save_model,
)

X, Y = make_friedman1(100, n_features=5, noise=0.5, random_state=0)
NEW, NEW_Y = make_friedman1(60, n_features=5, noise=0.5, random_state=1)
SMALL = {"n_components": 10, "n_basis": 7, "random_state": 0, "n_starts": 2}


def round_trip(model, folder):
    assert save_model(model, folder / "m") == folder / "m"
    return load_model(folder / "m")


@pytest.mark.parametrize("basis", ["rbf", "bspline", "poly"])
@pytest.mark.parametrize("rank", [1, 2])
def test_every_public_attribute_survives(basis, rank, tmp_path):
    m = RFLAFRegressor(**SMALL, basis=basis, rank=rank, engine="lifted").fit(X, np.c_[Y, X[:, 0]])
    read = round_trip(m, tmp_path)
    names = {n for n in vars(m) if n.endswith("_")}
    assert names == {n for n in vars(read) if n.endswith("_")}
    for name in names - {"basis_", "statistics_"}:
        one, other = getattr(m, name), getattr(read, name)
        np.testing.assert_array_equal(one, other, err_msg=name)
        assert type(one) is type(other), name
    assert read.basis_ == m.basis_
    np.testing.assert_array_equal(read.statistics_.gram, m.statistics_.gram)
    assert read.statistics_.n_samples == 100
    np.testing.assert_array_equal(read.predict(NEW), m.predict(NEW))


def test_everything_asked_of_a_regressor_survives(tmp_path):
    m = RFLAFRegressor(**SMALL).fit(X, Y).conformalize(NEW, NEW_Y)
    read = round_trip(m, tmp_path)
    for mine, theirs in zip(m.predict(NEW, return_std=True), read.predict(NEW, return_std=True)):
        np.testing.assert_array_equal(mine, theirs)
    for name in ("value", "low", "high"):
        np.testing.assert_array_equal(
            getattr(m.activation_curve(), name), getattr(read.activation_curve(), name)
        )
    np.testing.assert_array_equal(m.to_kernel()(NEW), read.to_kernel()(NEW))
    one, other = (e.compress(5, X, Y, random_state=0).predict(NEW) for e in (m, read))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(read.fit(X, Y).predict(NEW), m.predict(NEW))


@pytest.mark.parametrize(
    "labels",
    [
        np.where(Y > 14, "yes", "no"),
        np.where(Y > 14, "yes", "no").astype(object),
        np.digitize(Y, [12, 16]),
        np.digitize(Y, [12, 16]).astype(np.int8) - 5,
        Y > 14,
        np.where(Y > 14, 1.0, -1.0),
    ],
    ids=["text", "object", "integers", "small", "truth", "floats"],
)
def test_labels_keep_their_kind(labels, tmp_path):
    m = RFLAFClassifier(**SMALL).fit(X, labels).conformalize(X, labels)
    read = round_trip(m, tmp_path)
    assert read.classes_.dtype == m.classes_.dtype
    np.testing.assert_array_equal(read.predict(NEW), m.predict(NEW))
    np.testing.assert_array_equal(read.predict_proba(NEW), m.predict_proba(NEW))
    np.testing.assert_array_equal(read.predict_set(NEW, 0.8), m.predict_set(NEW, 0.8))


@pytest.mark.parametrize("weights", ["balanced", {0: 2.0, 1: 1.0}, {"a": 3, "b": 1}])
def test_class_weights_keep_their_keys(weights, tmp_path):
    labels = np.where(Y > 14, "a", "b") if "a" in weights else (Y > 14).astype(int)
    m = RFLAFClassifier(**SMALL, class_weight=weights).fit(X, labels)
    read = round_trip(m, tmp_path)
    assert read.class_weight == weights
    np.testing.assert_array_equal(read.fit(X, labels).predict(X), m.predict(X))


def test_names_of_columns_survive(tmp_path):
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(5)])
    m = RFLAFTransformer(**SMALL).fit(frame, Y)
    read = round_trip(m, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read.transform(frame), m.transform(frame))
    np.testing.assert_array_equal(read.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        read.transform(frame[frame.columns[::-1]])
    np.testing.assert_array_equal(read.get_feature_names_out(), m.get_feature_names_out())


def test_what_is_calibrated_or_half_streamed_goes_on_after_a_file(tmp_path):
    m = RFLAFRegressor(**SMALL).calibrate(X)
    read = round_trip(m, tmp_path)
    read.partial_fit(X[:60], Y[:60], solve=False)
    again = round_trip(read, tmp_path)
    with pytest.raises(NotFittedError):
        again.predict(X)
    again.partial_fit(X[60:], Y[60:])
    whole = m.partial_fit(X, Y)
    np.testing.assert_allclose(again.predict(NEW), whole.predict(NEW), atol=1e-6 * np.ptp(Y))
    assert again.inside_ == pytest.approx(whole.inside_)
    again.forget(X[60:], Y[60:])
    read.solve()
    np.testing.assert_allclose(again.predict(NEW), read.predict(NEW), atol=1e-5 * np.ptp(Y))


@pytest.mark.parametrize(
    "changes",
    [
        {"random_state": np.int64(3), "n_components": np.int32(9), "alpha": np.float64(0.1)},
        {"random_state": np.random.RandomState(0)},
        {"random_state": None},
        {"span": [-1, 2], "solver_options": {"chunk_bytes": 10_000}},
    ],
)
def test_parameters_of_any_number_type_survive(changes, tmp_path):
    m = RFLAFRegressor(**(SMALL | changes)).fit(X, Y)
    read = round_trip(m, tmp_path)
    np.testing.assert_array_equal(read.predict(NEW), m.predict(NEW))
    kept = {k: v for k, v in changes.items() if k not in ("random_state", "span")}
    assert {k: read.get_params()[k] for k in kept} == kept
    assert tuple(read.span) == tuple(m.span)


def test_a_folder_is_replaced_by_the_later_model(tmp_path):
    save_model(RFLAFRegressor(**SMALL).fit(X, Y), tmp_path / "m")
    second = RFLAFRegressor(**SMALL).fit(X, -Y)
    np.testing.assert_array_equal(round_trip(second, tmp_path).predict(X), second.predict(X))
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    with pytest.raises(InvalidInput, match="is no checkpoint"):
        save_model(second, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "kept"


def flip(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("arrays.safetensors", lambda d: b""),
        ("arrays.safetensors", lambda d: d[: len(d) // 2]),
        ("arrays.safetensors", lambda d: d + b"x"),
        ("arrays.safetensors", lambda d: flip(d, 20)),
        ("arrays.safetensors", lambda d: flip(d, len(d) // 2)),
        ("arrays.safetensors", lambda d: flip(d, len(d) - 1)),
        ("meta.json", lambda d: b""),
        ("meta.json", lambda d: d[: len(d) // 2]),
        ("meta.json", lambda d: d.replace(b"{", b"[", 1)),
        ("meta.json", lambda d: b"[1, 2]"),
        ("meta.json", lambda d: b"\xff\xfe" + d),
    ],
)
def test_damage_is_refused_in_one_line(name, damage, tmp_path):
    path = save_model(RFLAFRegressor(**SMALL).fit(X, Y), tmp_path / "m") / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidInput, match=r"equipoise\.rflaf\.model/1") as refused:
        load_model(tmp_path / "m")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h["meta"].update(format="equipoise.rflaf.model/2"), "model/2.*need.*model/1"),
        (lambda h: h.update(format="equipoise.checkpoint/9"), "checkpoint/9"),
        (lambda h: h["meta"].update({"class": "RFLAFRegresor"}), "did you mean 'RFLAFRegressor'"),
        (lambda h: h["meta"].update(format="equipoise.rflaf.statistics/1"), "statistics/1"),
        (lambda h: h.update(sha256="0" * 64), "model/1"),
    ],
)
def test_newer_and_foreign_files_are_refused(change, words, tmp_path):
    path = save_model(RFLAFRegressor(**SMALL).fit(X, Y), tmp_path / "m") / "meta.json"
    head = json.loads(path.read_text())
    change(head)
    path.write_text(json.dumps(head))
    with pytest.raises(InvalidInput, match=words) as refused:
        load_model(tmp_path / "m")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["arrays.safetensors", "meta.json"])
def test_a_missing_part_is_refused(name, tmp_path):
    path = save_model(RFLAFRegressor(**SMALL).fit(X, Y), tmp_path / "m")
    (path / name).unlink()
    with pytest.raises((InvalidInput, MissingData)):
        load_model(path)


@pytest.mark.parametrize("thing", [RFLAFRegressor(), "model", None, np.ones(3)])
def test_only_calibrated_estimators_are_saved(thing, tmp_path):
    with pytest.raises(InvalidInput, match="takes a fitted"):
        save_model(thing, tmp_path / "m")
    assert not (tmp_path / "m").exists()
