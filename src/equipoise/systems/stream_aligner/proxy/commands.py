"""The verb `serve`: the proxy until a signal ends it."""

import json
import os
from pathlib import Path

from equipoise.core.console import output
from equipoise.core.errors import InvalidInput, RunFailed

_FINISH_WITHIN = 5  # seconds that open answers get after SIGTERM


def serve(
    *,
    upstream: str = "",
    corrector: str = "",
    host: str = "127.0.0.1",
    port: int = 8100,
    mode: str = "stream",
    rounds: int | None = None,
    speculate: bool = True,
    no_speculate: bool = False,
    prefill: str = "auto",
    upstream_model: str | None = None,
    upstream_key_env: str | None = None,
    key_env: str | None = None,
    keys: Path | None = None,
    on_failure: str = "closed",
    static_text: str = "",
    corrector_timeout: float = 5.0,
    upstream_timeout: float = 60.0,
    max_chars: int = 400,
    max_concurrent: int = 64,
    queue: int = 256,
    reasoning: str = "hide",
    json_mode: str = "whole",
    max_body: int = 2**20,
    audit: Path | None = None,
    audit_redact: bool = False,
    config: Path | None = None,
) -> None:
    """Stand between an OpenAI client and a model, and review every sentence before it leaves.

    Prints `ready URL` on standard error, with --json also `{"url", "pid"}` on standard output.
    SIGTERM lets open answers finish for up to 5 s; SIGHUP reads --config, --keys and the corrector
    again, as a change of their files does.

    Args:
        upstream: base URL ending in /v1, local:MODEL, transformers:PATH or replay:FILE.
        corrector: identity, arithmetic, rules:FILE, prompted:BACKEND or model:PATH.
        host: address to listen on.
        port: port; 0 takes a free one.
        mode: stream, aligner, detect or off.
        rounds: sentences to review, then the upstream finishes alone; all by default.
        speculate: keep the upstream's stream open during a review.
        no_speculate: ask the upstream anew for every sentence.
        prefill: how a begun answer is continued: auto, assistant, completions or none.
        upstream_model: model name sent upstream; the client's by default.
        upstream_key_env: environment variable with the upstream's key.
        key_env: environment variable with the one key that clients must send.
        keys: JSON file of keys, with rates.
        on_failure: closed, open or static; what a failed review does.
        static_text: what static shows.
        corrector_timeout: longest review, seconds.
        upstream_timeout: longest silence of the upstream, seconds.
        max_chars: longest segment.
        max_concurrent: requests answered at once.
        queue: requests that wait; the next gets 503.
        reasoning: hide, review or pass the upstream's reasoning.
        json_mode: in JSON mode review the whole answer (whole), pass it or reject it.
        max_body: largest request body, bytes.
        audit: file to which every segment is appended.
        audit_redact: write hashes there instead of texts.
        config: TOML file of these options; it overrides them, and a change takes effect at once.
    """
    from equipoise.core.extras import require

    for module in ("starlette", "uvicorn", "prometheus_client"):
        require(module, "web")
    from equipoise.serving import serve as serve_app
    from equipoise.systems.stream_aligner.proxy.app import create_app
    from equipoise.systems.stream_aligner.proxy.config import ProxyConfig

    chosen = ProxyConfig(
        upstream=upstream,
        corrector=corrector,
        host=host,
        port=port,
        mode=mode,
        rounds=rounds,
        speculate=speculate and not no_speculate,
        prefill=prefill,
        upstream_model=upstream_model,
        upstream_key_env=upstream_key_env,
        key_env=key_env,
        keys=keys,
        on_failure=on_failure,
        static_text=static_text,
        corrector_timeout=corrector_timeout,
        upstream_timeout=upstream_timeout,
        max_chars=max_chars,
        max_concurrent=max_concurrent,
        queue=queue,
        reasoning=reasoning,
        json_mode=json_mode,
        max_body=max_body,
        audit=audit,
        audit_redact=audit_redact,
        config=config,
    )
    known = chosen.resolved()
    app = create_app(chosen)
    try:
        serve_app(app, known.host, known.port, path="", on_ready=_tell, stop_within=_FINISH_WITHIN)
    except InvalidInput as error:  # the port is in use: nothing is wrong with the line
        raise RunFailed(str(error)) from None
    finally:
        app.state.desk.close()


def _tell(url: str) -> None:
    """Print where the proxy is, for programs that start it."""
    if output.as_json:
        print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)  # noqa: T201
