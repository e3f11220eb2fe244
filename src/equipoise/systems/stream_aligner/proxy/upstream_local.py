"""Upstreams that this process starts itself, and the choice among all of them."""

import os
import re
import subprocess
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from equipoise.core.children import tied_command
from equipoise.core.errors import InvalidInput, RunFailed, unknown_name
from equipoise.core.extras import require
from equipoise.systems.stream_aligner.proxy.config import ProxyConfig
from equipoise.systems.stream_aligner.proxy.upstream_http import HttpUpstream
from equipoise.systems.stream_aligner.proxy.upstream_parts import (
    AnswerUpstream,
    UpstreamAsk,
    UpstreamFailed,
    UpstreamPart,
)
from equipoise.systems.stream_aligner.upstreams import read_answers, scripted_upstream

_FORMS = ("URL", "local:MODEL", "transformers:PATH", "replay:FILE")
_WORDS = re.compile(r"\s*\S+|\s+\Z")
_START_WITHIN = 120.0  # seconds that `transformers serve` may take to load its model


class ReplayUpstream:
    """Stored answers, served in process; a word counts as a token.

    Args:
        path: JSONL of `question` (or `prompt`) and `answer` (or `result`).
    """

    induction = True

    def __init__(self, path: str) -> None:
        self._answers = read_answers(path)
        self._continue = scripted_upstream(self._answers.__getitem__)

    async def prepare(self, model: str | None, key_env: str | None = None) -> None:
        """Nothing is to be found out."""

    async def models(self, key_env: str | None = None) -> Any:
        """Return one model, `replay`."""
        return {"object": "list", "data": [{"id": "replay", "object": "model", "created": 0}]}

    async def answer(
        self, ask: UpstreamAsk, opened: Callable[[], object]
    ) -> AsyncGenerator[UpstreamPart, None]:
        """Yield the stored answer to the last question, word by word."""
        if ask.question not in self._answers:
            raise UpstreamFailed(
                f"there is no stored answer to {ask.question[:100]!r}", 404, "upstream_refused"
            )
        opened()
        limit = ask.body.get("max_tokens") or ask.body.get("max_completion_tokens") or 10**9
        count = 0
        for piece in self._continue(ask.question, ask.prefix):
            for word in _WORDS.findall(piece):
                if count == limit:
                    yield _last("length", count)
                    return
                count += 1
                yield UpstreamPart(word)
        yield _last("stop", count)

    async def aclose(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Nothing is held."""


def _last(reason: str, count: int) -> UpstreamPart:
    usage = {"prompt_tokens": 0, "completion_tokens": count, "total_tokens": count}
    return UpstreamPart(finish_reason=reason, usage=usage)


class StartedUpstream(HttpUpstream):
    """A server that `stack` stops."""

    def __init__(self, url: str, stack: ExitStack, **options: Any) -> None:
        super().__init__(url, **options)
        self._stack = stack

    def close(self) -> None:
        """Stop the server; more than once is harmless."""
        self._stack.close()


def open_answer_upstream(config: ProxyConfig) -> AnswerUpstream:
    """Return the upstream that `config` names; a local one is started.

    Raises:
        InvalidInput: an unknown form (the nearest is named), or a file or model that is unusable.
        RunFailed: a local server does not start.
    """
    kind, _, target = config.upstream.partition(":")
    kind = {"llamacpp": "local"}.get(kind, kind)
    if kind in ("http", "https", "openai"):
        address, _, model = config.upstream.removeprefix("openai:").partition("#")
        template = _folder_template(config.upstream_model or model or "")
        return HttpUpstream(
            address,
            model=config.upstream_model or model or None,
            key_env=config.upstream_key_env,
            prefill=config.prefill,
            timeout=config.upstream_timeout,
            template=template if config.prefill == "completions" else None,
        )
    if kind not in ("local", "transformers", "replay") or not target:
        raise unknown_name("upstream", config.upstream, _FORMS)
    if kind == "replay":
        return ReplayUpstream(target)
    return _start_local(target, config) if kind == "local" else _start_transformers(target, config)


def _start_local(model: str, config: ProxyConfig) -> AnswerUpstream:
    from equipoise.text import llama_server

    stack = ExitStack()
    server = stack.enter_context(llama_server(model, parallel=min(4, config.max_concurrent)))
    # its streams continue a trailing assistant message and do not repeat it
    prefill = "assistant" if config.prefill == "auto" else config.prefill
    return StartedUpstream(
        f"{server.url}/v1",
        stack,
        model=server.model,
        prefill=prefill,
        timeout=config.upstream_timeout,
    )


def _start_transformers(target: str, config: ProxyConfig) -> AnswerUpstream:
    """Run `transformers serve`, whose chat endpoint opens a new turn: raw completions it is."""
    require("transformers", "text")
    folder = Path(target)
    if not folder.is_dir():
        raise InvalidInput(f"upstream transformers:{target}: there is no such folder")
    from equipoise.serving.server import bind

    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    stack = ExitStack()
    # its /v1/models fails where the hub's cache folder does not exist
    cache = stack.enter_context(TemporaryDirectory(prefix="equipoise-hub-"))
    place = ["--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        tied_command("transformers.cli.transformers", "serve", str(folder), *place),
        stdin=subprocess.PIPE,  # it ends when this pipe closes, whatever ends this process
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": cache},
    )
    stack.callback(_stop, process)
    try:
        _await_health(f"http://127.0.0.1:{port}/health", process)
    except BaseException:
        stack.close()
        raise
    prefill = "completions" if config.prefill == "auto" else config.prefill
    return StartedUpstream(
        f"http://127.0.0.1:{port}/v1",
        stack,
        model=str(folder),
        prefill=prefill,
        timeout=config.upstream_timeout,
        template=_folder_template(str(folder)),
    )


def _await_health(url: str, process: "subprocess.Popen[bytes]") -> None:
    opener = build_opener(ProxyHandler({}))
    deadline = time.monotonic() + _START_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RunFailed(f"transformers serve ended with code {process.returncode}")
        with suppress(URLError, OSError), opener.open(url, timeout=1):
            return
        time.sleep(0.2)
    raise RunFailed(f"transformers serve did not start within {_START_WITHIN:.0f} s")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _folder_template(folder: str) -> Callable[[Any], str] | None:
    """Return what renders messages with the chat template of a model's folder, if it is one."""
    if not folder or not Path(folder).is_dir():
        return None

    def render(messages: Any) -> str:
        from equipoise.text.local_models import load_chat_tokenizer

        return load_chat_tokenizer(folder).render(messages)

    return render
