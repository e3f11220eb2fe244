"""Measure the parts of one result file, all or some, and write it with the README's lines."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from equipoise.core.files import to_json, write_atomic

RESULTS = Path(__file__).parent / "results"
Line = dict[str, str]


def machine() -> str:
    """Return what the figures were measured on, in words."""
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} {platform.machine()} cores, {memory:.0f} GiB, Python {platform.python_version()}"
    )


def line(name: str, value: str, beside: str = "", note: str = "") -> Line:
    """Return one line of the table."""
    return {"name": name, "value": value, "beside": beside, "note": note}


def measure_parts(
    name: str,
    parts: Mapping[str, Callable[[], dict[str, Any]]],
    lines: Mapping[str, Callable[[dict[str, Any]], list[Line]]],
    text: str,
) -> None:
    """Measure what the command line chooses; the other parts stay as recorded."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--only", action="append", choices=list(parts))
    chosen = parser.parse_args().only or list(parts)
    target = RESULTS / f"{name}.json"
    record: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    for part in chosen:
        print(f"{part} ...", file=sys.stderr)
        record[part] = parts[part]()
        record["machine"] = machine()
        record["figures"] = [
            one for part, made in lines.items() if part in record for one in made(record[part])
        ]
        write_atomic(target, json.dumps(to_json(record), indent=1, ensure_ascii=False) + "\n")
