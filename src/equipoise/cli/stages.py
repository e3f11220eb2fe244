"""Stages of a long job: what is being done, how long it took, how much memory it needed."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from equipoise.core.console import note
from equipoise.core.errors import EquipoiseError
from equipoise.core.runs import Run


@dataclass
class Stage:
    """One stage; `status` is `done`, `skipped` or `failed`, `remark` says why."""

    name: str
    status: str = "done"
    remark: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0

    def skip(self, remark: str) -> None:
        """Record that there was nothing to do, and why."""
        self.status, self.remark = "skipped", remark


@dataclass
class Stages:
    """The stages of one run, logged to its metrics as they end."""

    run: Run
    total: int
    stages: list[Stage] = field(default_factory=list)

    @contextmanager
    def __call__(self, name: str, words: str, *, optional: bool = False) -> Iterator[Stage]:
        """Do one stage.

        Args:
            name: short name in the results.
            words: what is being done, for the console.
            optional: an `EquipoiseError` in it marks it failed and the job goes on.
        """
        stage = Stage(name)
        note(f"[{len(self.stages) + 1}/{self.total}] {words}")
        start = time.monotonic()
        with _PeakMemory() as memory:
            try:
                yield stage
            except EquipoiseError as error:
                stage.status, stage.remark = "failed", " ".join(str(error).split())
                if not optional:
                    raise
                note(f"    {name} failed: {stage.remark}")
            except BaseException:
                stage.status = "failed"
                raise
            finally:
                stage.seconds = round(time.monotonic() - start, 2)
                stage.peak_bytes = memory.peak()
                self.stages.append(stage)
                self.run.log(
                    len(self.stages),
                    stage=name,
                    status=stage.status,
                    seconds=stage.seconds,
                    peak_bytes=stage.peak_bytes,
                )
        if stage.status == "skipped":
            note(f"    skipped: {stage.remark}")

    def rows(self) -> list[dict[str, Any]]:
        """Return the stages as rows."""
        return [
            {
                "name": s.name,
                "seconds": s.seconds,
                "status": s.status,
                "peak_bytes": s.peak_bytes,
                "remark": s.remark,
            }
            for s in self.stages
        ]


class _PeakMemory:
    """Samples the memory of this process and its children ten times a second."""

    def __init__(self) -> None:
        self._peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_PeakMemory":
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def peak(self) -> int:
        """Return the highest resident size seen, bytes."""
        self._sample()
        return self._peak

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self._sample()

    def _sample(self) -> None:
        import psutil

        process = psutil.Process(os.getpid())
        total = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                total += one.memory_info().rss
            except psutil.Error:  # ended in between
                continue
        self._peak = max(self._peak, total)
