"""llama.cpp's server in this process, on a free port of the loopback interface."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.core.devices import absent_device, check_device
from equipoise.core.errors import InvalidInput, RunFailed
from equipoise.core.extras import require
from equipoise.core.threads import thread_limit
from equipoise.text.gguf_files import check_gguf, find_gguf


@dataclass(frozen=True)
class LlamaServer:
    """A running server.

    Attributes:
        url: its address without a path; OpenAI's endpoints are under `/v1`.
        model: the name it gives its model.
        path: the GGUF file it serves.
    """

    url: str
    model: str
    path: Path


@contextmanager
def llama_server(
    path: str | Path,
    *,
    parallel: int = 1,
    n_ctx: int = 4096,
    threads: int | None = None,
    alias: str | None = None,
    api_key_env: str | None = None,
    device: str = "auto",
) -> Iterator[LlamaServer]:
    """Run a llama.cpp server for the length of a `with` block.

    Args:
        path: GGUF file, or the name of a stored model.
        parallel: answers at the same time; they share the context. See `LlamaCppBackend`.
        n_ctx: tokens of context, prompts and answers of all slots together.
        threads: CPU threads; None for `core.threads.thread_limit()`.
        alias: name of the model in answers; None for `path` as given, or the file's own name.
        api_key_env: environment variable with the key that requests must carry; None for no key.
        device: `cpu`; `cuda`, `cuda:N` or `mps` where the installed llama.cpp was built for it;
            `auto` for the fastest that it was built for.

    Yields:
        The server, with `.url`.

    Raises:
        MissingData: no such model. InvalidInput: a broken file, options out of range, an unset key.
        RunFailed: llama.cpp cannot load the file.
    """
    file = find_gguf(str(path))
    exact = check_gguf(file)
    name = alias or (str(path) if str(path) != str(file) else file.stem)
    parameters = _parameters(file, parallel, n_ctx, threads, name, api_key_env)
    _place(parameters, device)
    if exact:
        _keep_floats(parameters)
    native, url = _start(file, parameters)
    try:
        yield LlamaServer(url, name, file)
    finally:
        del native  # stops the server


def _llama() -> Any:
    """Import the binding with OpenMP threads that spin briefly at a barrier, then sleep.

    Threads that spin for ever are a hundred times slower once another process wants a core (0.9
    against 40 tokens/s, measured); threads that sleep at once lose half the speed of an idle
    machine (38 against 95). OpenMP reads the setting when its library is loaded; the user's own
    choice is kept.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        return require("xllamacpp", "text")
    os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        return require("xllamacpp", "text")
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def _start(file: Path, parameters: Any) -> tuple[Any, str]:
    try:
        native = _llama().Server(parameters)
    except Exception as error:  # noqa: BLE001 - the binding raises bare exceptions of several kinds
        raise RunFailed(f"llama.cpp cannot load {file}: {error}") from None
    return native, native.listening_address


def _place(parameters: Any, device: str) -> None:
    """Have the layers computed on `device`."""
    kind, _, index = check_device(device).partition(":")
    if kind == "auto":
        return
    if kind == "cpu":
        parameters.n_gpu_layers = 0
        return
    found = [str(one["name"]).lower() for one in _llama().get_device_info()]
    backend = {"cuda": f"cuda{index or 0}", "mps": "metal"}[kind]
    if not any(name.startswith(backend) for name in found):
        raise absent_device(device, ["cpu"])
    parameters.n_gpu_layers = -1
    parameters.main_gpu = int(index or 0)


def _keep_floats(parameters: Any) -> None:
    """Have nothing rounded on the way, where the weights themselves are not.

    Log-probabilities of a token then differ by 0.0002 from transformers', else by 0.01.
    """
    native = require("xllamacpp", "text")
    parameters.cache_type_k = parameters.cache_type_v = native.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = native.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED


def _parameters(
    file: Path,
    parallel: int,
    n_ctx: int,
    threads: int | None,
    alias: str,
    api_key_env: str | None,
) -> Any:
    for option, value, least in (("parallel", parallel, 1), ("n_ctx", n_ctx, 64)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidInput(f"{option} is {value!r}; it must be an integer >= {least}")
    if threads is not None and threads < 1:
        raise InvalidInput(f"threads is {threads!r}; it must be >= 1, or None for the limit")
    parameters = _llama().CommonParams()
    parameters.model.path = str(file)
    parameters.n_ctx = n_ctx
    parameters.n_parallel = parallel
    parameters.kv_unified = True
    parameters.cpuparams.n_threads = threads or thread_limit()
    parameters.verbosity = 0
    parameters.ui = False
    parameters.cache_ram_mib = 0
    parameters.model_alias = {alias}
    if api_key_env is not None:
        key = os.environ.get(api_key_env)
        if not key:
            raise InvalidInput(f"the environment variable {api_key_env} holds no key; set it")
        parameters.api_keys = [key]
    return parameters
