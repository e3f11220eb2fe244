import json
import math
from pathlib import Path

import numpy as np
import pytest

from equipoise.core.errors import InvalidInput, MissingData, RunFailed
from equipoise.systems.stream_aligner.gate.files import (
    checkpoint_sha256,
    has_gate,
    load_gate,
    save_gate,
)
from equipoise.systems.stream_aligner.gate.linear import CopyGate


def made(**changes: object) -> CopyGate:
    weights = np.random.default_rng(0).normal(size=4)
    fields = {"features": "layer:1", "weights": weights, "bias": 0.25, "threshold": 1.5}
    return CopyGate(**(fields | changes))  # pyright: ignore[reportArgumentType]


def checkpoint(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "arrays.safetensors").write_bytes(weights)
    (folder / "meta.json").write_text("{}")
    return folder


@pytest.mark.parametrize("threshold", [1.5, math.inf])
def test_what_is_saved_is_loaded(tmp_path: Path, threshold: float) -> None:
    folder = checkpoint(tmp_path / "a")
    before = checkpoint_sha256(folder)
    gate = made(threshold=threshold, calibration_bad=120, budget=0.05, corrector=before)
    assert not has_gate(folder)
    with pytest.raises(MissingData, match="train one with --gate"):
        load_gate(folder)
    save_gate(folder, gate)
    save_gate(folder, gate)
    assert checkpoint_sha256(folder) == before  # a gate is no part of its corrector
    found = load_gate(folder)
    for name in ("features", "bias", "threshold", "budget", "calibration_bad", "corrector"):
        assert getattr(found, name) == getattr(gate, name)
    assert (found.weights == gate.weights).all()
    assert json.loads((folder / "gate.json").read_text())["calibration_bad"] == 120
    assert not [path for path in folder.iterdir() if path.suffix in (".pkl", ".npy", ".part")]


def test_a_gate_of_another_corrector_is_refused_and_both_named(tmp_path: Path) -> None:
    first, second = checkpoint(tmp_path / "a"), checkpoint(tmp_path / "b", b"others")
    ours, theirs = checkpoint_sha256(first), checkpoint_sha256(second)
    save_gate(second, made(corrector=ours))
    with pytest.raises(InvalidInput) as error:
        load_gate(second)
    assert ours[:12] in str(error.value)
    assert theirs[:12] in str(error.value)


def test_broken_gates_are_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a")
    save_gate(folder, made(corrector=checkpoint_sha256(folder)))
    whole = (folder / "gate.json").read_text()
    for text, message in (
        ("{", "holds no gate"),
        (whole.replace("gate/1", "gate/9"), "has format 'stream_aligner.gate/9'"),
        (whole.replace('"bias": 0.25', '"bias": "0"'), "holds no gate"),
    ):
        (folder / "gate.json").write_text(text)
        with pytest.raises(InvalidInput, match=message):
            load_gate(folder)
    (folder / "gate.json").write_text(whole)
    with (folder / "gate.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RunFailed, match="do not match their checksum"):
        load_gate(folder)
