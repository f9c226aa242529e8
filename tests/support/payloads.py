"""OTLP payloads for tests, made with the official protobuf classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

#: 2023-11-14T22:13:20.000000123Z
T0 = 1_700_000_000_000_000_123
TRACE_ID = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
SPAN_ID = bytes.fromhex("b7ad6b7169203331")

Attributes = Mapping[str, Any] | Iterable[tuple[str, Any]]


def any_value(value: Any) -> AnyValue:
    """A Python value as AnyValue; None is one without a value, a dict is a map, another iterable an array."""
    match value:
        case AnyValue():
            return value
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case dict():
            result = AnyValue()
            result.kvlist_value.SetInParent()
            result.kvlist_value.values.extend(key_values(value))
            return result
        case _:
            result = AnyValue()
            result.array_value.SetInParent()
            result.array_value.values.extend(any_value(element) for element in value)
            return result


def key_values(attributes: Attributes) -> list[KeyValue]:
    """Attributes from a dict, or from pairs where a key is to stand twice."""
    pairs = attributes.items() if isinstance(attributes, Mapping) else attributes
    return [KeyValue(key=key, value=any_value(value)) for key, value in pairs]


def nested(depth: int) -> AnyValue:
    """An AnyValue that nests `depth` deep: arrays around a string."""
    value = any_value("x")
    for _ in range(depth - 1):
        value = any_value([value])
    return value


def span(
    name: str = "GET /predict",
    *,
    trace_id: bytes = TRACE_ID,
    span_id: bytes = SPAN_ID,
    parent: bytes = b"",
    kind: int = Span.SPAN_KIND_SERVER,
    start: int = T0,
    duration: int = 5_000_000,
    status: int = 0,
    message: str = "",
    attributes: Attributes = (),
    events: Iterable[Span.Event] = (),
    links: Iterable[Span.Link] = (),
    **fields: Any,
) -> Span:
    """A span that ends `duration` ns after its start. `fields` are further protobuf fields."""
    return Span(
        name=name,
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent,
        kind=kind,
        start_time_unix_nano=start,
        end_time_unix_nano=start + duration,
        status=Status(code=status, message=message) if status or message else None,
        attributes=key_values(attributes),
        events=events,
        links=links,
        **fields,
    )


def event(name: str = "exception", time: int = T0 + 1, attributes: Attributes = (), **fields: Any) -> Span.Event:
    return Span.Event(name=name, time_unix_nano=time, attributes=key_values(attributes), **fields)


def link(trace_id: bytes = TRACE_ID, span_id: bytes = SPAN_ID, attributes: Attributes = (), **fields: Any) -> Span.Link:
    return Span.Link(trace_id=trace_id, span_id=span_id, attributes=key_values(attributes), **fields)


def log(
    body: Any = "hello",
    *,
    time: int = T0,
    observed: int = 0,
    severity: int = 9,
    text: str = "INFO",
    trace_id: bytes = b"",
    span_id: bytes = b"",
    attributes: Attributes = (),
    **fields: Any,
) -> LogRecord:
    return LogRecord(
        body=any_value(body) if body is not None else None,
        time_unix_nano=time,
        observed_time_unix_nano=observed,
        severity_number=severity,
        severity_text=text,
        trace_id=trace_id,
        span_id=span_id,
        attributes=key_values(attributes),
        **fields,
    )


def resource(service: Any = "svc", attributes: Attributes = ()) -> Resource:
    """A resource with that service name (None: without one)."""
    names = {} if service is None else {"service.name": service}
    return Resource(attributes=[*key_values(names), *key_values(attributes)])


def scope(name: str = "lib", version: str = "1", attributes: Attributes = ()) -> InstrumentationScope:
    return InstrumentationScope(name=name, version=version, attributes=key_values(attributes))


def resource_spans(*spans: Span, of: Resource | None = None, by: InstrumentationScope | None = None) -> ResourceSpans:
    return ResourceSpans(resource=of or resource(), scope_spans=[ScopeSpans(scope=by or scope(), spans=spans)])


def resource_logs(*logs: LogRecord, of: Resource | None = None, by: InstrumentationScope | None = None) -> ResourceLogs:
    return ResourceLogs(resource=of or resource(), scope_logs=[ScopeLogs(scope=by or scope(), log_records=logs)])


def trace_payload(*spans: Span | ResourceSpans, of: Resource | None = None) -> bytes:
    """An ExportTraceServiceRequest. Plain spans share one resource, behind the ResourceSpans if there are any."""
    grouped = [one for one in spans if isinstance(one, ResourceSpans)]
    plain = [one for one in spans if isinstance(one, Span)]
    if plain:
        grouped.append(resource_spans(*plain, of=of))
    return ExportTraceServiceRequest(resource_spans=grouped).SerializeToString()


def logs_payload(*logs: LogRecord, of: Resource | None = None, by: InstrumentationScope | None = None) -> bytes:
    """An ExportLogsServiceRequest of one resource and scope."""
    return ExportLogsServiceRequest(resource_logs=[resource_logs(*logs, of=of, by=by)]).SerializeToString()


def number(
    value: float | None, attributes: Attributes = (), *, time: int = T0, start: int = 0, **fields: Any
) -> NumberDataPoint:
    """A gauge's or sum's point, an int or a double by the value's type."""
    values: dict[str, Any] = {}
    if value is not None:
        values = {"as_int" if isinstance(value, int) else "as_double": value}
    return NumberDataPoint(
        attributes=key_values(attributes), time_unix_nano=time, start_time_unix_nano=start, **values, **fields
    )


def gauge(name: str, *points: NumberDataPoint, unit: str = "", description: str = "") -> Metric:
    return Metric(name=name, unit=unit, description=description, gauge=Gauge(data_points=points))


def counter(
    name: str, *points: NumberDataPoint, unit: str = "", monotonic: bool = True, temporality: int = 2
) -> Metric:
    """A sum; temporality 1 delta, 2 cumulative."""
    data = Sum(data_points=points, is_monotonic=monotonic, aggregation_temporality=temporality)
    return Metric(name=name, unit=unit, sum=data)


def histogram(
    name: str,
    bounds: Iterable[float],
    counts: Iterable[int],
    total: float,
    *,
    attributes: Attributes = (),
    temporality: int = 2,
    unit: str = "",
    time: int = T0,
    **fields: Any,
) -> Metric:
    """A histogram of one point."""
    counts = list(counts)
    point = HistogramDataPoint(
        attributes=key_values(attributes),
        time_unix_nano=time,
        count=sum(counts),
        sum=total,
        explicit_bounds=bounds,
        bucket_counts=counts,
        **fields,
    )
    return Metric(name=name, unit=unit, histogram=Histogram(data_points=[point], aggregation_temporality=temporality))


def metrics_payload(*metrics: Metric, of: Resource | None = None, by: InstrumentationScope | None = None) -> bytes:
    """An ExportMetricsServiceRequest of one resource and scope."""
    scoped = ScopeMetrics(scope=by or scope(), metrics=metrics)
    return ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(resource=of or resource(), scope_metrics=[scoped])]
    ).SerializeToString()
