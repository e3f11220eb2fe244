"""Scorers by name: a pure rule, its version and its options, so that a verdict can be cached."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.evaluation.items import Item, as_item
from equipoise.evaluation.score import Score

# name -> (module, version, what an item must hold). A rule that changes gets a new version. The
# module has `score_NAME(reply, item, *, options)`, where many are asked for together also
# `score_NAME_batch(replies, items, *, options)`, and, to check beforehand,
# `check_NAME_item(item, *, options)` and `check_NAME_options(*, options)`.
_RULES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "exact": ("answers", "1", ("target",)),
    "choice": ("choice", "3", ("target", "choices")),
    "number": ("answers", "1", ("target",)),
    "yes_no": ("answers", "1", ("target",)),
    "secret": ("checks", "1", ("secrets",)),
    "json_label": ("checks", "1", ("target",)),
    "regex": ("checks", "1", ()),
    "refusal": ("refusal", "2", ()),
    "judge": ("judged", "1", ()),
    "reward": ("judged", "1", ()),
    "compat_refusal": ("compat", "1", ()),
    "compat_unparsed": ("compat", "1", ("target",)),
    "compat_substring": ("compat", "1", ("target",)),
}
# Objects that no task file can hold; they are bound later.
_RESOURCES = ("judge", "reward")


@dataclass(frozen=True)
class Scorer:
    """A named rule with its options: `score(reply, item)` is pure.

    Attributes:
        name: one of `scorer_names()`.
        version: changes whenever the rule does.
        options: as given, without resources such as a judge.
        needs: item fields that the rule cannot do without.
    """

    name: str
    version: str
    options: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    rule: Callable[..., Score] = field(repr=False, compare=False, kw_only=True)
    item_check: Callable[..., None] | None = field(
        default=None, repr=False, compare=False, kw_only=True
    )
    batch_rule: Callable[..., list[Score]] | None = field(
        default=None, repr=False, compare=False, kw_only=True
    )
    resources: Mapping[str, Any] = field(
        default_factory=dict, repr=False, compare=False, kw_only=True
    )

    def score(self, reply: str, item: Item | Mapping[str, Any]) -> Score:
        """Score `reply` to `item` (an `Item`, or a row of the item format).

        An empty reply has value None and the label `empty`.

        Raises:
            InvalidInput: the item lacks what the rule needs.
        """
        return self.score_all([reply], [item])[0]

    def score_all(
        self, replies: Sequence[str], items: Sequence[Item | Mapping[str, Any]]
    ) -> list[Score]:
        """Score each of `replies` to its item; a judge or a reward is asked once for all of them.

        Raises:
            InvalidInput: an item lacks what the rule needs.
        """
        given = [as_item(item) for item in items]
        for reply, item in zip(replies, given, strict=True):
            if not isinstance(reply, str):
                raise InvalidInput(f"a reply is a text, got {type(reply).__name__}")
            self.check_item(item)
        told = [place for place, reply in enumerate(replies) if reply.strip()]
        values = {**self.options, **self.resources}
        if self.batch_rule is not None:
            scored = self.batch_rule([replies[i] for i in told], [given[i] for i in told], **values)
        else:
            scored = [self.rule(replies[i], given[i], **values) for i in told]
        scores = [Score(None, "empty")] * len(given)
        for place, score in zip(told, scored, strict=True):
            scores[place] = score
        return scores

    def check_item(self, item: Item) -> None:
        """Raise `InvalidInput` where `item` lacks what this scorer needs or holds it wrongly."""
        lacking = [name for name in self.needs if getattr(item, name) in (None, ())]
        if lacking:
            raise InvalidInput(f"scorer {self.name!r} needs {' and '.join(lacking)} in each item")
        if self.item_check is not None:
            self.item_check(item, **self.options)

    def bound(self, **resources: Any) -> "Scorer":
        """Return the scorer with those of `resources` (`judge=`, `reward=`) that its rule takes."""
        accepted = inspect.signature(self.rule).parameters
        taken = {name: value for name, value in resources.items() if name in accepted}
        return replace(self, resources={**self.resources, **taken})

    def lacks(self) -> list[str]:
        """Return which of the resources that its rule takes (`judge`, `reward`) are not bound."""
        accepted = inspect.signature(self.rule).parameters
        return [n for n in _RESOURCES if n in accepted and self.resources.get(n) is None]

    @property
    def repeatable(self) -> bool:
        """Whether all bound resources have an identity, so that a verdict may be kept."""
        return all(getattr(bound, "identity", "") for bound in self.resources.values())

    def describe(self) -> dict[str, Any]:
        """Return name, version, options and the identity of a bound judge: a part of cache keys."""
        description = {"name": self.name, "version": self.version, "options": dict(self.options)}
        bound = {name: identity_of(resource) for name, resource in self.resources.items()}
        return {**description, "resources": bound} if bound else description


def identity_of(resource: Any) -> str:
    """Return what a judge or reward is called: its `identity`, else its name or its class's.

    Only an `identity` tells two of them apart; verdicts of a resource without one are not kept.
    """
    name = getattr(resource, "__qualname__", type(resource).__name__)
    return str(getattr(resource, "identity", "") or name)


def scorer_names() -> tuple[str, ...]:
    """Return the names that `get_scorer` knows."""
    return tuple(_RULES)


def get_scorer(name: str | Scorer, **options: Any) -> Scorer:
    """Return the scorer called `name` with its options.

    Names and options: `exact`, `choice`, `number`, `yes_no`, `secret` (none); `json_label`
    (`field`); `regex` (`pattern`, `absent`, `ignore_case`); `refusal` (`expect`); `judge`
    (`judge`); `reward` (`reward`, `threshold`, `scale`). Faults of published boards, for comparison
    only: `compat_refusal` (`expect`), `compat_unparsed` (`scorer`), `compat_substring` (none). A
    `Scorer` is returned as it is.

    Raises:
        InvalidInput: an unknown name or option (the nearest is named), or a value it does not take.

    >>> get_scorer("number").score("... so 1,000 + 8 = 1,008.", {"target": 1008}).value
    1.0
    """
    if isinstance(name, Scorer):
        return get_scorer(name.name, **{**name.options, **name.resources, **options})
    if not isinstance(name, str) or name not in _RULES:
        raise unknown_name("scorer", name, _RULES)
    module_name, version, needs = _RULES[name]
    module = import_module(f"equipoise.evaluation.{module_name}")
    rule = getattr(module, f"score_{name}")
    parameters = inspect.signature(rule).parameters.values()
    allowed = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    for option in options:
        if option not in allowed:
            raise unknown_name(f"option of scorer {name!r}", option, allowed)
    resources = {key: options.pop(key) for key in _RESOURCES if key in options}
    check_options = getattr(module, f"check_{name}_options", None)
    if check_options is not None:
        check_options(**options)
    return Scorer(
        name,
        version,
        options,
        needs,
        rule=rule,
        item_check=getattr(module, f"check_{name}_item", None),
        batch_rule=getattr(module, f"score_{name}_batch", None),
        resources=resources,
    )


def filed_scorer(name: Any, options: Mapping[str, Any]) -> Scorer:
    """Return a scorer that a file names; resources, which no file can hold, are refused.

    Raises:
        InvalidInput: as `get_scorer`; an option `name`, `judge` or `reward`.
    """
    for option in ("name", *_RESOURCES):
        if option in options:
            raise InvalidInput(
                f"option {option!r} cannot stand in a file, got {options[option]!r:.80}; "
                "a judge or a reward is bound when the task runs"
            )
    return get_scorer(name, **options)
