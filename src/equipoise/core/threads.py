"""How many threads numerical code may use."""

import os


def thread_limit() -> int:
    """Return `$OMP_NUM_THREADS` where it is set, else the number of usable cores, at least 1.

    >>> thread_limit() >= 1
    True
    """
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        return int(limit)
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
