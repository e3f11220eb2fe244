"""Python processes that end with the one that started them, even where that one is killed."""

import sys

_TIED = (
    "import os, runpy, threading; "
    "threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start(); "
    "runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
)


def tied_command(module: str, *arguments: str) -> list[str]:
    """Return the command `python -m module arguments` for a child whose standard input is a pipe.

    The child ends when the pipe closes, which happens with its parent's end whatever ended it.
    """
    return [sys.executable, "-P", "-c", _TIED.format(module=module), *arguments]
