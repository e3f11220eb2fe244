"""The estimators' parameters, checked: every refusal says what was given and what is allowed."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.rflaf.adam import AdamOptions
from equipoise.systems.rflaf.choosing import Search
from equipoise.systems.rflaf.objective import BASES, checked_span
from equipoise.systems.rflaf.planning import Plan
from equipoise.systems.rflaf.problem import CHUNK_BYTES
from equipoise.systems.rflaf.scaling import PROJECTIONS, checked_divisor

SOLVERS = ("varpro", "als", "adam")
ENGINES = ("auto", "lifted", "data")
LOSSES = ("log", "squared")
_OPTIONS = {
    "varpro": ("chunk_bytes",),
    "als": ("chunk_bytes",),
    "adam": ("chunk_bytes", *(field.name for field in fields(AdamOptions))),
}


def plan_of(parameters: Mapping[str, Any], seed: int) -> Plan:
    """Return the plan that an estimator's parameters (`get_params`) spell.

    Raises:
        InvalidInput: a parameter that is not allowed.
    """
    p = parameters
    check_parameters(p)
    options = dict(p["solver_options"] or {})
    chunk_bytes = options.pop("chunk_bytes", CHUNK_BYTES)
    _at_least("solver_options['chunk_bytes']", chunk_bytes, 1)
    search = Search(
        solver=p["solver"],
        rank=p["rank"] if p["rank"] == "auto" else int(p["rank"]),
        alpha=p["alpha"],
        smooth=p["smooth"],
        n_starts=p["n_starts"],
        max_iter=p["max_iter"],
        tol=p["tol"],
        seed=seed,
        n_jobs=p["n_jobs"],
        verbose=int(p["verbose"]),
    )
    return Plan(
        search=search,
        engine=p["engine"],
        activation_rows=p["activation_rows"],
        fit_intercept=bool(p["fit_intercept"]),
        adam=AdamOptions(**options) if p["solver"] == "adam" else AdamOptions(),
        chunk_bytes=chunk_bytes,
        log_loss=p.get("loss", "squared") == "log",
    )


def check_parameters(p: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` for the first parameter that is not allowed."""
    choices = (
        ("solver", SOLVERS),
        ("basis", BASES),
        ("projection", PROJECTIONS),
        ("engine", ENGINES),
        ("loss", LOSSES),
    )
    for name, allowed in choices:
        if name in p and p[name] not in allowed:
            raise unknown_name(name, p[name], allowed)
    for name in ("n_components", "n_basis", "activation_rows", "n_starts", "max_iter"):
        _at_least(name, p[name], 1)
    checked_span(p["span"])
    if not (_is_number(p["width"]) and p["width"] > 0):
        raise InvalidInput(f"width is {p['width']!r}; it must be a number > 0")
    if p["rank"] != "auto":
        if isinstance(p["rank"], str):
            raise unknown_name("rank", p["rank"], ("auto", "1", "2", "..."))
        _at_least("rank", p["rank"], 1)
        if p["rank"] > p["n_basis"]:
            raise InvalidInput(
                f"rank is {p['rank']} and n_basis {p['n_basis']}; rank must be <= n_basis"
            )
    _penalty("alpha", p["alpha"], ("gcv", "loo"))
    _penalty("smooth", p["smooth"], ("gcv",))
    if p["scale"] != "auto":
        checked_divisor(p["scale"])
    if not (_is_number(p["tol"]) and p["tol"] >= 0):
        raise InvalidInput(f"tol is {p['tol']!r}; it must be a number >= 0")
    options = p["solver_options"] or {}
    if not isinstance(options, Mapping):
        raise InvalidInput(f"solver_options is {options!r}; it must be a mapping or None")
    for name in options:
        if name not in _OPTIONS[p["solver"]]:
            raise unknown_name(f"option of solver {p['solver']}", name, _OPTIONS[p["solver"]])


def _is_number(value: Any) -> bool:
    real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return real and bool(np.isfinite(value))


def _at_least(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InvalidInput(f"{name} is {value!r}; it must be an integer >= {least}")


def _penalty(name: str, value: Any, words: tuple[str, ...]) -> None:
    if isinstance(value, str):
        if value not in words:
            raise unknown_name(name, value, (*words, "a number >= 0"))
    elif not (_is_number(value) and value >= 0):
        raise InvalidInput(
            f"{name} is {value!r}; it must be a number >= 0 or {' or '.join(map(repr, words))}"
        )
