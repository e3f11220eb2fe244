"""Collecting correction rows: the loop with a teacher in it, so prefixes are the induced ones.

Every reviewed sentence gives one row, copies included. Beside the rows stands a small file that
says how far the collection has come; a killed one goes on after the last whole question.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.core.files import canonical_json, write_atomic
from equipoise.systems.stream_aligner.aligning import Upstream, align
from equipoise.systems.stream_aligner.collection.teachers import Unparsed
from equipoise.systems.stream_aligner.correction import Correction, Corrector, settled
from equipoise.systems.stream_aligner.rows import CorrectionRow


@dataclass(frozen=True)
class Collected:
    """What a collection came to.

    Attributes:
        rows: written.
        questions: asked.
        verdicts: how many rows of each.
        unparsed: sentences left out because the teacher's answers could not be read.
    """

    rows: int
    questions: int
    verdicts: dict[str, int]
    unparsed: int


@dataclass
class _Recorder:
    """A corrector that asks the teacher, notes a row and says what steers the answer."""

    teacher: Corrector
    steer: Corrector | None
    source: str | None
    rows: list[CorrectionRow] = field(default_factory=list)
    unparsed: int = 0
    failure: Exception | None = None

    def __call__(self, question: str, prefix: str, sentence: str) -> Correction:
        try:
            said = settled(self.teacher(question, prefix, sentence), sentence)
        except Unparsed:
            self.unparsed += 1
            said = None
        except Exception as error:
            self.failure = error  # the loop would take it for a corrector's and end the answer
            raise
        if said is not None:
            self.rows.append(
                CorrectionRow(
                    question, prefix, sentence, said.text, said.verdict, source=self.source
                )
            )
        if self.steer is not None:
            return settled(self.steer(question, prefix, sentence), sentence)
        return said or Correction(sentence)


def gather_rows(
    question: str,
    upstream: Upstream,
    teacher: Corrector,
    *,
    rounds: int = 16,
    mode: str = "stream",
    steer: Corrector | None = None,
    source: str | None = None,
) -> tuple[list[CorrectionRow], int]:
    """Have one question answered and every sentence of it labelled.

    Args:
        question: as asked.
        upstream: proposes sentences.
        teacher: says what each should have been.
        rounds: most sentences.
        mode: `stream`, or `aligner` for one row of the whole answer.
        steer: whose corrections the answer goes on from; the teacher's where None.
        source: noted in the rows.

    Returns:
        The rows, and how many sentences were left out because the teacher was not understood.
    """
    recorder = _Recorder(teacher, steer, source)
    align(question, upstream, recorder, mode=mode, rounds=rounds, then="stop", max_segments=rounds)
    if recorder.failure is not None:
        raise recorder.failure
    return recorder.rows, recorder.unparsed


def collect_file(
    questions: Sequence[str],
    upstream: Upstream,
    teacher: Corrector,
    out: Path,
    *,
    settings: dict[str, Any],
    rounds: int = 16,
    mode: str = "stream",
    steer: Corrector | None = None,
    source: str | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Collected:
    """Collect rows into a file; the same call continues an interrupted collection.

    Args:
        questions: in order.
        upstream, teacher, rounds, mode, steer, source: as in `gather_rows`.
        out: JSONL of rows.
        settings: what the rows depend on, JSON-able; a collection with others is not continued.
        advance: called after every question.

    Raises:
        InvalidInput: `out` is there and no collection of these settings.
    """
    if rounds < 1:
        raise InvalidInput(f"rounds is {rounds!r}; it must be >= 1")
    style = "aligner" if mode == "aligner" else "stream"
    state = _State.at(out, _key(questions, settings, rounds, mode))
    for _ in range(state.questions):
        advance()
    state.save()  # first, so that a collection killed in its first question is known as one
    with out.open("ab") as file:
        for question in questions[state.questions :]:
            rows, unparsed = gather_rows(
                question,
                upstream,
                teacher,
                rounds=rounds,
                mode=mode,
                steer=steer,
                source=source,
            )
            for row in rows:
                line = json.dumps(row.to_json(style), ensure_ascii=False)
                file.write((line + "\n").encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
            state.add(file.tell(), rows, unparsed)
            advance()
    return Collected(state.rows, state.questions, dict(state.verdicts), state.unparsed)


@dataclass
class _State:
    """How far a collection has come; `file` is written anew after every question."""

    file: Path
    key: str
    questions: int = 0
    length: int = 0
    unparsed: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def at(cls, out: Path, key: str) -> "_State":
        """Return the state of the collection in `out`, whose unfinished question is cut off."""
        file = out.with_name(f"{out.name}.progress.json")
        if not file.exists():
            if out.exists() and out.stat().st_size:
                raise InvalidInput(f"{out} is there and holds no collection; name a new file")
            return cls(file, key)
        stored = json.loads(file.read_text(encoding="utf-8"))
        if stored["key"] != key:
            raise InvalidInput(
                f"{out} holds a collection of other questions or settings; name a new file"
            )
        if not out.exists() or out.stat().st_size < stored["length"]:
            raise InvalidInput(f"{out} is shorter than {file} says; remove both to start anew")
        os.truncate(out, stored["length"])
        counted = Counter(stored["verdicts"])
        return cls(file, key, stored["questions"], stored["length"], stored["unparsed"], counted)

    @property
    def rows(self) -> int:
        return sum(self.verdicts.values())

    def add(self, length: int, rows: Sequence[CorrectionRow], unparsed: int) -> None:
        """Note that one more question is done."""
        self.questions += 1
        self.length = length
        self.unparsed += unparsed
        self.verdicts.update(row.verdict or "edit" for row in rows)
        self.save()

    def save(self) -> None:
        """Write the state beside the rows."""
        said = {
            name: getattr(self, name)
            for name in ("key", "questions", "length", "unparsed", "verdicts")
        }
        write_atomic(self.file, json.dumps(said) + "\n")


def _key(questions: Sequence[str], settings: dict[str, Any], rounds: int, mode: str) -> str:
    told = canonical_json([list(questions), settings, rounds, mode])
    return hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()


def iter_rows(
    questions: Sequence[str], upstream: Upstream, teacher: Corrector, *, mode: str = "stream"
) -> Iterator[CorrectionRow]:
    """Yield the rows of many questions without a file."""
    for question in questions:
        yield from gather_rows(question, upstream, teacher, rounds=64, mode=mode)[0]
