"""A task: two data files, no code. Load one, check every key, and fingerprint what was asked."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.files import canonical_json
from equipoise.evaluation.items import ROW_KEYS, Item, Message, item_from_row
from equipoise.evaluation.reading import located
from equipoise.evaluation.rows import Row, read_rows
from equipoise.evaluation.scoring import Score, Scorer, filed_scorer
from equipoise.evaluation.task_file import MAX_MISSING, read_task_table

FIXTURES = "fixtures"


@dataclass(frozen=True)
class Task:
    """Items of one kind, the rule that scores them and where they come from.

    Attributes:
        name: what the board and the result rows call it.
        version: of the items and rules together.
        dimension: `capability` or `safety`.
        category: group that the macro-average takes it into.
        items: in the order of the file.
        task_hash: SHA-256 over canonical JSON of the task file and every item in id order.
        scorer: scores a reply to an item (`Task.score` also obeys an item's own scorer).
        aggregate: `mean` over items, or `balanced`: mean over target classes.
        licence: of the items.
        source: where the items come from.
        split: `public` or `private`.
        first_seen: ISO date since when the items may stand in training data.
        system: system message of every item that brings none.
        template: text with `{question}` around each question.
        few_shot: messages shown before each item.
        canary: text that must never occur in a reply.
        max_missing: share of items that may be missing before the task counts as incomplete.
        resources: what `bound` gave.
    """

    name: str
    version: str
    dimension: str
    category: str
    items: tuple[Item, ...]
    task_hash: str
    scorer: Scorer
    aggregate: Literal["mean", "balanced"] = "mean"
    licence: str = ""
    source: str = ""
    split: str = "public"
    first_seen: str | None = None
    system: str | None = None
    template: str | None = None
    few_shot: tuple[Message, ...] = ()
    canary: str | None = None
    max_missing: float = MAX_MISSING
    resources: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def scorer_for(self, item: Item) -> Scorer:
        """Return the rule that scores `item`: its own where it names one, else the task's."""
        return _own_scorer(item).bound(**self.resources) if item.scorer else self.scorer

    def score(self, reply: str, item: Item) -> Score:
        """Score one reply to one item."""
        return self.scorer_for(item).score(reply, item)

    def leaks(self, reply: str) -> bool:
        """Say whether `reply` holds the task's canary text."""
        return self.canary is not None and self.canary in reply

    def bound(self, **resources: Any) -> "Task":
        """Return the task with what a task file cannot hold (`judge=`, `reward=`), for all items.

        A rule that an item names itself gets them too.
        """
        bound = {**self.resources, **resources}
        return replace(self, scorer=self.scorer.bound(**resources), resources=bound)


def load_task(path: str | Path) -> Task:
    """Load a task from its TOML file, or a shipped one by its bare name.

    Args:
        path: a `.toml` file whose `items` (JSONL, JSON, CSV, TSV or TXT) lie beside it, or one of
            `fixture_names()`.

    Raises:
        InvalidInput: no such task; an unknown key (the nearest one is named), a wrong value, an
            item without what the scorer needs, or an id that occurs twice; with file and line.

    >>> load_task("arithmetic").dimension
    'capability'
    """
    file = _task_file(Path(path))
    table = read_task_table(file)
    with located(file):
        scorer = filed_scorer(table["scorer"], table.get("scorer_options", {}))
    few_shot = tuple(_few_shot(table, file))
    items = tuple(_load_items(table, file, scorer, few_shot))
    first_seen = table.get("first_seen")
    return Task(
        name=table["name"],
        version=table.get("version", "1"),
        dimension=table["dimension"],
        category=table.get("category", "uncategorised"),
        items=items,
        task_hash=_task_hash(table, items),
        scorer=scorer,
        aggregate=table.get("aggregate", "mean"),
        licence=table.get("licence", ""),
        source=table.get("source", ""),
        split=table.get("split", "public"),
        first_seen=None if first_seen is None else str(first_seen),
        system=table.get("system"),
        template=table.get("template"),
        few_shot=few_shot,
        canary=table.get("canary"),
        max_missing=float(table.get("max_missing", MAX_MISSING)),
    )


def load_tasks(names: Iterable[str | Path]) -> list[Task]:
    """Load several tasks; `fixtures` stands for all shipped ones, a folder for its `.toml` files.

    Raises:
        InvalidInput: as `load_task`; a folder without tasks; two tasks of one name.
    """
    tasks: list[Task] = []
    for name in names:
        if str(name) == FIXTURES:
            tasks.extend(load_task(fixture) for fixture in fixture_names())
        elif Path(name).is_dir():
            found = sorted(Path(name).glob("*.toml"))
            if not found:
                raise InvalidInput(f"folder {name} holds no task file (*.toml)")
            tasks.extend(load_task(file) for file in found)
        else:
            tasks.append(load_task(name))
    names_seen = [task.name for task in tasks]
    for name in names_seen:
        if names_seen.count(name) > 1:
            raise InvalidInput(f"two tasks are called {name!r}; name each task once, or rename one")
    return tasks


def fixture_names() -> tuple[str, ...]:
    """Return the names of the shipped tasks, sorted."""
    return tuple(sorted(file.stem for file in _fixture_folder().glob("*.toml")))


def _fixture_folder() -> Path:
    return Path(str(files("equipoise.evaluation"))) / "fixtures"


def _task_file(path: Path) -> Path:
    if path.suffix == ".toml":
        if path.is_file():
            return path
        raise InvalidInput(f"task file {path} does not exist")
    shipped = _fixture_folder() / f"{path}.toml"
    if path.parent == Path() and shipped.is_file():
        return shipped
    if str(path) == FIXTURES:
        raise InvalidInput("'fixtures' stands for several tasks; use load_tasks(['fixtures'])")
    raise unknown_name("task", path, (*fixture_names(), "PATH.toml"))


def _few_shot(table: Mapping[str, Any], file: Path) -> Iterator[Message]:
    rows = table.get("few_shot", [])
    if not isinstance(rows, list):
        raise InvalidInput(f"{file}: few_shot must be rows [[few_shot]] with question and answer")
    for number, row in enumerate(rows, start=1):
        where = f"{file}, few_shot {number}"
        if not isinstance(row, dict) or "question" not in row:
            raise InvalidInput(f"{where}: needs question and answer, got {row!r:.80}")
        shown = item_from_row(row, {}, where=where, template=table.get("template"))
        if shown.target is None:
            raise InvalidInput(f"{where}: lacks the answer that the model is shown")
        yield from shown.messages
        yield {"role": "assistant", "content": str(shown.target)}


def _load_items(
    table: Mapping[str, Any], file: Path, scorer: Scorer, few_shot: tuple[Message, ...]
) -> Iterator[Item]:
    path = file.parent / table["items"]
    mapping = dict(table.get("fields", {}))
    # Files with a mapping, and tables, have columns that are not ours; our own rows may not.
    strict = not mapping and path.suffix in (".jsonl", ".json")
    numbered = any(isinstance(c, int) for value in mapping.values() for c in _listed(value))
    question = mapping.get("question")
    header = question if isinstance(question, str) else None
    seen: dict[str, int] = {}
    for line, row in read_rows(path, numbered=numbered, question=header):
        where = f"{path}, line {line}"
        if strict:
            _check_row_keys(row, where)
        item = item_from_row(
            row,
            _with_expectation(mapping, row, scorer),
            where=where,
            default_id=f"{len(seen) + 1:06d}",
            template=table.get("template"),
            before=few_shot,
            system=table.get("system"),
        )
        if not any(message["role"] == "user" for message in item.messages[len(few_shot) :]):
            raise InvalidInput(f"{where}: the row has neither a question nor a user message")
        if item.id in seen:
            raise InvalidInput(f"{where}: id {item.id!r} already stands in line {seen[item.id]}")
        with located(where):
            (_own_scorer(item) if item.scorer else scorer).check_item(item)
        seen[item.id] = line
        yield item
    if not seen:
        raise InvalidInput(f"items file {path} holds no item")


def _with_expectation(mapping: Mapping[str, Any], row: Row, scorer: Scorer) -> Mapping[str, Any]:
    """Add that a labelled prompt list (`prompt`, `type`) tells what to expect in its `type`."""
    refusal = scorer.name in ("refusal", "compat_refusal")
    labelled = refusal and "type" in row and "expect" not in row
    return {"expect": "type", **mapping} if labelled else mapping


def _check_row_keys(row: Row, where: str) -> None:
    valid = (*ROW_KEYS, "prompt", "answer", "type")
    for key in row:
        if key not in valid:
            raise unknown_name(f"key ({where})", key, valid)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _own_scorer(item: Item) -> Scorer:
    options = dict(item.scorer or {})
    return filed_scorer(options.pop("name"), options)


def _task_hash(table: Mapping[str, Any], items: Iterable[Item]) -> str:
    plain = {key: str(value) if isinstance(value, date) else value for key, value in table.items()}
    rows = [item.to_json() for item in sorted(items, key=lambda item: item.id)]
    try:
        spelt = canonical_json([plain, *rows]).encode("utf-8")
    except (TypeError, ValueError) as error:  # NaN, half a surrogate pair, a time
        raise InvalidInput(f"task {table['name']!r} has no canonical JSON: {error}") from None
    return hashlib.sha256(spelt).hexdigest()
