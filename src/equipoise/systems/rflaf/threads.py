"""How many threads matrix products get while an activation is looked for."""

import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

SMALL = 512


def one_blas_thread(size: int) -> AbstractContextManager[object]:
    """Keep BLAS to one thread where systems have at most `SMALL` unknowns.

    A search makes thousands of products and factorisations that take a millisecond each. More
    threads gain nothing there, and on a busy machine they wait for each other: a fit of 20,000 rows
    and 300 units took six times as long. (scikit-learn does the same in its k-means.)

    The limit is the process's. Fits in threads beside the main one go without it: theirs would
    overlap, and the last to leave would keep what the first had set.
    """
    if size > SMALL or threading.current_thread() is not threading.main_thread():
        return nullcontext()
    return _controller().limit(limits=1, user_api="blas")


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
