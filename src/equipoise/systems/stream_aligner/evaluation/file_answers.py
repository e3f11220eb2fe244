"""The answers to a user's questions, by every method.

The raw answer is written once. Method `aligner` reviews it as a whole, `post-hoc` sentence by
sentence; only `stream` has the upstream go on from every correction. Stored answers cannot go on
from a correction, so that `stream` is `post-hoc` there, word for word. (The upstream `replay:` of
the proxy reads on at the next stored sentence after an edit, and repeats a dropped one; an
evaluation must not count that against the corrector.)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner.aligning import Upstream, align
from equipoise.systems.stream_aligner.batch import append_rows
from equipoise.systems.stream_aligner.correction import Corrector
from equipoise.systems.stream_aligner.correctors import identity
from equipoise.systems.stream_aligner.evaluation.files import EvaluationFile, FileQuestion
from equipoise.systems.stream_aligner.evaluation.methods import aligner_of, check_style
from equipoise.systems.stream_aligner.evaluation.text import Written, write_reviewed
from equipoise.systems.stream_aligner.upstreams import scripted_upstream

METHODS = ("raw", "aligner", "post-hoc", "stream", "prompted")
DEFAULT_METHODS = METHODS[:4]

_MOST_SENTENCES = 2000  # an answer's length is bounded by its tokens or by the file


def chosen_questions(
    file: EvaluationFile, *, replayed: bool, limit: int | None = None, seed: int = 0
) -> list[FileQuestion]:
    """Return the questions to evaluate on, in the order of the file.

    Args:
        file: the questions.
        replayed: whether the stored answers are reviewed: those without a word are left out. Else
            every question is asked once, however often it stands in the file.
        limit: how many; drawn at random, so that a sorted file gives a fair sample.
        seed: of the draw.

    Raises:
        InvalidInput: a limit below 1, or nothing to review.
    """
    if limit is not None and limit < 1:
        raise InvalidInput(f"limit is {limit}; it must be >= 1")
    if replayed:
        found = [question for question in file.questions if (question.stored or "").strip()]
    else:
        found = list({question.question: question for question in file.questions}.values())
    if not found:
        raise InvalidInput("the file holds no answers to review; name a model by --upstream")
    if limit is None or limit >= len(found):
        return found
    places = stream(seed, "questions").choice(len(found), limit, replace=False)
    return [found[place] for place in sorted(places)]


def answer_file(
    questions: Sequence[FileQuestion],
    upstream: Upstream | None,
    correctors: Mapping[str, Corrector],
    methods: Sequence[str],
    out: Path,
    *,
    at_once: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> list[dict[str, Written]]:
    """Answer every question by every method; what `out` holds already is kept.

    Args:
        questions: in order.
        upstream: answers them; None reviews the stored answers.
        correctors: `corrector` (single sentences), `aligner` (whole answers; the same one where it
            is not there), and `prompted` for the method of that name.
        methods: of `METHODS`; the raw answers are there in any case.
        out: JSONL, a line a question.
        at_once: questions under way at the same time, each in a thread.
        advance: called after every question.

    Returns:
        For every question, method to answer.

    Raises:
        InvalidInput: an unknown method, or a corrector that does not fit.
    """
    check_methods(methods, correctors)

    def write(place: int) -> dict[str, Any]:
        found = _answers(questions[place], upstream, correctors, methods)
        told = {method: asdict(written) for method, written in found.items()}
        return {"question": questions[place].question, "answers": told}

    asked = [question.question for question in questions]
    # what no model wrote is soon reviewed again, so no row has to wait for the disk
    rows = append_rows(
        asked,
        write,
        out,
        needed=("answers",),
        sync=upstream is not None,
        at_once=at_once,
        advance=advance,
    )
    return [{name: Written(**told) for name, told in row["answers"].items()} for row in rows]


def check_methods(methods: Sequence[str], correctors: Mapping[str, Corrector]) -> None:
    """Refuse an unknown method, and correctors that do not fit; see `answer_file`."""
    for method in methods:
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
    if not methods:
        raise InvalidInput(f"no method is named; known: {', '.join(METHODS)}")
    if "prompted" in methods and "prompted" not in correctors:
        raise InvalidInput("method 'prompted' needs a prompted corrector: name it by --prompted")
    check_style(methods, correctors["corrector"])


def _answers(
    asked: FileQuestion,
    upstream: Upstream | None,
    correctors: Mapping[str, Corrector],
    methods: Sequence[str],
) -> dict[str, Written]:
    if upstream is None:
        text = asked.stored or ""
    else:
        text = align(asked.question, upstream, identity, mode="off").text
    found = {"raw": Written(text, None, len(text), 0)}
    kept = scripted_upstream(lambda question: text)
    for method in methods:
        corrector = correctors.get(method, correctors["corrector"])
        if method == "aligner" and method not in correctors:
            corrector = aligner_of(corrector)
        live = upstream if method in ("stream", "prompted") else None
        if method == "stream" and live is None and "post-hoc" in found:
            found[method] = found["post-hoc"]
        elif method != "raw":
            found[method] = write_reviewed(
                "post-hoc" if live is None and method != "aligner" else method,
                live or kept,
                asked.question,
                corrector,
                max_segments=_MOST_SENTENCES,
            )
    return found
