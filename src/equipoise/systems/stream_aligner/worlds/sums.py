"""Running sums with given rates of slips and repairs, through the real loop.

A stated result is wrong with a fixed probability, a corrector mends and spoils with two others;
`objective.arithmetic_accuracy` gives the accuracies.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.systems.stream_aligner.aligning import align
from equipoise.systems.stream_aligner.arithmetic import correct_sums, final_result, stated_sums
from equipoise.systems.stream_aligner.correction import Correction
from equipoise.systems.stream_aligner.segments import segment


@dataclass(frozen=True)
class SimulatedSums:
    """Which final answers were right, (answers,) bool each."""

    raw: NDArray[np.bool_]
    post_hoc: NDArray[np.bool_]
    stream: NDArray[np.bool_]


def simulate_sums(
    steps: int,
    answers: int,
    rng: np.random.Generator,
    *,
    error_rate: float,
    fix_rate: float,
    break_rate: float = 0.0,
    advance: Callable[[], None] = lambda: None,
) -> SimulatedSums:
    """Run the real loop on running sums of `steps` additions.

    Errors only ever add, so a wrong sum never becomes right by accident. `advance` is called after
    every answer.
    """

    def upstream(question: str, prefix: str) -> Iterator[str]:
        numbers = [int(word) for word in question.split()]
        written = list(stated_sums(prefix))
        total = int(written[-1].stated) if written else numbers[0]
        for place, number in enumerate(numbers[len(written) + 1 :], len(written)):
            slip = int(rng.integers(1, 10)) if rng.random() < error_rate else 0
            yield f"{' ' if place else ''}{total} + {number} = {total + number + slip}."
            total += number + slip

    def corrector(question: str, prefix: str, sentence: str) -> Correction | str:
        (found,) = stated_sums(sentence)
        if not found.correct:
            return correct_sums(question, prefix, sentence) if rng.random() < fix_rate else sentence
        if rng.random() < break_rate:
            return f"{sentence[: found.start]}{int(found.stated) + int(rng.integers(1, 10))}."
        return sentence

    raw, post_hoc, stream = (np.empty(answers, dtype=np.bool_) for _ in range(3))
    for row in range(answers):
        numbers = rng.integers(10, 100, size=steps + 1)
        question = " ".join(map(str, numbers))
        answer = align(question, upstream, corrector, mode="off").text
        mended = [_text(corrector(question, "", part.text)) for part in segment(answer)]
        reviewed = align(question, upstream, corrector, speculate=True).text
        for results, text in ((raw, answer), (post_hoc, mended[-1]), (stream, reviewed)):
            results[row] = final_result(text) == numbers.sum()
        advance()
    return SimulatedSums(raw, post_hoc, stream)


def _text(correction: Correction | str) -> str:
    return correction if isinstance(correction, str) else correction.text
