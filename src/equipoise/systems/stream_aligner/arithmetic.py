"""The exact corrector of sums: a wrong result in `a op b [op c ...] = r` is replaced.

Values are rational numbers, so nothing is rounded. Left alone are divisions by zero, values
without a finite decimal form (10 / 3), results that are expressions themselves (`2 + 3 = 1 + 4`)
and terms of algebra (`2 * 3 = 6x`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from equipoise.systems.stream_aligner.correction import Correction

_LONGEST = 1000  # characters of an expression; beyond it integers stop being cheap
_NUMBER = r"[$€£]?-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_EXPRESSION = re.compile(
    rf"(?<![\w.,])(?P<first>{_NUMBER})(?P<rest>(?:[ \t]*[-+*×/][ \t]*{_NUMBER})*)(?![\w%]|[.,]\d)"
)
_TERM = re.compile(rf"[ \t]*(?P<op>[-+*×/])[ \t]*(?P<number>{_NUMBER})")
_EQUALS = re.compile(r"[ \t]*=[ \t]*\Z")
_GOES_ON = re.compile(r"\(|[ \t]*(?:[+*×/^][ \t]*[\w($]|-[ \t]*[\d($]|=[ \t]*\d)")
_VARIABLE_BEFORE = re.compile(r"\b[A-Za-z][ \t]*\Z")
_OPERATOR_BEFORE = re.compile(r"[-+*×/^)%][ \t]*\Z")
_BULLET_OR_BOLD = re.compile(r"(?:(?:^|\n)[ \t]*[-+*]|\*\*)[ \t]*\Z")


@dataclass(frozen=True)
class Sum:
    """A stated sum in a text: `text[start:end]` is the stated result.

    Attributes:
        start, end: where the result's digits stand.
        expression: the left-hand side as written.
        stated, exact: the two values.
        right: `exact` as the corrector would write it.
    """

    start: int
    end: int
    expression: str
    stated: Fraction
    exact: Fraction
    right: str

    @property
    def correct(self) -> bool:
        """Whether the stated result is the exact one."""
        return self.stated == self.exact


def stated_sums(text: str) -> Iterator[Sum]:
    """Yield every sum in `text` whose exact value can be written as a decimal number.

    >>> [(s.expression, s.correct) for s in stated_sums("2 + 3 * 4 = 20, so 1 + 1 = 2.")]
    [('2 + 3 * 4', False), ('1 + 1', True)]
    """
    left = None
    for match in _EXPRESSION.finditer(text):
        if (
            left is not None
            and not match["rest"]
            and _EQUALS.fullmatch(text, left.end(), match.start())
            and not _GOES_ON.match(text, match.end())
        ):
            found = _read_sum(left, match)
            if found is not None:
                yield found
        left = match if match["rest"] and _stands_alone(text, match.start()) else None


def final_result(text: str) -> int | None:
    """Return the result that the last sum of a text states, None where it states none."""
    found = list(stated_sums(text))
    return int(found[-1].stated) if found and found[-1].stated.denominator == 1 else None


def correct_sums(question: str, prefix: str, sentence: str) -> Correction:
    """Correct the sums of one sentence (a corrector; question and prefix play no part).

    >>> correct_sums("", "", "So 12 + 30 = 41.").text
    'So 12 + 30 = 42.'
    """
    parts, notes, end = [], [], 0
    for found in stated_sums(sentence):
        if not found.correct:
            parts += [sentence[end : found.start], found.right]
            notes.append(f"{found.expression} = {found.right}")
            end = found.end
    return Correction("".join([*parts, sentence[end:]]), note="; ".join(notes))


def _stands_alone(text: str, start: int) -> bool:
    """Whether the expression at `start` is not the tail of a longer one (`(2 + 3) * 4 + 1`)."""
    line = max(text.rfind("\n", 0, start), 0)
    before = text[line:start]
    if text[start] == "-" and _VARIABLE_BEFORE.search(before):
        return False
    return not _OPERATOR_BEFORE.search(before) or bool(_BULLET_OR_BOLD.search(before))


def _read_sum(left: re.Match[str], result: re.Match[str]) -> Sum | None:
    if len(left[0]) > _LONGEST or len(result[0]) > _LONGEST:
        return None
    first, terms = left["first"], [(m["op"], m["number"]) for m in _TERM.finditer(left["rest"])]
    exact = _evaluate(_value(first), [(op, _value(number)) for op, number in terms])
    places = None if exact is None else _finite_places(exact)
    if exact is None or places is None:
        return None
    operands = [first, *(number for _, number in terms)]
    places = max(places, *(len(number.partition(".")[2]) for number in operands))
    start = result.start() + len(result[0]) - len(result[0].lstrip("$€£"))
    return Sum(
        start=start,
        end=result.end(),
        expression=left[0],
        stated=_value(result[0]),
        exact=exact,
        right=_decimal(exact, places, commas=_uses_commas(operands, result[0])),
    )


def _value(number: str) -> Fraction:
    return Fraction(number.lstrip("$€£").replace(",", ""))


def _evaluate(first: Fraction, terms: list[tuple[str, Fraction]]) -> Fraction | None:
    """Value under the usual precedence; None where something is divided by zero."""
    total, product = Fraction(0), first
    for op, value in terms:
        if op in "*×":
            product *= value
        elif op == "/":
            if value == 0:
                return None
            product /= value
        else:
            total += product
            product = value if op == "+" else -value
    return total + product


def _finite_places(value: Fraction) -> int | None:
    """Decimal places that write `value` exactly; None where no finite number does."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


def _uses_commas(operands: list[str], result: str) -> bool:
    """Thousands commas where an operand has them, or the result does and no operand disagrees."""
    if any("," in number for number in operands):
        return True
    return "," in result and all(abs(_value(number)) < 1000 for number in operands)


def _decimal(value: Fraction, places: int, *, commas: bool) -> str:
    scaled = abs(value.numerator) * 10**places // value.denominator
    whole, part = divmod(scaled, 10**places)
    sign = "-" if value < 0 else ""
    digits = f"{whole:,}" if commas else str(whole)
    return f"{sign}{digits}.{part:0{places}d}" if places else f"{sign}{digits}"
