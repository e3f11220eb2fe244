"""One root error and its four kinds; each says what was given, what is allowed and what to do.

Every kind also inherits the standard exception that a caller would expect, so `except ValueError`
works for code that has never heard of this package.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher


class EquipoiseError(Exception):
    """Root of all errors raised on purpose; the command line exits with `exit_code`."""

    exit_code: int = 1


class InvalidInput(EquipoiseError, ValueError):
    """A value, name, file or record that cannot be used: wrong usage, exit code 2."""

    exit_code = 2


class UnknownField(InvalidInput):
    """A configuration has no field of this name.

    Attributes:
        name: the name given, dots included.
        valid: the fields there are.
    """

    def __init__(self, message: str, name: str, valid: Iterable[str]) -> None:
        super().__init__(message)
        self.name = name
        self.valid = tuple(valid)


class MissingExtra(EquipoiseError, ImportError):
    """An optional dependency is not installed; the message holds the line that installs it."""


class MissingData(EquipoiseError, FileNotFoundError):
    """A model or data set is not on this machine; the message holds the command that fetches it."""


class RunFailed(EquipoiseError, RuntimeError):
    """Work that began and could not be finished; what was done until then is kept."""


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Return the valid name closest to `name`, or None when nothing is close.

    Case and the choice between `-`, `_` and blank do not count as differences.

    >>> nearest("tinny", ["tiny", "small", "paper"])
    'tiny'
    >>> nearest("qqq", ["tiny", "small"]) is None
    True
    """

    def fold(text: str) -> str:
        return text.casefold().replace("-", "_").replace(" ", "_")

    target = fold(name)
    best, best_ratio = None, 0.0
    for candidate in valid:
        folded = fold(candidate)
        ratio = SequenceMatcher(None, target, folded).ratio()
        shorter, longer = sorted((target, folded), key=len)
        if len(shorter) >= 3 and longer.startswith(shorter):
            ratio = max(ratio, 0.75)
        if ratio > best_ratio:
            best, best_ratio = candidate, ratio
    return best if best_ratio >= 0.55 else None


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> InvalidInput:
    """Build the error for a name that is not in `valid`: the nearest one, then the whole list.

    >>> str(unknown_name("preset", "tinny", ["tiny", "small"]))
    "unknown preset 'tinny': did you mean 'tiny'? Valid: tiny, small"
    """
    names = list(valid)
    close = nearest(str(name), names)
    hint = f": did you mean {close!r}?" if close else "."
    return InvalidInput(f"unknown {kind} {str(name)!r}{hint} Valid: {', '.join(names) or '(none)'}")
