"""GGUF files: is one whole, and the same weights written as plain 32-bit floats."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from equipoise.core import store
from equipoise.core.errors import InvalidInput, MissingData, unknown_name
from equipoise.core.extras import require

_MAGIC = b"GGUF"
_NOT_COPIED = {"general.architecture", "general.quantization_version", "general.file_type"}


def find_gguf(name_or_path: str) -> Path:
    """Return the GGUF file that a name or path means: a stored model, a file, a folder with one.

    Raises:
        MissingData: no such file, or the model is not on this machine.
        InvalidInput: an unknown name (the nearest is given), or a folder with none or several.
    """
    ggufs = gguf_models()
    path = Path(name_or_path).expanduser()
    if name_or_path in ggufs:
        return store.path_of(name_or_path)
    if path.is_dir():
        files = sorted(path.glob("*.gguf"))
        if len(files) != 1:
            raise InvalidInput(f"{path} holds {len(files)} GGUF files; name one of them")
        return files[0]
    if path.is_file():
        return path
    if looks_like_path(name_or_path):
        raise MissingData(f"there is no GGUF file {path}; valid names: {', '.join(ggufs)}")
    raise unknown_name("model", name_or_path, ggufs)


def gguf_models() -> list[str]:
    """Return the names of the stored models that are GGUF files."""
    return [artifact.name for artifact in store.available() if artifact.file.endswith(".gguf")]


def looks_like_path(text: str) -> bool:
    """Return whether a missing name was meant as a path, so that no other name is suggested."""
    return text.startswith((".", "~", os.sep)) or text.endswith(".gguf") or text.count(os.sep) > 1


def check_gguf(path: str | Path) -> bool:
    """Raise `InvalidInput` unless `path` is a whole GGUF file.

    llama.cpp itself says nothing of what is wrong with a file. Stored models, all of them
    quantised, were checked by their checksum when they were pulled and are not read again.

    Returns:
        Whether all of its weights are 32-bit floats.
    """
    path = Path(path)
    if any(path == store.find(name).folder / store.find(name).file for name in gguf_models()):
        return False
    status = path.stat()
    return _check_whole(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=32)
def _check_whole(path: Path, size: int, _changed: int) -> bool:
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            raise InvalidInput(f"{path} is no GGUF file (it does not begin with GGUF)")
    gguf = require("gguf", "text")
    try:
        tensors = gguf.GGUFReader(path).tensors
        end = max(int(tensor.data_offset + tensor.n_bytes) for tensor in tensors)
        if end <= size:
            return all(t.tensor_type == gguf.GGMLQuantizationType.F32 for t in tensors)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError):
        pass
    raise InvalidInput(
        f"{path} is a broken GGUF file ({size:,} bytes; probably truncated); fetch it again"
    )


def write_f32_gguf(source: str | Path, target: str | Path) -> Path:
    """Write the weights of a GGUF file, dequantised to float32, as a new GGUF file.

    The numbers are the same; what differs is that llama.cpp then leaves activations in floating
    point too, where for quantised weights it rounds them to 8 bits.

    Args:
        source: a GGUF file of any quantisation.
        target: where to write; put in place when whole.

    Returns:
        `target`.

    Raises:
        InvalidInput: `source` is no whole GGUF file.
    """
    source, target = Path(source), Path(target)
    check_gguf(source)
    gguf = require("gguf", "text")
    from gguf.quants import dequantize

    reader = gguf.GGUFReader(source)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(part, architecture)
    try:
        _copy_fields(reader, writer, gguf)
        for tensor in reader.tensors:
            writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _copy_fields(reader: Any, writer: Any, gguf: Any) -> None:
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in _NOT_COPIED:
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kind, sub_type=inner)
    writer.add_file_type(0)
