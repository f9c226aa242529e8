"""The Python SDK's own exporters, over gRPC and HTTP: traces, logs and metrics."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
from opentelemetry.sdk.trace.export import SpanExportResult
from support.clients import Ingest, ingest
from support.load import make_logs, make_spans

Exporter = Callable[[Ingest, str], Any]


def _over_grpc(kind: Any, compression: grpc.Compression) -> Exporter:
    return lambda at, _, **more: kind(endpoint=at.grpc, insecure=True, compression=compression, timeout=60, **more)


def _over_http(kind: Any, compression: Compression) -> Exporter:
    return lambda at, path, **more: kind(endpoint=at.http + path, compression=compression, timeout=60, **more)


GRPC = (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate)
HTTP = tuple(Compression)


def _ways(over_grpc: Any, over_http: Any) -> Any:
    ways = [pytest.param(_over_grpc(over_grpc, c), id=f"grpc-{c.name}") for c in GRPC]
    ways += [pytest.param(_over_http(over_http, c), id=f"http-{c.name}") for c in HTTP]
    return pytest.mark.parametrize("exporter", ways)


@_ways(GrpcSpans, HttpSpans)
def test_traces(exporter: Exporter) -> None:
    spans = make_spans("py-client", 20)
    with ingest() as at:
        client = exporter(at, "/v1/traces")
        assert client.export(spans) is SpanExportResult.SUCCESS
        assert client.export(spans) is SpanExportResult.SUCCESS, "a resend is acknowledged too"
        client.shutdown()
        kept = at.spans()
    assert [k.service for k in kept] == ["py-client"] * 20
    assert [k.record.span_id for k in kept] == [s.context.span_id.to_bytes(8, "big") for s in spans]
    assert all([e.name for e in k.record.events] == ["scored"] for k in kept)


@_ways(GrpcLogs, HttpLogs)
def test_logs(exporter: Exporter) -> None:
    with ingest() as at:
        client = exporter(at, "/v1/logs")
        assert client.export(make_logs("py-client", 0, 20)) is LogRecordExportResult.SUCCESS
        client.shutdown()
        kept = at.logs()
    assert [k.record.body.string_value for k in kept] == [f"scored {n}" for n in range(20)]


@_ways(GrpcMetrics, HttpMetrics)
def test_metrics(exporter: Exporter) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    meter = provider.get_meter("client")
    meter.create_counter("requests").add(3, {"route": "/predict"})
    meter.create_histogram("latency", unit="s").record(0.25)
    data = reader.get_metrics_data()
    assert data is not None
    with ingest() as at:
        client = exporter(at, "/v1/metrics")
        assert client.export(data) is MetricExportResult.SUCCESS
        client.shutdown()
        kept = {k.record.name: k.record for k in at.metrics()}
    provider.shutdown()
    assert kept["requests"].sum.data_points[0].as_int == 3
    assert kept["latency"].histogram.data_points[0].count == 1


def test_token_over_both() -> None:
    spans = make_spans("py-client", 1)
    with ingest(token="s3cret") as at:
        for header, result in (("s3cret", SpanExportResult.SUCCESS), ("wrong", SpanExportResult.FAILURE)):
            headers = {"authorization": f"Bearer {header}"}
            for client in (
                GrpcSpans(endpoint=at.grpc, insecure=True, headers=headers, timeout=60),
                HttpSpans(endpoint=at.http + "/v1/traces", headers=headers, timeout=60),
            ):
                assert client.export(spans) is result
                client.shutdown()
        assert at.outcomes() == {"accepted", "unauthenticated"}
