"""The picture of an activation: what is drawn is what was learnt."""

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from equipoise.systems.rflaf import RFLAFRegressor
from equipoise.systems.rflaf.drawing import draw_activation
from equipoise.systems.rflaf.estimator import ActivationCurve

pyplot = pytest.importorskip("matplotlib.pyplot")
X, Y = make_friedman1(80, n_features=5, noise=0.5, random_state=0)


@pytest.fixture
def axes():
    figure, made = pyplot.subplots()
    yield made
    pyplot.close(figure)


def curve(rank=1, half=0.1):
    z = np.linspace(-2, 2, 41)
    value = np.column_stack([np.sin((r + 1) * z) for r in range(rank)])
    return ActivationCurve(z, value, value - half, value + half)


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("band", [True, False])
def test_lines_and_bands_are_the_curve(axes, rank, band):
    drawn = curve(rank)
    assert draw_activation(axes, drawn, band=band) is axes
    assert len(axes.lines) == rank
    for r, line in enumerate(axes.lines):
        np.testing.assert_array_equal(line.get_xdata(), drawn.z)
        np.testing.assert_array_equal(line.get_ydata(), drawn.value[:, r])
    assert len(axes.collections) == (rank if band else 0)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    names = ["learnt activation"] if rank == 1 else ["activation 1", "activation 2", "activation 3"]
    assert labels == names
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("pre-activation z", "activation")


def test_an_unknown_band_is_not_drawn(axes):
    draw_activation(axes, curve(half=np.nan))
    assert len(axes.collections) == 0


def test_the_truth_is_dashed_and_named(axes):
    drawn = curve()
    draw_activation(axes, drawn, truth=np.cos(drawn.z))
    assert axes.lines[1].get_linestyle() == "--"
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), np.cos(drawn.z))
    assert axes.get_legend().get_texts()[1].get_text() == "true activation"


def test_the_histogram_lies_beneath_and_counts_points_inside(axes):
    z = np.r_[np.random.default_rng(0).normal(size=500), 50.0, -50.0]
    draw_activation(axes, curve(), z=z)
    (below,) = [a for a in axes.figure.axes if a is not axes]
    values, edges, _ = below.patches[0].get_data()
    assert edges[0] >= -2
    assert edges[-1] <= 2
    assert np.sum(values * np.diff(edges)) == pytest.approx(1)
    assert below.get_ylim()[1] == pytest.approx(5 * values.max())


def test_without_points_there_is_no_histogram(axes):
    draw_activation(axes, curve(), z=np.empty(0))
    assert axes.figure.axes == [axes]


def test_an_estimator_draws_its_own_curve():
    m = RFLAFRegressor(10, 7, rank=2, random_state=0, n_starts=1).fit(X, Y)
    axes = m.plot_activation()
    try:
        np.testing.assert_allclose(axes.lines[1].get_ydata(), m.activation_curve().value[:, 1])
        assert len(axes.collections) == 2
        assert len(axes.figure.axes) == 2
    finally:
        pyplot.close(axes.figure)
