"""Names, labels and values of OTLP metrics against those of the Collector's Prometheus exporter."""

from __future__ import annotations

import urllib.request
from typing import Any
from urllib.request import Request

import numpy as np
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from support.engines.peer import run_collector
from support.engines.ports import free_port
from support.engines.processes import http_get, wait_for
from support.red_cases import attributes

from sidecar.decode.otlp.metrics import metric_batch
from sidecar.derive.otlp_metrics.deriver import OtlpMetricsDeriver
from sidecar.derive.series import Arrival
from sidecar.derive.target_info import Targets
from sidecar.serve.exposition import render

pytestmark = pytest.mark.engine

CONFIG = """
extensions:
  health_check: {{endpoint: 127.0.0.1:{health}}}
receivers:
  otlp: {{protocols: {{http: {{endpoint: 127.0.0.1:{ingest}}}}}}}
exporters:
  prometheus: {{endpoint: 127.0.0.1:{metrics}}}
service:
  extensions: [health_check]
  telemetry: {{logs: {{level: warn}}, metrics: {{level: none}}}}
  pipelines:
    metrics: {{receivers: [otlp], exporters: [prometheus]}}
"""
NOW = 1_700_000_000 * 10**9
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def request() -> bytes:
    """Every kind of metric, with units of many sorts and attributes of many names."""
    export = ExportMetricsServiceRequest()
    resource = export.resource_metrics.add()
    given = {"service.name": "shop", "service.namespace": "eu", "service.instance.id": "1", "zone.name": "b"}
    resource.resource.attributes.extend(attributes(given))
    scope = resource.scope_metrics.add()
    scope.scope.name, scope.scope.version = "meter", "2"
    time: dict[str, Any] = {"start_time_unix_nano": NOW, "time_unix_nano": NOW + 10**9}
    for name, unit in (("up.ratio", "1"), ("heap.used", "By"), ("temp", "Cel"), ("speed", "By/s"), ("cpu..x", "%")):
        gauge = scope.metrics.add(name=name, unit=unit, description="d").gauge
        gauge.data_points.add(as_double=1.25, attributes=attributes({"a.b": "x", "empty": "", "n": 7}), **time)
    for name, unit in (("hits", ""), ("hits2_total", "{hit}"), ("io", "By"), ("done", "1")):
        total = scope.metrics.add(name=name, unit=unit, description="d").sum
        total.is_monotonic, total.aggregation_temporality = True, 2
        total.data_points.add(as_int=12, attributes=attributes({"k": 'q"\\', "9x": True}), **time)
    size = scope.metrics.add(name="queue.size", unit="{item}", description="d").sum
    size.aggregation_temporality = 2
    size.data_points.add(as_int=-3, **time)
    wait = scope.metrics.add(name="wait", unit="ms", description="d").histogram
    wait.aggregation_temporality = 2
    wait.data_points.add(count=6, sum=9.5, bucket_counts=[1, 2, 3], explicit_bounds=[0.5, 10], **time)
    rpc = scope.metrics.add(name="rpc", unit="s", description="d").summary.data_points.add(count=3, sum=4.5, **time)
    rpc.quantile_values.add(quantile=0.5, value=1.5)
    return export.SerializeToString()


def samples(text: str) -> Samples:
    """As a Prometheus client reads them, without empty labels and what only the Collector adds."""
    out: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {k: v for k, v in sample.labels.items() if v and k != "otel_scope_schema_url"}
            for bound in {"le", "quantile"} & labels.keys():
                labels[bound] = repr(float(labels[bound]))
            out[sample.name, tuple(sorted(labels.items()))] = sample.value
    return out


def theirs(payload: bytes) -> Samples:
    ports = {name: free_port() for name in ("health", "ingest", "metrics")}
    with run_collector(CONFIG.format(**ports), f"http://127.0.0.1:{ports['health']}/"):
        url = f"http://127.0.0.1:{ports['ingest']}/v1/metrics"
        with urllib.request.urlopen(Request(url, payload, {"Content-Type": "application/x-protobuf"}), timeout=60) as r:
            assert r.status == 200
        text = wait_for(lambda: http_get(f"http://127.0.0.1:{ports['metrics']}/metrics")[1], 20, "an exposition")
    return samples(text.decode())


def ours(payload: bytes) -> Samples:
    targets = Targets(10)
    deriver = OtlpMetricsDeriver(100, targets)
    batch = metric_batch([payload])
    deriver.apply(batch, Arrival(np.array([len(batch)]), np.array([NOW]), NOW))
    return samples(render([*deriver.collect(), targets.snapshot()], False).decode())


def test_names_labels_and_values_are_the_same() -> None:
    payload = request()
    mine, others = ours(payload), theirs(payload)
    assert sorted(mine.keys() - others.keys()) == []
    assert sorted(others.keys() - mine.keys()) == []
    assert mine == others
    assert len(mine) == 19
