"""Capability from votes or ratings: one scale in [0, 1], with replicates for joint intervals.

Published: ratings min-max normalised over the listed models, so that adding an irrelevant weak
model can swap two others. Here that is had on request only; otherwise ratings are placed between
two fixed anchors on a scale whose origin is a pinned reference model, or replaced by the
probability of beating that reference.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from equipoise.core.arrays import as_floats
from equipoise.core.errors import InvalidInput, RunFailed, unknown_name
from equipoise.evaluation import normalise_scores
from equipoise.preference.ratings import (
    PairCounts,
    RatingFit,
    Votes,
    bootstrap_bradley_terry,
    count_battles,
    fit_bradley_terry,
)
from equipoise.preference.ratings.votes import votes_of_rows
from equipoise.systems.libra.vote_file import read_ballot

CAPABILITY_MODES = ("auto", "tasks", "elo", "winrate")
ANCHOR_RATING = 1000.0
RATING_UNIT = 400.0 / np.log(10.0)
MINMAX_WARNING = (
    "capability is min-max normalised over the listed models: adding or removing an irrelevant "
    "model can swap the ranks of two others; fixed anchors with a reference model do not"
)


@dataclass(frozen=True)
class RatedCapability:
    """Capability per model from ratings.

    Attributes:
        values: model -> capability in [0, 1], or None where the votes do not determine it.
        samples: model -> (B,) replicates, NaN where a replicate does not determine it.
        notes: model -> why its value is missing.
        warnings: what the whole board must say.
    """

    values: Mapping[str, float | None]
    samples: Mapping[str, NDArray[np.float64]]
    notes: Mapping[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """How a rating becomes a capability: `winrate`, `elo` between anchors, or min-max."""

    mode: str
    reference: str | None = None
    anchors: tuple[float, float] | None = None

    def place(self, ratings: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map ratings (..., K) of the listed models to [0, 1]; NaN stays NaN, infinities clip."""
        if self.mode == "winrate":
            with np.errstate(over="ignore"):
                return 1.0 / (1.0 + np.exp(-(ratings - ANCHOR_RATING) / RATING_UNIT))
        if self.anchors is not None:
            low, high = self.anchors
            return np.clip((ratings - low) / (high - low), 0.0, 1.0)
        finite = np.where(np.isfinite(ratings), ratings, np.nan)
        low = np.nanmin(finite, axis=-1, keepdims=True)
        spread = np.nanmax(finite, axis=-1, keepdims=True) - low
        return (finite - low) / np.where(spread > 0, spread, np.nan)


def count_votes(votes: object, *, ballot: str | None = None) -> PairCounts:
    """Count battles from a vote file, `Votes`, `PairCounts` or the rows of a vote file."""
    if isinstance(votes, PairCounts):
        return votes
    if isinstance(votes, (str, Path)):
        votes = read_ballot(votes, ballot)
    if isinstance(votes, Iterable):
        votes = votes_of_rows(votes, ballot=ballot)
    if not isinstance(votes, Votes):
        raise InvalidInput(
            f"votes is {type(votes).__name__}; pass a vote file, Votes, PairCounts or vote rows"
        )
    return count_battles(votes.model_a, votes.model_b, votes.outcome, weights=votes.weight)


def choose_scale(
    *,
    has_tasks: bool,
    has_votes: bool,
    capability: str,
    reference: str | None,
    anchors: Sequence[float] | None,
    minmax: bool,
    outside: bool,
    published: bool = False,
) -> Scale | str | None:
    """Decide where capability comes from: a rating scale, `tasks`, or nothing (None).

    Args:
        has_tasks: whether any row has the dimension capability.
        has_votes: whether votes were given.
        capability: one of `CAPABILITY_MODES`.
        reference: model that pins the origin of ratings.
        anchors: ratings that count as 0 and 1.
        minmax: normalise over the listed models, asked for by name.
        published: min-max where nothing else is asked for, as published.
        outside: whether capabilities or ratings computed elsewhere were given.

    Raises:
        InvalidInput: a combination that has no meaning, such as anchors without a reference.
    """
    if capability not in CAPABILITY_MODES:
        raise unknown_name("capability", capability, CAPABILITY_MODES)
    ends = _checked_anchors(anchors)
    if minmax and ends is not None:
        raise InvalidInput("anchors and min-max exclude each other; give one of them")
    if outside:
        if capability not in ("auto", "elo"):
            raise InvalidInput(
                f"capability {capability!r} takes nothing from given capabilities or ratings; "
                "leave them out (--capability-file), or the mode"
            )
        minmax = minmax or published
        if capability == "elo" and ends is None and not minmax:
            raise InvalidInput("capability elo needs anchors LOW HIGH or min-max for given ratings")
        return Scale("elo" if ends else "minmax" if minmax else "given", reference, ends)
    if minmax and not has_votes:
        raise InvalidInput("min-max needs ratings: votes (--votes) or --capability-file")
    if capability == "winrate" and (ends is not None or minmax):
        raise InvalidInput(
            "winrate is a probability: it takes no anchors and no min-max; leave them out, or use "
            "capability elo"
        )
    minmax = minmax or published
    if ends is not None and reference is None:
        raise InvalidInput(
            "anchors need a reference model: ratings have no origin otherwise (--reference NAME)"
        )
    if not has_votes and (capability in ("elo", "winrate") or reference is not None):
        raise InvalidInput(
            f"capability {capability!r}{' with a reference' if reference else ''} needs votes "
            "(--votes FILE)"
        )
    if capability == "winrate" or (capability == "auto" and reference and not ends and not minmax):
        if reference is None:
            raise InvalidInput("winrate needs a reference model to beat (--reference NAME)")
        return Scale("winrate", reference)
    if capability == "elo" or (capability == "auto" and has_votes and (ends or minmax)):
        if ends is None and not minmax:
            raise InvalidInput(
                "capability elo needs anchors LOW HIGH with a reference, or min-max on request"
            )
        return Scale("elo" if ends else "minmax", reference, ends)
    if capability == "tasks" and not has_tasks:
        raise InvalidInput("capability from tasks was asked for, but no row has that dimension")
    return "tasks" if has_tasks else None


def _checked_anchors(anchors: Sequence[float] | None) -> tuple[float, float] | None:
    if anchors is None:
        return None
    ends = as_floats("anchors", anchors)
    if ends.shape != (2,):
        raise InvalidInput(f"anchors are {ends.tolist()}; needed are two numbers, LOW HIGH")
    low, high = map(float, ends)
    if not (np.isfinite(ends).all() and low < high):
        raise InvalidInput(f"anchors are {low:g} and {high:g}; LOW must be finite and below HIGH")
    return low, high


def rate_votes(
    counts: PairCounts, scale: Scale, listed: Sequence[str], *, replicates: int, seed: int
) -> RatedCapability:
    """Fit Bradley-Terry ratings and their bootstrap, and place both on `scale`.

    Args:
        counts: battles counted by pair.
        scale: the normalisation; its reference, where one is named, is the origin of ratings.
        listed: models of the board, over which min-max is taken.
        replicates: bootstrap draws, 0 for none.
        seed: of the bootstrap.

    Raises:
        InvalidInput: the reference has no battle, or no rating of its own.
        RunFailed: the fit did not converge; such ratings are not published.
    """
    if scale.reference is not None and scale.reference not in counts.models:
        raise unknown_name("reference", scale.reference, counts.models)
    fit = fit_bradley_terry(counts, anchor=scale.reference, anchor_rating=ANCHOR_RATING)
    if not fit.converged:
        raise RunFailed(
            f"the rating fit stopped at residual {fit.residual:.3g} without converging and is not "
            "published; give more votes or leave the votes out"
        )
    index = {model: place for place, model in enumerate(fit.models)}
    notes = _undetermined(fit, index, scale.reference, listed)
    rated = [model for model in listed if model not in notes]
    columns = [index[model] for model in rated]
    if rated and scale.mode == "minmax":
        normalise_scores(fit.rating[columns])  # refuses equal ratings, asking for anchors
    values: dict[str, float | None] = dict.fromkeys(listed)
    values.update(zip(rated, map(float, scale.place(fit.rating[columns])) if rated else ()))
    samples: dict[str, NDArray[np.float64]] = {}
    if replicates and rated:
        drawn = bootstrap_bradley_terry(
            counts,
            replicates=replicates,
            seed=seed,
            anchor=scale.reference,
            anchor_rating=ANCHOR_RATING,
        )
        with np.errstate(invalid="ignore"):
            placed = scale.place(ANCHOR_RATING + RATING_UNIT * drawn.log_strength[:, columns])
        samples = {model: placed[:, place] for place, model in enumerate(rated)}
    return RatedCapability(values, samples, notes, _warnings(scale))


def place_ratings(
    given: Mapping[str, float], scale: Scale, listed: Sequence[str]
) -> RatedCapability:
    """Place ratings that someone else computed on `scale`; they come without replicates.

    Under the mode `given` they are capabilities in [0, 1] and stay as they are. A reference only
    has to exist: ratings from outside bring their own origin.
    """
    if scale.reference is not None and scale.reference not in given:
        raise unknown_name("reference", scale.reference, given)
    rated = [model for model in listed if model in given]
    notes = {model: "no capability was given for it" for model in listed if model not in given}
    ratings = np.asarray([given[model] for model in rated], dtype=np.float64)
    if not np.isfinite(ratings).all():
        raise InvalidInput("a given capability or rating is not a finite number")
    if scale.mode == "given":
        outside = [model for model in rated if not 0.0 <= given[model] <= 1.0]
        if outside:
            raise InvalidInput(
                f"capability of {outside[0]!r} is {given[outside[0]]!r}; it must lie in [0, 1], or "
                "name the column rating and give --anchors LOW HIGH or --minmax"
            )
        placed = ratings
    else:
        low, high = scale.anchors or (None, None)
        placed = normalise_scores(ratings, low=low, high=high) if rated else ratings
    values: dict[str, float | None] = dict.fromkeys(listed)
    values.update(zip(rated, map(float, placed)))
    return RatedCapability(values, {}, notes, _warnings(scale))


def _warnings(scale: Scale) -> tuple[str, ...]:
    return (MINMAX_WARNING,) if scale.mode == "minmax" else ()


def _undetermined(
    fit: RatingFit, index: Mapping[str, int], reference: str | None, listed: Sequence[str]
) -> dict[str, str]:
    """Say, for each listed model without a comparable rating, why it has none."""
    notes: dict[str, str] = {}
    known = [int(fit.league[index[model]]) for model in listed if model in index]
    home = max(known, key=known.count, default=None)
    if reference is not None:
        home = int(fit.league[index[reference]])
    for model in listed:
        if model not in index:
            notes[model] = "no votes: capability unknown"
        elif fit.league[index[model]] != home:
            notes[model] = f"no chain of battles connects it with {reference or 'most models'}"
        elif not np.isfinite(fit.log_strength[index[model]]):
            notes[model] = f"rating {fit.status[model]}: votes do not bound it"
    return notes
