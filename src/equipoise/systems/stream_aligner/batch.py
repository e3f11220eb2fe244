"""Reviewing a file of questions offline, resumable line by line."""

import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput
from equipoise.core.files import sha256_file, write_atomic
from equipoise.systems.stream_aligner.aligning import Upstream, align
from equipoise.systems.stream_aligner.correction import Corrector
from equipoise.systems.stream_aligner.loop import Answer
from equipoise.systems.stream_aligner.upstreams import read_lines
from equipoise.text.messages import check_text


def read_questions(path: str | Path) -> list[str]:
    """Read `{"question": ...}` (or `prompt`) lines; a broken one raises and is named."""
    found = []
    for number, record in read_lines(path):
        question = record.get("question", record.get("prompt"))
        if not isinstance(question, str):
            raise InvalidInput(f"{path}, line {number}: 'question' (or 'prompt') must be text")
        try:
            found.append(check_text("question", question))
        except InvalidInput as error:
            raise InvalidInput(f"{path}, line {number}: {error}") from None
    if not found:
        raise InvalidInput(f"{path} holds no questions")
    return found


def correct_file(
    questions: list[str],
    upstream: Upstream,
    corrector: Corrector,
    out: Path,
    *,
    at_once: int = 1,
    advance: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Answer every question raw and reviewed, and append each to `out` in order.

    What `out` holds already is kept, an unfinished last line is written anew, so that a killed run
    continued by the same call ends with the same file.

    Args:
        questions: in order.
        upstream: asked twice for each question: alone, and in the loop.
        corrector: reviews the sentences.
        out: JSONL of `question`, `answer`, `original`, `finish_reason` and `steps`.
        at_once: questions under way at the same time, each in a thread.
        advance: called after every question.
        **options: of `align`.

    Returns:
        All rows of the file.

    Raises:
        InvalidInput: `out` holds the answers to other questions.
    """

    def write(place: int) -> dict[str, Any]:
        original = align(questions[place], upstream, corrector, mode="off").text
        answer = align(questions[place], upstream, corrector, **options)
        return _row(questions[place], original, answer)

    return append_rows(
        questions,
        write,
        out,
        needed=("answer", "original", "steps"),
        at_once=at_once,
        advance=advance,
    )


def keep_settings(file: Path, told: Mapping[str, Any], what: str) -> None:
    """Write down what decides the rows beside it, or refuse to go on with something else.

    Args:
        file: of the settings; written where it is not there.
        told: the settings, JSON-able.
        what: what stands there, for the message.

    Raises:
        InvalidInput: the settings kept there differ; the first that does is named.
    """
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(told, ensure_ascii=False, indent=1) + "\n")
        return
    kept = json.loads(file.read_text(encoding="utf-8"))
    for name, value in told.items():
        if kept.get(name) != value:
            raise InvalidInput(
                f"{what} with {name} = {kept.get(name)!r}, not {value!r}; name a new one"
            )


def hashes_of(specs: Mapping[str, str | None]) -> dict[str, str]:
    """Return the hashes of the files that specs of upstreams and correctors name, by their names.

    Stored answers and rules; a trained corrector is known by its path alone.
    """
    found = {}
    for name, spec in specs.items():
        kind, _, target = (spec or "").partition(":")
        if kind in ("replay", "rules") and Path(target).is_file():
            found[f"{name}_sha256"] = sha256_file(Path(target))
    return found


def append_rows(
    questions: Sequence[str],
    write: Callable[[int], dict[str, Any]],
    out: Path,
    *,
    needed: Sequence[str],
    sync: bool = True,
    at_once: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Append a row for every question to `out`, each as soon as it and those before it are done.

    Args:
        questions: in order.
        write: place in `questions` to its row, whose first field repeats it as `question`.
        out: JSONL; what it holds already is kept, an unfinished last line is written anew.
        needed: other fields of a row; a file of lines without them is none of this room's.
        sync: have every row on the disk before the next; without it a power cut loses some.
        at_once: rows under way at the same time, each in a thread; they are appended in order.
        advance: called after every question.

    Returns:
        All rows of the file.

    Raises:
        InvalidInput: `out` holds the answers to other questions, or something else; it is left
            as it is then.
    """
    rows = _finished(out, questions, needed)
    for _ in rows:
        advance()
    for row in in_order(write, range(len(rows), len(questions)), at_once):
        rows.append(row)
        append_line(out, rows[-1], sync=sync)
        advance()
    return rows


def in_order(
    work: Callable[[Any], Any], given: Iterable[Any], at_once: int
) -> Generator[Any, None, None]:
    """Yield what `work` makes of each, in order, up to `at_once` of them in threads.

    At most twice as many are begun and not yet yielded. Where one fails, or the caller leaves, the
    others are lost, and those under way are not waited for.
    """
    if at_once == 1:
        yield from map(work, given)
        return
    pool = ThreadPoolExecutor(at_once)
    begun: deque[Future[Any]] = deque()
    try:
        for one in given:
            begun.append(pool.submit(work, one))
            if len(begun) == 2 * at_once:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=not begun, cancel_futures=True)


def append_line(out: Path, record: Mapping[str, Any], *, sync: bool = True) -> None:
    """Append a record to a JSONL file; with `sync` it is on the disk when this returns."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("ab") as file:
        file.write(_spelled(record) + b"\n")
        file.flush()
        if sync:
            os.fsync(file.fileno())


def _spelled(record: Mapping[str, Any]) -> bytes:
    """Return a record as JSON; half of a surrogate pair becomes its escape."""
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")


def whole_lines(out: Path) -> list[bytes]:
    """Return the finished lines of a file; one that was still being written is left out."""
    return out.read_bytes().split(b"\n")[:-1] if out.exists() else []


def cut_unfinished(out: Path) -> None:
    """Cut off a last line that was still being written."""
    if out.exists():
        os.truncate(out, out.read_bytes().rfind(b"\n") + 1)


def write_comparison_file(rows: list[dict[str, Any]], path: Path) -> int:
    """Write the changed answers as comparison records: corrected (a) preferred to original (b).

    The correction is the refinement of the original's feedback. Returns how many there were.
    """
    from equipoise.preference.comparisons import write_comparisons

    return write_comparisons(path, _comparisons(rows))


def _comparisons(rows: list[dict[str, Any]]) -> Iterator[Any]:
    from equipoise.preference.comparisons import Comparison, Feedback, Origin

    for number, row in enumerate(rows, 1):
        if row["answer"] != row["original"]:
            yield Comparison(
                id=f"stream_aligner-{number}",
                prompt=row["question"],
                response_a=row["answer"],
                response_b=row["original"],
                winner="a",
                feedback={"b": Feedback(refinement=row["answer"])},
                origin=Origin(source="stream_aligner"),
            )


def _row(question: str, original: str, answer: Answer) -> dict[str, Any]:
    return {
        "question": question,
        "answer": answer.text,
        "original": original,
        "finish_reason": answer.finish_reason,
        "steps": [
            {
                "leading": step.segment.leading,
                "original": step.segment.text,
                "corrected": step.text,
                "verdict": step.verdict,
                "note": step.note,
            }
            for step in answer.steps
        ],
    }


def _finished(out: Path, questions: Sequence[str], needed: Sequence[str]) -> list[dict[str, Any]]:
    """Return the complete rows of an earlier try."""
    rows = []
    for number, line in enumerate(whole_lines(out), 1):
        try:
            row = json.loads(line)
            question = row["question"]
        except (ValueError, KeyError, TypeError):
            row, question = {}, None
        if any(name not in row for name in needed):
            raise InvalidInput(f"{out}, line {number}: no answer of this room; name a new file")
        if number > len(questions) or question != questions[number - 1]:
            raise InvalidInput(f"{out}, line {number} answers another question; name a new file")
        rows.append(row)
    _check_unfinished(out, questions[len(rows) : len(rows) + 1])
    cut_unfinished(out)
    return rows


def _check_unfinished(out: Path, following: Sequence[str]) -> None:
    """Refuse to cut off a last line that does not begin as the next question's row does."""
    left = out.read_bytes().rpartition(b"\n")[2] if out.exists() else b""
    begun = b"".join(_spelled({"question": question})[:-1] + b', "' for question in following)
    if not (left.startswith(begun) if len(left) > len(begun) else begun.startswith(left)):
        raise InvalidInput(f"{out} ends in no answer of this room; name a new file")
