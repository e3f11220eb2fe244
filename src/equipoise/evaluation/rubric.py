"""Rubrics of language-model judges: what is asked (Jinja text) and what may come back (schema)."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.extras import require
from equipoise.core.files import canonical_json
from equipoise.evaluation.reading import located, read_toml

_KEYS = ("name", "version", "system", "single", "pair")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "string": str, "number": (int, float), "integer": int, "boolean": bool,
}  # fmt: skip
_PROPERTY_KEYS = ("type", "minimum", "maximum", "enum")


@dataclass(frozen=True)
class Form:
    """One kind of request of a rubric: its Jinja text, and the JSON schema of the verdict."""

    text: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Rubric:
    """What a language-model judge is asked.

    Attributes:
        name: of the rubric.
        version: of its wording.
        system: system message.
        single: for one reply; variables `prompt`, `reply`; verdict `score` within its bounds.
        pair: for two; variables `prompt`, `reply_a`, `reply_b`; verdict `winner`.
        rubric_hash: SHA-256 over its canonical JSON.
    """

    name: str
    version: str
    system: str
    single: Form
    pair: Form
    rubric_hash: str

    def ask(self, form: Form, **values: str) -> list[dict[str, str]]:
        """Return the messages of one request, the Jinja text filled in a sandbox.

        Raises:
            InvalidInput: the text names an unknown variable or reaches outside the sandbox.
        """
        template = _environment().from_string(form.text)
        try:
            content = template.render(**values).strip()
        except require("jinja2", "web").TemplateError as error:
            raise InvalidInput(f"rubric {self.name!r} cannot be filled in: {error}") from None
        return [{"role": "system", "content": self.system}, {"role": "user", "content": content}]


def load_rubric(path: str | Path) -> Rubric:
    """Load a rubric file, or a shipped one by name (`quality`, `safety`).

    Raises:
        InvalidInput: no such rubric, an unknown or absent key, a text that is no Jinja template or
            a schema outside the subset that is checked.
        MissingExtra: Jinja is not installed.
    """
    folder = Path(str(files("equipoise.evaluation"))) / "rubrics"
    shipped = {file.stem: file for file in sorted(folder.glob("*.toml"))}
    file = shipped.get(str(path), Path(path))
    if not file.is_file():
        raise unknown_name("rubric", path, (*shipped, "PATH.toml"))
    table = read_toml(file, _KEYS, _KEYS)
    for key in ("name", "version", "system"):
        if not isinstance(table[key], str):
            raise InvalidInput(f"{file}: {key} must be a text, got {table[key]!r:.80}")
    return Rubric(
        name=table["name"],
        version=table["version"],
        system=table["system"],
        single=_form(table["single"], "score", f"{file} [single]"),
        pair=_form(table["pair"], "winner", f"{file} [pair]"),
        rubric_hash=hashlib.sha256(canonical_json(table).encode()).hexdigest(),
    )


def _form(table: Any, field: str, where: str) -> Form:
    if not isinstance(table, dict) or set(table) != {"text", "schema"}:
        raise InvalidInput(f"{where} needs exactly text and schema")
    jinja2 = require("jinja2", "web")
    try:
        _environment().from_string(table["text"])
    except (jinja2.TemplateError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{where}: text is no Jinja template: {error}") from None
    try:
        schema = json.loads(table["schema"])
    except (json.JSONDecodeError, TypeError) as error:
        raise InvalidInput(f"{where}: schema is not JSON: {error}") from None
    with located(where):
        properties = _properties(schema)
        if field not in properties:
            raise InvalidInput(f"the schema lacks the property {field!r}")
        if field == "score":
            _check_score_bounds(properties[field])
    return Form(table["text"], schema)


def _properties(schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """Return the properties of a schema, every rule checked."""
    if not isinstance(schema, dict):
        raise InvalidInput(f"the schema must be an object, got {schema!r:.80}")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise InvalidInput(f"required must be a list of names, got {required!r:.80}")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise InvalidInput(f"properties must be an object, got {properties!r:.80}")
    for name, rules in properties.items():
        _check_rules(name, rules)
    return properties


def _check_rules(name: str, rules: Any) -> None:
    if not isinstance(rules, dict):
        raise InvalidInput(f"property {name!r} must be an object, got {rules!r:.80}")
    for key in rules:
        if key not in _PROPERTY_KEYS:
            raise unknown_name(f"schema key of {name!r}", key, _PROPERTY_KEYS)
    kind = rules.get("type")
    told = kind is None and "enum" in rules
    if not told and (not isinstance(kind, str) or kind not in _TYPES):
        raise InvalidInput(
            f"property {name!r} has type {kind!r:.80}; it needs one of {', '.join(_TYPES)}, or an "
            "enum"
        )
    for key in ("minimum", "maximum"):
        if key in rules and (kind not in ("number", "integer") or not _is_finite(rules[key])):
            raise InvalidInput(
                f"{key} of {name!r} is {rules[key]!r:.80}; it must be a finite number, and the "
                "type number or integer"
            )
    if not isinstance(rules.get("enum", []), list):
        raise InvalidInput(f"enum of {name!r} must be a list, got {rules['enum']!r:.80}")


def _is_finite(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # type: ignore[operator]


def _check_score_bounds(rules: Mapping[str, Any]) -> None:
    if not {"minimum", "maximum"} <= set(rules):
        raise InvalidInput("score needs a minimum and a maximum")
    low, high = rules["minimum"], rules["maximum"]
    if not low < high:
        raise InvalidInput(f"score has minimum {low} and maximum {high}; it must be below it")


def _environment() -> Any:
    jinja2 = require("jinja2", "web")
    sandbox = require("jinja2.sandbox", "web")
    return sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined)


def schema_problem(value: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    """Return what `value` has against `schema`, None where it fits.

    Checked are `required` and, of each property, `type`, `minimum`, `maximum` and `enum`.

    >>> schema_problem({"n": 9}, {"properties": {"n": {"type": "number", "maximum": 5}}})
    'n is 9, above 5'
    """
    for name in schema.get("required", ()):
        if name not in value:
            return f"{name} is missing"
    for name, rules in schema.get("properties", {}).items():
        if name in value:
            problem = _property_problem(name, value[name], rules)
            if problem:
                return problem
    return None


def _property_problem(name: str, given: Any, rules: Mapping[str, Any]) -> str | None:
    kind = rules.get("type")
    truth = isinstance(given, bool)
    if kind and (not isinstance(given, _TYPES[kind]) or (truth and kind != "boolean")):
        return f"{name} is no {kind}"
    if "minimum" in rules and given < rules["minimum"]:
        return f"{name} is {given}, below {rules['minimum']}"
    if "maximum" in rules and given > rules["maximum"]:
        return f"{name} is {given}, above {rules['maximum']}"
    if "enum" in rules and given not in rules["enum"]:
        return f"{name} is none of {', '.join(map(str, rules['enum']))}"
    return None
