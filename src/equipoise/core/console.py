"""What a person sees while something runs: one-line notes and progress, on standard error."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


class Progress(Protocol):
    """A running task on the console."""

    def advance(self, n: float = 1) -> None:
        """Say that `n` more units are done."""
        ...

    def describe(self, text: str) -> None:
        """Replace the words beside the bar."""
        ...


@dataclass
class Output:
    """How results are to be printed.

    Attributes:
        as_json: as one JSON object, for programs.
    """

    as_json: bool = False


output = Output()
"""What the command line was told; a verb that prints by itself looks here."""


def note(text: str) -> None:
    """Print one line on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


class _PlainProgress:
    """Progress where standard error is no terminal: a line at the start, then every ten seconds."""

    def __init__(self, description: str, total: float | None) -> None:
        self._description, self._total, self._done = description, total, 0.0
        self._turn = threading.Lock()
        self._last = time.monotonic()
        note(f"{description} ...")

    def advance(self, n: float = 1) -> None:
        with self._turn:
            self._done += n
            if time.monotonic() - self._last >= 10.0:
                self._last = time.monotonic()
                of = f" of {self._total:g}" if self._total else ""
                note(f"{self._description}: {self._done:g}{of}")

    def describe(self, text: str) -> None:
        self._description = text


class _RichProgress:
    """Progress as a bar on a terminal."""

    def __init__(self, bars: object, task: object) -> None:
        self._bars, self._task = bars, task

    def advance(self, n: float = 1) -> None:
        self._bars.advance(self._task, n)  # type: ignore[attr-defined]

    def describe(self, text: str) -> None:
        self._bars.update(self._task, description=text)  # type: ignore[attr-defined]


@contextmanager
def progress(description: str, total: float | None = None) -> Iterator[Progress]:
    """Show a task: a bar on a terminal, plain lines elsewhere.

    Args:
        description: what is being done.
        total: number of units, or None when unknown.
    """
    if not sys.stderr.isatty():
        yield _PlainProgress(description, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = [TextColumn("{task.description}"), BarColumn()]
    if total is not None:
        columns.append(MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bars:
        yield _RichProgress(bars, bars.add_task(description, total=total))
