"""Language models for transformers: found by name or path, unpacked from GGUF, with LoRA adapters.

What a name or path may be, tried in this order:

1. a stored model (`smollm2-135m`): its GGUF file, unpacked once to a folder of float32 weights
   beside the cache's other derived files;
2. a GGUF file, unpacked likewise (by its checksum);
3. a folder with `adapter_config.json`: a LoRA adapter, put on the base that it names (a stored
   model's name, a path, also one relative to the adapter, or a hub name);
4. a folder with `config.json`: a model as `save_pretrained` writes it;
5. a run folder: of the folders in its `checkpoints/` that are 3 or 4, the one called `final`, else
   `last`, else the last in natural order (`step-20` comes after `step-3`);
6. any other name: a model of the hub, from the local cache; downloaded only with `download=True`.
"""

import io
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.core import store
from equipoise.core.console import note
from equipoise.core.devices import absent_device, check_device
from equipoise.core.errors import InvalidInput, MissingData, nearest, unknown_name
from equipoise.core.extras import require
from equipoise.core.files import sha256_file
from equipoise.text.chat_tokenizer import ChatTokenizer
from equipoise.text.gguf_files import check_gguf, gguf_models, looks_like_path

if TYPE_CHECKING:
    import torch

_SINGLE_DIGITS = ("smollm", "starcoder", "refact", "codeshell")
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        base: folder or hub name of the full weights.
        local: whether `base` is a folder on this machine.
        adapters: LoRA folders to put on top, the innermost first.
    """

    base: str
    local: bool
    adapters: tuple[Path, ...] = ()

    @property
    def files(self) -> list[Path]:
        """The files that hold its weights and configuration, where they are local."""
        folders = [*([Path(self.base)] if self.local else []), *self.adapters]
        return [
            path
            for folder in folders
            for path in sorted(folder.iterdir())
            if path.suffix in (".safetensors", ".json", ".bin", ".jinja")
        ]


def find_model(name_or_path: str) -> ModelSource:
    """Return the source of a model; the module says what a name or path may be.

    Raises:
        InvalidInput: a name close to a stored model's but not it, a folder without a model.
        MissingData: a path that does not exist, a stored model that was not pulled.
    """
    path = Path(name_or_path).expanduser()
    if name_or_path in gguf_models():
        dense = store.derived(name_or_path, "dense")
        return ModelSource(str(_unpacked(store.path_of(name_or_path), dense)), True)
    if path.is_file():
        return _from_file(path)
    if path.is_dir():
        return _from_folder(path)
    if looks_like_path(name_or_path):
        raise MissingData(f"there is no model at {path}; give a folder, a GGUF file or a name")
    if nearest(name_or_path, gguf_models()) is not None:
        raise unknown_name("model", name_or_path, gguf_models())
    return ModelSource(name_or_path, False)


def _from_file(path: Path) -> ModelSource:
    check_gguf(path)
    folder = store.cache_folder() / "derived" / f"gguf-{sha256_file(path)[:16]}" / "dense"
    return ModelSource(str(_unpacked(path, folder)), True)


def _from_folder(folder: Path) -> ModelSource:
    if (folder / "adapter_config.json").is_file():
        return _from_adapter(folder)
    if (folder / "config.json").is_file() and not (folder / "run.json").is_file():
        return ModelSource(str(folder), True)
    checkpoints = [path for path in (folder / "checkpoints").glob("*/") if _holds_model(path)]
    if checkpoints:
        return _from_folder(max(checkpoints, key=_checkpoint_order))
    if len(files := list(folder.glob("*.gguf"))) == 1:
        return _from_file(files[0])
    raise InvalidInput(
        f"{folder} holds no model: neither config.json nor adapter_config.json, "
        "nor checkpoints with one"
    )


def _from_adapter(folder: Path) -> ModelSource:
    try:
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        base = config["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError):
        base = None
    if not isinstance(base, str) or not base:
        raise InvalidInput(f"{folder}/adapter_config.json names no base_model_name_or_path")
    try:
        source = find_model(_base_name(folder, base))
    except MissingData as error:
        raise MissingData(f"the base of the adapter {folder} is missing: {error}") from None
    return ModelSource(source.base, source.local, (*source.adapters, folder))


def _base_name(adapter: Path, base: str) -> str:
    """Return the base that an adapter names, as it is found here.

    An adapter trained on a stored model names the folder where that was unpacked, which on another
    machine lies elsewhere: then the stored model's name stands for it.
    """
    if (adapter / base).is_dir():
        return str(adapter / base)
    cache, name, kind = ("", "", "", *Path(base).parts)[-3:]
    if (cache, kind) == ("derived", "dense") and name in gguf_models() and not Path(base).exists():
        return name
    return base


def _holds_model(path: Path) -> bool:
    return any((path / name).is_file() for name in ("config.json", "adapter_config.json"))


def _checkpoint_order(path: Path) -> tuple[int, list[tuple[int, str]]]:
    rank = {"final": 2, "last": 1}.get(path.name, 0)
    parts = re.split(r"(\d+)", path.name)
    return rank, [(int(part) if part.isdigit() else -1, part) for part in parts]


def _unpacked(gguf: Path, folder: Path) -> Path:
    """Return the folder of dense weights made from a GGUF file, making it where it is absent.

    It is written beside its place and renamed; of several processes one does it, the others wait.
    """
    from filelock import FileLock

    if (folder / "config.json").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if (folder / "config.json").is_file():
            return folder
        note(f"unpacking {gguf.name} to dense weights, once (about 15 s)")
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            _unpack(gguf, part)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _unpack(gguf: Path, target: Path) -> None:
    transformers = require("transformers", "text")
    require("gguf", "text")
    import torch

    # the progress bar of the conversion knows no switch
    with quiet_loading(transformers), redirect_stderr(io.StringIO()):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=torch.float32,
            # without it the model is marked as quantised and refuses to be saved and trained
            quantization_config=transformers.GgufConfig(dequantize=True),
            local_files_only=True,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            gguf.parent, gguf_file=gguf.name, local_files_only=True
        )
        _split_digits(tokenizer, gguf)
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


def _split_digits(tokenizer: Any, path: Path) -> None:
    """Have each digit stand alone where the file says so, which transformers does not read.

    It decides more than numbers: a blank line before a digit is one token or two.
    """
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    field = require("gguf", "text").GGUFReader(path).fields.get("tokenizer.ggml.pre")
    if field is not None and field.contents() in _SINGLE_DIGITS:
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
        )


def load_causal_model(
    name_or_path: str,
    *,
    dtype: str = "float32",
    device: str = "auto",
    download: bool = False,
    trainable_adapter: bool = False,
) -> tuple[Any, Any]:
    """Load a language model and its tokenizer for transformers, ready to train, save or serve.

    Args:
        name_or_path: see the module.
        dtype: `float32`, `bfloat16` or `float16`.
        device: `cpu`, `cuda`, `cuda:1`, `mps`, or `auto` (an accelerator where there is one).
        download: whether a hub name may be downloaded; else only the local cache is asked.
        trainable_adapter: whether the weights of the outermost LoRA adapter can be trained.

    Returns:
        `(model, tokenizer)`; the model in evaluation mode.

    Raises:
        InvalidInput: an unknown dtype or device, a name near a stored model's, a broken folder.
        MissingData: no such model on this machine.
    """
    return load_source(
        find_model(name_or_path),
        dtype=dtype,
        device=device,
        download=download,
        trainable_adapter=trainable_adapter,
    )


def load_source(
    source: ModelSource,
    *,
    dtype: str = "float32",
    device: str = "auto",
    download: bool = False,
    trainable_adapter: bool = False,
) -> tuple[Any, Any]:
    """Load what `find_model` found; arguments as for `load_causal_model`."""
    transformers = require("transformers", "text")
    import torch

    if dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    place = find_device(device)
    local = source.local or not download
    with quiet_loading(transformers):
        try:
            # first, because a model that is not there is found out here without a look at the hub
            config = transformers.AutoConfig.from_pretrained(source.base, local_files_only=local)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                source.base,
                config=config,
                dtype=getattr(torch, dtype),
                local_files_only=local,
                adapter_kwargs={"local_files_only": local},
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                source.base, local_files_only=local
            )
        except (OSError, ValueError) as error:
            raise _unloadable(source, error) from None
        for place_in_stack, adapter in enumerate(source.adapters):
            last = place_in_stack + 1 == len(source.adapters)
            model = require("peft", "text").PeftModel.from_pretrained(
                model, adapter, is_trainable=trainable_adapter and last
            )
            if not last:
                model = model.merge_and_unload()
    return model.to(place).eval(), tokenizer


def find_device(device: str) -> "torch.device":
    """Return the torch device called `device`; `auto` is an accelerator where there is one."""
    check_device(device)
    import torch

    found = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if device == "auto":
        return torch.device("cuda" if found["cuda"] else "cpu")
    kind, _, index = device.partition(":")
    if not found[kind] or (kind == "cuda" and int(index or 0) >= torch.cuda.device_count()):
        raise absent_device(device, [name for name, usable in found.items() if usable])
    return torch.device(device)


def _unloadable(source: ModelSource, error: Exception) -> Exception:
    reason = " ".join(str(error).split())[:200]
    if source.local:
        return InvalidInput(f"cannot load the model in {source.base}: {reason}")
    return MissingData(
        f"model {source.base!r} is neither a stored name ({', '.join(gguf_models())}), "
        "nor a path, nor in the local hub cache; give a folder, or download=True with a network"
    )


@contextmanager
def quiet_loading(transformers: Any) -> Iterator[None]:
    """Keep the progress bars, notices and deprecations of loading off a user's terminal."""
    logging = transformers.utils.logging
    verbosity, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft asks transformers for names that transformers has renamed
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def load_chat_tokenizer(name_or_path: str) -> ChatTokenizer:
    """Load only the tokenizer and chat template of a model.

    Raises:
        InvalidInput: the folder holds no tokenizer. MissingData: no such model on this machine.
    """
    transformers = require("transformers", "text")
    path = Path(name_or_path).expanduser()
    only_tokenizer = (path / "tokenizer_config.json").is_file()
    base = str(path) if only_tokenizer else find_model(name_or_path).base
    try:
        with quiet_loading(transformers):
            tokenizer = transformers.AutoTokenizer.from_pretrained(base, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidInput(f"cannot load the tokenizer of {name_or_path}: {reason}") from None
    return ChatTokenizer(tokenizer, name_or_path)
