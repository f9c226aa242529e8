"""The reference decoder's records equal what the official protobuf classes read from the same bytes."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support import payload_strategies as some

from sidecar.decode.otlp import records
from sidecar.decode.otlp.message import Attributes


def value_of(message: AnyValue) -> Any:
    match message.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [value_of(element) for element in message.array_value.values]
        case "kvlist_value":
            return values_of(message.kvlist_value.values)
        case "double_value" if math.isnan(message.double_value):
            return "a NaN"
        case name:
            return getattr(message, name)


def values_of(pairs: list[KeyValue]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        values.setdefault(pair.key, value_of(pair.value))
    return values


def same(value: Any) -> Any:
    """A value in which NaN equals itself."""
    match value:
        case float() if math.isnan(value):
            return "a NaN"
        case list():
            return [same(element) for element in value]
        case dict():
            return {key: same(element) for key, element in value.items()}
        case _:
            return value


def assert_attributes(found: Attributes, expected: Any) -> None:
    assert same(dict(found.values)) == values_of(expected)
    assert list(found.values) == list(values_of(expected))
    assert found.count == len(expected)


def assert_span(found: records.Span, expected: Span) -> None:
    for name in (
        "trace_id", "span_id", "trace_state", "parent_span_id", "name", "kind", "start_time_unix_nano", "flags",
        "end_time_unix_nano", "dropped_attributes_count", "dropped_events_count", "dropped_links_count",
    ):  # fmt: skip
        assert getattr(found, name) == getattr(expected, name), name
    assert (found.status.code, found.status.message) == (expected.status.code, expected.status.message)
    assert_attributes(found.attributes, expected.attributes)
    for event, of in zip(found.events, expected.events, strict=True):
        assert (event.name, event.time_unix_nano) == (of.name, of.time_unix_nano)
        assert event.dropped_attributes_count == of.dropped_attributes_count
        assert_attributes(event.attributes, of.attributes)
    for link, to in zip(found.links, expected.links, strict=True):
        assert (link.trace_id, link.span_id, link.trace_state) == (to.trace_id, to.span_id, to.trace_state)
        assert_attributes(link.attributes, to.attributes)


def assert_place(placed: records.RecordContext, outer: Any, inner: Any) -> None:
    assert_attributes(placed.resource.attributes, outer.resource.attributes)
    assert_attributes(placed.scope.attributes, inner.scope.attributes)
    assert (placed.scope.name, placed.scope.version) == (inner.scope.name, inner.scope.version)
    assert (placed.resource.schema_url, placed.scope.schema_url) == (outer.schema_url, inner.schema_url)


@settings(max_examples=100, deadline=None)
@given(some.trace_requests())
def test_spans(request: ExportTraceServiceRequest) -> None:
    found = list(records.spans(request.SerializeToString()))
    expected = [(o, i, span) for o in request.resource_spans for i in o.scope_spans for span in i.spans]
    for placed, (outer, inner, span) in zip(found, expected, strict=True):
        assert placed.rejection == ""
        assert_span(placed.record, span)
        assert_place(placed, outer, inner)


@settings(max_examples=100, deadline=None)
@given(some.logs_requests())
def test_logs(request: ExportLogsServiceRequest) -> None:
    found = list(records.log_records(request.SerializeToString()))
    expected = [(o, i, record) for o in request.resource_logs for i in o.scope_logs for record in i.log_records]
    for placed, (outer, inner, record) in zip(found, expected, strict=True):
        assert placed.rejection == ""
        assert_log(placed.record, record)
        assert_place(placed, outer, inner)


def assert_log(found: records.LogRecord, expected: LogRecord) -> None:
    for name in (
        "time_unix_nano", "observed_time_unix_nano", "severity_number", "severity_text", "trace_id", "span_id",
        "event_name", "dropped_attributes_count", "flags",
    ):  # fmt: skip
        assert getattr(found, name) == getattr(expected, name), name
    assert same(found.body) == value_of(expected.body)
    assert_attributes(found.attributes, expected.attributes)
