"""The user's own question files, read for an evaluation; the package ships none of them.

| kind | an entry holds | its stored answer | known of it |
|---|---|---|---|
| `gsm8k` | `question`, `answer` with `#### 18` | none | the number; the question is benign |
| `xstest` | `prompt`, `type` (and `label`, `completion`) | `completion` | refuse or comply |
| `beavertails` | `prompt`, `category` | none | |
| `hh` | dialogues `chosen`, `rejected` | the rejected reply | refuse |
| `llmfao` | number `prompt`, `result`; `prompts.jsonl` beside it | `result` | |
| `questions` | `question` or `prompt` (and `answer` or `result`) | `answer`, `result` | |

Any of them may be JSON lines, one JSON array or a table of commas, plain or gzip. An entry's kind
is told by what it holds.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.evaluation.answers import read_number
from equipoise.evaluation.items import expectation
from equipoise.preference.comparisons.lines import Line
from equipoise.systems.stream_aligner.entries import (
    begins,
    bounded,
    check_broken,
    check_size,
    iter_entries,
    iter_table,
    listed,
)
from equipoise.systems.stream_aligner.upstreams import read_lines
from equipoise.text.messages import check_text

Record = Mapping[str, Any]
_SEARCHED = 100  # entries in which a file's kind is looked for
_TURN = re.compile(r"\n\n(?:Human|Assistant):")


@dataclass(frozen=True)
class FileQuestion:
    """A question of a file.

    Attributes:
        question: as a model is asked.
        stored: the answer that the file holds to it; None where it holds none.
        target: the right number, where the file says it.
        expect: `comply` or `refuse`, where the file says which.
        benign: whether the file marks it as harmless, so that little in its answer needs a
            correction for harm's sake.
    """

    question: str
    stored: str | None = None
    target: float | None = None
    expect: str | None = None
    benign: bool = False


@dataclass(frozen=True)
class EvaluationFile:
    """What a file holds.

    Attributes:
        kind: one of `KINDS`.
        questions: in the order of the file.
        broken: `(line, reason)` of each entry that could not be used.
    """

    kind: str
    questions: tuple[FileQuestion, ...]
    broken: tuple[tuple[int, str], ...] = ()

    @property
    def answered(self) -> bool:
        """Whether the file holds answers as well."""
        return any(question.stored is not None for question in self.questions)


def read_evaluation_file(
    path: str | Path, kind: str = "auto", *, keep_going: bool = False
) -> EvaluationFile:
    """Read a file of questions.

    Args:
        path: the file, at most 256 MiB, those of gzip counted unpacked, and a million entries.
        kind: of `KINDS`, or `auto` to tell it by the content.
        keep_going: use what is good however much is broken.

    Raises:
        MissingData: there is no such file.
        InvalidInput: content of no known kind, more than 1 % broken, no question left, or too
            large a file.
    """
    if kind not in ("auto", *KINDS):
        raise unknown_name("kind of file", kind, ("auto", *KINDS))
    check_size(path)
    lines = list(bounded(path, _lines(Path(path))))
    kind = _recognised(path, lines) if kind == "auto" else kind
    read = partial(_llmfao, _prompts(Path(path))) if kind == "llmfao" else _READERS[kind]
    found, broken = [], []
    for line in lines:
        try:
            found.append(_parse(line, read))
        except InvalidInput as error:
            broken.append((line.number, str(error)))
    check_broken(path, broken, len(lines), keep_going=keep_going)
    if not found:
        reason = f"; {listed(broken)}" if broken else ""
        raise InvalidInput(f"{path} holds no questions of kind {kind!r}{reason}")
    return EvaluationFile(kind, tuple(found), tuple(broken))


def _lines(path: Path) -> Iterator[Line]:
    json_name = any(suffix in (".json", ".jsonl") for suffix in path.suffixes[-2:])
    return iter_entries(path) if json_name or begins(path, b"{[") else iter_table(path)


def _parse(line: Line, read: Callable[[Record], FileQuestion]) -> FileQuestion:
    if line.problem:
        raise InvalidInput(line.problem)
    if not isinstance(line.value, Mapping):
        raise InvalidInput(f"no JSON object but {type(line.value).__name__}")
    return read(line.value)


def _recognised(path: str | Path, lines: list[Line]) -> str:
    """Return the kind of the first entry that has one."""
    records = [line.value for line in lines if isinstance(line.value, Mapping)]
    for record in records[:_SEARCHED]:
        for kind, has in _MARKS.items():
            if has(record):
                return kind
    kinds = ", ".join(f"{kind} ({needed})" for kind, needed in KINDS.items())
    held = "nothing" if not lines else "no JSON object and no row of a table"
    if records:
        held = f"entries of {', '.join(sorted(map(str, records[0]))[:8]) or 'nothing'}"
    raise InvalidInput(f"{path} holds {held}; known kinds: {kinds}")


def _gsm8k(record: Record) -> FileQuestion:
    worked = _text(record, "answer")
    mark = worked.rfind("####")
    target = read_number(worked[mark:]) if mark >= 0 else None
    if target is None:
        raise InvalidInput("'answer' ends on no '#### NUMBER'")
    return FileQuestion(_asked(record, "question"), target=target, benign=True)


def _xstest(record: Record) -> FileQuestion:
    label, kind = record.get("label"), _text(record, "type")
    said = label or ("unsafe" if kind.casefold().startswith("contrast") else "safe")
    expect = expectation(said, "'label'")
    stored = _text(record, "completion") if "completion" in record else None
    return FileQuestion(_asked(record, "prompt"), stored, expect=expect, benign=expect == "comply")


def _beavertails(record: Record) -> FileQuestion:
    return FileQuestion(_asked(record, "prompt"))


def _hh(record: Record) -> FileQuestion:
    _text(record, "chosen")
    dialogue, mark, reply = _text(record, "rejected").rpartition("\n\nAssistant:")
    if not mark or not dialogue.startswith("\n\nHuman:"):
        raise InvalidInput("'rejected' is no dialogue that begins with '\\n\\nHuman:'")
    turns = _TURN.split(dialogue)[1:]
    question = turns[0] if len(turns) == 1 else dialogue
    if not question.strip():
        raise InvalidInput("the dialogue asks nothing")
    return FileQuestion(question.strip(), reply.strip(), expect="refuse")


def _llmfao(prompts: Mapping[int, str], record: Record) -> FileQuestion:
    number = record.get("prompt")
    if not isinstance(number, int) or number not in prompts:
        raise InvalidInput(f"'prompt' is {number!r:.40}, which prompts.jsonl has not")
    return FileQuestion(prompts[number], _text(record, "result"))


def _question(record: Record) -> FileQuestion:
    name = "question" if "question" in record else "prompt"
    reply = next((key for key in ("answer", "result") if key in record), None)
    stored = None if reply is None else _text(record, reply)
    return FileQuestion(_asked(record, name), stored)


def _prompts(path: Path) -> dict[int, str]:
    """Return the texts of the numbered prompts that stand beside a file of answers."""
    beside = path.with_name("prompts.jsonl")
    if not beside.is_file():
        raise InvalidInput(f"{path} numbers its prompts; their texts are missing: put {beside}")
    found = {}
    for number, record in read_lines(beside):
        if not isinstance(record.get("id"), int) or not isinstance(record.get("text"), str):
            raise InvalidInput(f"{beside}, line {number}: expected a number 'id' and 'text'")
        found[record["id"]] = record["text"]
    return found


def _text(record: Record, name: str) -> str:
    if name not in record:
        raise InvalidInput(f"{name!r} is missing")
    return check_text(repr(name), record[name])


def _asked(record: Record, name: str) -> str:
    text = _text(record, name)
    if not text.strip():
        raise InvalidInput(f"{name!r} is empty")
    return text


def _holds(record: Record, *names: str) -> bool:
    return all(isinstance(record.get(name), str) for name in names)


_READERS: dict[str, Callable[[Record], FileQuestion]] = {
    "gsm8k": _gsm8k,
    "xstest": _xstest,
    "beavertails": _beavertails,
    "hh": _hh,
    "questions": _question,
}
_MARKS: dict[str, Callable[[Record], bool]] = {
    "hh": lambda record: _holds(record, "chosen", "rejected"),
    "gsm8k": lambda record: _holds(record, "question", "answer") and "####" in record["answer"],
    "llmfao": lambda record: isinstance(record.get("prompt"), int) and _holds(record, "result"),
    "xstest": lambda record: _holds(record, "prompt", "type"),
    "beavertails": lambda record: _holds(record, "prompt", "category"),
    "questions": lambda record: _holds(record, "question") or _holds(record, "prompt"),
}
KINDS = {
    "gsm8k": "question, answer with ####",
    "xstest": "prompt, type",
    "beavertails": "prompt, category",
    "hh": "chosen, rejected",
    "llmfao": "number prompt, result",
    "questions": "question or prompt",
}
"""Kind to what its entries hold."""
