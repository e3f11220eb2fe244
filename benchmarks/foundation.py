"""The foundation's figures: start-up, generation, tour, structure, ratings; one run, one machine.

`python -m benchmarks.foundation` measures all and writes `benchmarks/results/foundation.json`;
`--only NAME` (repeatable) renews a part and keeps the others as recorded.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import LINES
from benchmarks.parts import measure_parts


def seconds(command: list[str]) -> float:
    """Return the wall-clock seconds of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def startup(runs: int = 15) -> dict[str, Any]:
    """Compare `import equipoise` and `equipoise --help` with an empty program, alternating."""
    python = sys.executable
    commands = {
        "pass": [python, "-c", "pass"],
        "import": [python, "-c", "import equipoise"],
        "help": [str(Path(python).parent / "equipoise"), "--help"],
    }
    for command in commands.values():
        seconds(command)
    times = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(seconds(command))
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "seconds": median,
        "import_ratio": median["import"] / median["pass"],
        "help_ratio": median["help"] / median["pass"],
        "runs": runs,
    }


def tour() -> dict[str, Any]:
    """Time a whole tour from an empty run folder, then its answers again from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "equipoise", "tour", "--json"]
        first, second = (
            json.loads(
                subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
                .stdout.strip()
                .splitlines()[-1]
            )
            for command in (line, [*line, "--demos", "false"])
        )
    return {
        "seconds": first["seconds"],
        "seconds_again": second["seconds"],
        "same_board": first["board"] == second["board"],
        "stages": first["stages"],
        "stages_again": second["stages"],
        "board": first["board"],
    }


def structure() -> dict[str, Any]:
    """Measure the source tree."""
    from benchmarks.structure import measure

    return measure()


def generation() -> dict[str, Any]:
    """Measure tokens per second of the two local back ends, and what 4-bit weights cost."""
    from benchmarks.generation import measure

    return measure()


def ratings() -> dict[str, Any]:
    """Measure Bradley-Terry on a million votes against two other packages."""
    from benchmarks.ratings import measure

    return measure()


PARTS = {
    "startup": startup,
    "structure": structure,
    "ratings": ratings,
    "generation": generation,
    "tour": tour,
}


if __name__ == "__main__":
    measure_parts("foundation", PARTS, LINES, str(__doc__))
