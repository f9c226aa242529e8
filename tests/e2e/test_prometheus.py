"""A real Prometheus scrapes the sidecar, and every exemplar that it has leads to a stored trace."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult
from support.engines import promtool, run_prometheus, sidecar_process, wait_for
from support.load import make_spans, scrape

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: sidecar
    static_configs: [{{targets: ["{target}"]}}]
"""


def query(url: str, path: str, **parameters: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=60) as response:
        return json.load(response)["data"]


@pytest.mark.engine
def test_prometheus_scrapes_with_exemplars_and_promtool_is_content() -> None:
    with sidecar_process({"SIDECAR_DELIVER__STORE__ENABLED": "true"}) as sidecar:
        exporter = OTLPSpanExporter(endpoint=f"http://{sidecar.grpc_target}", insecure=True)
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(endpoint=f"http://{sidecar.grpc_target}", insecure=True), export_interval_millis=60_000
        )
        provider = MeterProvider([reader], Resource({"service.name": "shop"}), shutdown_on_exit=False)
        provider.get_meter("shop").create_counter("orders", unit="1", description="Orders taken.").add(3)
        provider.shutdown()
        config = CONFIG.format(target=sidecar.serve_url.removeprefix("http://"))
        with run_prometheus(config, ["--enable-feature=exemplar-storage"]) as prometheus:
            # The first scrape shows new series at 0, so that increase() sees the first event.
            assert exporter.export(make_spans("shop", 5)) is SpanExportResult.SUCCESS
            wait_for(lambda: _value(prometheus.url, "traces_span_metrics_calls_total") == 5, 30, "calls in Prometheus")
            assert exporter.export(make_spans("shop", 4)) is SpanExportResult.SUCCESS
            wait_for(lambda: _value(prometheus.url, "traces_span_metrics_calls_total") == 9, 30, "all calls")
            increase = _value(prometheus.url, "max_over_time(traces_span_metrics_calls_total[1m])") - _value(
                prometheus.url, "min_over_time(traces_span_metrics_calls_total[1m])"
            )
            assert increase == 9
            assert _value(prometheus.url, "orders_total") == 3
            now = time.time()
            found = query(
                prometheus.url,
                "query_exemplars",
                query="traces_span_metrics_duration_seconds_bucket",
                start=str(now - 300),
                end=str(now + 10),
            )
            ids = {e["labels"]["trace_id"] for series in found for e in series["exemplars"]}
            assert ids, "Prometheus has no exemplar"
            wait_for(lambda: all(_trace(sidecar.serve_url, i) for i in ids), 10, "the exemplars' traces to be stored")
        for accept in ("text/plain", "application/openmetrics-text;version=1.0.0"):
            text = scrape(sidecar.serve_url, accept)
            assert text
        plain = scrape(sidecar.serve_url) or ""
        lint = subprocess.run(
            [promtool(), "check", "metrics"], input=plain, text=True, capture_output=True, check=False, timeout=300
        )
        assert (lint.returncode, lint.stdout + lint.stderr) == (0, "")


def _value(url: str, expression: str) -> float:
    return sum(float(r["value"][1]) for r in query(url, "query", query=expression)["result"])


def _trace(url: str, trace_id: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/lookup/traces/{trace_id}", timeout=60) as response:
            return bool(json.load(response)["spans"])
    except urllib.error.HTTPError:
        return False
