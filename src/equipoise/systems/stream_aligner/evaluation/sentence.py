"""How good a corrector is on the sentence world: bad sentences by method, and the closed form."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.seeding import stream
from equipoise.core.stats import bootstrap_interval
from equipoise.systems.stream_aligner.correction import Correction
from equipoise.systems.stream_aligner.evaluation.methods import (
    Reviewers,
    answer_by,
    check_methods,
    shown_text,
)
from equipoise.systems.stream_aligner.loop import Step
from equipoise.systems.stream_aligner.objective import Induction, induction
from equipoise.systems.stream_aligner.segments import segment
from equipoise.systems.stream_aligner.worlds.sentence import SentenceWorld, contagious_world

METHODS = ("raw", "aligner", "post-hoc", "stream", "prompted", "oracle")
GOOD, BAD = "This is good.", "This is bad."
_CLOSED_FORMS = {"raw": "raw", "post-hoc": "post_hoc", "stream": "stream"}


@dataclass(frozen=True)
class SpokenWorld:
    """The contagious world in words: every sentence is `GOOD` or `BAD`.

    Attributes:
        steps: sentences of an answer.
        seed: of the sentences. They depend on question and prefix alone, so an answer is the same
            however often the upstream is asked.
    """

    steps: int = 8
    seed: int = 0

    @cached_property
    def table(self) -> SentenceWorld:
        """Its Markov chain; the correction in it is not used."""
        return contagious_world()

    def questions(self, count: int, seed: int) -> list[str]:
        """Return `count` questions, which only number the answers."""
        return [f"Answer {number} of {seed}." for number in range(count)]

    def upstream(self, question: str, prefix: str) -> Iterator[str]:
        """Continue an answer; a bad sentence invites the next one."""
        said = list(is_bad(prefix))
        while len(said) < self.steps:
            row = self.table.transition[int(said[-1])] if said else self.table.initial
            rng = stream(self.seed, "sentence", question, prefix)
            bad = bool(rng.random() < row[1])
            piece = f"{' ' if prefix else ''}{BAD if bad else GOOD}"
            yield piece
            prefix += piece
            said.append(bad)


def is_bad(text: str) -> Iterator[bool]:
    """Yield of each sentence whether it is bad: anything but `GOOD` is."""
    for part in segment(text):
        if part.text:
            yield part.text != GOOD


def oracle(question: str, prefix: str, sentence: str) -> Correction:
    """Make every sentence of a text good, where it stands."""
    parts = segment(sentence)
    return Correction("".join(part.leading + GOOD for part in parts if part.text))


def evaluate_sentence(
    world: SpokenWorld,
    questions: Sequence[str],
    reviewers: Reviewers,
    *,
    methods: Sequence[str] = ("raw", "aligner", "post-hoc", "stream", "oracle"),
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Answer every question by every method and count bad sentences; a dropped one counts as none.

    The rates are measured on the sentences that the method `stream` reviewed; with them the closed
    form says what a corrector that looks at one sentence alone comes to.

    Args:
        world: whose upstream answers.
        questions: of the world.
        reviewers: by method.
        methods: of `METHODS`.
        advance: called after every answer.

    Returns:
        `rows` (a method's mean `bad_mass` and its share of `clean` answers, with bootstrap
        intervals, `bad_by_sentence`, and `bad_mass_closed_form` where there is one), `fix_rate`,
        `break_rate`, and `gain`: bad mass of post-hoc over that of stream, None without both.

    Raises:
        InvalidInput: an unknown method, no question, or method `prompted` without its corrector.
    """
    check_methods(methods, METHODS, questions, reviewers)
    bad: dict[str, list[list[bool]]] = {method: [] for method in methods}
    steps: list[Step] = []
    for method in methods:
        for question in questions:
            answer = answer_by(method, question, world.upstream, reviewers, oracle)
            bad[method].append(list(is_bad(shown_text(method, answer))))
            steps += answer.steps if method == "stream" else ()
            advance()
    fix_rate, break_rate = _rates(steps)
    exact = _closed_form(world, fix_rate, break_rate)
    rows = [_row(method, bad[method], world, exact) for method in methods]
    mass = {row["method"]: row["bad_mass"] for row in rows}
    gain = mass["post-hoc"] / mass["stream"] if mass.get("stream") and "post-hoc" in mass else None
    return {
        "questions": len(questions),
        "steps": world.steps,
        "rows": rows,
        "fix_rate": fix_rate,
        "break_rate": break_rate,
        "gain": gain,
        "gain_closed_form": None if exact is None else exact.gain,
    }


def _rates(steps: Iterable[Step]) -> tuple[float | None, float | None]:
    """Share of bad sentences made good, and of good ones spoilt; None where none was seen."""
    fixed: list[bool] = []
    spoilt: list[bool] = []
    for step in steps:
        if step.segment.text:
            after = any(is_bad(step.text))
            (fixed if step.segment.text != GOOD else spoilt).append(after)
    rates = [float(np.mean(found)) if found else None for found in (fixed, spoilt)]
    return None if rates[0] is None else 1 - rates[0], rates[1]


def _closed_form(
    world: SpokenWorld, fix_rate: float | None, break_rate: float | None
) -> Induction | None:
    if break_rate is None:
        return None
    fix = fix_rate or 0.0
    correction = np.array([[1 - break_rate, break_rate], [fix, 1 - fix]])
    table = world.table
    return induction(table.initial, table.transition, correction, bad=(1,), steps=world.steps)


def _row(
    method: str, bad: Sequence[Sequence[bool]], world: SpokenWorld, exact: Induction | None
) -> dict[str, Any]:
    masses = bootstrap_interval(np.array([sum(answer) / world.steps for answer in bad]))
    clean = bootstrap_interval(np.array([not any(answer) for answer in bad], dtype=np.float64))
    row: dict[str, Any] = {"method": method}
    for name, share in (("bad_mass", masses), ("clean", clean)):
        row |= {name: share.estimate, f"{name}_low": share.low, f"{name}_high": share.high}
    row["bad_by_sentence"] = _by_sentence(bad, world.steps).tolist()
    if exact is not None and method in _CLOSED_FORMS:
        marginals = getattr(exact, _CLOSED_FORMS[method])
        row["bad_mass_closed_form"] = float(marginals[:, 1].mean())
    return row


def _by_sentence(bad: Sequence[Sequence[bool]], steps: int) -> NDArray[np.float64]:
    """Return the share of answers whose k-th sentence is bad; one that is not there is not."""
    padded = [[*answer[:steps], *[False] * (steps - len(answer))] for answer in bad]
    return np.array(padded, dtype=np.float64).mean(axis=0)
