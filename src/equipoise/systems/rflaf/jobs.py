"""Fits that the studio was asked for: one process each, one at a time, a few waiting."""

import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from equipoise.core.children import tied_command
from equipoise.core.errors import EquipoiseError, MissingData, RunFailed
from equipoise.core.runs import Run

UPLOAD_LIMIT = 20 * 2**20
MOST_WAITING = 4
MOST_SECONDS = 900.0
SUFFIXES = (".csv", ".csv.gz", ".parquet", ".npz")


class Busy(RunFailed):
    """As many fits as may wait are waiting."""


@dataclass
class Jobs:
    """The fits of one folder of runs.

    Attributes:
        root: folder of the runs; a fit's run is `rflaf/ID` in it, its upload `.uploads/ID...`.
    """

    root: Path
    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="rflaf-fit"), repr=False
    )
    _waiting: dict[str, "Future[None]"] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def start(self, data: str, options: Sequence[str], upload: BinaryIO | None = None) -> str:
        """Start a training, or queue it, and return its run's name.

        Args:
            data: a data set's name, or the name of the uploaded file (for its suffix).
            options: command-line options of `train`.
            upload: the file's bytes, at most `UPLOAD_LIMIT`.

        Raises:
            Busy: as many as may wait are waiting.
        """
        run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-train-upload-{secrets.token_hex(4)}"
        with self._lock:
            self._waiting = {n: job for n, job in self._waiting.items() if not job.done()}
            if len(self._waiting) > MOST_WAITING:
                raise Busy(f"{MOST_WAITING} fits are waiting already; try again later")
            source = data if upload is None else str(self._keep(run, data, upload))
            self._waiting[run] = self._pool.submit(self._train, run, [source, *options])
        return run

    def _keep(self, run: str, name: str, upload: BinaryIO) -> Path:
        suffix = next((s for s in SUFFIXES if name.lower().endswith(s)), ".csv")
        path = self.root / ".uploads" / f"{run}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            shutil.copyfileobj(upload, file)
        return path

    def _train(self, run: str, line: list[str]) -> None:
        log = self.root / ".uploads" / f"{run}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        out = self.root / "rflaf" / run
        command = tied_command("equipoise", "rflaf", "train", *line, "--out", str(out))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (
            log.open("wb") as said,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=said, stderr=said, env=environment
            ) as child,
        ):
            try:
                child.wait(MOST_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                said.write(f"equipoise: stopped after {MOST_SECONDS:g} s\n".encode())

    def folder(self, run: str) -> Path:
        """Return a run's folder.

        Raises:
            MissingData: no such run.
        """
        known = run == Path(run).name and not run.startswith(".")
        path = self.root / "rflaf" / run
        if not known or not path.is_dir():
            raise MissingData(f"no run {run!r} here")
        return path

    def status(self, run: str) -> tuple[str, str]:
        """Return `waiting`, `running`, `done`, `failed` or `interrupted`, and why it failed.

        Raises:
            MissingData: no such run.
        """
        job = self._waiting.get(run)
        try:
            found = Run.open(self.folder(run)).status
        except EquipoiseError:
            if job is None:
                raise
            found = "failed" if job.done() else "running" if job.running() else "waiting"
        if found != "running" or (job is not None and not job.done()):
            return found, self._reason(run) if found == "failed" else ""
        return "interrupted", ""

    def _reason(self, run: str) -> str:
        log = self.root / ".uploads" / f"{run}.log"
        lines = (
            log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        )
        said = [line for line in lines if line.startswith("equipoise: ")]
        if not said:
            return "see the run's report"
        last = said[-1].removeprefix("equipoise: ")
        for suffix in SUFFIXES[::-1]:  # the name it is kept under says nothing to whoever sent it
            last = last.replace(str(self.root / ".uploads" / f"{run}{suffix}"), "the file")
        return last
