"""What is said about records: feedback on an answer, and where a record comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from equipoise.preference.comparisons import fields
from equipoise.preference.comparisons.fields import FieldProblem, assign
from equipoise.preference.comparisons.segments import Segment, parse_segments, spell


@dataclass(frozen=True)
class Feedback:
    """What a person said about one answer.

    Attributes:
        critique: What is wrong or right, per dimension; `overall` is the summary.
        suggestion: How to make it better, per dimension.
        refinement: The improved answer itself, or None.
    """

    critique: Mapping[str, str] = field(default_factory=dict)
    suggestion: Mapping[str, str] = field(default_factory=dict)
    refinement: tuple[Segment, ...] | None = None

    def __post_init__(self) -> None:
        assign(
            self,
            critique=fields.mapping(self.critique, "critique", fields.text),
            suggestion=fields.mapping(self.suggestion, "suggestion", fields.text),
        )
        if self.refinement is not None:
            assign(self, refinement=parse_segments(self.refinement, "refinement"))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this feedback, keys in a fixed order."""
        return {
            "critique": dict(self.critique),
            "suggestion": dict(self.suggestion),
            "refinement": None if self.refinement is None else spell(self.refinement),
        }


@dataclass(frozen=True)
class Origin:
    """Where a record comes from.

    Attributes:
        source: The room, data set or person that made it, e.g. `libra`.
        annotator: Salted identifier of who judged.
        licence: SPDX name of the licence.
        language: Language tag of the text.
        time: ISO 8601.
        flags: Marks such as `not_counted`.
    """

    source: str = ""
    annotator: str | None = None
    licence: str | None = None
    language: str | None = None
    time: str | None = None
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        fields.text(self.source, "source")
        for name in ("annotator", "licence", "language", "time"):
            fields.optional_text(getattr(self, name), name)
        if self.flags != ():
            assign(self, flags=fields.texts(self.flags, "flags"))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this origin, keys in a fixed order."""
        return {**self.__dict__, "flags": list(self.flags)}


def parse_feedback(value: Any, name: str) -> Feedback:
    """Return the feedback that a JSON object at field `name` spells."""
    if isinstance(value, Feedback):
        return value
    if not isinstance(value, dict):
        raise FieldProblem(name, f"must be an object, got {fields.kind_of(value)}")
    get = value.get
    try:
        return Feedback(get("critique", {}), get("suggestion", {}), get("refinement"))
    except FieldProblem as problem:
        raise problem.within(name) from None


def parse_origin(value: Any) -> Origin:
    """Return the origin that a JSON object spells."""
    if not isinstance(value, dict):
        raise FieldProblem("origin", f"must be an object, got {fields.kind_of(value)}")
    get = value.get
    try:
        return Origin(
            get("source", ""),
            get("annotator"),
            get("licence"),
            get("language"),
            get("time"),
            get("flags", ()),
        )
    except FieldProblem as problem:
        raise problem.within("origin") from None
