"""What is written down of each answer: events, audit lines, metrics, spans."""

import time
from collections.abc import Mapping
from typing import Any, Protocol

from equipoise.core.console import note
from equipoise.systems.stream_aligner.audit.events import EventHub, SegmentEvent
from equipoise.systems.stream_aligner.loop import Step
from equipoise.systems.stream_aligner.proxy.config import ProxyConfig
from equipoise.systems.stream_aligner.proxy.metrics import ProxyMetrics, Spans


class Log(Protocol):
    """An audit log."""

    def write(self, event: SegmentEvent) -> None:
        """Append a segment."""
        ...

    def write_request(self, record: Mapping[str, Any]) -> None:
        """Append what became of a request."""
        ...

    def writable(self) -> bool:
        """Return whether a line could be appended now."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Records:
    """What all answers of a proxy are recorded in.

    Args:
        audit: the audit log, None for none.

    Attributes:
        hub: passes segment events on.
        metrics: counters and times.
        spans: OpenTelemetry, where installed.
        is_writable: whether the last audit line could be written.
    """

    def __init__(self, audit: Log | None = None) -> None:
        self.audit = audit
        self.hub = EventHub()
        self.metrics = ProxyMetrics()
        self.spans = Spans()
        self.is_writable = True

    def check_writable(self) -> bool:
        """Return whether audit lines can be written, looking again after a failure."""
        if not self.is_writable and self.audit is not None:
            self.is_writable = self.audit.writable()
        return self.is_writable

    def write(self, line: SegmentEvent | Mapping[str, Any]) -> bool:
        """Append an audit line; return False where it could not be written."""
        if self.audit is None:
            return True
        try:
            if isinstance(line, SegmentEvent):
                self.audit.write(line)
            else:
                self.audit.write_request(dict(line))
        except OSError as error:
            if self.is_writable:
                note(f"the audit log cannot be written: {error.strerror or error}")
            self.is_writable = False
            return False
        self.is_writable = True
        return True

    def close(self) -> None:
        """Close the audit log."""
        if self.audit is not None:
            self.audit.close()


class Recorder:
    """Records one answer.

    Args:
        records: where.
        config: policy and mode.
        request_id: the answer's name in audit lines and events.
        question: the last user message.
        model: the upstream's name.
        key_name: whose key asked.
    """

    def __init__(
        self,
        records: Records,
        config: ProxyConfig,
        *,
        request_id: str,
        question: str,
        model: str,
        key_name: str,
    ) -> None:
        self._records, self._config = records, config
        self._fixed = {
            "request_id": request_id,
            "question": question,
            "policy": config.on_failure,
            "model": model,
            "key_name": key_name,
        }
        self._round = 0
        self._begun = time.perf_counter()
        self._last_shown: float | None = None

    def failed(self) -> None:
        """Count a failed review."""
        self._records.metrics.failures.labels(self._config.on_failure).inc()

    def speculated(self, hit: bool) -> None:
        """Count a review during which the stream stayed open."""
        self._records.metrics.speculation.labels("hit" if hit else "waste").inc()

    def segment(self, step: Step, review: tuple[float, float] | None) -> bool:
        """Record a decided segment; return False where the audit line could not be written.

        Args:
            step: what was decided.
            review: when the review began (Unix time) and how long it took, s; None without one.
        """
        metrics, now = self._records.metrics, time.time()
        seconds = 0.0 if review is None else review[1]
        metrics.segments.labels(step.verdict).inc()
        if review is not None:
            metrics.corrector.observe(seconds)
        event = SegmentEvent(
            time=now,
            round=self._round,
            prefix_chars=len(step.prefix),
            leading=step.segment.leading,
            original=step.segment.text,
            corrected=step.text,
            verdict=step.verdict,
            corrector_ms=seconds * 1000,
            note=step.note,
            **self._fixed,
        )
        self._round += 1
        self._records.hub.publish(event)
        names = {"verdict": step.verdict, "round": event.round, "corrector_ms": event.corrector_ms}
        self._records.spans.segment(now if review is None else review[0], now, names)
        return self._records.write(event)

    def shown(self, review: tuple[float, float] | None) -> None:
        """Count the time of a segment that has just left."""
        metrics, now = self._records.metrics, time.perf_counter()
        if self._last_shown is None:
            metrics.first_segment.observe(now - self._begun)
        else:
            metrics.segment_gap.observe(now - self._last_shown)
        self._last_shown = now
        if review is not None:
            metrics.added.observe(max(0.0, time.time() - review[0]))

    def request(self, event: str, **fields: Any) -> None:
        """Write what became of the request: `finished`, `cancelled` or `upstream_lost`."""
        line = {"time": time.time(), "request_id": self._fixed["request_id"], "event": event}
        names = {"model": self._fixed["model"], "key_name": self._fixed["key_name"]}
        self._records.write({**line, **names, **fields})
