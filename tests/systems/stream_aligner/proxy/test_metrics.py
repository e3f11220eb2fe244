"""The metrics page as Prometheus reads it, and the spans as a tracer gets them."""

import sys
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from equipoise.systems.stream_aligner.proxy.metrics import ProxyMetrics, Spans


def samples(metrics):
    page, kind = metrics.page()
    assert kind.startswith("text/plain; version=")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("attribute", "label", "value"),
    [
        ("segments", "verdict", "copy"),
        ("requests", "status", "200"),
        ("failures", "policy", "closed"),
        ("speculation", "result", "hit"),
    ],
)
def test_counters_have_their_promised_names_and_labels_and_count_one_proxy(attribute, label, value):
    metrics, neighbour = ProxyMetrics(), ProxyMetrics()
    for found, times in ((value, 3), ("other", 1)):
        getattr(metrics, attribute).labels(**{label: found}).inc(times)
    name = f"equipoise_stream_{attribute}_total"
    assert (samples(metrics)[name, value], samples(metrics)[name, "other"]) == (3, 1)
    assert (name, value) not in samples(neighbour)


@pytest.mark.parametrize("attribute", ["first_segment", "segment_gap", "corrector", "added"])
def test_times_from_a_millisecond_to_a_minute_are_told_apart(attribute):
    metrics = ProxyMetrics()
    for seconds in (0.0005, 0.002, 0.04, 0.3, 7, 59, 100):
        getattr(metrics, attribute).observe(seconds)
    name, found = f"equipoise_stream_{attribute}_seconds", samples(metrics)
    assert found[f"{name}_sum",] == pytest.approx(166.3425)
    bounds = ("0.001", "0.0025", "0.05", "0.5", "10.0", "60.0", "+Inf")
    assert [found[f"{name}_bucket", bound] for bound in bounds] == [1, 2, 3, 4, 5, 6, 7]


def test_answers_under_way_go_up_and_down():
    metrics = ProxyMetrics()
    for change in (metrics.active.inc, metrics.active.inc, metrics.active.dec):
        change()
    assert samples(metrics)["equipoise_stream_active",] == 1


def test_a_span_has_the_times_and_attributes_of_its_segment(monkeypatch):
    kept = []

    def start_span(name, start_time, attributes):
        return SimpleNamespace(end=lambda end_time: kept.append((name, start_time, end_time)))

    tracer = SimpleNamespace(start_span=start_span)
    api = SimpleNamespace(get_tracer=lambda name: tracer)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", api)
    Spans().segment(100.5, 101.25, {"verdict": "edit"})
    assert kept == [("equipoise.segment", 100_500_000_000, 101_250_000_000)]


def test_without_the_api_segments_have_no_span_and_no_fault(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    spans = Spans()
    late = SimpleNamespace(get_tracer=pytest.fail)
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", late)
    assert spans.segment(1.0, 2.0, {"verdict": "copy"}) is None
