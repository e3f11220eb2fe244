"""Checkpoints of trained correctors: what they were made from is saved, and checked on loading.

A corrector from scratch is a checkpoint of `core.checkpoints`; a language model is a folder as
transformers or peft save it (so `transformers:RUN` loads it) with `corrector.json` beside. Both
hold the prompt style, the tokenizer's hash, the base model's id and the training rows' hash.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from equipoise.core.checkpoints import load_checkpoint, save_checkpoint
from equipoise.core.errors import InvalidInput, MissingData
from equipoise.core.extras import require
from equipoise.core.files import write_atomic
from equipoise.systems.stream_aligner.config import DecoderShape
from equipoise.systems.stream_aligner.networks.families import (
    SCRATCH,
    ByteNetwork,
    LanguageNetwork,
    Network,
)
from equipoise.text.fingerprints import model_identity
from equipoise.text.local_models import ModelSource, find_model, load_source, quiet_loading

FORMAT = "stream_aligner.corrector/1"
_DESCRIPTION = "corrector.json"
_STATE = "state"


def describe(
    network: Network, style: str, max_length: int, data_sha256: str, seed: int
) -> dict[str, Any]:
    """Return what a checkpoint says of its corrector, JSON-able."""
    description = {
        "format": FORMAT,
        "style": style,
        "base": network.base,
        "base_sha256": network.base_sha256,
        "tokenizer": network.tokenizer.name,
        "tokenizer_sha256": network.tokenizer.fingerprint,
        "data_sha256": data_sha256,
        "max_length": max_length,
        "seed": seed,
    }
    if isinstance(network, ByteNetwork):
        shape = network.module.shape
        description["shape"] = {name: getattr(shape, name) for name in DecoderShape.__annotations__}
    return description


def save_corrector(folder: Path, network: Network, description: dict[str, Any]) -> Path:
    """Write a trained corrector to `folder`, there whole or not at all; replaces an older one."""
    if isinstance(network, ByteNetwork):
        return save_checkpoint(folder, network.module.state_dict(), description)
    assert isinstance(network, LanguageNetwork)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with quiet_loading(require("transformers", "text")):
        network.module.save_pretrained(part)
        network.subwords.whole.save_pretrained(part)
    write_atomic(part / _DESCRIPTION, json.dumps(description, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)
    return folder


def load_corrector(
    path: str | Path, *, style: str | None = None, base: str | None = None, device: str = "auto"
) -> tuple[Network, dict[str, Any]]:
    """Load a trained corrector and what its checkpoint says of it.

    Args:
        path: checkpoint folder, or the run folder that holds it.
        style: refuse a corrector of another prompt style.
        base: refuse a corrector trained from another base.
        device: where it computes.

    Raises:
        MissingData: nothing there.
        InvalidInput: no corrector, or one of another style, base or tokenizer (both are named).
    """
    folder = find_corrector(Path(path).expanduser())
    description = read_description(folder)
    for name, wanted in (("style", style), ("base", base)):
        if wanted is not None and wanted != description[name]:
            raise InvalidInput(f"corrector {path} has {name} {description[name]!r}, not {wanted!r}")
    if description["base"] == SCRATCH:
        network: Network = _load_bytes(folder, description, device)
    else:
        network = _load_language(folder, description, device)
    if network.tokenizer.fingerprint != description["tokenizer_sha256"]:
        raise InvalidInput(
            f"corrector {path} was trained with tokenizer {description['tokenizer_sha256'][:12]} "
            f"({description['tokenizer']}), but that of its base is "
            f"{network.tokenizer.fingerprint[:12]} ({network.tokenizer.name})"
        )
    network.module.eval()
    return network, description


def find_corrector(path: Path) -> Path:
    """Return the checkpoint folder at `path`: itself, or the last one of a run."""
    if not path.exists():
        raise MissingData(f"there is no corrector at {path}; train one, or name its run folder")
    choices = [path, path / "final", path / "checkpoints" / "final"]
    for folder in choices:
        if (folder / "meta.json").is_file() or (folder / _DESCRIPTION).is_file():
            return folder
    raise InvalidInput(
        f"{path} holds no trained corrector: neither meta.json nor {_DESCRIPTION}, "
        "nor checkpoints/final (an interrupted training has none yet)"
    )


def read_description(folder: Path) -> dict[str, Any]:
    """Return what a checkpoint says of its corrector."""
    try:
        if (folder / _DESCRIPTION).is_file():
            found = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        else:
            found = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["meta"]
        kind = found["format"]
        fields = [found[name] for name in ("style", "base", "base_sha256", "tokenizer_sha256")]
        if not all(isinstance(field, str) for field in fields):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidInput(f"{folder} holds no trained corrector of this room") from None
    if kind != FORMAT:
        raise InvalidInput(f"{folder} has format {kind!r}; this version reads {FORMAT!r}")
    return found


def _load_bytes(folder: Path, description: dict[str, Any], device: str) -> ByteNetwork:
    stored = load_checkpoint(folder)
    try:
        network = ByteNetwork(DecoderShape(**description["shape"]), device=device_of(device))
        network.module.load_state_dict(
            {name: torch.from_numpy(array) for name, array in stored.arrays.items()}
        )
    except (KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput(f"the weights in {folder} do not fit its shape: {reason}") from None
    return network


def _load_language(folder: Path, description: dict[str, Any], device: str) -> LanguageNetwork:
    source = find_model(str(folder))
    if source.adapters:
        below = ModelSource(source.base, source.local, source.adapters[:-1])
        identity = base_identity(description["base"], below)
        if identity != description["base_sha256"]:
            raise InvalidInput(
                f"corrector {folder} was trained on base {description['base']} "
                f"({description['base_sha256'][:12]}), but {below.base} has {identity[:12]}"
            )
    module, tokenizer = load_source(source, device=device)
    return LanguageNetwork(module, tokenizer, description["base"], description["base_sha256"])


def base_identity(name: str, source: ModelSource) -> str:
    """Return the SHA-256 that tells a base model's weights from others."""
    return model_identity(name, source.files)


def device_of(device: str) -> str:
    """Return where a small decoder computes: the CPU unless another device is named."""
    return "cpu" if device == "auto" else device


def save_state(
    folder: Path, network: Network, optimiser: Any, step: int, description: dict[str, Any]
) -> None:
    """Save weights and optimiser of an unfinished training."""
    arrays: dict[str, Any] = {}
    for number, (name, weight) in enumerate(_trainable(network)):
        arrays[f"weight.{name}"] = weight
        for moment in ("exp_avg", "exp_avg_sq", "step"):
            arrays[f"{moment}.{number}"] = optimiser.state[weight][moment]
    save_checkpoint(folder / _STATE, arrays, {"step": step, "description": description})


def load_state(folder: Path, network: Network, optimiser: Any, description: dict[str, Any]) -> int:
    """Restore what `save_state` saved; return its step, 0 where there is none.

    Raises:
        InvalidInput: the training there had other rows, another base, style or tokenizer.
    """
    try:
        stored = load_checkpoint(folder / _STATE)
    except MissingData:
        return 0
    earlier = stored.meta["description"]
    for name, value in description.items():
        if earlier.get(name) != value:
            raise InvalidInput(
                f"the training in {folder.parent} has {name} {earlier.get(name)!r}, "
                f"not {value!r}; name a new folder"
            )
    with torch.no_grad():
        for number, (name, weight) in enumerate(_trainable(network)):
            weight.copy_(torch.from_numpy(stored.arrays[f"weight.{name}"]))
            optimiser.state[weight] = {
                moment: torch.from_numpy(np.array(stored.arrays[f"{moment}.{number}"])).to(
                    weight.device if moment != "step" else "cpu"
                )
                for moment in ("exp_avg", "exp_avg_sq", "step")
            }
    return int(stored.meta["step"])


def drop_state(folder: Path) -> None:
    """Remove the state of a training that has ended."""
    shutil.rmtree(folder / _STATE, ignore_errors=True)


def _trainable(network: Network) -> list[tuple[str, torch.Tensor]]:
    return [
        (name, weight) for name, weight in network.module.named_parameters() if weight.requires_grad
    ]
