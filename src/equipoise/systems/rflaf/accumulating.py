"""A model from files larger than memory: sums on disk, chunk by chunk, merged, then solved.

The sums of a file are a calibrated estimator without a readout, saved as any model is; beside it
stands how the table is read, which file it was, and how many of its chunks are in the sums. They
are saved after every chunk, so that a run cut off goes on after the last whole one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from equipoise.core.checkpoints import load_checkpoint
from equipoise.core.console import progress
from equipoise.core.errors import InvalidInput, MissingData
from equipoise.systems.rflaf.config import RFLAFConfig
from equipoise.systems.rflaf.objective import Array
from equipoise.systems.rflaf.persistence import load_model, save_model
from equipoise.systems.rflaf.shards import calibration_only
from equipoise.systems.rflaf.statistics import LiftedStatistics
from equipoise.systems.rflaf.tables import Columns, read_chunks
from equipoise.systems.rflaf.training import make_estimator

CHUNK_ROWS = 20_000


@dataclass(frozen=True)
class Source:
    """A file that is summed: where it is, its size, and how many rows make a chunk."""

    path: str
    size: int
    rows: int

    @classmethod
    def of(cls, path: Path, rows: int) -> Self:
        """Describe a file that is there."""
        return cls(str(path.resolve()), path.stat().st_size, rows)


@dataclass(frozen=True)
class Sums:
    """Sums of rows, with all that is needed to add to them and to solve them.

    Attributes:
        model: the calibrated estimator that holds the statistics, none at first.
        columns: how its tables are read.
        source: the file that is being added; None for merged sums.
        chunks: chunks of the source in the sums.
        whole: whether all of the source is.
    """

    model: Any
    columns: Columns
    source: Source | None = None
    chunks: int = 0
    whole: bool = False

    @property
    def statistics(self) -> LiftedStatistics:
        """The sums themselves."""
        return self.model.statistics_

    def describe(self) -> dict[str, Any]:
        """Return rows, weight and size."""
        return {
            "n_samples": self.statistics.n_samples,
            "weight_sum": self.statistics.weight_sum,
            "megabytes": self.statistics.nbytes / 1e6,
        }

    def add(self, X: Array, y: Any) -> Self:
        """Add the rows of the next chunk; without a row only the chunk is counted."""
        if len(X):
            labels = {"classes": self.columns.classes} if self.columns.classes else {}
            self.model.partial_fit(X, y, solve=False, **labels)
        return replace(self, chunks=self.chunks + 1)

    def save(self, path: Path) -> Path:
        """Write the sums to a folder, whole or not at all."""
        source = None if self.source is None else vars(self.source)
        notes = {"columns": self.columns.to_json(), "source": source}
        return save_model(self.model, path, notes | {"chunks": self.chunks, "whole": self.whole})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return saved sums.

        Raises:
            MissingData: nothing there.
            InvalidInput: damaged, or a model that is no sums of a table.
        """
        model = load_model(path)
        notes = load_checkpoint(path).meta.get("notes") or {}
        if not hasattr(model, "statistics_") or "columns" not in notes:
            raise InvalidInput(f"{path} holds no sums; make them: equipoise rflaf accumulate DATA")
        source = notes["source"]
        return cls(
            model,
            Columns.from_json(notes["columns"]),
            None if source is None else Source(**source),
            notes["chunks"],
            notes["whole"],
        )

    def empty(self) -> Self:
        """Return sums of nothing under the same calibration and columns."""
        model = calibration_only(self.model)
        return replace(self, model=model, source=None, chunks=0, whole=False)


def start_sums(path: Path, config: RFLAFConfig, rows: int, seed: int) -> Sums:
    """Return empty sums for a table: its first chunk says how columns are read.

    Raises:
        InvalidInput: not a table, or not with that target.
    """
    first = next(read_chunks(path, rows), None)
    if first is None or not len(first):
        raise InvalidInput(f"{path} holds no rows")
    columns = Columns.learn(first, config.target, config.task)
    model = make_estimator(config, columns.task, seed)
    if columns.task == "classification":
        model.set_params(loss="squared")  # the loss that sums suffice for
    return Sums(model, columns)


def sums_so_far(out: Path) -> Sums | None:
    """Return the sums that a folder holds, None where there are none yet."""
    try:
        return Sums.load(out)
    except MissingData:
        return None


def accumulate_file(
    path: Path,
    start: Sums,
    rows: int,
    out: Path,
    *,
    keep: Callable[[int, int], Any] | None = None,
    after: Callable[[Sums], None] | None = None,
) -> Sums:
    """Add a file's complete rows to empty sums, and save them to `out` after every chunk.

    Args:
        path: CSV, parquet or npz.
        start: empty sums, calibrated or not.
        rows: of a chunk.
        out: folder of the sums; where it holds a part of this file, that part is kept.
        keep: says of a chunk's number and count of complete rows which of them to add; None: all.
        after: called with the sums after each chunk, before they are saved.

    Raises:
        InvalidInput: `out` holds sums of something else, or the table does not fit.
    """
    source = Source.of(path, rows)
    sums = sums_so_far(out) or replace(start, source=source)
    if sums.source != source or sums.columns != start.columns:
        raise InvalidInput(f"{out} holds sums of other rows; name a new folder with --out")
    for table in _chunks_after(path, sums):
        X, y, _ = sums.columns.complete(table, allow_none=True)
        if keep is not None:
            chosen = keep(sums.chunks, len(X))
            X, y = X[chosen], y[chosen]
        sums = sums.add(X, y)
        if hasattr(sums.model, "statistics_"):
            if after is not None:
                after(sums)
            sums.save(out)
    if not hasattr(sums.model, "statistics_"):
        raise InvalidInput(f"{path}: no row is complete: every one lacks a value")
    if not sums.whole:
        sums = replace(sums, whole=True)
        sums.save(out)
    return sums


def _chunks_after(path: Path, sums: Sums) -> Iterator[Any]:
    """Yield the chunks of a file that are not in the sums yet."""
    assert sums.source is not None
    if sums.whole:
        return
    with progress(f"rows of {path.name}") as bar:
        text = tuple(sums.columns.coded)
        for place, table in enumerate(read_chunks(path, sums.source.rows, text)):
            if place >= sums.chunks:
                yield table
            bar.advance(len(table))


def merge_sums(parts: Sequence[Sums]) -> Sums:
    """Return the sums of several files, which must have been made alike.

    Raises:
        InvalidInput: tables read in different ways, or calibrations that differ.
    """
    first, *others = parts
    total = first.statistics
    for other in others:
        if other.columns != first.columns:
            raise InvalidInput(
                "the sums come from tables that were read in different ways; make the later ones "
                "with --like the first"
            )
        total = total.merge(other.statistics)
    model = calibration_only(first.model)
    model.statistics_ = total
    return Sums(model, first.columns, whole=all(part.whole for part in parts))
