"""Reviewing a file of questions offline, resumable line by line."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput
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
    advance: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Answer every question raw and reviewed, and append each to `out` as soon as it is done.

    What `out` holds already is kept, an unfinished last line is written anew, so that a killed run
    continued by the same call ends with the same file.

    Args:
        questions: in order.
        upstream: asked twice for each question: alone, and in the loop.
        corrector: reviews the sentences.
        out: JSONL of `question`, `answer`, `original`, `finish_reason` and `steps`.
        advance: called after every question.
        **options: of `align`.

    Returns:
        All rows of the file.

    Raises:
        InvalidInput: `out` holds the answers to other questions.
    """
    rows = _finished(out, questions)
    for _ in rows:
        advance()
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        for question in questions[len(rows) :]:
            original = align(question, upstream, corrector, mode="off").text
            answer = align(question, upstream, corrector, **options)
            rows.append(_row(question, original, answer))
            file.write(json.dumps(rows[-1], ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
            advance()
    return rows


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


def _finished(out: Path, questions: list[str]) -> list[dict[str, Any]]:
    """Return the complete rows of an earlier try; cut off a line that was being written."""
    if not out.exists():
        return []
    raw = out.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    rows = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = json.loads(line)
            question = row["question"]
        except (ValueError, KeyError, TypeError):
            raise InvalidInput(
                f"{out}, line {number}: no answer of this room; name a new file"
            ) from None
        if number > len(questions) or question != questions[number - 1]:
            raise InvalidInput(f"{out}, line {number} answers another question; name a new file")
        rows.append(row)
    if len(whole) < len(raw):
        with out.open("r+b") as file:
            file.truncate(len(whole))
    return rows
