"""What was asked and answered, and its score: judges are asked in batches, verdicts kept."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from equipoise.core.console import note, progress
from equipoise.core.files import canonical_json
from equipoise.evaluation import Item, Score, Scorer, Task
from equipoise.systems.libra.cache import Cache, verdict_key
from equipoise.systems.libra.contenders import Contender

BATCH = 64
"""Answers that are put to a judge together; their verdicts are stored before the next ones."""


@dataclass(frozen=True)
class Ask:
    """One request of a run: sample `sample` of `item` of `task`, put to `contender`."""

    key: str
    contender: Contender
    task: Task
    item: Item
    sample: int


@dataclass(frozen=True)
class Answer:
    """One stored answer with its score; text None where the request failed."""

    ask: Ask
    text: str | None
    score: Score

    def line(self) -> str:
        """Return the answer as a line of `answers.jsonl`; texts of private items stay out."""
        private = self.ask.task.split == "private"
        row = {
            "model": self.ask.contender.name,
            "task": self.ask.task.name,
            "item": self.ask.item.id,
            "sample": self.ask.sample,
            "question": None if private else self.ask.item.question,
            "reply": None if private else self.text,
            "value": self.score.value,
            "label": self.score.label,
            "detail": "" if private else self.score.detail,
        }
        return canonical_json(row) + "\n"


@dataclass(frozen=True)
class _Pending:
    """An answer without a verdict: where it belongs, what was said, and the key of its verdict."""

    place: int
    text: str
    key: str


def score_answers(asks: Sequence[Ask], cache: Cache) -> list[Answer]:
    """Score every stored answer once, in the order of `asks`; one that is not stored is missing.

    Verdicts are kept unless they could not be had, or come from a judge or reward without an
    identity. How many could not be had, and the first reason, is said on standard error.
    """
    scores = [Score(None, "missing")] * len(asks)
    texts: list[str | None] = [None] * len(asks)
    groups: dict[str, tuple[Scorer, list[_Pending]]] = {}
    for place, ask in enumerate(asks):
        stored = cache.reply(ask.key)
        if stored is None:
            continue
        texts[place] = stored["text"]
        group = f"{ask.task.name} {canonical_json(ask.item.scorer)}"
        if group not in groups:
            groups[group] = ask.task.scorer_for(ask.item), []
        scorer, pending = groups[group]
        origin = ask.key, stored["text"], ask.task.task_hash, ask.item.id, scorer.describe()
        key = verdict_key(*origin)
        known = cache.verdict(key) if scorer.repeatable else None
        if known is None:
            pending.append(_Pending(place, stored["text"], key))
        else:
            scores[place] = _as_score(known)
    for scorer, pending in groups.values():
        for entry, score in _scored(scorer, pending, asks, cache):
            scores[entry.place] = score
    _note_unjudged(asks, scores)
    return [Answer(*answer) for answer in zip(asks, texts, scores, strict=True)]


def _scored(
    scorer: Scorer, pending: Sequence[_Pending], asks: Sequence[Ask], cache: Cache
) -> Iterator[tuple[_Pending, Score]]:
    """Yield the score of each pending answer; one that two contenders share is judged once."""
    unique = list({entry.key: entry for entry in pending}.values())
    made: dict[str, Score] = {}
    asks_somebody = bool(scorer.resources and unique)
    with progress("judging answers", len(unique)) if asks_somebody else nullcontext() as bar:
        for start in range(0, len(unique), BATCH):
            batch = unique[start : start + BATCH]
            items = [asks[entry.place].item for entry in batch]
            for entry, score in zip(batch, scorer.score_all([e.text for e in batch], items)):
                keep = score.value is not None and scorer.repeatable
                made[entry.key] = (
                    _as_score(cache.put_verdict(entry.key, asdict(score))) if keep else score
                )
            if bar is not None:
                bar.advance(len(batch))
    for entry in pending:
        yield entry, made[entry.key]


def _as_score(verdict: Mapping[str, Any]) -> Score:
    return Score(verdict["value"], verdict.get("label", ""), verdict.get("detail", ""))


def _note_unjudged(asks: Sequence[Ask], scores: Sequence[Score]) -> None:
    """Say how many answers no judge could score, and why the first one could not be."""
    unjudged = [
        (ask, score)
        for ask, score in zip(asks, scores, strict=True)
        if score.value is None and score.label not in ("missing", "empty")
    ]
    if unjudged:
        ask, score = unjudged[0]
        shown = score.detail and ask.task.split != "private"
        reason = " ".join(f"{score.label}: {score.detail}".split()) if shown else score.label
        note(
            f"{len(unjudged)} answers could not be judged (their items are missing, the same line "
            f"asks again): {reason}"
        )
