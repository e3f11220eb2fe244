"""The synthetic teachers: closed forms that they must satisfy, seeds, bad input."""

import numpy as np
import pytest
from scipy.integrate import quad

from equipoise.core.errors import InvalidInput
from equipoise.systems.rflaf import make_synthetic
from equipoise.systems.rflaf.data import TEACHERS, teacher_activation


@pytest.mark.parametrize(
    ("kind", "z", "value"),
    [
        ("f1", [-1.2, -0.5, 0.0, 0.5, 1.2], [0, -1, 0, 1, 0]),
        ("f2", [-0.5, 0.25, 0.5, 0.75, 1.5], [0, np.sqrt(0.5), 1, np.sqrt(0.5), 0]),
        ("f3", [-2.0, -1.0, 0.0, 1.0, 2.0], [0, 1, 0, 1, 0]),
        ("f3", [-1.25, -0.75, 0.75, 1.25], [np.sqrt(0.5)] * 4),
    ],
)
def test_teacher_activations_at_a_few_points(kind, z, value):
    np.testing.assert_allclose(teacher_activation(kind)(np.array(z)), value, atol=1e-12)


def test_teacher_activations_are_the_stated_sines():
    z = np.linspace(-3, 3, 100_001)
    left, right = (z >= -1.5) & (z <= -0.5), (z >= 0.5) & (z <= 1.5)
    expected = {
        "f1": np.sin(np.pi * z) * (np.abs(z) <= 1),
        "f2": np.sin(np.pi * z) * ((z >= 0) & (z <= 1)),
        "f3": np.sin(np.pi * (z - 0.5)) * right - np.sin(np.pi * (z + 0.5)) * left,
    }
    for kind, values in expected.items():
        np.testing.assert_allclose(teacher_activation(kind)(z), values, atol=3e-15)


@pytest.mark.parametrize("kind", ["f1", "f2", "f3"])
def test_teacher_activations_are_continuous_and_vanish_outside(kind):
    wave = teacher_activation(kind)
    z = np.linspace(-3, 3, 60_001)
    assert np.abs(np.diff(wave(z))).max() < 1e-3
    assert np.abs(wave(z)).max() == pytest.approx(1, abs=1e-6)
    assert not wave(z[np.abs(z) > 1.5]).any()
    symmetry = {"f1": -1, "f3": 1}.get(kind)
    if symmetry:
        np.testing.assert_allclose(wave(-z), symmetry * wave(z), atol=1e-12)


@pytest.mark.parametrize(("kind", "factor"), [("f1", 20.0), ("f2", 7.0), ("f3", 5.0)])
def test_published_factors(kind, factor):
    assert TEACHERS[kind][1] == factor


def moment(length):
    """Return E u s(u) for u ~ N(0, length^2) and f1's s, which is odd."""

    def inside(u):
        return u * np.sin(np.pi * u) * np.exp(-(u**2) / (2 * length**2))

    return quad(inside, -1, 1)[0] / np.sqrt(2 * np.pi) / length


def test_an_odd_teacher_of_many_units_has_a_closed_form():
    # max(p, q) = (p + q)/2 + |p - q|/2, and the second part vanishes against an odd s:
    # y(x) = A (b1 + b2)/2 . x / |x|^2 * E u s(u), u ~ N(0, |x|^2)
    data = make_synthetic("f1", 60, 200_000, 4)
    length = np.linalg.norm(data.X, axis=1)
    near = (length > 0.3) & (length < 3)
    x, length = data.X[near], length[near]
    weight = np.array([moment(size) for size in length]) / length**2
    design = x * weight[:, None]
    direction = np.linalg.lstsq(design, data.y[near], rcond=None)[0]
    error = data.y[near] - design @ direction
    assert np.abs(error).max() < 0.06 * np.abs(data.y).max() + 0.1


def test_the_factor_of_the_first_teacher_shows_in_its_targets():
    # (b1 + b2)/2 has components of variance 1/2: its squared length is 1 in the mean
    found = []
    for seed in range(120):
        data = make_synthetic("f1", 8, 4000, seed)
        size = np.linalg.norm(data.X, axis=1)
        design = data.X * np.array([moment(s) / s**2 for s in size])[:, None]
        found.append((np.linalg.lstsq(design, data.y, rcond=None)[0] ** 2).sum())
    assert 0.7 * 400 < np.mean(found) < 1.45 * 400


@pytest.mark.parametrize("kind", ["f1", "f2", "f3"])
def test_a_single_unit_shows_the_teachers_wave(kind):
    data = make_synthetic(kind, 4000, 1, 9)
    # y = v s(w.x): zero where s is, one sign where s has one, both peaks equal where it has two
    share = np.mean(data.y == 0)
    assert 0 < share < 1
    signs = set(np.sign(data.y[np.abs(data.y) > 1e-9]))
    assert len(signs) == (2 if kind == "f1" else 1)
    if kind == "f1":
        assert data.y.max() == pytest.approx(-data.y.min(), rel=0.02)


def test_rows_are_standard_normal_and_targets_have_no_noise():
    data = make_synthetic("f2", 20_000, 50, 1)
    np.testing.assert_allclose(data.X.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(data.X.T), np.eye(2), atol=0.05)
    assert (data.task, data.feature_names) == ("regression", ("x1", "x2"))
    assert "50 units" in data.source
    assert "seed 1" in data.source


@pytest.mark.parametrize("kind", ["f1", "f2", "f3"])
def test_one_seed_gives_one_set_whatever_the_blocks(kind, monkeypatch):
    from equipoise.systems.rflaf import data as module

    whole = make_synthetic(kind, 101, 300, 5)
    monkeypatch.setattr(module, "_BLOCK", 1000)
    blocks = make_synthetic(kind, 101, 300, 5)
    np.testing.assert_array_equal(whole.X, blocks.X)
    np.testing.assert_allclose(whole.y, blocks.y, rtol=1e-12, atol=1e-12)
    assert not np.allclose(make_synthetic(kind, 101, 300, 6).X, whole.X)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("f4",), "unknown synthetic set 'f4'"),
        (("f1", 0), "n_samples is 0"),
        (("f1", 10, 0), "n_teacher is 0"),
        (("f1", -3), "n_samples is -3"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments, words):
    with pytest.raises(InvalidInput, match=words) as refused:
        make_synthetic(*arguments)
    assert "\n" not in str(refused.value)
