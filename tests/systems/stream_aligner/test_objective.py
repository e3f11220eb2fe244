from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.core.errors import InvalidInput
from equipoise.systems.stream_aligner import (
    arithmetic_accuracy,
    correction_loss,
    induced_kernel,
    induction,
)


def contagious(repair: float, steps: int = 4) -> Any:
    return induction(
        [0.7, 0.3],
        [[0.8, 0.2], [0.3, 0.7]],
        [[1, 0], [repair, 1 - repair]],
        bad=[1],
        steps=steps,
    )


def test_known_bad_masses() -> None:
    found = contagious(0.9)
    np.testing.assert_allclose(found.stream[:, 1], [0.03, 0.0215, 0.021075, 0.02105375], atol=1e-12)
    np.testing.assert_allclose(found.post_hoc[:, 1], [0.03, 0.035, 0.0375, 0.03875], atol=1e-12)
    far = contagious(0.9, 200)
    assert far.stream[-1, 1] == pytest.approx(0.0210526, abs=1e-7)
    assert far.post_hoc[-1, 1] == pytest.approx(0.04, abs=1e-9)
    assert far.gain == pytest.approx(far.post_hoc[:, 1].mean() / far.stream[:, 1].mean())


def test_no_repair_and_full_repair() -> None:
    none = contagious(0.0, 200)
    np.testing.assert_allclose(none.post_hoc, none.raw)
    np.testing.assert_allclose(none.stream, none.raw)
    assert none.raw[-1, 1] == pytest.approx(0.4)
    assert (none.gain, none.clean_post_hoc) == (pytest.approx(1.0), pytest.approx(none.clean_raw))
    full = contagious(1.0)
    assert full.post_hoc[:, 1].max() == full.stream[:, 1].max() == 0
    assert full.clean_stream == pytest.approx(full.clean_post_hoc) == pytest.approx(1.0)
    assert np.isnan(full.gain)


WORLDS = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 6))


def draw_world(seed: int, size: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    rows = np.ones(size)
    return rng.dirichlet(rows), rng.dirichlet(rows, size), rng.dirichlet(rows, size)


@given(WORLDS)
def test_marginals_are_distributions_and_clean_mass_matches_enumeration(
    world: tuple[int, int, int],
) -> None:
    seed, size, steps = world
    initial, transition, correction = draw_world(seed, size)
    bad = [size - 1]
    found = induction(initial, transition, correction, bad=bad, steps=steps)
    for table in (found.raw, found.post_hoc, found.stream):
        assert table.shape == (steps, size)
        np.testing.assert_allclose(table.sum(axis=1), 1)
    # clean mass by brute force over proposals and corrections, sentence by sentence
    good = [state for state in range(size) if state not in bad]
    raw = {state: initial[state] for state in good}
    hoc = {state: initial[state] * correction[state, good].sum() for state in range(size)}
    streamed = {c: sum(initial[s] * correction[s, c] for s in range(size)) for c in good}
    for _ in range(steps - 1):
        raw = {t: sum(p * transition[s, t] for s, p in raw.items()) for t in good}
        hoc = {
            t: sum(p * transition[s, t] for s, p in hoc.items()) * correction[t, good].sum()
            for t in range(size)
        }
        streamed = {
            c: sum(
                p * transition[s, t] * correction[t, c]
                for s, p in streamed.items()
                for t in range(size)
            )
            for c in good
        }
    assert found.clean_raw == pytest.approx(sum(raw.values()), abs=1e-12)
    assert found.clean_post_hoc == pytest.approx(sum(hoc.values()), abs=1e-12)
    assert found.clean_stream == pytest.approx(sum(streamed.values()), abs=1e-12)


@given(WORLDS)
def test_independent_sentences_gain_nothing(world: tuple[int, int, int]) -> None:
    seed, size, steps = world
    initial, _, correction = draw_world(seed, size)
    found = induction(initial, np.tile(initial, (size, 1)), correction, bad=[0], steps=steps)
    assert found.gain == pytest.approx(1.0, rel=1e-12)
    np.testing.assert_allclose(found.stream, found.post_hoc)


@given(WORLDS)
def test_the_induced_kernel_is_stochastic_and_bounds_the_loss(world: tuple[int, int, int]) -> None:
    seed, size, _ = world
    _, transition, correction = draw_world(seed, size)
    kernel = induced_kernel(transition, correction)
    np.testing.assert_allclose(kernel.sum(axis=1), 1)
    with np.errstate(divide="ignore"):
        nll = -np.log(kernel)[:, None, :]  # (R, 1, T)
        bound = -np.log(correction)[None] - np.log(transition)[:, :, None]
    assert (nll <= bound + 1e-9).all()


@pytest.mark.parametrize(
    ("transition", "correction", "message"),
    [
        ([[0.5, 0.5], [0.5, 0.6]], np.eye(2), r"row 1 of transition is no distribution.*sum 1\.1"),
        (
            np.eye(2),
            [[1.5, -0.5], [0, 1]],
            r"row 0 of correction is no distribution: minimum -0\.5",
        ),
        (np.eye(2), [[np.nan, 1], [0, 1]], "row 0 of correction"),
        (np.eye(2), np.eye(3), r"transition is \(2, 2\), correction \(3, 3\)"),
        ([1.0], np.eye(1), r"transition has shape \(1,\)"),
    ],
)
def test_bad_kernels_name_the_row(transition: Any, correction: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        induced_kernel(transition, correction)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bad": [2]}, "bad state 2; states are 0 to 1"),
        ({"bad": [-1]}, "bad state -1"),
        ({"steps": 0}, "steps is 0"),
        ({"initial": [0.5, 0.4]}, "row 0 of initial"),
        ({"transition": np.eye(3)}, r"expected \(S,\), \(S, S\), \(S, S\)"),
    ],
)
def test_bad_worlds_are_refused(changes: dict[str, Any], message: str) -> None:
    world: dict[str, Any] = {
        "initial": [0.5, 0.5],
        "transition": np.eye(2),
        "correction": np.eye(2),
        "bad": [1],
        "steps": 3,
    } | changes
    with pytest.raises(InvalidInput, match=message):
        induction(
            world["initial"],
            world["transition"],
            world["correction"],
            bad=world["bad"],
            steps=world["steps"],
        )


def test_arithmetic_accuracy() -> None:
    found = arithmetic_accuracy(8, 0.1, 0.9)
    assert found.raw == pytest.approx(0.4304672, abs=1e-7)
    assert found.post_hoc == pytest.approx(0.4735139, abs=1e-7)
    assert found.stream == pytest.approx(0.9227447, abs=1e-7)
    assert arithmetic_accuracy(1, 0.3, 0.5, 0.1).post_hoc == pytest.approx(0.7 * 0.9 + 0.15)
    spoiled = arithmetic_accuracy(5, 0.0, 0.0, 0.2)
    assert (spoiled.raw, spoiled.stream) == (1.0, pytest.approx(0.8**5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 0.1, 0.9), "steps is 0"),
        ((3, 1.1, 0.9), "error_rate is 1.1"),
        ((3, 0.1, -0.1), "fix_rate is -0.1"),
        ((3, 0.1, 0.9, 2), "break_rate is 2"),
    ],
)
def test_bad_rates(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        arithmetic_accuracy(*arguments)


def test_the_loss_is_the_mean_over_target_tokens() -> None:
    torch = pytest.importorskip("torch")
    labels = torch.tensor([[-100, -100, 3, 2], [-100, 5, 2, -100]])
    uniform = torch.zeros(2, 4, 16, dtype=torch.float64)
    assert correction_loss(uniform, labels).item() == pytest.approx(2.7725887, abs=1e-7)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 16, generator=generator, dtype=torch.float64)
    by_hand = [
        -torch.log_softmax(logits[b, t - 1], -1)[labels[b, t]].item()
        for b in range(2)
        for t in range(1, 4)
        if labels[b, t] != -100
    ]
    loss = correction_loss(logits, labels)
    assert loss.item() == pytest.approx(sum(by_hand) / len(by_hand))
    changed = logits.clone()
    changed[0, 0] += 7 * torch.arange(16)  # predicts a prompt token
    changed[:, -1] -= 3 * torch.arange(16)  # predicts nothing
    assert correction_loss(changed, labels).item() == pytest.approx(loss.item(), abs=1e-12)


def test_the_loss_refuses_wrong_shapes_and_empty_targets() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(InvalidInput, match="no target token"):
        correction_loss(torch.zeros(1, 3, 4), torch.tensor([[3, -100, -100]]))
    with pytest.raises(InvalidInput, match=r"labels \(1, 2\): expected"):
        correction_loss(torch.zeros(1, 3, 4), torch.zeros(1, 2, dtype=torch.long))
