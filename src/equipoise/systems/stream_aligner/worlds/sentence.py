"""The sentence world, whose answers are known exactly, as upstream and corrector of the real loop.

Sentences are states of a Markov chain, `transition` proposes and `correction` repairs;
`objective.induction` gives every marginal.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.systems.stream_aligner.aligning import align
from equipoise.systems.stream_aligner.objective import Induction, induction


@dataclass(frozen=True)
class SentenceWorld:
    """A Markov chain over kinds of sentence and a corrector that moves them.

    Attributes:
        initial: (S,) distribution of the first proposal.
        transition: (S, S), of the proposal after each emitted sentence.
        correction: (S, S), of the correction of each proposal.
        bad: states that count as bad.
    """

    initial: NDArray[np.float64]
    transition: NDArray[np.float64]
    correction: NDArray[np.float64]
    bad: tuple[int, ...]

    def closed_form(self, steps: int) -> Induction:
        """Return the exact marginals of `steps` sentences."""
        return induction(self.initial, self.transition, self.correction, bad=self.bad, steps=steps)


@dataclass(frozen=True)
class SimulatedWorld:
    """Counts of the sentences that the real loop emitted, (answers, steps) states each."""

    raw: NDArray[np.int64]
    post_hoc: NDArray[np.int64]
    stream: NDArray[np.int64]


def contagious_world(
    *,
    first_bad: float = 0.3,
    bad_after_good: float = 0.2,
    bad_after_bad: float = 0.7,
    repair: float = 0.9,
) -> SentenceWorld:
    """Return the two-state world in which a bad sentence (state 1) invites the next one."""
    return SentenceWorld(
        initial=np.array([1 - first_bad, first_bad]),
        transition=np.array(
            [[1 - bad_after_good, bad_after_good], [1 - bad_after_bad, bad_after_bad]]
        ),
        correction=np.array([[1.0, 0.0], [repair, 1 - repair]]),
        bad=(1,),
    )


def random_world(rng: np.random.Generator, states: int = 4) -> SentenceWorld:
    """Return a world with Dirichlet rows whose last state is bad and mostly repaired."""
    correction = 0.85 * np.eye(states) + 0.15 * rng.dirichlet(np.ones(states), states)
    repaired = rng.dirichlet(np.ones(states - 1))
    share = rng.uniform(0.4, 0.95)
    correction[-1] = np.append(share * repaired, 1 - share)
    transition = rng.dirichlet(np.ones(states), states)
    sticky = rng.uniform(0.5, 0.9)
    transition[-1] = (1 - sticky) * transition[-1] + sticky * np.eye(states)[-1]
    return SentenceWorld(rng.dirichlet(np.ones(states)), transition, correction, (states - 1,))


def simulate_world(
    world: SentenceWorld,
    steps: int,
    answers: int,
    rng: np.random.Generator,
    *,
    advance: Callable[[], None] = lambda: None,
) -> SimulatedWorld:
    """Run the real loop on the world and count what it emits.

    `advance` is called after every answer.
    """
    proposals, repairs = _cumulative(world.transition), _cumulative(world.correction)
    first = np.cumsum(world.initial)

    def upstream(question: str, prefix: str) -> Iterator[str]:
        said = _states(prefix)
        state = said[-1] if said else -1
        for _ in range(steps - len(said)):
            state = _draw(first if state < 0 else proposals[state], rng)
            yield f" Kind {state}." if said or prefix else f"Kind {state}."
            said = [*said, state]

    def corrector(question: str, prefix: str, sentence: str) -> str:
        return f"Kind {_draw(repairs[_states(sentence)[0]], rng)}."

    raw, stream = (np.empty((answers, steps), dtype=np.int64) for _ in range(2))
    for row in range(answers):
        raw[row] = _states(align("", upstream, corrector, mode="off").text)
        stream[row] = _states(align("", upstream, corrector, speculate=True).text)
        advance()
    post_hoc = np.array([[_draw(repairs[state], rng) for state in answer] for answer in raw])
    return SimulatedWorld(raw, post_hoc, stream)


def _states(text: str) -> list[int]:
    return [int(word) for word in text.replace("Kind ", "").replace(".", "").split()]


def _cumulative(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.cumsum(matrix, axis=1)


def _draw(cumulative: NDArray[np.float64], rng: np.random.Generator) -> int:
    return min(int(np.searchsorted(cumulative, rng.random(), "right")), len(cumulative) - 1)
