"""The comparison format as a JSON Schema, committed as docs/comparison.schema.json."""

from typing import Any

from equipoise.preference.comparisons.records import KINDS, WINNERS
from equipoise.preference.comparisons.segments import (
    BASE64_PATTERN,
    MAX_INLINE_BYTES,
    MODALITIES,
    PATH_PATTERN,
    ROLES,
    WRITTEN,
)

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_FLAG = {"type": ["boolean", "null"]}
_WHOLE_GROUPS = MAX_INLINE_BYTES // 3 * 4  # base64 characters that surely stay below the limit


def comparison_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one line of a comparison file.

    It accepts what `iter_comparisons` accepts and refuses what it refuses, except what no schema
    can see: ids repeated in a file, and text that is not UTF-8 or not JSON.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "One line of an Equipoise comparison file",
        "type": "object",
        "properties": {
            "schema": {
                "type": "string",
                "pattern": r"^equipoise\.comparison/1(\.[0-9]+)?(?![\s\S])",
            },
            "kind": {"enum": list(KINDS)},
        },
        "if": {"properties": {"kind": {"const": "rating"}}, "required": ["kind"]},
        "then": {"$ref": "#/$defs/rating"},
        "else": {"$ref": "#/$defs/comparison"},
        "$defs": {
            "comparison": _comparison(),
            "rating": _rating(),
            "segments": _segments(),
            "segment": _segment(),
            "feedback": {
                "type": "object",
                "properties": {
                    "critique": _map(_TEXT),
                    "suggestion": _map(_TEXT),
                    "refinement": {"anyOf": [{"$ref": "#/$defs/segments"}, {"type": "null"}]},
                },
            },
            "origin": _origin(),
        },
    }


def _map(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": item}


def _pair(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 2, "maxItems": 2}


def _shared() -> dict[str, Any]:
    return {
        "id": {"type": "string", "minLength": 1},
        "prompt": {"$ref": "#/$defs/segments"},
        "weight": {"type": "number", "minimum": 0},
        "origin": {"$ref": "#/$defs/origin"},
        "extra": {"type": "object"},
    }


def _comparison() -> dict[str, Any]:
    winner = {"enum": [*WINNERS, None]}
    feedback = {"$ref": "#/$defs/feedback"}
    return {
        "required": ["id", "prompt", "response_a", "response_b"],
        "properties": {
            **_shared(),
            "response_a": {"$ref": "#/$defs/segments"},
            "response_b": {"$ref": "#/$defs/segments"},
            "winner": winner,
            "probability": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
            "winners": _map(winner),
            "scores": _map(_pair({"type": ["number", "null"]})),
            "safe": _pair(_FLAG),
            "feedback": {
                "type": "object",
                "properties": {"a": feedback, "b": feedback},
                "additionalProperties": False,
            },
            "models": _pair(_TEXT_OR_NULL),
        },
    }


def _rating() -> dict[str, Any]:
    return {
        "required": ["id", "prompt", "response"],
        "properties": {
            **_shared(),
            "response": {"$ref": "#/$defs/segments"},
            "desirable": _FLAG,
            "scores": _map({"type": "number"}),
            "feedback": {"anyOf": [{"$ref": "#/$defs/feedback"}, {"type": "null"}]},
            "safe": _FLAG,
            "model": _TEXT_OR_NULL,
        },
    }


def _segments() -> dict[str, Any]:
    return {
        "anyOf": [
            _TEXT,
            {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [_TEXT, {"$ref": "#/$defs/segment"}]},
            },
        ]
    }


def _segment() -> dict[str, Any]:
    nothing = {"type": "null"}
    path = {"type": "string", "pattern": PATH_PATTERN}
    data = {
        "type": "string",
        "pattern": BASE64_PATTERN,
        "anyOf": [
            {"maxLength": _WHOLE_GROUPS},
            {"maxLength": _WHOLE_GROUPS + 4, "pattern": r"[A-Za-z0-9+/]{2}==(?![\s\S])"},
        ],
    }
    media = [m for m in MODALITIES if m not in WRITTEN]
    return {
        "type": "object",
        "properties": {
            "modality": {"enum": list(MODALITIES)},
            "media_type": _TEXT_OR_NULL,
            "role": {"enum": [*ROLES, None]},
            "sha256": _TEXT_OR_NULL,
        },
        "if": {"properties": {"modality": {"enum": media}}, "required": ["modality"]},
        "then": {
            "properties": {"text": nothing},
            "oneOf": [
                {"required": ["path"], "properties": {"path": path, "data": nothing}},
                {"required": ["data"], "properties": {"data": data, "path": nothing}},
            ],
        },
        "else": {
            "required": ["text"],
            "properties": {"text": _TEXT, "path": nothing, "data": nothing},
        },
    }


def _origin() -> dict[str, Any]:
    optional = dict.fromkeys(("annotator", "licence", "language", "time"), _TEXT_OR_NULL)
    return {
        "type": "object",
        "properties": {
            "source": _TEXT,
            **optional,
            "flags": {"type": "array", "items": _TEXT},
        },
    }
