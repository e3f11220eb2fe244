"""The two kinds of record: a comparison of two answers and a rating of one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from equipoise.core.errors import InvalidInput
from equipoise.preference.comparisons import fields
from equipoise.preference.comparisons.annotations import (
    Feedback,
    Origin,
    parse_feedback,
    parse_origin,
)
from equipoise.preference.comparisons.fields import FieldProblem, assign
from equipoise.preference.comparisons.segments import Segment, parse_segments, spell

SCHEMA = "equipoise.comparison/1"
KINDS = ("comparison", "rating")
WINNERS = ("a", "b", "tie", "both_bad")
SIDES = ("a", "b")
_SWAPPED = {"a": "b", "b": "a"}
_COMPARISON_KEYS = (
    *("prompt", "response_a", "response_b", "winner", "probability", "winners", "scores", "safe"),
    *("feedback", "models", "weight", "origin"),
)
_RATING_KEYS = (
    *("prompt", "response", "desirable", "scores", "safe", "feedback", "model", "weight", "origin"),
)
_ENVELOPE = frozenset({"schema", "kind", "id", "extra"})

Record = TypeVar("Record", "Comparison", "Rating")


_NO_ORIGIN = Origin()


@dataclass(frozen=True)
class Comparison:
    """Two answers to one prompt and what was said about them.

    Attributes:
        id: Non-empty, unique in its file.
        prompt: Segments; a string or a list is turned into them, here and in both responses.
        response_a: The first answer.
        response_b: The second answer.
        winner: a, b, tie, both_bad, or None where nobody judged.
        probability: P(a is preferred) in [0, 1], or None.
        scores: Per dimension the numbers of a and b (None where missing).
        winners: Per dimension (or ballot) a winner or None.
        feedback: For `a` and/or `b` a `Feedback`.
        safe: Per answer whether it is safe, or None.
        models: Per answer the name of the model, or None.
        weight: At least 0.
        origin: Where the record comes from.
        extra: Anything else, kept as it is (unknown top-level keys of a file end here).

    Raises:
        InvalidInput: a field that the format refuses; the message names it.
    """

    id: str
    prompt: tuple[Segment, ...]
    response_a: tuple[Segment, ...]
    response_b: tuple[Segment, ...]
    winner: str | None = None
    probability: float | None = None
    scores: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    winners: Mapping[str, str | None] = field(default_factory=dict)
    feedback: Mapping[str, Feedback] = field(default_factory=dict)
    safe: tuple[bool | None, bool | None] = (None, None)
    models: tuple[str | None, str | None] = (None, None)
    weight: float = 1.0
    origin: Origin = _NO_ORIGIN
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_id(self.id)
        assign(
            self,
            prompt=parse_segments(self.prompt, "prompt"),
            response_a=parse_segments(self.response_a, "response_a"),
            response_b=parse_segments(self.response_b, "response_b"),
            scores=fields.mapping(self.scores, "scores", _score_pair),
            winners=fields.mapping(self.winners, "winners", _winner),
            feedback=_feedback_of_sides(self.feedback),
            safe=fields.pair(self.safe, "safe", fields.optional_flag),
            models=fields.pair(self.models, "models", fields.optional_text),
        )
        _winner(self.winner, "winner")
        if self.probability is not None:
            assign(self, probability=fields.number(self.probability, "probability", 0.0, 1.0))
        _check_tail(self)

    @property
    def chosen(self) -> tuple[Segment, ...]:
        """The preferred answer. Raises `InvalidInput` unless `winner` is a or b."""
        return self.response_a if self._decided() == "a" else self.response_b

    @property
    def rejected(self) -> tuple[Segment, ...]:
        """The other answer. Raises `InvalidInput` unless `winner` is a or b."""
        return self.response_b if self._decided() == "a" else self.response_a

    def _decided(self) -> str:
        if self.winner not in SIDES:
            raise InvalidInput(
                f"record {self.id!r} has winner {self.winner!r}: only winner 'a' or 'b' has a "
                "chosen and a rejected answer; skip and count the others"
            )
        return self.winner

    def swapped(self) -> "Comparison":
        """Return the record with a and b exchanged in every field; twice gives the record back."""
        other = replace(
            self,
            response_a=self.response_b,
            response_b=self.response_a,
            winner=_swap(self.winner),
            probability=self._mirrored_probability(),
            scores={name: (b, a) for name, (a, b) in self.scores.items()},
            winners={name: _swap(winner) for name, winner in self.winners.items()},
            feedback={_SWAPPED[side]: said for side, said in self.feedback.items()},
            safe=self.safe[::-1],
            models=self.models[::-1],
        )
        # 1 - (1 - p) is not p in floating point, so the mirrored record remembers p.
        assign(other, _mirror=self.probability)
        return other

    def _mirrored_probability(self) -> float | None:
        if self.probability is None:
            return None
        remembered = self.__dict__.get("_mirror")
        return 1.0 - self.probability if remembered is None else remembered

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of one line: every key, in a fixed order."""
        return {
            "schema": SCHEMA,
            "kind": "comparison",
            "id": self.id,
            "prompt": spell(self.prompt),
            "response_a": spell(self.response_a),
            "response_b": spell(self.response_b),
            "winner": self.winner,
            "probability": self.probability,
            "winners": dict(self.winners),
            "scores": {name: list(pair) for name, pair in self.scores.items()},
            "safe": list(self.safe),
            "feedback": {side: said.to_json() for side, said in self.feedback.items()},
            "models": list(self.models),
            **_spell_tail(self),
        }

    @staticmethod
    def from_json(obj: Any) -> "Comparison":
        """Return the comparison that a JSON object spells.

        Raises:
            InvalidInput: the object breaks the format; the message names the field.
        """
        record = parse_record(obj)
        if not isinstance(record, Comparison):
            raise FieldProblem("kind", "is 'rating'; a comparison was expected")
        return record


@dataclass(frozen=True)
class Rating:
    """One answer to a prompt, judged by itself.

    Attributes are those of `Comparison`, for a single `response`: `desirable` true, false or None;
    `scores` a number per dimension; `feedback` one `Feedback` or None; one `safe`, one `model`.
    """

    id: str
    prompt: tuple[Segment, ...]
    response: tuple[Segment, ...]
    desirable: bool | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    feedback: Feedback | None = None
    safe: bool | None = None
    model: str | None = None
    weight: float = 1.0
    origin: Origin = _NO_ORIGIN
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_id(self.id)
        assign(
            self,
            prompt=parse_segments(self.prompt, "prompt"),
            response=parse_segments(self.response, "response"),
            scores=fields.mapping(self.scores, "scores", fields.number),
        )
        fields.optional_flag(self.desirable, "desirable")
        fields.optional_flag(self.safe, "safe")
        fields.optional_text(self.model, "model")
        if self.feedback is not None:
            assign(self, feedback=parse_feedback(self.feedback, "feedback"))
        _check_tail(self)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of one line: every key, in a fixed order."""
        return {
            "schema": SCHEMA,
            "kind": "rating",
            "id": self.id,
            "prompt": spell(self.prompt),
            "response": spell(self.response),
            "desirable": self.desirable,
            "scores": dict(self.scores),
            "safe": self.safe,
            "feedback": None if self.feedback is None else self.feedback.to_json(),
            "model": self.model,
            **_spell_tail(self),
        }

    @staticmethod
    def from_json(obj: Any) -> "Rating":
        """Return the rating that a JSON object spells; raises `InvalidInput` naming the field."""
        record = parse_record(obj)
        if not isinstance(record, Rating):
            raise FieldProblem("kind", "is 'comparison'; a rating was expected")
        return record


def parse_record(obj: Any) -> Comparison | Rating:
    """Return the record that a JSON object spells.

    Unknown top-level keys are kept under `extra`; unknown keys further in are not kept.

    Raises:
        FieldProblem: the object breaks the format (an `InvalidInput` with `.field`, `.problem`).
    """
    try:
        return _parse(obj)
    except RecursionError:
        raise FieldProblem("", "is nested too deeply") from None


def _parse(obj: Any) -> Comparison | Rating:
    if not isinstance(obj, dict):
        raise FieldProblem("", f"must be a JSON object, got {fields.kind_of(obj)}")
    if "schema" in obj:
        check_schema(obj["schema"])
    kind = fields.one_of(obj.get("kind", "comparison"), KINDS, "kind")
    if kind == "rating":
        return _build(Rating, obj, _RATING_KEYS, ("id", "prompt", "response"))
    required = ("id", "prompt", "response_a", "response_b")
    return _build(Comparison, obj, _COMPARISON_KEYS, required)


def check_schema(name: Any) -> None:
    """Refuse a `schema` that is not `equipoise.comparison/1` or one of its minor versions."""
    family, _, version = fields.text(name, "schema").partition("/")
    major, dot, minor = version.partition(".")
    known = family == "equipoise.comparison" and major == "1"
    if not known or (dot and not (minor.isascii() and minor.isdigit())):
        raise FieldProblem("schema", f"is {fields.shown(name)}; this version reads {SCHEMA!r}")


def _build(
    cls: type[Record], obj: dict[str, Any], keys: tuple[str, ...], required: tuple[str, ...]
) -> Record:
    for key in required:
        if key not in obj:
            raise FieldProblem(key, "is missing")
    values = {key: obj[key] for key in keys if key in obj}
    extra = obj.get("extra", {})
    if len(values) + len(_ENVELOPE & obj.keys()) < len(obj):
        unknown = {k: v for k, v in obj.items() if k not in values and k not in _ENVELOPE}
        extra = {**unknown, **fields.mapping(extra, "extra", fields.free)}
    return cls(obj["id"], extra=extra, **values)


def _check_id(value: object) -> None:
    if not fields.text(value, "id"):
        raise FieldProblem("id", "must not be empty")


def _check_tail(record: Comparison | Rating) -> None:
    """Normalise the last fields, which both kinds share."""
    assign(
        record,
        weight=fields.number(record.weight, "weight", 0.0),
        extra=fields.mapping(record.extra, "extra", fields.free),
    )
    if not isinstance(record.origin, Origin):
        assign(record, origin=parse_origin(record.origin))


def _spell_tail(record: Comparison | Rating) -> dict[str, Any]:
    return {
        "weight": record.weight,
        "origin": record.origin.to_json(),
        "extra": fields.mapping(record.extra, "extra", fields.free),
    }


def _swap(winner: str | None) -> str | None:
    return _SWAPPED.get(winner, winner) if winner is not None else None


def _winner(value: Any, name: str) -> str | None:
    return None if value is None else fields.one_of(value, WINNERS, name)


def _score(value: Any, name: str) -> float | None:
    return None if value is None else fields.number(value, name)


def _score_pair(value: Any, name: str) -> tuple[float | None, float | None]:
    return fields.pair(value, name, _score)


def _feedback_of_sides(value: Any) -> dict[str, Feedback]:
    said = fields.mapping(value, "feedback", parse_feedback)
    for side in said:
        if side not in SIDES:
            raise FieldProblem(f"feedback.{side}", "feedback is given for 'a' and 'b' only")
    return said
