"""Experiments in processes of their own, `python -m ...experiments.process JSON`, and their start.

Each writes `NAME.json` into the run's folder. A child ends with its parent, however that ends.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from equipoise.core.children import tied_command
from equipoise.core.config import load_config
from equipoise.core.errors import EquipoiseError, RunFailed
from equipoise.core.files import to_json, write_atomic
from equipoise.core.threads import thread_limit
from equipoise.systems.stream_aligner.config import StreamAlignerConfig

_MODULE = "equipoise.systems.stream_aligner.experiments.process"
_LOOK_EVERY = 0.05  # seconds
_WORDS = 10_000  # bytes of a child's last words

TOGETHER = (("methods", "rounds", "prefix"),)
"""Experiments that share trained correctors, which only one process trains."""
_LONGEST_FIRST = ("smollm2", "methods", "size", "arithmetic", "gate", "identity", "interpret")


def run_experiment(
    name: str,
    config: StreamAlignerConfig,
    seed: int,
    folder: Path,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Return an experiment's result, from an earlier try in the same folder where there is one."""
    from equipoise.systems.stream_aligner.experiments.reproduction import EXPERIMENTS

    if (stored := stored_result(name, folder)) is not None:
        return stored
    begun = time.monotonic()
    result = to_json(EXPERIMENTS[name](config, seed, advance))
    result["seconds"] = round(time.monotonic() - begun, 1)
    text = json.dumps(result, ensure_ascii=False, indent=1)
    write_atomic(folder / f"{name}.json", text + "\n")
    return result


def stored_result(name: str, folder: Path) -> dict[str, Any] | None:
    """Return what an experiment has left in a folder."""
    file = folder / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def run_beside(
    names: Sequence[str],
    folder: Path,
    *,
    jobs: int,
    preset: str,
    seed: int,
    changes: Mapping[str, str],
    done: Callable[[Sequence[str]], None],
) -> None:
    """Run experiments in at most `jobs` processes at a time.

    Args:
        names: of experiments.
        folder: of the run.
        jobs: processes; the threads that numerical code may use are shared out among them.
        preset, seed, changes: what the configuration is made of.
        done: told each group of names that has ended.

    Raises:
        RunFailed: an experiment failed, with its own words; the others have been stopped.
    """
    waiting, threads = groups(names), max(1, thread_limit() // jobs)
    running: list[tuple[list[str], _Child]] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                group = waiting.pop(0)
                task = {"names": group, "folder": str(folder), "preset": preset, "seed": seed}
                running.append((group, _Child(task | {"changes": dict(changes)}, threads)))
            for group, child in [one for one in running if one[1].has_ended()]:
                running.remove((group, child))
                child.check(group)
                done(group)
            time.sleep(_LOOK_EVERY)
    finally:
        for _, child in running:
            child.stop()


def groups(names: Sequence[str]) -> list[list[str]]:
    """Return the names in the order of their starts, those that belong together as one.

    >>> groups(["latency", "rounds", "size", "methods"])
    [['rounds', 'methods'], ['size'], ['latency']]
    """
    together = [[name for name in names if name in group] for group in TOGETHER]
    alone = [[name] for name in names if not any(name in group for group in TOGETHER)]
    return sorted([group for group in [*together, *alone] if group], key=_place)


def _place(group: Sequence[str]) -> int:
    if group[0] in TOGETHER[0]:
        return _LONGEST_FIRST.index("methods")
    return _LONGEST_FIRST.index(group[0]) if group[0] in _LONGEST_FIRST else len(_LONGEST_FIRST)


class _Child:
    """A process with experiments; what it says goes to a file, for a full pipe would stop it."""

    def __init__(self, task: Mapping[str, Any], threads: int) -> None:
        self._said = TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            tied_command(_MODULE, json.dumps(task)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            # with more threads than cores in all, they wait for each other
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def check(self, names: Sequence[str]) -> None:
        """Let go of a process that has ended; raise its last words where it failed."""
        self._process.communicate()
        with self._said as said:
            size = said.seek(0, os.SEEK_END)
            said.seek(max(0, size - _WORDS))
            last = said.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        if code := self._process.returncode:
            raise RunFailed(f"experiment {', '.join(names)}: {(last or [f'exit {code}'])[0]}")

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()


def main() -> int:
    """Run the experiments that the command line's JSON names."""
    task = json.loads(sys.argv[1])
    try:
        config = load_config(StreamAlignerConfig, overrides=task["changes"], preset=task["preset"])
        for name in task["names"]:
            run_experiment(name, config, task["seed"], Path(task["folder"]))
    except EquipoiseError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
