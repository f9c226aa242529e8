"""The OTLP messages as data: field numbers, names and types.

Source: the `opentelemetry-proto` definitions (common, resource, trace, logs, metrics, collector; v1). Both directions
use these tables: reading protobuf (`message`) and writing it from OTLP/JSON (`json`). The native core has the same
numbers in `native/src/otlp/tags.rs`. Fields that nothing here needs (entity references, metadata, profiles' string
indices) are left out and skipped like any unknown field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from sidecar.decode.api import SPAN_KINDS, STATUS_CODES
from sidecar.pipeline import Signal

Kind = Literal[
    "string", "bytes", "bool", "enum", "uint32", "uint64", "int64", "sint32", "fixed32", "fixed64", "sfixed64",
    "double", "message", "any", "attributes",
]  # fmt: skip

VARINT, FIXED64, LEN, FIXED32 = 0, 1, 2, 5

WIRE_TYPES: Mapping[Kind, int] = {
    "string": LEN, "bytes": LEN, "message": LEN, "any": LEN, "attributes": LEN,
    "bool": VARINT, "enum": VARINT, "uint32": VARINT, "uint64": VARINT, "int64": VARINT, "sint32": VARINT,
    "fixed32": FIXED32, "fixed64": FIXED64, "sfixed64": FIXED64, "double": FIXED64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `of` names the message of kind `message`, or the enum (`ENUMS`) of kind `enum`."""

    number: int
    name: str
    kind: Kind
    of: str = ""
    repeated: bool = False
    oneof: str = ""

    @property
    def tag(self) -> int:
        """Key on the wire: field number and wire type."""
        return self.number << 3 | WIRE_TYPES[self.kind]

    @property
    def packed_tag(self) -> int:
        """Key of the packed form of a repeated scalar."""
        return self.number << 3 | LEN


def _one(number: int, name: str, kind: Kind, of: str = "", oneof: str = "") -> Field:
    return Field(number, name, kind, of, False, oneof)


def _many(number: int, name: str, kind: Kind, of: str = "") -> Field:
    return Field(number, name, kind, of, True)


def _attributes(number: int, name: str = "attributes") -> Field:
    return Field(number, name, "attributes", "", True)


_POINT = (_one(2, "start_time_unix_nano", "fixed64"), _one(3, "time_unix_nano", "fixed64"))
_NUMBER = (_one(4, "as_double", "double", oneof="value"), _one(6, "as_int", "sfixed64", oneof="value"))

MESSAGES: Mapping[str, tuple[Field, ...]] = {
    # Values
    "AnyValue": (
        _one(1, "string_value", "string", oneof="value"),
        _one(2, "bool_value", "bool", oneof="value"),
        _one(3, "int_value", "int64", oneof="value"),
        _one(4, "double_value", "double", oneof="value"),
        _one(5, "array_value", "message", "ArrayValue", oneof="value"),
        _one(6, "kvlist_value", "message", "KeyValueList", oneof="value"),
        _one(7, "bytes_value", "bytes", oneof="value"),
    ),
    "ArrayValue": (_many(1, "values", "any"),),
    "KeyValueList": (_attributes(1, "values"),),
    "KeyValue": (_one(1, "key", "string"), _one(2, "value", "any")),
    "Resource": (_attributes(1), _one(2, "dropped_attributes_count", "uint32")),
    "InstrumentationScope": (
        _one(1, "name", "string"),
        _one(2, "version", "string"),
        _attributes(3),
        _one(4, "dropped_attributes_count", "uint32"),
    ),
    # Traces
    "ExportTraceServiceRequest": (_many(1, "resource_spans", "message", "ResourceSpans"),),
    "ResourceSpans": (
        _one(1, "resource", "message", "Resource"),
        _many(2, "scope_spans", "message", "ScopeSpans"),
        _one(3, "schema_url", "string"),
    ),
    "ScopeSpans": (
        _one(1, "scope", "message", "InstrumentationScope"),
        _many(2, "spans", "message", "Span"),
        _one(3, "schema_url", "string"),
    ),
    "Span": (
        _one(1, "trace_id", "bytes"),
        _one(2, "span_id", "bytes"),
        _one(3, "trace_state", "string"),
        _one(4, "parent_span_id", "bytes"),
        _one(5, "name", "string"),
        _one(6, "kind", "enum", "SpanKind"),
        _one(7, "start_time_unix_nano", "fixed64"),
        _one(8, "end_time_unix_nano", "fixed64"),
        _attributes(9),
        _one(10, "dropped_attributes_count", "uint32"),
        _many(11, "events", "message", "Event"),
        _one(12, "dropped_events_count", "uint32"),
        _many(13, "links", "message", "Link"),
        _one(14, "dropped_links_count", "uint32"),
        _one(15, "status", "message", "Status"),
        _one(16, "flags", "fixed32"),
    ),
    "Event": (
        _one(1, "time_unix_nano", "fixed64"),
        _one(2, "name", "string"),
        _attributes(3),
        _one(4, "dropped_attributes_count", "uint32"),
    ),
    "Link": (
        _one(1, "trace_id", "bytes"),
        _one(2, "span_id", "bytes"),
        _one(3, "trace_state", "string"),
        _attributes(4),
        _one(5, "dropped_attributes_count", "uint32"),
        _one(6, "flags", "fixed32"),
    ),
    "Status": (_one(2, "message", "string"), _one(3, "code", "enum", "StatusCode")),
    # Logs
    "ExportLogsServiceRequest": (_many(1, "resource_logs", "message", "ResourceLogs"),),
    "ResourceLogs": (
        _one(1, "resource", "message", "Resource"),
        _many(2, "scope_logs", "message", "ScopeLogs"),
        _one(3, "schema_url", "string"),
    ),
    "ScopeLogs": (
        _one(1, "scope", "message", "InstrumentationScope"),
        _many(2, "log_records", "message", "LogRecord"),
        _one(3, "schema_url", "string"),
    ),
    "LogRecord": (
        _one(1, "time_unix_nano", "fixed64"),
        _one(2, "severity_number", "enum", "SeverityNumber"),
        _one(3, "severity_text", "string"),
        _one(5, "body", "any"),
        _attributes(6),
        _one(7, "dropped_attributes_count", "uint32"),
        _one(8, "flags", "fixed32"),
        _one(9, "trace_id", "bytes"),
        _one(10, "span_id", "bytes"),
        _one(11, "observed_time_unix_nano", "fixed64"),
        _one(12, "event_name", "string"),
    ),
    # Metrics
    "ExportMetricsServiceRequest": (_many(1, "resource_metrics", "message", "ResourceMetrics"),),
    "ResourceMetrics": (
        _one(1, "resource", "message", "Resource"),
        _many(2, "scope_metrics", "message", "ScopeMetrics"),
        _one(3, "schema_url", "string"),
    ),
    "ScopeMetrics": (
        _one(1, "scope", "message", "InstrumentationScope"),
        _many(2, "metrics", "message", "Metric"),
        _one(3, "schema_url", "string"),
    ),
    "Metric": (
        _one(1, "name", "string"),
        _one(2, "description", "string"),
        _one(3, "unit", "string"),
        _one(5, "gauge", "message", "Gauge", oneof="data"),
        _one(7, "sum", "message", "Sum", oneof="data"),
        _one(9, "histogram", "message", "Histogram", oneof="data"),
        _one(10, "exponential_histogram", "message", "ExponentialHistogram", oneof="data"),
        _one(11, "summary", "message", "Summary", oneof="data"),
    ),
    "Gauge": (_many(1, "data_points", "message", "NumberDataPoint"),),
    "Sum": (
        _many(1, "data_points", "message", "NumberDataPoint"),
        _one(2, "aggregation_temporality", "enum", "AggregationTemporality"),
        _one(3, "is_monotonic", "bool"),
    ),
    "Histogram": (
        _many(1, "data_points", "message", "HistogramDataPoint"),
        _one(2, "aggregation_temporality", "enum", "AggregationTemporality"),
    ),
    "ExponentialHistogram": (
        _many(1, "data_points", "message", "ExponentialHistogramDataPoint"),
        _one(2, "aggregation_temporality", "enum", "AggregationTemporality"),
    ),
    "Summary": (_many(1, "data_points", "message", "SummaryDataPoint"),),
    "NumberDataPoint": (
        *_POINT,
        *_NUMBER,
        _many(5, "exemplars", "message", "Exemplar"),
        _attributes(7),
        _one(8, "flags", "uint32"),
    ),
    "HistogramDataPoint": (
        *_POINT,
        _one(4, "count", "fixed64"),
        _one(5, "sum", "double"),
        _many(6, "bucket_counts", "fixed64"),
        _many(7, "explicit_bounds", "double"),
        _many(8, "exemplars", "message", "Exemplar"),
        _attributes(9),
        _one(10, "flags", "uint32"),
        _one(11, "min", "double"),
        _one(12, "max", "double"),
    ),
    "ExponentialHistogramDataPoint": (
        _attributes(1),
        *_POINT,
        _one(4, "count", "fixed64"),
        _one(5, "sum", "double"),
        _one(6, "scale", "sint32"),
        _one(7, "zero_count", "fixed64"),
        _one(8, "positive", "message", "Buckets"),
        _one(9, "negative", "message", "Buckets"),
        _one(10, "flags", "uint32"),
        _many(11, "exemplars", "message", "Exemplar"),
        _one(12, "min", "double"),
        _one(13, "max", "double"),
        _one(14, "zero_threshold", "double"),
    ),
    "Buckets": (_one(1, "offset", "sint32"), _many(2, "bucket_counts", "uint64")),
    "SummaryDataPoint": (
        *_POINT,
        _one(4, "count", "fixed64"),
        _one(5, "sum", "double"),
        _many(6, "quantile_values", "message", "ValueAtQuantile"),
        _attributes(7),
        _one(8, "flags", "uint32"),
    ),
    "ValueAtQuantile": (_one(1, "quantile", "double"), _one(2, "value", "double")),
    "Exemplar": (
        _one(2, "time_unix_nano", "fixed64"),
        _one(3, "as_double", "double", oneof="value"),
        _one(4, "span_id", "bytes"),
        _one(5, "trace_id", "bytes"),
        _one(6, "as_int", "sfixed64", oneof="value"),
        _attributes(7, "filtered_attributes"),
    ),
}

_SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")

#: Index = enum value. A value outside counts as 0.
ENUMS: Mapping[str, tuple[str, ...]] = {
    "SpanKind": SPAN_KINDS,
    "StatusCode": STATUS_CODES,
    "SeverityNumber": (
        "SEVERITY_NUMBER_UNSPECIFIED",
        *(f"SEVERITY_NUMBER_{name}{step or ''}" for name in _SEVERITIES for step in ("", 2, 3, 4)),
    ),
    "AggregationTemporality": (
        "AGGREGATION_TEMPORALITY_UNSPECIFIED",
        "AGGREGATION_TEMPORALITY_DELTA",
        "AGGREGATION_TEMPORALITY_CUMULATIVE",
    ),
}

#: Signal -> message of a whole request.
REQUESTS: Mapping[Signal, str] = {
    "spans": "ExportTraceServiceRequest",
    "logs": "ExportLogsServiceRequest",
    "metrics": "ExportMetricsServiceRequest",
}

#: Kinds of repeated fields that may be packed: many in one length-delimited field.
PACKED = frozenset({"uint64", "fixed64", "double"})


@cache
def by_tag(message: str) -> Mapping[int, Field]:
    """The fields of a message by their keys on the wire, those of the packed form included."""
    tags = {field.tag: field for field in MESSAGES[message]}
    tags.update({field.packed_tag: field for field in MESSAGES[message] if field.repeated and field.kind in PACKED})
    return tags


def field_named(message: str, name: str) -> Field:
    """Raises KeyError for a message or a field that there is not."""
    found = next((field for field in MESSAGES[message] if field.name == name), None)
    if found is None:
        raise KeyError(f"{message}.{name}")
    return found


def tag(message: str, name: str) -> int:
    """Key on the wire of a field."""
    return field_named(message, name).tag


@cache
def json_name(name: str) -> str:
    """A field's name in JSON: lowerCamelCase."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)
