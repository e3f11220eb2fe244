"""What the proxy is told: one field for each option of `serve`, checked."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from equipoise.core.conversion import apply_changes, nest
from equipoise.core.errors import InvalidInput, unknown_name
from equipoise.systems.stream_aligner.loop import MODES, POLICIES, LoopOptions
from equipoise.text.prefill import check_prefill

REASONING = ("hide", "review", "pass")
JSON_MODES = ("whole", "pass", "reject")

RELOADABLE = (
    "corrector",
    "corrector_timeout",
    "json_mode",
    "keys",
    "max_chars",
    "mode",
    "on_failure",
    "reasoning",
    "rounds",
    "speculate",
    "static_text",
)
"""Fields that a changed configuration file changes while the proxy runs."""


@dataclass(frozen=True)
class ProxyConfig:
    """Options of `equipoise stream-aligner serve`.

    Attributes:
        upstream: base URL ending in `/v1`, `local:MODEL`, `transformers:PATH` or `replay:FILE`.
        corrector: what `make_corrector` understands.
        host: address to listen on.
        port: port; 0 takes a free one.
        mode: stream, aligner, detect or off.
        rounds: sentences to review, then the upstream finishes alone; None for all.
        speculate: keep the upstream's stream open during a review.
        prefill: how a begun answer is continued: auto, assistant, completions or none.
        upstream_model: model name sent upstream; None sends the client's.
        upstream_key_env: environment variable with the upstream's key.
        key_env: environment variable with the one key that clients must send.
        keys: JSON file of several keys, with rates.
        on_failure: closed, open or static; what a failed review does.
        static_text: what `static` shows.
        corrector_timeout: longest review, s.
        upstream_timeout: longest silence of the upstream, s.
        max_chars: longest segment.
        max_concurrent: requests answered at once.
        queue: requests that wait; the next gets 503.
        reasoning: hide, review or pass the upstream's reasoning.
        json_mode: in JSON mode review the whole answer as one segment, pass it or reject it.
        max_body: largest request body, bytes.
        audit: file to which every segment is appended.
        audit_redact: write hashes there instead of texts.
        config: TOML file of these fields; it overrides them, and a change takes effect at once.
    """

    upstream: str = ""
    corrector: str = ""
    host: str = "127.0.0.1"
    port: int = 8100
    mode: str = "stream"
    rounds: int | None = None
    speculate: bool = True
    prefill: str = "auto"
    upstream_model: str | None = None
    upstream_key_env: str | None = None
    key_env: str | None = None
    keys: Path | None = None
    on_failure: str = "closed"
    static_text: str = ""
    corrector_timeout: float = 5.0
    upstream_timeout: float = 60.0
    max_chars: int = 400
    max_concurrent: int = 64
    queue: int = 256
    reasoning: str = "hide"
    json_mode: str = "whole"
    max_body: int = 2**20
    audit: Path | None = None
    audit_redact: bool = False
    config: Path | None = None

    def __post_init__(self) -> None:
        for name in ("keys", "audit", "config"):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, Path(value))
        for kind, value, valid in (
            ("mode", self.mode, MODES),
            ("on_failure", self.on_failure, POLICIES),
            ("reasoning", self.reasoning, REASONING),
            ("json_mode", self.json_mode, JSON_MODES),
        ):
            if value not in valid:
                raise unknown_name(kind, value, valid)
        check_prefill(self.prefill)
        self.loop_options()  # checks rounds, max_chars and static_text
        for name in ("corrector_timeout", "upstream_timeout"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} is {getattr(self, name)!r}; it must be > 0 seconds")
        for name, least in (("max_concurrent", 1), ("queue", 0), ("max_body", 1), ("port", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidInput(f"{name} is {value!r}; it must be an integer >= {least}")
        if self.port > 65535:
            raise InvalidInput(f"port is {self.port}; it must lie between 0 and 65535")

    def loop_options(self) -> LoopOptions:
        """Return the loop's options."""
        return LoopOptions(
            mode=self.mode,
            rounds=self.rounds,
            speculate=self.speculate,
            max_segments=10**9,  # an answer ends where the upstream ends it, not at a round count
            max_chars=self.max_chars,
            on_failure=self.on_failure,
            static_text=self.static_text,
        )

    def resolved(self) -> "ProxyConfig":
        """Return the configuration with its file read into it, and what is needed present.

        Raises:
            InvalidInput: the file cannot be used, names an unknown field (the nearest is named), or
                upstream or corrector is given nowhere.
        """
        found = self if self.config is None else _with_file(self, self.config)
        for name in ("upstream", "corrector"):
            if not getattr(found, name):
                raise InvalidInput(f"{name} is not given; write --{name} or {name} = in the file")
        return found


def _with_file(config: ProxyConfig, path: Path) -> ProxyConfig:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"configuration {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise InvalidInput(f"configuration {path} is not TOML: {error}") from None
    if "config" in values:
        raise InvalidInput(f"configuration {path}: a file cannot name another as 'config'")
    try:
        return apply_changes(ProxyConfig, config, nest(values))
    except InvalidInput as error:
        raise InvalidInput(f"configuration {path}: {error}") from None
