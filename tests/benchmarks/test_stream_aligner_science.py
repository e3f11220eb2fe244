"""Runs of `reproduce` become the table of the README."""

import json
from pathlib import Path

import pytest

from benchmarks.stream_aligner_science import add_runs, rows_of
from equipoise.core.errors import InvalidInput
from equipoise.core.runs import Run
from equipoise.systems.stream_aligner import StreamAlignerConfig
from equipoise.systems.stream_aligner.experiments.commands import reproduce


def test_runs_are_taken_in_and_the_rest_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    target.write_text(json.dumps({"proxy": {"a": 1}}))
    first = reproduce(only=("latency", "cost"), jobs=1, out=tmp_path / "one")
    add_runs([Path(first["run"])], target)
    other = reproduce(only=("latency",), jobs=1, seed=3, out=tmp_path / "two")
    add_runs([Path(other["run"])], target)
    record = json.loads(target.read_text())
    assert record["proxy"] == {"a": 1}
    assert list(record["science"]) == ["latency", "cost"]
    assert record["science"]["latency"]["command"].endswith("--preset tiny --seed 3 --only latency")
    rows = rows_of(record["science"])
    assert [row["experiment"] for row in rows] == ["`latency`", "`cost`"]
    assert {row["reached"] for row in rows} == {"yes"}
    assert "Target:" not in rows[0]["ours"]
    assert rows[0]["target"] == "timeline within 1% of the formula"


def test_other_runs_are_refused(tmp_path: Path) -> None:
    with Run.create("stream_aligner", "demo", StreamAlignerConfig(), folder=tmp_path / "run"):
        pass
    with pytest.raises(InvalidInput, match="is no run of"):
        add_runs([tmp_path / "run"], tmp_path / "figures.json")
