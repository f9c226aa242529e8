"""Real clients in; the store, real OpenSearch and real Elasticsearch, and /metrics have everything once."""

from __future__ import annotations

import collections
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult
from support.engines import (
    SearchEngine,
    SidecarProcess,
    elasticsearch9,
    opensearch,
    sidecar_process,
    telemetrygen_binary,
    wait_for,
)
from support.load import make_logs, make_spans, samples, scrape, status, total, waiting
from support.search_client import LOGS, SPANS, documents

ENGINES = [opensearch, elasticsearch9]
LINES = [{"level": "warning", "message": f"line {n}", "trace_id": f"{n + 1:032x}", "rows": n} for n in range(10)]


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES, ids=lambda e: e.__name__)
def test_everything_acknowledged_is_everywhere_once(engine: Callable[[], AbstractContextManager[SearchEngine]]) -> None:
    with engine() as node, sidecar_process({"SIDECAR_DELIVER__ELASTICSEARCH__HOSTS": node.url}) as sidecar:
        spans = _send_spans(sidecar)
        logs = _send_logs(sidecar)
        _send_metrics(sidecar)
        _generate(sidecar, "traces", 20)
        _generate(sidecar, "logs", 15)
        wait_for(lambda: waiting(sidecar.serve_url) == 0, 60, "everything to be delivered")
        scrape(sidecar.serve_url)
        values = samples(scrape(sidecar.serve_url) or "")
        ledger = status(sidecar.serve_url)["ledger"]
        foreign = total(values, "traces_span_metrics_calls_total", 'service_name="telemetrygen"')
        assert foreign == ledger["received"]["spans"] - len(spans) > 0
        assert ledger["problems"] == []
        assert total(values, "orders_total") == 3
        of_shop = len(logs) + len(LINES) + 2
        assert total(values, "log_records_total", 'service="shop"') == of_shop, "lines without a service are its, too"
        assert total(values, "log_records_total", 'severity="WARN"') == len(LINES)

        stored = collections.Counter(d["span_id"] for d in documents(node.url, SPANS, ["span_id"]))
        assert set(stored.values()) == {1}
        assert {format(s.context.span_id, "016x") for s in spans} <= set(stored)
        assert len(stored) == ledger["received"]["spans"]
        records = documents(node.url, LOGS, ["attributes", "body", "event_name", "trace_id"])
        numbers = collections.Counter(d["attributes"]["n"] for d in records if "n" in d.get("attributes", {}))
        assert numbers == collections.Counter(range(len(logs)))
        same = [d for d in records if d.get("body", {}).get("text") == "the same line"]
        assert len(same) == 2, "two identical lines at different times are two records"
        assert len(records) == ledger["received"]["logs"] + ledger["received"]["span_events"]
        by_trace = {d["trace_id"] for d in records if str(d.get("body", {}).get("text")).startswith("line ")}
        assert by_trace == {line["trace_id"] for line in LINES}
        for span in spans:
            view = _get(f"{sidecar.serve_url}/lookup/traces/{span.context.trace_id:032x}")
            assert [s["spanId"] for s in view["spans"]] == [format(span.context.span_id, "016x")]
        assert _get(f"{sidecar.serve_url}/lookup/traces/{LINES[3]['trace_id']}")["logs"][0]["body"] == "line 3"


def _send_spans(sidecar: SidecarProcess) -> list[Any]:
    sent: list[Any] = []
    for exporter in (
        GrpcSpans(endpoint=f"http://{sidecar.grpc_target}", insecure=True),
        HttpSpans(endpoint=f"{sidecar.otlp_url}/v1/traces"),
    ):
        batch = make_spans("shop", 30)
        assert exporter.export(batch) is SpanExportResult.SUCCESS
        assert exporter.export(batch) is SpanExportResult.SUCCESS, "a resend is acknowledged, and not kept again"
        sent += batch
    return sent


def _send_logs(sidecar: SidecarProcess) -> list[Any]:
    first, second = make_logs("shop", 0, 25), make_logs("shop", 25, 25)
    assert GrpcLogs(endpoint=sidecar.grpc_target, insecure=True).export(first) is LogRecordExportResult.SUCCESS
    assert HttpLogs(endpoint=f"{sidecar.otlp_url}/v1/logs").export(second) is LogRecordExportResult.SUCCESS
    lines = "".join(json.dumps(line) + "\n" for line in LINES)
    same = '{"message": "the same line", "level": "info"}\n'
    for body in (lines, same, same):
        request = urllib.request.Request(
            f"{sidecar.otlp_url}/v1/json", body.encode(), {"Content-Type": "application/x-ndjson"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.status == 200
        time.sleep(0.01)
    return [*first, *second]


def _send_metrics(sidecar: SidecarProcess) -> None:
    reader = PeriodicExportingMetricReader(
        HttpMetrics(endpoint=f"{sidecar.otlp_url}/v1/metrics"), export_interval_millis=60_000
    )
    provider = MeterProvider([reader], Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.get_meter("shop").create_counter("orders", description="Orders taken.").add(3)
    provider.shutdown()


def _generate(sidecar: SidecarProcess, kind: str, count: int) -> None:
    command = [telemetrygen_binary(), kind, "--otlp-insecure", "--otlp-endpoint", sidecar.grpc_target, "--rate", "0"]
    done = subprocess.run([*command, f"--{kind}", str(count)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as response:
        return json.load(response)
