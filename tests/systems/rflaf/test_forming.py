"""What a fit went through: its trail, the clip of it, the objective of every start."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import make_friedman1

from equipoise.core.runs import Run
from equipoise.systems.rflaf import RFLAFClassifier, RFLAFConfig, RFLAFRegressor
from equipoise.systems.rflaf.commands import demo
from equipoise.systems.rflaf.drawing import draw_objective
from equipoise.systems.rflaf.fitted import Course, Trail
from equipoise.systems.rflaf.forming import add_forming, aligned, curves_to_show, save_forming
from equipoise.systems.rflaf.persistence import load_model, save_model

X, Y = make_friedman1(140, n_features=5, noise=0.7, random_state=3)
SMALL = {"n_components": 14, "n_basis": 7, "random_state": 0, "n_starts": 3, "max_iter": 40}
RNG = np.random.default_rng(0)


def trail_of(model) -> Trail:
    assert model._trail is not None
    return model._trail


def fitted(cls=RFLAFRegressor, y=Y, **changes):
    return cls(**(SMALL | changes)).fit(X, y)


@pytest.mark.parametrize("solver", ["varpro", "als", "adam"])
@pytest.mark.parametrize("changes", [{}, {"alpha": 1e-2, "smooth": 0.0}, {"rank": 2}])
def test_the_trail_ends_at_the_fit(solver, changes):
    m = fitted(solver=solver, **changes)
    a, course = m.activation_coef_, trail_of(m).course
    assert course.activations.shape == (course.objective.size, *a.shape)
    end = aligned(course.activations, a)[-1]
    np.testing.assert_allclose(end, a, atol=1e-8)
    assert not np.allclose(course.activations[0], course.activations[-1], atol=1e-4)
    if changes.get("alpha"):  # one penalty throughout: the history is all of it
        np.testing.assert_array_equal(course.objective, m.objective_history_)
    else:
        history = m.objective_history_[1:]
        np.testing.assert_array_equal(course.objective[-history.size :], history)


@pytest.mark.parametrize("solver", ["varpro", "als"])
def test_every_start_keeps_its_own_trial(solver):
    trail = trail_of(m := fitted(solver=solver))
    assert [t.objective[-1] for t in trail.trials] == m.start_objectives_.tolist()
    kept = trail.trials[trail.kept]
    np.testing.assert_array_equal(trail.course.objective[: kept.objective.size], kept.objective)
    np.testing.assert_array_equal(
        trail.course.activations[: len(kept.activations)], kept.activations
    )
    for trial in trail.trials:
        assert len(trial.activations) == trial.objective.size > 1
        assert np.all(np.diff(trial.objective) <= 1e-12 * trial.objective[:-1])


def test_a_search_on_some_rows_goes_on_with_all_of_them():
    x, y = make_friedman1(4500, n_features=5, noise=0.7, random_state=3)
    m = RFLAFRegressor(**SMALL, engine="data").fit(x, y)
    course, tail = trail_of(m).course, m.objective_history_.size - 1
    assert course.objective.size > tail + trail_of(m).trials[trail_of(m).kept].objective.size
    np.testing.assert_array_equal(course.objective[-tail:], m.objective_history_[1:])
    np.testing.assert_allclose(
        aligned(course.activations, m.activation_coef_)[-1], m.activation_coef_, atol=1e-8
    )


def test_the_log_loss_adds_its_own_iterations():
    m = fitted(RFLAFClassifier, Y > 14)
    course = trail_of(m).course
    assert len(course.activations) > course.objective.size
    end = aligned(course.activations, m.activation_coef_)[-1]
    np.testing.assert_allclose(end, m.activation_coef_, atol=1e-8)
    panels = draw_objective(m).axes
    assert len(panels) == 2
    np.testing.assert_array_equal(panels[1].lines[0].get_ydata(), m.objective_history_)


def test_the_turn_towards_the_last_undoes_any_other():
    last = np.linalg.qr(RNG.normal(size=(7, 2)))[0].T
    turned = np.stack([RNG.normal(size=(2, 2)) @ last for _ in range(4)])
    np.testing.assert_allclose(aligned(turned, last), [last] * 4, atol=1e-8)
    one = np.stack([-3 * last[:1], last[:1]])
    np.testing.assert_allclose(aligned(one, last[:1]), [last[:1]] * 2, atol=1e-12)


def test_curves_that_look_alike_are_shown_once_and_the_last_always():
    height = np.array([0, 1e-5, 0.5, 0.5, 1.0, 1.0 + 1e-5])
    curves = height[:, None, None] * np.ones((1, 3, 1))
    assert curves_to_show(curves) == [0, 2, 4, 5]
    other = np.array([0.0, 0.7])[:, None] * np.ones((1, 3))
    assert curves_to_show(curves, [other]) == [0, 1, 2, 4, 5]
    many = np.arange(400.0)[:, None, None] * np.ones((1, 3, 1))
    shown = curves_to_show(many)
    assert (shown[0], shown[-1], len(set(shown))) == (0, 399, len(shown))
    assert len(shown) <= 44


def frames_of(path):
    with Image.open(path) as clip:
        frames, times = [], []
        for k in range(clip.n_frames):
            clip.seek(k)
            frames.append(np.asarray(clip.convert("RGB")))
            times.append(clip.info["duration"])
        return np.stack(frames), times


@pytest.mark.parametrize("rank", [1, 2])
def test_the_longest_clip_is_small_and_holds_its_last_frame(rank, tmp_path):
    m = fitted(rank=rank)
    start, end = RNG.normal(size=(rank, 7)), m.activation_coef_
    way = np.linspace(0, 1, 300)[:, None, None]
    course = Course((1 - way) * start + way * end, np.ones(300))
    m._trail = Trail(course, (course, Course(course.activations[::-1][:15], np.ones(15))), 0)
    path = save_forming(m, tmp_path / "clip.gif")
    assert path.stat().st_size < 1.5e6
    frames, times = frames_of(path)
    assert 40 < len(frames) <= 60
    moved = [np.any(a != b) for a, b in pairwise(frames)]
    held = sum(times[k + 1] for k in range(len(moved)) if not any(moved[k:]))
    assert 1500 <= held <= 2500
    assert all(moved[:30])
    assert frames[0, 0, 0].min() > 240  # opaque and light, also on a dark page


def test_the_demo_shows_its_activation_forming(tmp_path):
    sizes = {"n_components": "20", "n_basis": "9", "n_starts": "2"}
    done = demo(out=tmp_path / "run", n_samples="300", n_teacher="500", **sizes)
    clip = tmp_path / "run" / "media" / "activation-forming.gif"
    assert len(frames_of(clip)[0]) > 1
    assert clip.stat().st_size < 1.5e6
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "The activation forming, iteration by iteration" in page
    assert "dashed, the true activation" in page
    assert "data:image/gif" in page
    model = load_model(tmp_path / "run" / "checkpoints" / "model")
    assert model._trail is None
    assert done["n_parameters"] == 20 + 9 + 1


def test_more_activations_than_colours_have_a_truth_too(tmp_path):
    m = fitted(n_basis=10, rank=9, n_starts=1, max_iter=3)
    path = save_forming(m, tmp_path / "clip.gif", truth=m.activation_curve().z)
    assert len(frames_of(path)[0]) > 1


def test_every_start_is_a_line_and_the_kept_one_is_bold():
    m = fitted()
    (axes,) = draw_objective(m).axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == ["kept", "others"]
    kept, *others = axes.lines
    np.testing.assert_array_equal(kept.get_ydata(), trail_of(m).course.objective)
    assert len(others) == 2
    ends = sorted(line.get_ydata()[-1] for line in others)
    assert ends == sorted(np.delete(m.start_objectives_, trail_of(m).kept))
    assert all(line.get_linewidth() < kept.get_linewidth() for line in others)
    alone = draw_objective(fitted(n_starts=1)).axes[0].get_legend().get_texts()
    assert [text.get_text() for text in alone] == ["kept"]


def test_without_a_trail_there_is_no_clip(tmp_path):
    class Nothing:
        def media(self, *_args, **_kwargs):
            raise AssertionError("nothing is to be shown")

    m = fitted()
    save_model(m, tmp_path / "m")
    read = load_model(tmp_path / "m")
    run = Run.create("rflaf", "train", RFLAFConfig(), folder=tmp_path / "run")
    drawn = m.compress(5, X, Y, method="leverage", random_state=0)
    for one in (read, drawn):
        add_forming(Nothing(), one, run)
        assert len(draw_objective(one).axes[0].lines) == 1
    assert not list(run.path.rglob("*.gif"))
