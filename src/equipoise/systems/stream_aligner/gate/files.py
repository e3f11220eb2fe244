"""A gate beside the checkpoint of its corrector: two files, no pickle, refused beside another."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.errors import InvalidInput, MissingData, RunFailed
from equipoise.core.files import sha256_file, write_atomic
from equipoise.systems.stream_aligner.gate.linear import CopyGate

FORMAT = "stream_aligner.gate/1"
_HEAD, _ARRAYS = "gate.json", "gate.safetensors"
_DESCRIPTIONS = ("meta.json", "corrector.json")


def checkpoint_sha256(folder: Path) -> str:
    """Return a SHA-256 of a corrector's checkpoint: its weights and what it says of itself."""
    files = [path for path in folder.glob("*.safetensors") if path.name != _ARRAYS]
    files += [folder / name for name in _DESCRIPTIONS if (folder / name).is_file()]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.name}:{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def save_gate(folder: Path, gate: CopyGate) -> None:
    """Write a gate beside its corrector's checkpoint; its head comes last and makes it whole."""
    from safetensors.numpy import save

    (folder / _HEAD).unlink(missing_ok=True)
    write_atomic(folder / _ARRAYS, save({"weights": gate.weights}))
    head = {
        "format": FORMAT,
        "features": gate.features,
        "bias": gate.bias,
        "threshold": gate.threshold if math.isfinite(gate.threshold) else None,
        "budget": gate.budget,
        "calibration_bad": gate.calibration_bad,
        "corrector": gate.corrector,
        "sha256": sha256_file(folder / _ARRAYS),
    }
    write_atomic(folder / _HEAD, json.dumps(head, indent=1) + "\n")


def load_gate(folder: Path) -> CopyGate:
    """Load the gate beside a corrector's checkpoint.

    Raises:
        MissingData: there is none.
        InvalidInput: it is broken, or belongs to another corrector (both are named).
        RunFailed: its weights do not match their checksum.
    """
    from safetensors.numpy import load_file

    if not has_gate(folder):
        raise MissingData(f"there is no gate in {folder}; train one with --gate")
    head = _read_head(folder / _HEAD)
    here = checkpoint_sha256(folder)
    if head["corrector"] != here:
        raise InvalidInput(
            f"the gate in {folder} belongs to corrector {str(head['corrector'])[:12]}, but the one "
            f"there is {here[:12]}; train again with --gate, or load it with gate='off'"
        )
    arrays = folder / _ARRAYS
    if not arrays.is_file() or sha256_file(arrays) != head.pop("sha256"):
        raise RunFailed(f"the weights of the gate in {folder} do not match their checksum")
    if head["threshold"] is None:
        head["threshold"] = math.inf
    weights = load_file(arrays)["weights"].astype(np.float64)
    return CopyGate(**head, weights=weights)


def has_gate(folder: Path) -> bool:
    """Return whether a gate lies beside a checkpoint."""
    return (folder / _HEAD).is_file()


def _read_head(path: Path) -> dict[str, Any]:
    kinds = {
        "features": str,
        "bias": float,
        "threshold": (float, type(None)),
        "budget": float,
        "calibration_bad": int,
        "corrector": str,
        "sha256": str,
    }
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kind = found["format"]
        fits = all(isinstance(found[name], of) for name, of in kinds.items())
    except (OSError, ValueError, KeyError, TypeError):
        kind, fits, found = FORMAT, False, {}
    if kind != FORMAT:
        raise InvalidInput(f"{path} has format {kind!r}; this version reads {FORMAT!r}")
    if not fits:
        raise InvalidInput(f"{path} holds no gate of this room; train again with --gate")
    return {name: found[name] for name in kinds}
