"""Read `contenders.toml`: an array `[[contender]]`, every key checked, every error one line."""

import datetime
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from sys import float_info
from typing import Any
from urllib.parse import urlsplit

from equipoise.core.errors import InvalidInput, MissingData, unknown_name
from equipoise.core.files import canonical_json
from equipoise.evaluation.reading import located
from equipoise.systems.libra.contenders import (
    EMBEDDED_MODEL,
    BackendContender,
    Contender,
    Listing,
    Sampling,
    ScriptedContender,
    SharedBackend,
    check_names,
    embedded_backend,
)

MOST_OPEN = 1024
MOST_WHOLE = 2**63 - 1
SAMPLING_KEYS = ("temperature", "top_p", "max_tokens", "seed")
COMMON_KEYS = ("name", "kind", "aliases", "released", "retired", "weight")
KEYS = {
    "scripted": ("replies", "chunk_chars", "delay_ms", "fail_after_chunks"),
    "embedded": ("model", "system", *SAMPLING_KEYS),
    "openai": ("base_url", "model", "api_key_env", "system", *SAMPLING_KEYS, "extra_body"),
}


def load_contenders(path: str | Path, *, device: str = "auto") -> list[Contender]:
    """Return the contenders of a TOML file, in its order.

    Embedded contenders of one model share one server, which starts at the first request.

    Args:
        path: file with an array of tables `[[contender]]`. Every kind takes `name`, `aliases`,
            `released`, `retired`, `weight`; `scripted` also `replies`, `chunk_chars`, `delay_ms`,
            `fail_after_chunks`; `embedded` `model`, `system`, `temperature`, `top_p`, `max_tokens`,
            `seed`; `openai` these and `base_url`, `api_key_env`, `extra_body`.
        device: where embedded models compute.

    Raises:
        MissingData: no such file.
        InvalidInput: broken TOML, unknown kind or key (with the nearest), a wrong value, two
            contenders of one name, or an environment variable that is not set. No secret is shown.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingData(f"no contenders file at {path}")
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError too
        raise InvalidInput(f"{path} is not valid TOML: {error}") from None
    for key in document:
        if key != "contender":
            raise unknown_name(f"key in {path}", key, ["contender"])
    tables = document.get("contender", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidInput(f"{path}: contenders are an array of tables, written [[contender]]")
    lines = [
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if re.match(r"\s*\[\[\s*contender\s*\]\]", line)
    ]
    shared: dict[str, SharedBackend] = {}
    contenders: list[Contender] = []
    for place, table in enumerate(tables):
        where = f"line {lines[place]}" if place < len(lines) else f"contender {place + 1}"
        with located(f"{path}, {where}"):
            contenders.append(_contender(table, shared, device))
            check_names(contenders)
    with located(path):
        check_names(contenders)
    return contenders


def _contender(
    table: Mapping[str, Any], shared: dict[str, SharedBackend], device: str
) -> Contender:
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in KEYS:
        raise unknown_name("kind", kind, KEYS)
    for key in table:
        if key not in (*COMMON_KEYS, *KEYS[kind]):
            raise unknown_name(f"key of a {kind} contender", key, (*COMMON_KEYS, *KEYS[kind]))
    listing = Listing(
        name=_text(table, "name", required=True) or "",
        aliases=_texts(table, "aliases"),
        released=_date(table, "released"),
        retired=_flag(table, "retired"),
        weight=_number(table, "weight", 1.0, above=0.0),
    )
    if kind == "scripted":
        return _scripted(table, listing)
    sampling = Sampling(
        temperature=_number(table, "temperature", 0.0, least=0.0),
        top_p=_number(table, "top_p", 1.0, above=0.0, most=1.0),
        max_tokens=_whole(table, "max_tokens", 256, least=1),
        seed=_whole(table, "seed", 0, least=0) if kind == "embedded" or "seed" in table else None,
    )
    system = _text(table, "system")
    if kind == "embedded":
        model = _text(table, "model") or EMBEDDED_MODEL
        backend = shared.setdefault(model, embedded_backend(model, device=device))
        return BackendContender(listing, kind, "llamacpp", model, backend, system, sampling)
    return _endpoint(table, listing, system, sampling)


def _scripted(table: Mapping[str, Any], listing: Listing) -> ScriptedContender:
    replies = _texts(table, "replies")
    if not replies:
        raise InvalidInput("a scripted contender needs `replies`, a list of at least one text")
    breaks = table.get("fail_after_chunks")
    return ScriptedContender(
        listing,
        replies,
        chunk_chars=_whole(table, "chunk_chars", 8, least=1),
        delay_ms=_number(table, "delay_ms", 0.0, least=0.0),
        fail_after_chunks=None
        if breaks is None
        else _whole(table, "fail_after_chunks", 0, least=0),
    )


def _endpoint(
    table: Mapping[str, Any], listing: Listing, system: str | None, sampling: Sampling
) -> BackendContender:
    url = _text(table, "base_url", required=True) or ""
    model = _text(table, "model", required=True) or ""
    try:
        parts = urlsplit(url)
        reachable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:  # a bracket that stays open, a port that is none
        raise InvalidInput(f"base_url is {url!r}; it is no address: {error}") from None
    if not reachable:
        raise InvalidInput(f"base_url is {url!r}; it must be an http or https address")
    if parts.username or parts.password:
        raise InvalidInput("base_url holds a user name or password; use api_key_env instead")
    variable = _text(table, "api_key_env")
    if variable is not None and not os.environ.get(variable):
        raise InvalidInput(
            f"contender {listing.name!r} takes its key from the environment variable {variable!r}, "
            "which is not set"
        )
    extra = table.get("extra_body", {})
    if not isinstance(extra, Mapping):
        raise InvalidInput(f"extra_body is {extra!r}; it must be a table")
    try:
        canonical_json(dict(extra))
    except (TypeError, ValueError):  # a date, an infinite number
        raise InvalidInput(
            f"extra_body is {dict(extra)!r:.80}; it must hold texts, finite numbers, true or "
            "false, and lists and tables of these"
        ) from None
    # One try per request: the runner tries again itself, so that its rate limit counts every
    # sending, and it bounds how many are open. Without api_key_env no key is sent at all.
    options: dict[str, Any] = {"api_key_env": variable, "tries": 1, "concurrency": MOST_OPEN}
    if extra:
        options["extra_body"] = dict(extra)
    backend = SharedBackend(f"openai:{url}#{model}", options)
    return BackendContender(
        listing, "openai", url.rstrip("/"), model, backend, system, sampling, dict(extra)
    )


def _text(table: Mapping[str, Any], key: str, *, required: bool = False) -> str | None:
    value = table.get(key)
    if value is None and not required:
        return None
    if not isinstance(value, str) or (required and not value.strip()):
        given = "is missing" if value is None else f"is {value!r}"
        raise InvalidInput(f"`{key}` {given}; it must be a text")
    return value


def _texts(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInput(f"`{key}` is {value!r}; it must be a list of texts")
    return tuple(value)


def _flag(table: Mapping[str, Any], key: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise InvalidInput(f"`{key}` is {value!r}; it must be true or false")
    return value


def _date(table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is None or isinstance(value, datetime.date):
        return None if value is None else value.isoformat()
    try:
        return datetime.date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise InvalidInput(f"`{key}` is {value!r}; it must be a date, e.g. 2026-01-31") from None


def _number(
    table: Mapping[str, Any],
    key: str,
    default: float,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> float:
    value = table.get(key, default)
    bounds = [f">= {least:g}"] if least is not None else []
    bounds += [f"> {above:g}"] if above is not None else []
    bounds += [f"<= {most:g}"] if most is not None else []
    fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    huge = fits and value > float_info.max
    if (
        not fits
        or huge
        or not (least is None or value >= least)
        or not (above is None or value > above)
        or not (most is None or value <= most)
    ):
        number = "a finite number" if huge else "a number"
        wanted = f"{number} {' and '.join(bounds)}"
        raise InvalidInput(f"`{key}` is {value!r:.60}; it must be {wanted}")
    return float(value)


def _whole(table: Mapping[str, Any], key: str, default: int, *, least: int) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(f"`{key}` is {value!r}; it must be a whole number >= {least}")
    if value > MOST_WHOLE:
        raise InvalidInput(f"`{key}` is {value!r:.60}; it must be at most {MOST_WHOLE}")
    return value
