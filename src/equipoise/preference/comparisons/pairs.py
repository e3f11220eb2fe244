"""Comparisons to and from plain chosen/rejected pairs, and to single ratings."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.core.files import canonical_json
from equipoise.preference.comparisons.fields import FieldProblem
from equipoise.preference.comparisons.records import Comparison, Rating
from equipoise.preference.comparisons.segments import Segment

Text = str | Sequence[Mapping[str, Any]]


def from_pair(prompt: Text, chosen: Text, rejected: Text, *, id: str | None = None) -> Comparison:
    """Return the comparison (winner a) of a chosen/rejected pair.

    Args:
        prompt: A text, or chat messages `[{"role", "content"}]` with texts as content.
        chosen: The preferred answer, likewise.
        rejected: The other answer, likewise.
        id: Identifier; None derives one from the content, so equal pairs get equal ids.

    Raises:
        InvalidInput: something that is neither a text nor chat messages.

    >>> to_pair(from_pair("2+2?", "4", "5"))
    {'prompt': '2+2?', 'chosen': '4', 'rejected': '5'}
    """
    given = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    parts = {name: _to_segments(value, name) for name, value in given.items()}
    if id is None:
        spelled = {name: [s.to_json() for s in part] for name, part in parts.items()}
        id = f"pair-{hashlib.sha256(canonical_json(spelled).encode()).hexdigest()[:16]}"
    return Comparison(id, parts["prompt"], parts["chosen"], parts["rejected"], winner="a")


def to_pair(comparison: Comparison) -> dict[str, str | list[dict[str, str]]]:
    """Return `{"prompt", "chosen", "rejected"}` as texts, or as chat messages where roles are set.

    Raises:
        InvalidInput: the winner is neither a nor b, or a segment is no text.
    """
    parts = {
        "prompt": (comparison.prompt, "user"),
        "chosen": (comparison.chosen, "assistant"),
        "rejected": (comparison.rejected, "assistant"),
    }
    return {
        name: _from_segments(segments, role, f"record {comparison.id!r}: {name}")
        for name, (segments, role) in parts.items()
    }


def ratings_of(comparison: Comparison) -> tuple[Rating, Rating]:
    """Return the two answers of a comparison as ratings, `ID:a` and `ID:b`.

    The winner is desirable and the loser is not; both_bad makes two undesirables; a tie and an
    unjudged comparison say nothing about either (`desirable` None).
    """
    desirable: dict[str | None, tuple[bool | None, bool | None]] = {
        "a": (True, False),
        "b": (False, True),
        "both_bad": (False, False),
    }
    flags = desirable.get(comparison.winner, (None, None))

    def side(place: int, name: str, response: tuple[Segment, ...]) -> Rating:
        scores = {key: pair[place] for key, pair in comparison.scores.items()}
        return Rating(
            id=f"{comparison.id}:{name}",
            prompt=comparison.prompt,
            response=response,
            desirable=flags[place],
            scores={key: value for key, value in scores.items() if value is not None},
            feedback=comparison.feedback.get(name),
            safe=comparison.safe[place],
            model=comparison.models[place],
            weight=comparison.weight,
            origin=comparison.origin,
            extra=comparison.extra,
        )

    return side(0, "a", comparison.response_a), side(1, "b", comparison.response_b)


def _to_segments(value: Any, name: str) -> tuple[Segment, ...]:
    if isinstance(value, str):
        return (Segment(text=value),)
    if not isinstance(value, Sequence) or not value:
        raise InvalidInput(f"{name} must be a text or a non-empty list of chat messages")
    segments = []
    for position, message in enumerate(value):
        content = message.get("content") if isinstance(message, Mapping) else None
        role = message.get("role") if isinstance(message, Mapping) else None
        if not isinstance(content, str) or not isinstance(role, str):
            raise InvalidInput(
                f"{name}[{position}] must be a chat message with texts as role and content"
            )
        try:
            segments.append(Segment(text=content, role=role))
        except FieldProblem as problem:
            raise problem.within(f"{name}[{position}]") from None
    return tuple(segments)


def _from_segments(
    segments: tuple[Segment, ...], role: str, name: str
) -> str | list[dict[str, str]]:
    messages = []
    for segment in segments:
        if segment.modality != "text" or segment.text is None:
            raise InvalidInput(f"{name} has a segment of modality {segment.modality!r}, not text")
        messages.append({"role": segment.role or role, "content": segment.text})
    if len(segments) == 1 and segments[0].role is None:
        return messages[0]["content"]
    return messages
