"""Which members of a JSON log line mean what. Data only; the order within a list is the order of preference.

A name with a dot also stands for a member of an object, where the object's name is in OBJECTS: `{"log": {"level": …}}`
is read like `{"log.level": …}`.
"""

from __future__ import annotations

from typing import Literal

VERSION = 1

OBJECTS = frozenset({"log", "trace", "span", "service", "error", "err", "dd", "fields"})

BODY = (
    "message", "msg", "event", "log", "text", "@m", "@mt", "fields.message", "short_message", "MESSAGE",
)  # fmt: skip

TIME = ("timestamp", "ts", "time", "@timestamp", "asctime", "datetime", "@t", "timeMillis")

Levels = Literal["javascript", "python", "otlp"]
"""What a number means there; names are understood everywhere."""

LEVEL: tuple[tuple[str, Levels], ...] = (
    ("level", "javascript"),
    ("severity", "javascript"),
    ("levelname", "python"),
    ("log.level", "javascript"),
    ("loglevel", "javascript"),
    ("log_level", "javascript"),
    ("lvl", "javascript"),
    ("severity_text", "otlp"),
    ("severityText", "otlp"),
    ("SeverityText", "otlp"),
    ("@l", "javascript"),
    ("severity_number", "otlp"),
    ("severityNumber", "otlp"),
    ("SeverityNumber", "otlp"),
    ("levelno", "python"),
    ("level_number", "python"),
    ("priority", "javascript"),
    ("PRIORITY", "javascript"),
)

TRACE_ID = ("trace_id", "trace.id", "traceId", "otelTraceID", "TraceId", "traceID", "dd.trace_id")
SPAN_ID = ("span_id", "span.id", "spanId", "otelSpanID", "SpanId", "spanID", "dd.span_id")
#: Names whose ids are 64-bit decimal numbers; 128-bit ones are hex there too.
DECIMAL_IDS = frozenset({"dd.trace_id", "dd.span_id"})
TRACEPARENT = "traceparent"

SERVICE = ("service", "service.name", "service_name", "otelServiceName", "serviceName", "dd.service")

EXCEPTION_TYPE = ("exception.type", "error.type", "err.type", "error.kind", "exc_type")
EXCEPTION_MESSAGE = ("exception.message", "error.message", "err.message", "exc_message")
STACKTRACE = (
    "exception.stacktrace", "error.stack_trace", "error.stack", "err.stack", "exception", "exc_info", "exc_text",
    "stack", "stacktrace", "stack_trace", "traceback", "@x",
)  # fmt: skip
#: Members of structlog's list of dicts (`dict_tracebacks`), outermost exception first.
STRUCTURED_EXCEPTION = "exception"
STRUCTURED_TYPE, STRUCTURED_MESSAGE = "exc_type", "exc_value"
#: Where that list is kept, out of the way of `exception.type`.
STRUCTURED_KEPT = "exception.stacks"

UNPARSED = "log.unparsed"
TRUNCATED = "log.truncated"
