"""The studio's templates and the words they use for times."""

from functools import cache

from equipoise.report.run_page import duration
from equipoise.serving.pages import Pages


@cache
def pages() -> Pages:
    """Return the studio's templates."""
    return Pages("equipoise.web", duration=duration, moment=moment)


def moment(started: str) -> str:
    """Return a point in time, as run records hold it, in a form to read.

    >>> moment("2026-01-02T03:04:05+00:00")
    '2026-01-02 03:04:05 UTC'
    """
    return started.replace("T", " ").replace("+00:00", " UTC")
