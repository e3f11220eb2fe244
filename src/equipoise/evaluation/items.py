"""One item of a task, and how the columns of other people's files become its fields."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from string import ascii_uppercase
from typing import Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.evaluation.reading import located
from equipoise.evaluation.rows import QUESTION_NAMES, Row
from equipoise.text.messages import Message, check_messages

# A labelled prompt list says which prompts are safe; a model should comply with those. XSTest's
# labels are kinds of safe prompts, and `contrast_` before them for the unsafe ones.
_XSTEST_SAFE = (
    "homonyms", "figurative_language", "definitions", "real_group_nons_discr",
    "nons_group_real_discr", "historical_events", "privacy_public", "privacy_fictional",
)  # fmt: skip
_EXPECTED = {
    "comply": ("comply", "safe", "benign", "harmless", *_XSTEST_SAFE),
    "refuse": ("refuse", "unsafe", "harmful", "toxic", "contrast"),
}
ROW_KEYS = (
    "id", "question", "messages", "target", "choices", "secrets", "expect", "cluster", "meta",
    "scorer",
)  # fmt: skip
_ALIASES = {"question": QUESTION_NAMES, "target": ("target", "answer")}


@dataclass(frozen=True)
class Item:
    """One question of a task.

    Attributes:
        id: unique within the task.
        messages: the conversation to send, each `{"role": ..., "content": ...}`.
        target: the right answer, as the scorer wants it.
        choices: the options of a multiple-choice question, in order.
        secrets: texts that must not occur in a reply.
        expect: `refuse` or `comply`.
        cluster: items made from one seed share it; the item's own id where it stands alone.
        meta: anything else that is kept with the item.
        scorer: `{"name": ..., option: ...}` where another rule than its task's scores this item.
    """

    id: str
    messages: tuple[Message, ...] = ()
    target: Any = None
    choices: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    expect: str | None = None
    cluster: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    scorer: Mapping[str, Any] | None = None

    @property
    def question(self) -> str:
        """The content of the last user message."""
        asked = [m["content"] for m in self.messages if m["role"] == "user"]
        return asked[-1] if asked else ""

    def to_json(self) -> dict[str, Any]:
        """Return the item as JSON data, without its empty fields."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {key: value for key, value in values.items() if value not in (None, (), "", {})}


def as_item(item: "Item | Mapping[str, Any]") -> Item:
    """Return an `Item`, made from a row of the item format where a mapping is given.

    >>> as_item({"target": "A", "choices": ["yes", "no"]}).choices
    ('yes', 'no')
    """
    if isinstance(item, Item):
        return item
    return item_from_row(item, {}, where="item")


def item_from_row(
    row: Row,
    mapping: Mapping[str, Any],
    *,
    where: str,
    default_id: str = "item",
    template: str | None = None,
    before: Sequence[Message] = (),
    system: str | None = None,
) -> Item:
    """Build an item from one row of a file.

    Args:
        row: the row's values by column.
        mapping: item field -> column name, or list of columns (`choices`, `meta`; `question` joins
            them by an empty line). Fields that are not named fall back to their own name.
        where: how errors name the place, e.g. `gsm8k.jsonl, line 3`.
        default_id: id of a row without one.
        template: text with `{question}` (and, if wanted, `{choices}`) around a plain question.
        before: messages that come first (few-shot turns), after the system message.
        system: system message where the item brings none.

    Raises:
        InvalidInput: a mapped column that is not there, or a field of the wrong kind.
    """
    values = {name: _column(row, mapping, name, where) for name in ROW_KEYS}
    choices, target = _choices(values["choices"], row, mapping, values["target"], where)
    own = _messages(values["messages"], where)
    if not own and values["question"] is not None:
        own = (_user_message(str(values["question"]), choices, template),)
    leading = own[:1] if own and own[0]["role"] == "system" else ()
    shared = () if leading or system is None else (Message(role="system", content=system),)
    messages = (*shared, *leading, *before, *own[len(leading) :])
    identity = default_id if values["id"] in (None, "") else str(values["id"])
    return Item(
        id=identity,
        messages=messages,
        target=target,
        choices=choices,
        secrets=_texts(values["secrets"], "secrets", where),
        expect=expectation(values["expect"], where),
        cluster=identity if values["cluster"] in (None, "") else str(values["cluster"]),
        meta=_table(values["meta"], "meta", where) or {},
        scorer=_scorer_table(values["scorer"], where),
    )


def _column(row: Row, mapping: Mapping[str, Any], name: str, where: str) -> Any:
    """Return the value that field `name` has in `row`: mapped, by its own name, or by an alias."""
    column = mapping.get(name)
    if column is None:
        present = [alias for alias in _ALIASES.get(name, (name,)) if alias in row]
        return row[present[0]] if present else None
    columns = column if isinstance(column, list) else [column]
    for wanted in columns:
        if not isinstance(wanted, str | int):
            raise InvalidInput(
                f"{where}: field {name!r} is mapped to {wanted!r:.80}; a column is named by a text "
                "or a number"
            )
        if wanted not in row:
            raise unknown_name(f"column (field {name!r}, {where})", wanted, map(str, row))
    if not isinstance(column, list):
        return row[column]
    if name == "question":
        return "\n\n".join(str(row[c]) for c in columns)
    if name == "meta":
        return {str(c): row[c] for c in columns}
    return [row[c] for c in columns]


def _choices(
    raw: Any, row: Row, mapping: Mapping[str, Any], target: Any, where: str
) -> tuple[tuple[str, ...], Any]:
    """Return choices and target, from a list, a JSON text, columns A, B, ... or label/text."""
    if raw is None and "choices" not in mapping:
        lettered = []
        for letter in ascii_uppercase:
            if letter not in row:
                break
            lettered.append(row[letter])
        raw = lettered if len(lettered) > 1 else None
    if isinstance(raw, Mapping) and {"text", "label"} <= set(raw):
        if not isinstance(raw["label"], list | tuple):
            raise InvalidInput(f"{where}: labels of choices are {raw['label']!r:.80}, not a list")
        labels = [str(label) for label in raw["label"]]
        if str(target) in labels[: len(ascii_uppercase)]:
            target = ascii_uppercase[labels.index(str(target))]
        raw = raw["text"]
    return _texts(raw, "choices", where), target


def _user_message(question: str, choices: Sequence[str], template: str | None) -> Message:
    lettered = "\n".join(f"{ascii_uppercase[i]}) {text}" for i, text in enumerate(choices))
    shape = template or "{question}"
    if lettered and "{choices}" not in shape:
        question = f"{question}\n{lettered}"
    # Not str.format: questions and templates may hold braces of their own.
    return {"role": "user", "content": _fill(shape, {"question": question, "choices": lettered})}


def _fill(template: str, values: Mapping[str, str]) -> str:
    parts = template.split("{question}")
    parts = [part.replace("{choices}", values["choices"]) for part in parts]
    return values["question"].join(parts)


def _messages(raw: Any, where: str) -> tuple[Message, ...]:
    if raw is None:
        return ()
    with located(where):
        return check_messages(raw)


def _texts(raw: Any, name: str, where: str) -> tuple[str, ...]:
    if raw is None or raw == "":
        return ()
    if isinstance(raw, str) and raw.lstrip().startswith("["):
        try:
            raw = json.loads(raw)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{where}: {name} is not a JSON list: {error}") from None
    if isinstance(raw, str):
        raw = [raw]
    if not isinstance(raw, list | tuple) or not all(isinstance(v, str | int | float) for v in raw):
        raise InvalidInput(f"{where}: {name} must be a list of texts, got {raw!r:.80}")
    return tuple(str(value) for value in raw)


def _table(raw: Any, name: str, where: str) -> dict[str, Any] | None:
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        raise InvalidInput(f"{where}: {name} must be a table, got {raw!r:.80}")
    return dict(raw)


def _scorer_table(raw: Any, where: str) -> dict[str, Any] | None:
    table = _table({"name": raw} if isinstance(raw, str) else raw, "scorer", where)
    if table is not None and "name" not in table:
        raise InvalidInput(f"{where}: scorer needs a name, got {table!r:.80}")
    return table


def expectation(raw: Any, where: str) -> str | None:
    """Return `refuse` or `comply` from those words or a label that means one of them.

    Labels of safe/unsafe prompt lists are read too (`safe`, `benign`, `harmless`; `unsafe`,
    `harmful`, `toxic`; the types of XSTest, unsafe where they begin with `contrast_`).

    Raises:
        InvalidInput: any other label.
    """
    if raw is None or raw == "":
        return None
    label = str(raw).strip().casefold()
    for expect, words in _EXPECTED.items():
        if label in words or label.split("_")[0] in words:
            return expect
    known = [word for words in _EXPECTED.values() for word in words]
    raise unknown_name(f"expectation ({where})", raw, known)
