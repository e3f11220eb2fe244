"""`equipoise doctor`: what is installed, what each missing extra would enable, what draws."""

import ctypes.util
import os
import platform
import shutil
import sys
from typing import Any

from equipoise.core import store
from equipoise.core.extras import EXTRAS, is_present
from equipoise.core.threads import thread_limit


def doctor() -> dict[str, Any]:
    """Look at this machine and this installation."""
    import psutil

    extras: dict[str, Any] = {}
    for name, extra in EXTRAS.items():
        missing = [module for module in extra.modules if not is_present(module)]
        extras[name] = {
            "present": [module for module in extra.modules if module not in missing],
            "missing": missing,
            "enables": extra.enables,
        }
        if missing:
            extras[name]["install"] = f"pip install 'equipoise[{name}]'"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "extras": extras,
        "threads": thread_limit(),
        "memory_bytes": psutil.virtual_memory().total,
        "renderers": renderers(),
        "cache": str(store.cache_folder()),
        "models": [a.name for a in store.available() if a.present],
    }


def renderers() -> dict[str, bool]:
    """Return which off-screen renderers, encoders and browsers are on this machine."""
    return {
        "egl": ctypes.util.find_library("EGL") is not None,
        "osmesa": ctypes.util.find_library("OSMesa") is not None,
        "ffmpeg": is_present("imageio_ffmpeg") or shutil.which("ffmpeg") is not None,
        "chromium": any(shutil.which(n) for n in ("chromium", "chromium-browser", "google-chrome")),
        "display": sys.platform in ("darwin", "win32") or "DISPLAY" in os.environ,
    }
