"""By simulation: intervals of U hold the truth as often as they say, rank ranges the true rank."""

import numpy as np
import pytest

from equipoise.systems.libra import build_board

pytestmark = pytest.mark.slow
RUNS, MODELS, TASKS, ITEMS = 300, 5, 8, 20


def simulated_board(rng, ability, easiness, run):
    """One evaluation: TASKS tasks of ITEMS new items each, all models on the same items."""
    rows = []
    for task in range(TASKS):
        shift = rng.normal(0.0, 0.8, size=ITEMS)  # items differ in difficulty, the same for all
        for model in range(MODELS):
            chance = 1 / (1 + np.exp(-(ability[model, task % 2] + easiness[task] + shift)))
            scores = (rng.random(ITEMS) < chance).astype(float).tolist()
            rows.append(
                {
                    "model": f"m{model}",
                    "task": f"t{task}",
                    "dimension": "capability" if task % 2 else "safety",
                    "category": f"c{task // 4}",
                    "score": float(np.mean(scores)),
                    "n": ITEMS,
                    "scores": scores,
                    "item_ids": [str(item) for item in range(ITEMS)],
                }
            )
    return build_board(rows, replicates=400, seed=run)


def true_scores(ability, easiness):
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    axes = []
    for parity in (1, 0):
        tasks = [task for task in range(TASKS) if task % 2 == parity]
        means = []
        for task in tasks:
            logits = ability[:, parity][:, None] + easiness[task] + 0.8 * nodes
            means.append((weights / (1 + np.exp(-logits))).sum(axis=1))
        axes.append(np.mean(means, axis=0))
    gaps = 1 - np.stack(axes)
    return 1 - np.sqrt((gaps**2).mean(axis=0))


def test_intervals_of_the_score_and_rank_ranges_cover():
    rng = np.random.default_rng(5)
    ability = rng.normal(0.6, 0.7, size=(MODELS, 2))
    easiness = rng.normal(0.0, 0.4, size=TASKS)
    truth = true_scores(ability, easiness)
    ranks = 1 + (truth[None, :] > truth[:, None]).sum(axis=1)
    inside = ranked = 0
    for run in range(RUNS):
        for row in simulated_board(rng, ability, easiness, run).rows:
            model = int(row.model[1:])
            assert row.score_low is not None
            assert row.score_high is not None
            assert row.rank_best is not None
            assert row.rank_worst is not None
            inside += row.score_low <= truth[model] <= row.score_high
            ranked += row.rank_best <= ranks[model] <= row.rank_worst
    assert 0.91 <= inside / (RUNS * MODELS) <= 0.98
    assert ranked / (RUNS * MODELS) >= 0.95
