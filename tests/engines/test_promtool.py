"""`promtool check metrics` has nothing to say about what we show."""

from __future__ import annotations

import subprocess
from typing import cast

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from support.derive_fakes import FakeEntry, FakeLog
from support.engines import promtool
from support.red_cases import attributes, control_characters, not_utf8, regular

from sidecar.decode.python import ReferenceDecoder
from sidecar.derive.engine import DeriveEngine
from sidecar.derive.red import RedOptions
from sidecar.derive.registry import DeriveOptions
from sidecar.pipeline import Signal
from sidecar.serve.exposition import from_client, merge, render
from sidecar.telemetry import TABLE, Telemetry

pytestmark = pytest.mark.engine


def metrics() -> bytes:
    request = ExportMetricsServiceRequest()
    found = request.resource_metrics.add()
    found.resource.attributes.extend(attributes({"service.name": "shop", "service.instance.id": "1", "zone": "b"}))
    scope = found.scope_metrics.add()
    size = scope.metrics.add(name="http.server.request.body.size", unit="By", description="Size of bodies.")
    size.histogram.aggregation_temporality = 1
    size.histogram.data_points.add(count=3, sum=9, bucket_counts=[1, 2], explicit_bounds=[4], time_unix_nano=5)
    orders = scope.metrics.add(name="orders", unit="{order}", description="Orders taken.")
    orders.sum.is_monotonic, orders.sum.aggregation_temporality = True, 2
    orders.sum.data_points.add(as_int=7, time_unix_nano=5)
    load = scope.metrics.add(name="cpu.utilization", unit="1", description="Load.")
    load.gauge.data_points.add(as_double=0.5, time_unix_nano=5)
    wait = scope.metrics.add(name="wait", unit="s", description="Waiting.")
    wait.exponential_histogram.aggregation_temporality = 2
    point = wait.exponential_histogram.data_points.add(count=3, sum=9, scale=3, zero_count=1, time_unix_nano=5)
    point.positive.offset = -4
    point.positive.bucket_counts.extend([1, 1])
    return request.SerializeToString()


def exposition(openmetrics: bool) -> bytes:
    telemetry = Telemetry()
    log = FakeLog()
    for signal, payload in (("spans", regular()), ("spans", control_characters()), ("spans", not_utf8())):
        log.entries.append(FakeEntry(len(log.entries) + 1, 10**18, signal, 1, payload))
    log.entries.append(FakeEntry(len(log.entries) + 1, 10**18, cast(Signal, "metrics"), 4, metrics()))
    options = DeriveOptions(red=RedOptions(names="both"))
    engine = DeriveEngine(log.consumer(), ReferenceDecoder(), options, telemetry)
    engine.restore()
    while engine.pull():
        pass
    for metric in TABLE:
        labels = dict.fromkeys(metric.labels, "x")
        if metric.kind == "counter":
            telemetry.add(metric.name, 1, **labels)
        elif metric.kind == "histogram":
            telemetry.record(metric.name, 1, **labels)
        else:
            telemetry.watch(metric.name, lambda labels=labels: [(1, labels)])
    merged = merge([*engine.collect(), *from_client(telemetry.collect())])
    assert merged.dropped == []
    text = render(merged, openmetrics)
    return text


def check(text: bytes) -> None:
    done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, timeout=300, check=False)
    assert (done.returncode, (done.stdout + done.stderr).decode()) == (0, "")


def test_the_text_format() -> None:
    text = exposition(openmetrics=False)
    for name in (b"traces_span_metrics_calls_total{", b"traces_spanmetrics_latency_bucket{", b"wait_seconds_bucket{"):
        assert name in text
    check(text)


def test_openmetrics_is_read_by_a_strict_parser() -> None:
    families = {family.name: family for family in parse_openmetrics(exposition(openmetrics=True).decode())}
    assert families["traces_span_metrics_duration_seconds"].unit == "seconds"
    assert families["target"].type == "info"
    assert any(s.exemplar for s in families["traces_spanmetrics_latency"].samples)


def test_a_fault_is_found() -> None:
    with pytest.raises(AssertionError):
        check(b"# HELP a b\n# TYPE a counter\na 1\n")
