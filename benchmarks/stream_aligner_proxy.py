"""The proxy in its own process, as `serve` runs it, or with a corrector that takes its time.

`python -m benchmarks.stream_aligner_proxy '{"upstream": ..., "correct_s": 0.1, "edits": [2, 5]}'`
prints its address as JSON. `correct_s` is how long the corrector sleeps, `edits` the sentences
(from 0) that it changes; the other fields are those of `ProxyConfig`.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Collection
from typing import Any

from equipoise.serving import serve
from equipoise.systems.stream_aligner import ProxyConfig, create_app
from equipoise.systems.stream_aligner.proxy import reloading as reloading_module


def sleeping(seconds: float, edits: Collection[int]) -> Callable[[str, str, str], str]:
    """Return a corrector that takes `seconds` and edits the sentences with these numbers."""

    def correct(question: str, prefix: str, sentence: str) -> str:
        time.sleep(seconds)
        return sentence.upper() if prefix.count(".") in edits else sentence

    return correct


def build(options: dict[str, Any]) -> Any:
    """Return the application of options, with the sleeping corrector where one is asked for."""
    fields = dict(options)
    seconds, edits = fields.pop("correct_s", None), fields.pop("edits", ())
    config = ProxyConfig(**fields)
    if seconds is None:
        return create_app(config)
    kept = reloading_module.make_corrector
    reloading_module.make_corrector = lambda spec, **given: sleeping(seconds, frozenset(edits))
    try:
        return create_app(config)
    finally:
        reloading_module.make_corrector = kept


def main() -> None:
    """Serve what the command line says until a signal ends it."""
    options = json.loads(sys.argv[1])
    app = build(options)
    serve(
        app,
        options.get("host", "127.0.0.1"),
        options.get("port", 0),
        path="",
        on_ready=lambda url: print(json.dumps({"url": url, "pid": os.getpid()}), flush=True),
    )
    app.state.desk.close()


if __name__ == "__main__":
    main()
