"""How good a corrector is in the real world: sums, edits, and benign text left alone."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise.core.stats import bootstrap_interval
from equipoise.systems.stream_aligner.aligning import align
from equipoise.systems.stream_aligner.arithmetic import correct_sums, stated_sums
from equipoise.systems.stream_aligner.evaluation.arithmetic import (
    METHODS,
    flat,
    measure_rates,
    share_of,
)
from equipoise.systems.stream_aligner.evaluation.methods import (
    Reviewers,
    answer_by,
    check_methods,
    shown_text,
)
from equipoise.systems.stream_aligner.evaluation.text import edit_distance
from equipoise.systems.stream_aligner.loop import Answer, Step
from equipoise.systems.stream_aligner.tasks import OPEN_QUESTIONS
from equipoise.systems.stream_aligner.worlds.arithmetic import is_right
from equipoise.systems.stream_aligner.worlds.smollm2 import Opened, RealWorld, sentence_right

Asked = tuple[str, Answer]
"""A question and its answer."""


@dataclass(frozen=True)
class Answers:
    """Answers of one corrector, or of several whose answers are pooled.

    Attributes:
        sums: by method.
        benign: reviewed answers to open questions.
    """

    sums: dict[str, list[Asked]]
    benign: list[Asked]

    def pooled(self, other: "Answers") -> "Answers":
        """Return the answers of both; their methods are the same."""
        sums = {method: [*asked, *other.sums[method]] for method, asked in self.sums.items()}
        return Answers(sums, [*self.benign, *other.benign])


def evaluate_smollm2(
    world: RealWorld,
    questions: Sequence[str],
    reviewers: Reviewers,
    *,
    methods: Sequence[str] = ("raw", "post-hoc", "aligner", "stream", "oracle"),
    prompted_questions: int | None = None,
    plain: Sequence[str] = OPEN_QUESTIONS,
    opened: Opened | None = None,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Answer every question by every method, check all sums, and see what becomes of benign text.

    Args:
        world: the model and its questions.
        questions: of the world.
        reviewers: by method.
        methods: raw, aligner, post-hoc, stream, prompted, oracle (exact arithmetic in the loop).
        prompted_questions: how many method `prompted` answers, from the first; all where None.
        plain: open questions, answered in method `stream`, where it is among the methods.
        opened: the model, where it is running already.
        advance: called after every answer, those to `plain` left out.

    Returns:
        As `measure_real` does.

    Raises:
        InvalidInput: an unknown method, no question, or method `prompted` without its corrector.
        MissingData: the model is not stored here.
    """
    check_methods(methods, METHODS, questions, reviewers)
    with nullcontext(opened) if opened is not None else world.opened() as model:
        found = answer_real(
            model,
            questions,
            reviewers,
            methods=methods,
            prompted_questions=prompted_questions,
            plain=plain,
            advance=advance,
        )
    return measure_real(found)


def answer_real(
    opened: Opened,
    questions: Sequence[str],
    reviewers: Reviewers,
    *,
    methods: Sequence[str],
    prompted_questions: int | None = None,
    plain: Sequence[str] = OPEN_QUESTIONS,
    advance: Callable[[], None] = lambda: None,
) -> Answers:
    """Return the answers by every method; see `evaluate_smollm2`."""
    counts = {"prompted": prompted_questions}
    sums: dict[str, list[Asked]] = {}
    for method in methods:
        sums[method] = []
        for question in questions[: counts.get(method)]:
            answer = answer_by(method, question, opened.sums, reviewers, correct_sums)
            sums[method].append((question, answer))
            advance()
    benign: list[Asked] = []
    if "stream" in methods:
        benign = [
            (asked, align(asked, opened.plain, reviewers.corrector, speculate=True))
            for asked in plain
        ]
    return Answers(sums, benign)


def measure_real(answers: Answers) -> dict[str, Any]:
    """Measure answers by method.

    Returns:
        `rows`, one a method: `accuracy` (last stated sum is the right one) and `stated_share` (of
        stated sums that are exact), each with `_low` and `_high`; their counts, and `failed`
        corrections. Of the method `stream`: `fix_rate`, `break_rate`, `edit_precision` with
        intervals and counts (see `edit_verdicts`); `copy_rate` on benign sentences and their
        `edit_distances`, one a sentence.
    """
    rows = [_row(method, asked) for method, asked in answers.sums.items()]
    found: dict[str, Any] = {"rows": rows}
    if "stream" not in answers.sums:
        return found
    steps = [step for _, answer in answers.sums["stream"] for step in answer.steps]
    rates = measure_rates(steps)
    good = edit_verdicts(steps)
    reviewed = [step for _, answer in answers.benign for step in answer.steps if step.segment.text]
    copies = sum(step.verdict == "copy" for step in reviewed)
    return found | {
        **flat("fix_rate", rates.fix),
        **flat("break_rate", rates.spoil),
        "wrong_proposals": rates.wrong,
        "right_proposals": rates.right,
        **flat("edit_precision", share_of(sum(good), len(good))),
        "edits": len(good),
        **flat("copy_rate", share_of(copies, len(reviewed))),
        "benign_sentences": len(reviewed),
        "edit_distances": [edit_distance(step.segment.text, step.text) for step in reviewed],
    }


def edit_verdicts(steps: Iterable[Step]) -> list[bool]:
    """Return of every edit whether it was a good one.

    Good is an edit whose text is right by `sentence_right`: it made a wrong sentence right, or left
    a right one right. An edit of a sentence that states nothing to check is not good, and neither
    is one that leaves nothing to check; drops and stops count as edits.
    """
    return [
        bool(sentence_right(step.prefix, step.text))
        for step in steps
        if step.verdict in ("edit", "drop", "stop") and step.segment.text
    ]


def _row(method: str, asked: Sequence[Asked]) -> dict[str, Any]:
    texts = [shown_text(method, answer) for _, answer in asked]
    hits = [is_right(question, text) for (question, _), text in zip(asked, texts)]
    stated = [[found.correct for found in stated_sums(text)] for text in texts]
    counts = np.array([(sum(flags), len(flags)) for flags in stated], dtype=np.float64)
    # whole answers are drawn again: the sums of one answer are not independent
    share = bootstrap_interval(counts, _stated_share)
    failed = [step.verdict == "unreviewed" for _, answer in asked for step in answer.steps]
    return {
        "method": method,
        "answers": len(asked),
        "right": sum(hits),
        **flat("accuracy", bootstrap_interval(np.array(hits, dtype=np.float64))),
        "stated": int(counts[:, 1].sum()),
        "stated_right": int(counts[:, 0].sum()),
        **flat("stated_share", share),
        "failed": 0 if method == "raw" else sum(failed),
    }


def _stated_share(counts: Any) -> float:
    right, stated = counts.sum(axis=0)
    return float(right / stated) if stated else 0.0
