"""Requests that have something of everything: values of every kind, links, events, exemplars, all metric types."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue


def trace_request(start: int = 2**63 + 5) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add(schema_url="https://s")
    resource.resource.attributes.add(key="service.name").value.string_value = 'ü\u2028"\\'
    scope = resource.scope_spans.add()
    scope.scope.name = "lib"
    span = scope.spans.add(
        trace_id=b"\x01" * 16, span_id=b"\x02" * 8, parent_span_id=b"\x03" * 8, name="n", kind=3, flags=257,
        start_time_unix_nano=start, end_time_unix_nano=7, trace_state="a=b", dropped_events_count=3,
    )  # fmt: skip
    span.status.code = 2
    span.status.message = "no"
    values = {
        "i": AnyValue(int_value=-(2**63)), "b": AnyValue(bool_value=False), "d": AnyValue(double_value=float("nan")),
        "inf": AnyValue(double_value=float("-inf")), "f": AnyValue(double_value=0.1), "none": AnyValue(),
        "y": AnyValue(bytes_value=b"\xff\x00"), "e": AnyValue(string_value=""),
    }  # fmt: skip
    for key, value in values.items():
        span.attributes.add(key=key).value.CopyFrom(value)
    nested = span.attributes.add(key="nested").value
    nested.array_value.values.extend([AnyValue(int_value=1), AnyValue(string_value="x")])
    nested.array_value.values.add().kvlist_value.values.add(key="k").value.bool_value = True
    span.attributes.add(key="i").value.string_value = "twice"
    span.events.add(name="e", time_unix_nano=1).attributes.add(key="k").value.int_value = 5
    span.links.add(trace_id=b"\x05" * 16, span_id=b"\x06" * 8, flags=1)
    return request


def metrics_request() -> ExportMetricsServiceRequest:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    total = scope.metrics.add(name="t", unit="1", description="d")
    total.sum.aggregation_temporality = 2
    total.sum.is_monotonic = True
    point = total.sum.data_points.add(time_unix_nano=5, as_int=-3)
    point.exemplars.add(as_double=1.5, trace_id=b"\x01" * 16, span_id=b"\x01" * 8)
    scope.metrics.add(name="g").gauge.data_points.add(time_unix_nano=5, as_double=2.5)
    histogram = scope.metrics.add(name="h").histogram.data_points.add(
        count=3, sum=4.5, bucket_counts=[1, 2], explicit_bounds=[0.5], min=0.0, time_unix_nano=9
    )
    assert histogram.HasField("min")
    exponential = scope.metrics.add(name="e").exponential_histogram.data_points.add(scale=-2, zero_count=2, count=3)
    exponential.positive.offset = -7
    exponential.positive.bucket_counts.extend([1, 2**40])
    summary = scope.metrics.add(name="s").summary.data_points.add(count=1, sum=2)
    summary.quantile_values.add(quantile=0.5, value=1.0)
    return request


def logs_request() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    record = (
        request.resource_logs.add()
        .scope_logs.add()
        .log_records.add(
            time_unix_nano=1,
            observed_time_unix_nano=2,
            severity_number=9,
            severity_text="INFO",
            event_name="ml.prediction",
        )
    )
    record.body.kvlist_value.values.add(key="rows").value.int_value = 3
    return request
