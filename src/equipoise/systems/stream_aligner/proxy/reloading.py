"""Policy, corrector and keys of a running proxy, and their change without dropping a stream.

An answer keeps the settings that it began with; the next one gets the newest. What cannot be read
leaves the settings before it in force, with one line that says why.
"""

import os
import threading
from dataclasses import dataclass, fields, replace
from pathlib import Path

from equipoise.core.console import note
from equipoise.core.errors import EquipoiseError, InvalidInput
from equipoise.serving.keys import KeyRing
from equipoise.systems.stream_aligner.correctors import make_corrector
from equipoise.systems.stream_aligner.proxy.config import RELOADABLE, ProxyConfig
from equipoise.systems.stream_aligner.proxy.reviewing import Reviewer

_FILES = ("rules:", "model:")  # correctors that are read from a file or folder


@dataclass(frozen=True)
class Settings:
    """What an answer is made with."""

    config: ProxyConfig
    reviewer: Reviewer


class Reloader:
    """Holds the settings in force.

    Args:
        given: the configuration as it was given; its file is read here.

    Attributes:
        settings: for the next answer.
        keys: for the next request.

    Raises:
        InvalidInput: what was given cannot be used.
    """

    def __init__(self, given: ProxyConfig) -> None:
        self._given = given
        self._lock, self._keys_lock = threading.Lock(), threading.Lock()
        config = given.resolved()
        self._stamps = _stamps(config)
        self.keys = _make_keys(config)
        self.settings = Settings(config, _make_reviewer(config))

    def changed(self) -> bool:
        """Return whether a file other than that of the keys is not the one read last."""
        return _stamps(self.settings.config) != self._stamps

    def reload_keys(self, *, anyway: bool = False) -> None:
        """Read the keys again where they have changed, or `anyway`.

        Waits for nothing: no broken file and no slow corrector keeps a withdrawn key.
        """
        with self._keys_lock:
            try:
                if anyway or self.keys.changed():
                    self.keys.reload()
            except Exception as error:  # noqa: BLE001 - nothing in a file stops the looking after it
                note(f"not reloaded, the keys before stay: {_said(error)}")

    def reload(self, *, all_of_it: bool = False) -> None:
        """Read again what has changed, or everything; may take as long as loading a corrector."""
        with self._lock:
            try:
                self._reload(all_of_it)
            except Exception as error:  # noqa: BLE001 - libraries have their own for broken files
                note(f"not reloaded, the settings before stay: {_said(error)}")
            else:
                note("reloaded")

    def _reload(self, all_of_it: bool) -> None:
        old, stamps = self.settings, _stamps(self.settings.config)
        previous, self._stamps = self._stamps, stamps  # a broken file is reported once
        config = _kept(self._given.resolved(), old.config)
        if config.keys != old.config.keys:
            self.keys = _make_keys(config)
        corrector_changed = (
            all_of_it
            or config.corrector != old.config.corrector
            or stamps.get(config.corrector) != previous.get(config.corrector)
        )
        reviewer = _make_reviewer(config) if corrector_changed else old.reviewer
        reviewer.timeout = config.corrector_timeout
        self.settings = Settings(config, reviewer)
        self._stamps = _stamps(config)
        if corrector_changed:
            old.reviewer.retire()


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, EquipoiseError) else f"{type(error).__name__}: {error}"


def _kept(new: ProxyConfig, old: ProxyConfig) -> ProxyConfig:
    """Return the new configuration with what a running proxy cannot change as it was."""
    fixed = {
        field.name: getattr(old, field.name)
        for field in fields(ProxyConfig)
        if field.name not in RELOADABLE
    }
    ignored = [name for name, value in fixed.items() if getattr(new, name) != value]
    if ignored:
        note(f"changed only by a new start: {', '.join(ignored)}")
    return replace(new, **fixed)


def _make_reviewer(config: ProxyConfig) -> Reviewer:
    return Reviewer(
        make_corrector(config.corrector),
        timeout=config.corrector_timeout,
        threads=max(4, min(64, config.max_concurrent)),
    )


def _make_keys(config: ProxyConfig) -> KeyRing:
    key = None
    if config.key_env is not None:
        key = os.environ.get(config.key_env)
        if not key:
            raise InvalidInput(f"key_env names {config.key_env}, which is not set")
    return KeyRing(config.keys, key)


def _stamps(config: ProxyConfig) -> dict[str, object]:
    """Return what changes with the configuration file and the corrector's files."""
    found: dict[str, object] = {}
    if config.config is not None:
        found["config"] = _stamp(config.config)
    if config.corrector.startswith(_FILES):
        path = Path(config.corrector.partition(":")[2])
        inside = sorted(path.rglob("*"))[:200] if path.is_dir() else []
        found[config.corrector] = [_stamp(file) for file in (path, *inside)]
    return found


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
