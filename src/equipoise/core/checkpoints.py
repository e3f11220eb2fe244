"""Checkpoints: a folder with `arrays.safetensors` and `meta.json`, there whole or not at all."""

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.core.errors import InvalidInput, MissingData, RunFailed
from equipoise.core.files import sha256_file, to_json

FORMAT = "equipoise.checkpoint/1"
_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_DTYPES = ("bool", *_INTEGERS, "float16", "float32", "float64", "complex64")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint held: named arrays, and the JSON-able mapping saved beside them."""

    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]


def _as_array(name: str, value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a torch tensor, without importing torch here
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            raise InvalidInput(f"array {name!r} is bfloat16, which NumPy lacks; save it as float32")
        value = value.numpy()
    try:
        array = np.ascontiguousarray(value).reshape(np.shape(value))
    except ValueError:
        raise InvalidInput(f"array {name!r} has rows of unequal length") from None
    if array.dtype.newbyteorder("=").name not in _DTYPES:
        raise InvalidInput(
            f"array {name!r} has dtype {array.dtype}; it can be any of {', '.join(_DTYPES)}"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def save_checkpoint(
    path: str | Path, arrays: Mapping[str, Any], meta: Mapping[str, Any] | None = None
) -> Path:
    """Write a checkpoint folder atomically; an existing one at `path` is replaced.

    Args:
        path: the folder, e.g. `run.checkpoints / "last"`.
        arrays: name -> NumPy array (or CPU-convertible torch tensor), any shape.
        meta: JSON-able mapping.

    Raises:
        InvalidInput: an array that is not numeric, a `meta` that is not JSON-able, or something
            else at `path`.
        RunFailed: the disk is full or cannot be written; an older checkpoint is kept.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = Path(path)
    if path.exists() and not (path / "meta.json").exists():
        raise InvalidInput(f"{path} is there and is no checkpoint; it is not replaced")
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        shutil.rmtree(stale, ignore_errors=True)  # of a process killed while it saved
    whole = {name: _as_array(name, value) for name, value in arrays.items()}
    part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        save_file(whole, part / "arrays.safetensors")
        head = {
            "format": FORMAT,
            "sha256": sha256_file(part / "arrays.safetensors"),
            "meta": dict(meta or {}),
        }
        text = json.dumps(head, indent=1, ensure_ascii=False, default=to_json)
        (part / "meta.json").write_text(text + "\n", encoding="utf-8")
        part.chmod(0o755)
        for name in ("arrays.safetensors", "meta.json"):
            with open(part / name, "rb") as file:
                os.fsync(file.fileno())
        _replace_folder(part, path)
    except (OSError, SafetensorError) as error:
        raise RunFailed(f"cannot write checkpoint {path}: {error}") from None
    except (TypeError, ValueError) as error:  # a key that is no text, a loop
        raise InvalidInput(f"meta of checkpoint {path} is not JSON-able: {error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.previous"


def _replace_folder(new: Path, path: Path) -> None:
    """Put `new` where `path` is; between the two renames loads find the copy put aside."""
    aside = _aside(path)
    if path.exists():
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(path, aside)
    os.rename(new, path)
    shutil.rmtree(aside, ignore_errors=True)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint folder and check its arrays against the checksum saved with them.

    Raises:
        MissingData: nothing at `path`.
        InvalidInput: the folder is no checkpoint, or of a newer format.
        RunFailed: the arrays do not match their checksum.
    """
    from safetensors.numpy import load_file

    path = Path(path)
    folder = path if path.exists() or not _aside(path).exists() else _aside(path)
    if not folder.exists():
        raise MissingData(f"no checkpoint at {path}")
    try:
        head = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        kind, digest, meta = head["format"], head.get("sha256"), head.get("meta", {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInput(f"{path} is no checkpoint: its meta.json is missing or broken") from None
    if kind != FORMAT:
        raise InvalidInput(
            f"{path} has format {kind!r}, this version reads {FORMAT!r}; update equipoise"
        )
    arrays = folder / "arrays.safetensors"
    if not arrays.exists() or sha256_file(arrays) != digest:
        raise RunFailed(f"the arrays of {path} do not match their checksum: the file was changed")
    return Checkpoint(dict(load_file(arrays)), meta)
