import numpy as np
import pytest

from equipoise.systems.stream_aligner.worlds.sentence import (
    contagious_world,
    random_world,
    simulate_world,
)


@pytest.mark.parametrize("seed", range(3))
def test_the_real_loop_has_the_marginals_of_the_closed_form(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = random_world(rng) if seed else contagious_world()
    answers, steps = 700, 5
    exact = world.closed_form(steps)
    found = simulate_world(world, steps, answers, rng)
    for method in ("raw", "post_hoc", "stream"):
        states, table = getattr(found, method), getattr(exact, method)
        assert states.shape == (answers, steps)
        for kind in range(table.shape[1]):
            share = (states == kind).mean(axis=0)
            error = np.sqrt(table[:, kind] * (1 - table[:, kind]) / answers)
            assert (np.abs(share - table[:, kind]) <= 4.5 * error + 1e-9).all(), method
        clean = getattr(exact, f"clean_{method}")
        seen = (~np.isin(states, world.bad)).all(axis=1).mean()
        assert abs(seen - clean) <= 4.5 * np.sqrt(clean * (1 - clean) / answers)
