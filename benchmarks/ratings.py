"""Bradley-Terry on a million votes, against scikit-learn and evalica, in one run.

`python -m benchmarks.ratings` prints JSON. Every contestant sees the same synthetic votes (100
models, strengths N(0, 1), 15 % ties) and is asked for the same thing, the maximum of the same
likelihood (a tie is half a win each way), on one thread of linear algebra; rounds alternate and
medians are reported. scikit-learn's
logistic regression gets one row a vote (two weighted rows a tie) of a subsample; its time for all
votes is that of the subsample scaled in proportion, which favours it.
"""

import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from equipoise.preference.ratings import (
    LiveRatings,
    PairCounts,
    bootstrap_bradley_terry,
    count_battles,
    fit_bradley_terry,
)

OUTCOMES = np.array(["a", "b", "tie"])
Codes = NDArray[np.intp]


def simulate(votes: int, models: int, seed: int = 0) -> tuple[Codes, Codes, Codes]:
    """Return integer columns of synthetic votes: first model, second model, outcome."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(0.0, 1.0, models)
    a = rng.integers(0, models, votes)
    b = (a + rng.integers(1, models, votes)) % models
    won = rng.random(votes) < 1 / (1 + np.exp(strength[b] - strength[a]))
    outcome = np.where(rng.random(votes) < 0.15, 2, np.where(won, 0, 1))
    return a, b, outcome


def timed(
    calls: dict[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the median seconds of each call, rounds alternating, and each last result."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            results[name] = call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}, results


def logistic_regression(columns: tuple[Codes, Codes, Codes], models: int) -> NDArray[np.float64]:
    """Return log strengths (K,) by scikit-learn: a design of +1 and -1, no penalty to speak of."""
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression

    a, b, outcome = columns
    tied = outcome == 2
    first, second = np.concatenate([a, b[tied]]), np.concatenate([b, a[tied]])
    label = np.concatenate([outcome != 1, np.ones(tied.sum(), bool)])
    weight = np.concatenate([np.where(tied, 0.5, 1.0), np.full(tied.sum(), 0.5)])
    rows = np.arange(len(first))
    values = np.concatenate([np.ones(len(first)), -np.ones(len(first))])
    place = (np.concatenate([rows, rows]), np.concatenate([first, second]))
    design = csr_array((values, place), shape=(len(first), models))
    model = LogisticRegression(fit_intercept=False, C=1e6, tol=1e-8, max_iter=1000)
    strength = model.fit(design, label, sample_weight=weight).coef_[0]
    return strength - strength.mean()


def residual(counts: PairCounts, strength: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the largest |observed - expected| points of a model: 0 at the maximum."""
    t = np.asarray(strength)
    points = counts.matrix()
    expected = (points + points.T) / (1 + np.exp(t[None, :] - t[:, None]))
    return float(np.abs(points.sum(1) - expected.sum(1)).max())


def measure(
    votes: int = 1_000_000,
    models: int = 100,
    subsample: int = 50_000,
    rounds: int = 5,
    replicates: int = 1000,
) -> dict[str, Any]:
    """Return seconds (medians), ratios, differences in rating points, and residuals."""
    with threadpool_limits(1):
        return _measure(votes, models, subsample, rounds, replicates)


def _measure(
    votes: int, models: int, subsample: int, rounds: int, replicates: int
) -> dict[str, Any]:
    a, b, outcome = simulate(votes, models)
    names = [f"m{k:03d}" for k in range(models)]
    first, second = (np.array(names)[column].tolist() for column in (a, b))
    words = OUTCOMES[outcome].tolist()
    part = (a[:subsample], b[:subsample], outcome[:subsample])
    calls: dict[str, Callable[[], Any]] = {
        "ours_coded": lambda: fit_bradley_terry(count_battles(a, b, outcome, models=names)),
        "ours_strings": lambda: fit_bradley_terry(count_battles(first, second, words)),
        "ours_subsample": lambda: fit_bradley_terry(count_battles(*part, models=names)),
        "logistic_subsample": lambda: logistic_regression(part, models),
    }
    peer = importlib.util.find_spec("evalica") is not None
    if peer:
        import evalica

        winners = np.array([evalica.Winner.X, evalica.Winner.Y, evalica.Winner.Draw], dtype=object)
        judged = winners[outcome].tolist()
        calls["evalica"] = lambda: evalica.bradley_terry(first, second, judged)
    for name in ("ours_coded", "ours_subsample", "logistic_subsample"):
        calls[name]()  # imports and caches
    seconds, found = timed(calls, rounds)
    seconds["logistic_scaled"] = seconds["logistic_subsample"] * votes / subsample
    whole, small = (count_battles(*rows, models=names) for rows in ((a, b, outcome), part))
    scale = 400 / np.log(10)
    fit, part_fit = found["ours_coded"], found["ours_subsample"]
    gaps = {"logistic": found["logistic_subsample"] - part_fit.log_strength}
    residuals = {
        "ours": fit.residual,
        "ours_subsample": part_fit.residual,
        "logistic_subsample": residual(small, found["logistic_subsample"]),
    }
    if peer:
        theirs = np.log(found["evalica"].scores.loc[names].to_numpy())
        gaps["evalica"] = theirs - theirs.mean() - fit.log_strength
        residuals["evalica"] = residual(whole, theirs)
    seconds |= _parts(whole, rounds, replicates)
    peers = {"logistic": seconds["logistic_scaled"]}
    if peer:
        peers["evalica"] = seconds["evalica"]
    return {
        "votes": votes,
        "models": models,
        "subsample": subsample,
        "rounds": rounds,
        "replicates": replicates,
        "seconds": seconds,
        "ratio_coded": {name: value / seconds["ours_coded"] for name, value in peers.items()},
        "ratio_strings": {name: value / seconds["ours_strings"] for name, value in peers.items()},
        "largest_difference_points": {
            name: float(np.abs(gap).max() * scale) for name, gap in gaps.items()
        },
        "residuals": residuals,
        "absent": [] if peer else ["evalica"],
        "lines": _lines(seconds, peers, votes, models, subsample, replicates),
    }


def _parts(counts: PairCounts, rounds: int, replicates: int) -> dict[str, float]:
    """Return the seconds of the fit alone, of the bootstraps, and of one live vote."""
    live = LiveRatings(counts.models)
    for (i, j), (first, second) in zip(counts.pairs.tolist(), counts.wins):
        for outcome, games in (("a", first), ("b", second)):
            for _ in range(min(3, int(games))):
                live.add(counts.models[i], counts.models[j], outcome)
    live.fit()

    def vote() -> Any:
        live.add(counts.models[0], counts.models[1], "a")
        return live.fit().interval()

    quick, _ = timed({"fit": lambda: fit_bradley_terry(counts), "live_vote": vote}, 20 * rounds)
    slow, _ = timed(
        {
            f"bootstrap_{scheme}": lambda scheme=scheme: bootstrap_bradley_terry(
                counts, replicates=replicates, scheme=scheme
            )
            for scheme in ("poisson", "multinomial")
        },
        1,
    )
    return quick | slow


def _lines(
    seconds: dict[str, float],
    peers: dict[str, float],
    votes: int,
    models: int,
    subsample: int,
    replicates: int,
) -> list[dict[str, str]]:
    """Return the rows of the README's table."""
    told = {
        "logistic": f"scikit-learn, {subsample:,} votes scaled: {peers['logistic']:.1f} s",
        "evalica": f"evalica: {peers.get('evalica', 0):.2f} s",
    }
    against = "; ".join(told[name] for name in peers)
    what = f"{votes:,} votes, {models} models: count and fit"
    rows = [
        (f"{what}, integer codes", f"{seconds['ours_coded'] * 1e3:.0f} ms", against),
        (f"{what}, names as strings", f"{seconds['ours_strings'] * 1e3:.0f} ms", against),
        (
            f"the same, {replicates:,} bootstrap replicates",
            f"{seconds['bootstrap_poisson']:.1f} s",
            f"multinomial: {seconds['bootstrap_multinomial']:.1f} s",
        ),
        (
            "one vote to new ratings and intervals",
            f"{seconds['live_vote'] * 1e3:.2f} ms",
            f"full refit: {seconds['fit'] * 1e3:.2f} ms",
        ),
    ]
    return [{"name": a, "value": b, "beside": c, "note": ""} for a, b, c in rows]


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
