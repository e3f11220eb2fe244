"""Counters and times of the proxy for Prometheus, and one OpenTelemetry span a segment."""

import importlib
from collections.abc import Mapping
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

_PREFIX = "equipoise_stream"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ProxyMetrics:
    """The metrics of one proxy, in a registry of its own.

    Attributes:
        segments: segments by verdict.
        requests: requests by status; `cancelled` where the client left.
        failures: failed reviews by policy.
        speculation: reviews during which the stream stayed open, by hit or waste.
        first_segment, segment_gap, corrector, added: times, s.
        active: answers under way.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.segments = self._counter("segments", "Decided segments.", "verdict")
        self.requests = self._counter("requests", "Requests by HTTP status.", "status")
        self.failures = self._counter("failures", "Reviews that failed, by policy.", "policy")
        self.speculation = self._counter("speculation", "Streams kept open.", "result")
        self.first_segment = self._histogram("first_segment", "From request to first segment.")
        self.segment_gap = self._histogram("segment_gap", "Between two segments shown.")
        self.corrector = self._histogram("corrector", "One review.")
        self.added = self._histogram("added", "From a complete segment to its showing.")
        self.active = Gauge(f"{_PREFIX}_active", "Answers under way.", registry=self.registry)

    def page(self) -> tuple[bytes, str]:
        """Return the metrics page and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", text, [label], registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        full = f"{_PREFIX}_{name}_seconds"
        return Histogram(full, text, buckets=_BUCKETS, registry=self.registry)


class Spans:
    """Writes an OpenTelemetry span for each segment, where its API is installed."""

    def __init__(self) -> None:
        try:
            trace: Any = importlib.import_module("opentelemetry.trace")
        except ImportError:
            self._tracer: Any = None
        else:
            self._tracer = trace.get_tracer("equipoise.stream_aligner")

    def segment(self, begun: float, ended: float, attributes: Mapping[str, Any]) -> None:
        """Write the span of a segment between two times (seconds since 1970); no text in it."""
        if self._tracer is None:
            return
        span = self._tracer.start_span(
            "equipoise.segment", start_time=int(begun * 1e9), attributes=dict(attributes)
        )
        span.end(end_time=int(ended * 1e9))
