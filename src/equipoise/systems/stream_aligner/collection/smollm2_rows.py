"""What the real world's correctors learn from: the model's own answers, drills, benign text.

Rows of the model's answers give the wording, but a corrector that checks `35 + 59 = 154.` has to
add, and a few hundred answers do not teach that. Drills do: one row holds many sums, right and
wrong ones, so that a sum costs 30 tokens instead of 90. Their errors are those of the model, and
as frequent. Benign sentences come whole and cut short, since an answer may end at the token limit.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from equipoise.core.errors import InvalidInput
from equipoise.core.seeding import stream
from equipoise.systems.stream_aligner.arithmetic import correct_sums, stated_sums
from equipoise.systems.stream_aligner.collection.collecting import gather_rows
from equipoise.systems.stream_aligner.correctors import identity
from equipoise.systems.stream_aligner.rows import CorrectionRow
from equipoise.systems.stream_aligner.worlds.smollm2 import PRACTICE_QUESTIONS, Opened, RealWorld

DRILL_QUESTION = "Check these sums."
_PRACTICE_SENTENCES = 4  # of an answer to an open question


@dataclass(frozen=True)
class RealRows:
    """Rows for the corrector of sentences and for that of whole answers, from the same questions.

    Attributes:
        sentences: every sentence of the answers, exact arithmetic as teacher in the loop.
        wholes: the answers as the model alone gives them, the same teacher on each sum.
        benign: sentences of answers to open questions, whole and cut short, to be copied.
        benign_wholes: those answers whole.
        drills: many sums in a row, for both.
    """

    sentences: tuple[CorrectionRow, ...]
    wholes: tuple[CorrectionRow, ...]
    benign: tuple[CorrectionRow, ...]
    benign_wholes: tuple[CorrectionRow, ...]
    drills: tuple[CorrectionRow, ...]

    def of(self, style: str) -> list[CorrectionRow]:
        """Return the rows of style `stream` or `aligner`."""
        if style == "aligner":
            return [*self.wholes, *self.benign_wholes, *self.drills]
        return [*self.sentences, *self.benign, *self.drills]


def collect_rows(
    world: RealWorld,
    opened: Opened,
    *,
    questions: int,
    drills: int,
    sums: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> RealRows:
    """Have the model answer training questions, and label what it says.

    Args:
        world: of the questions.
        opened: its model.
        questions: running sums to ask; all `PRACTICE_QUESTIONS` are asked as well.
        drills: rows of drill.
        sums: in each of them.
        seed: of questions and drills.
        advance: called after every question.
    """
    sentences, wholes, benign, benign_wholes = [], [], [], []
    for question in world.questions(questions, seed):
        sentences += gather_rows(question, opened.sums, correct_sums, source="model")[0]
        whole = gather_rows(question, opened.sums, correct_sums, mode="aligner", source="model")
        wholes += whole[0]
        advance()
    for question in PRACTICE_QUESTIONS:
        rounds = _PRACTICE_SENTENCES
        said = gather_rows(question, opened.plain, identity, rounds=rounds, source="benign")[0]
        benign += said
        if said:
            answer = f"{said[-1].prefix} {said[-1].last}".strip()
            benign_wholes.append(CorrectionRow(question, "", answer, answer, "copy"))
        advance()
    benign += cut_short(benign, seed)
    slips = slips_of(sentences)
    stated = sum(len(list(stated_sums(row.last))) for row in sentences)
    wrong = len(slips) / max(1, stated)
    drilled = drill_rows(drills, sums, world.numbers, slips, seed, wrong=wrong)
    return RealRows(
        tuple(sentences), tuple(wholes), tuple(benign), tuple(benign_wholes), tuple(drilled)
    )


def cut_short(rows: Sequence[CorrectionRow], seed: int) -> list[CorrectionRow]:
    """Return rows to be copied whose sentences end after some word before their last one.

    Args:
        rows: one of a single word is passed over.
        seed: of where they are cut.
    """
    rng = stream(seed, "cut short")
    found = []
    for row in rows:
        words = row.last.split(" ")
        if len(words) > 1:
            text = " ".join(words[: int(rng.integers(1, len(words)))]).strip()
            found.append(replace(row, last=text, correction=text, verdict="copy"))
    return found


def slips_of(rows: Iterable[CorrectionRow]) -> list[int]:
    """Return stated minus exact result of every wrong sum that the rows' sentences state."""
    return [
        int(found.stated - found.exact)
        for row in rows
        for found in stated_sums(row.last)
        if not found.correct
    ]


def drill_rows(
    count: int, sums: int, numbers: int, slips: Sequence[int], seed: int, *, wrong: float = 0.5
) -> list[CorrectionRow]:
    """Return `count` rows of `sums` additions each, some of them wrong.

    An addition is one of a running sum of `numbers` two-digit numbers: up to numbers - 1 of them
    added already, and the next one.

    Args:
        count: rows.
        sums: additions in each.
        numbers: of a question.
        slips: errors to draw from, stated minus exact; one that would make a result negative is
            turned around.
        seed: of everything drawn.
        wrong: probability that an addition is wrong.

    Raises:
        InvalidInput: a count or the probability out of range, or no slips.
    """
    if count < 0 or sums < 1 or numbers < 2:
        raise InvalidInput(f"{count} rows of {sums} sums of {numbers} numbers: expected >= 0, 1, 2")
    if not slips or 0 in slips:
        raise InvalidInput("slips must be errors to draw from: at least one, none of them 0")
    if not 0 <= wrong <= 1:
        raise InvalidInput(f"wrong is {wrong!r}; it must lie in [0, 1]")
    rng = stream(seed, "drills")
    rows = []
    for _ in range(count):
        parts = []
        for _ in range(sums):
            drawn = rng.integers(10, 100, size=int(rng.integers(2, numbers + 1)))
            total, number = int(drawn[:-1].sum()), int(drawn[-1])
            slip = int(rng.choice(np.asarray(slips))) if rng.random() < wrong else 0
            exact = total + number
            stated = exact + slip if exact + slip >= 0 else exact - slip
            parts.append(f"{total} + {number} = {stated}")
        sentence = f"{', '.join(parts)}."
        correction = correct_sums(DRILL_QUESTION, "", sentence).text
        verdict = "copy" if correction == sentence else "edit"
        rows.append(
            CorrectionRow(DRILL_QUESTION, "", sentence, correction, verdict, source="drill")
        )
    return rows
