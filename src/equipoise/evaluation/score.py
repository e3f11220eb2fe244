"""The record that every scorer returns."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """What one reply is worth.

    Attributes:
        value: in [0, 1], higher better; None where the reply could not be scored (it counts as
            missing, never as one half).
        label: `correct`, `incorrect`, `unparsed`, `empty`, or the rule's own class.
        detail: what the rule read in the reply, for people.
    """

    value: float | None
    label: str
    detail: str = ""


UNPARSED = Score(0.0, "unparsed")


def graded(right: bool, detail: str = "") -> Score:
    """Return the score of an answer that is either right or wrong.

    >>> graded(True).label
    'correct'
    """
    return Score(1.0, "correct", detail) if right else Score(0.0, "incorrect", detail)
