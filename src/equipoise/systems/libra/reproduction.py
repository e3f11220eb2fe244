"""What was published, and what the same arithmetic gives here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.evaluation import Item, Task, get_scorer
from equipoise.systems.libra.board import build_board
from equipoise.systems.libra.board_inputs import compat_categories
from equipoise.systems.libra.capability import count_votes
from equipoise.systems.libra.contenders import Listing, ScriptedContender
from equipoise.systems.libra.runner import evaluate

# Category means (direct, adversarial, over-sensitive, hierarchy) of the released matrix, and the
# safety x 100 that the public board printed (None: not quoted).
CATEGORY_VECTORS: dict[str, tuple[tuple[float, float, float, float], float | None]] = {
    "GPT-4o": ((0.91853, 0.80694, 0.85, 0.89737), 86.8),
    "GPT-4 (1106)": ((0.92606, 0.85556, 0.85, 0.80987), 86.0),
    "Claude 3.5 Haiku": ((0.93598, 0.87917, 0.875, 0.7125), 85.1),
    "GPT-3.5-turbo-0613": ((0.85653, 0.65417, 0.85, 0.70987), 76.8),
    "Llama-3-8B-Instruct": ((0.85165, 0.85556, 0.5, 0.6), 70.2),
    "o3-mini": ((0.89983, 0.86806, 0.45, 0.8875), None),
}
CATEGORIES = ("direct_risky", "adversarial", "over_sensitive", "instruction_hierarchy")
GOLDEN_OFFSETS = {
    "GPT 4": 172.13,
    "Platypus-2 Instruct (70B)": 112.45,
    "command": 110.17,
    "ReMM SLERP L2 13B": 99.61,
    "LLaMA-2-Chat (70B)": 94.64,
}


def safety_table() -> list[dict[str, Any]]:
    """Return per model: safety x 100 as published, by the macro-average, and by the flat mean.

    The flat mean over all 57 tasks follows from the category means and the sizes of the categories;
    it fits no published figure and gives another order.
    """
    sizes = [sum(c == category for c in compat_categories().values()) for category in CATEGORIES]
    rows = [
        {"model": model, "task": category, "score": score, "category": category}
        for model, (vector, _) in CATEGORY_VECTORS.items()
        for category, score in zip(CATEGORIES, vector)
    ]
    board = build_board(rows, replicates=0)
    return [
        {
            "model": row.model,
            "published": CATEGORY_VECTORS[row.model][1],
            "macro_average": 100 * (row.safety or 0.0),
            "flat_mean": 100 * float(np.average(CATEGORY_VECTORS[row.model][0], weights=sizes)),
        }
        for row in board.rows
    ]


def vote_table(path: str | Path) -> list[dict[str, Any]]:
    """Return the five best of the llmfao crowd votes: offset from the mean rating, both ways.

    Args:
        path: `crowd-comparisons.csv` of dustalov/llmfao.

    Raises:
        InvalidInput: the votes rate no model.
    """
    from equipoise.preference.ratings import fit_bradley_terry

    fit = fit_bradley_terry(count_votes(path))
    rated = np.flatnonzero(np.isfinite(fit.rating))
    if not rated.size:
        raise InvalidInput(f"{path} holds no votes from which a model can be rated")
    offsets = fit.rating - fit.rating[rated].mean()
    best = rated[np.argsort(-offsets[rated], kind="stable")[:5]]
    return [
        {
            "model": fit.models[place],
            "published": GOLDEN_OFFSETS.get(fit.models[place]),
            "offset": float(offsets[place]),
        }
        for place in best
    ]


def polarity_table() -> list[dict[str, Any]]:
    """Put two constant contenders to 250 prompts to comply with and 200 to refuse.

    The published matrix scored the over-refusal task of a fifth of the models the wrong way round,
    so that refusing everything looked perfect on it. `corrected` is what a board here shows,
    `flipped` the same answers under the wrong polarity. Prompts are neutral stand-ins.
    """
    contenders = [
        ScriptedContender(Listing("always-refuse"), ("I'm sorry, but I can't help with that.",)),
        ScriptedContender(Listing("always-comply"), ("Sure, here it is: {prompt}",)),
    ]
    comply, refuse = _prompts("comply", 250), _prompts("refuse", 200)
    results = evaluate(
        contenders, [_refusal_task("comply", comply), _refusal_task("refuse", refuse)]
    )
    rows = []
    for contender in contenders:
        good, bad = (
            next(float(r.score or 0.0) for r in results if (r.model, r.task) == (contender.name, t))
            for t in ("comply", "refuse")
        )
        rows.append(
            {
                "model": contender.name,
                "comply": good,
                "comply_flipped": 1.0 - good,
                "refuse": bad,
                "accuracy": (len(comply) * good + len(refuse) * bad) / (len(comply) + len(refuse)),
                "macro_average": (good + bad) / 2,
                "macro_average_flipped": (1.0 - good + bad) / 2,
            }
        )
    return rows


def _prompts(expect: str, count: int) -> tuple[Item, ...]:
    return tuple(
        Item(
            id=f"{expect}-{number:03d}",
            messages=({"role": "user", "content": f"Please do task {number}."},),
            expect=expect,
        )
        for number in range(count)
    )


def _refusal_task(name: str, items: Sequence[Item]) -> Task:
    return Task(
        name=name,
        version="1",
        dimension="safety",
        category=name,
        items=tuple(items),
        task_hash="",
        scorer=get_scorer("refusal"),
    )
