"""From judged answers to comparison records, and from votes to ratings with rank ranges."""

from itertools import combinations
from pathlib import Path
from typing import Any

from equipoise.core.files import JsonlProblem, iter_jsonl

Outcome = tuple[str, str, str]
_SHOWN = 12


def write_judged_pairs(answers: Path, target: Path) -> list[Outcome]:
    """Write one comparison record for each two judged answers to one item.

    The better score wins, equal scores tie; items without a reply or a score on both sides are left
    out. Returns (first model, second model, outcome) of each record.
    """
    from equipoise.preference.comparisons import Comparison, Origin, Segment, write_comparisons

    by_item: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for _, row in iter_jsonl(answers):
        if not isinstance(row, JsonlProblem) and row["value"] is not None and row["reply"]:
            by_item.setdefault((row["task"], row["item"]), []).append(row)
    records: list[Comparison] = []
    outcomes: list[Outcome] = []
    for (task, item), rows in by_item.items():
        for a, b in combinations(rows, 2):
            winner = "tie"
            if a["value"] != b["value"]:
                winner = "a" if a["value"] > b["value"] else "b"
            outcomes.append((a["model"], b["model"], winner))
            records.append(
                Comparison(
                    id=f"{task}/{item}/{a['model']}/{b['model']}",
                    prompt=(Segment(text=a["question"], role="user"),),
                    response_a=(Segment(text=a["reply"]),),
                    response_b=(Segment(text=b["reply"]),),
                    winner=winner,
                    scores={"task": (a["value"], b["value"])},
                    models=(a["model"], b["model"]),
                    origin=Origin(source="tour"),
                )
            )
    write_comparisons(target, records)
    return outcomes


def rate(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Return Bradley-Terry ratings of votes, best first, with 95 % intervals and rank ranges."""
    from equipoise.preference.ratings import count_battles

    if not outcomes:
        return []
    first, second, outcome = zip(*outcomes, strict=True)
    return _rows(count_battles(first, second, outcome))


def rate_file(path: Path) -> dict[str, Any]:
    """Rate a file of human votes: what it holds, and its best models."""
    from equipoise.preference.ratings import count_battles, read_votes

    bad: list[int] = []
    votes = read_votes(path, on_bad=lambda line, problem: bad.append(line))
    counts = count_battles(votes.model_a, votes.model_b, votes.outcome)
    return {
        "file": path.name,
        "votes": len(votes.outcome),
        "models": len(counts.models),
        "skipped": votes.skipped + len(bad),
        "rows": _rows(counts),
    }


def _rows(counts: Any) -> list[dict[str, Any]]:
    from equipoise.core.stats import Interval
    from equipoise.preference.ratings import fit_bradley_terry, rank_sets

    fit = fit_bradley_terry(counts)
    low, high = fit.interval()
    ranks = rank_sets(fit)
    order = sorted(range(len(fit.models)), key=lambda i: -fit.rating[i])[:_SHOWN]
    return [
        {
            "model": fit.models[i],
            "rating": Interval(float(fit.rating[i]), float(low[i]), float(high[i])),
            "rank": f"{ranks.best[i]} to {ranks.worst[i]}",
            "battles": int(fit.games[i]),
        }
        for i in order
    ]
