"""What the stream aligner's experiments came to, recorded from runs of `reproduce`.

`equipoise stream-aligner reproduce --preset small --seed 0` measures (over an hour on two cores,
most of it `smollm2`); `python -m benchmarks.stream_aligner_science RUN...` takes its folder, or
several, into `benchmarks/results/stream_aligner.json`, experiment by experiment; of several the
last run counts.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.parts import RESULTS
from equipoise.core.errors import InvalidInput
from equipoise.core.files import to_json, write_atomic
from equipoise.core.runs import Run
from equipoise.systems.stream_aligner.experiments.findings import shows
from equipoise.systems.stream_aligner.experiments.reproduction import EXPERIMENTS

PUBLISHED = {
    "methods": "helpful +76.1 %, harmless +36.0 % (2B corrector, 70B upstream, GPT-4 judge)",
    "identity": "Aligner: best at 20 %",
    "size": "a small corrector suffices (2B before 70B); no slope",
    "smollm2": "mathematics +3.5 % (8B corrector, 70B upstream)",
    "interpret": "Aligner: R² about 0.93",
}
"""Figures of the papers beside which an experiment stands; their conditions are not met here."""


def record_of(run: Run) -> dict[str, Any]:
    """Return what a run of `reproduce` measured, by experiment.

    Raises:
        InvalidInput: the run is of another room or verb.
    """
    about = run.record
    if (about["room"], about["verb"]) != ("stream_aligner", "reproduce"):
        raise InvalidInput(f"{run.path} is no run of `stream-aligner reproduce`")
    preset, seed = about["preset"], about["seed"]
    found = {}
    for name in EXPERIMENTS:
        file = run.path / f"{name}.json"
        if file.exists():
            result = json.loads(file.read_text(encoding="utf-8"))
            found[name] = {
                "command": f"equipoise stream-aligner reproduce --preset {preset} --seed {seed} "
                f"--only {name}",
                "published": PUBLISHED.get(name, ""),
                "says": shows(name, result),
                "result": result,
            }
    return found


def add_runs(folders: list[Path], target: Path = RESULTS / "stream_aligner.json") -> None:
    """Take runs into the result file; what it holds otherwise stays."""
    record: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    science: dict[str, Any] = record.get("science", {})
    for folder in folders:
        science |= record_of(Run.open(folder))
    record["science"] = {name: science[name] for name in EXPERIMENTS if name in science}
    write_atomic(target, json.dumps(to_json(record), indent=1, ensure_ascii=False) + "\n")


def rows_of(science: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return one row an experiment for the README: published, ours, reached, minutes."""
    reached = {True: "yes", False: "no", None: "not judged"}
    return [
        {
            "experiment": f"`{name}`",
            "published": part["published"],
            "ours": part["says"],
            "target": str(part["result"].get("target", "")),
            "reached": reached[part["result"].get("reached")],
            "minutes": minutes_of(part["result"]),
        }
        for name, part in science.items()
    ]


def minutes_of(result: Mapping[str, Any]) -> str:
    """Return how long an experiment took; empty where that was not recorded."""
    return f"{result['seconds'] / 60:.1f}" if "seconds" in result else ""


if __name__ == "__main__":
    add_runs([Path(name) for name in sys.argv[1:]])
