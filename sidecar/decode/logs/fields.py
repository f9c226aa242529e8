"""Which members of a JSON log line mean what. Data only; the order within a list is the order of preference.

A name with a dot also stands for a member of an object, where the object's name is in OBJECTS: `{"log": {"level": …}}`
is read like `{"log.level": …}`.
"""

from __future__ import annotations

from typing import Literal

OBJECTS = frozenset({
    "log", "trace", "span", "service", "error", "err", "dd", "fields", "mdc", "contextMap", "throwable",
    "thrown", "exception", "_exception",
    "record", "record.level", "record.time", "record.exception", "record.extra",
})  # fmt: skip

BODY = (
    "message", "msg", "event", "log", "record.message", "text", "@m", "@mt", "fields.message", "short_message",
    "MESSAGE", "Body", "body",
    "message_type",
)  # fmt: skip

TIME = (
    "timestamp",
    "ts",
    "time",
    "@timestamp",
    "asctime",
    "datetime",
    "@t",
    "timeMillis",
    "record.time.timestamp",
    "Timestamp",
    "instant",
    "written_at",
)

TIME_PAIR = ("timestampSeconds", "timestampNanos")
"""Google's loggers: seconds and nanoseconds in members of their own. Read where no other member has a time."""

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
    ("record.level.name", "python"),
    ("priority", "javascript"),
    ("PRIORITY", "javascript"),
)

TRACE_ID = (
    "trace_id", "trace.id", "traceId", "otelTraceID", "TraceId", "traceID", "dd.trace_id", "mdc.trace_id",
    "mdc.traceId", "contextMap.trace_id", "contextMap.traceId", "record.extra.trace_id", "record.extra.otelTraceID",
    "logging.googleapis.com/trace",
    "span.trace_id", "_trace_id",
)  # fmt: skip
SPAN_ID = (
    "span_id", "span.id", "spanId", "otelSpanID", "SpanId", "spanID", "dd.span_id", "mdc.span_id", "mdc.spanId",
    "contextMap.span_id", "contextMap.spanId", "record.extra.span_id", "record.extra.otelSpanID",
    "logging.googleapis.com/spanId",
    "span.span_id", "_span_id",
)  # fmt: skip
#: Its value is `projects/PROJECT/traces/ID`.
GOOGLE_TRACE = "logging.googleapis.com/trace"
#: Names whose ids are 64-bit decimal numbers; 128-bit ones are hex there too.
DECIMAL_IDS = frozenset({"dd.trace_id", "dd.span_id"})
TRACEPARENT = "traceparent"

SERVICE = ("service", "service.name", "service_name", "otelServiceName", "serviceName", "dd.service")

EXCEPTION_TYPE = (
    "exception.type", "error.type", "err.type", "error.kind", "exc_type", "throwable.className",
    "record.exception.type",
    "thrown.name", "exception.exception_class", "_exception.class",
)  # fmt: skip
EXCEPTION_MESSAGE = (
    "exception.message", "error.message", "err.message", "exc_message", "throwable.message", "record.exception.value",
    "thrown.message", "exception.exception_message", "_exception.message",
    "error", "err",
)  # fmt: skip
STACKTRACE = (
    "exception.stacktrace", "error.stack_trace", "error.stack", "err.stack", "exception", "exc_info", "exc_text",
    "stack", "stacktrace", "stack_trace", "traceback", "@x",
    "_exception.stackTrace", "full_message",
)  # fmt: skip
#: Those of them whose text is a stack trace even if it is not of a form that is known.
SURE_STACKTRACE = ("exception.stacktrace", "error.stack_trace", "error.stack", "err.stack", "stacktrace", "stack_trace")
#: Members of structlog's list of dicts (`dict_tracebacks`), outermost exception first.
STRUCTURED_EXCEPTION = "exception"
STRUCTURED_TYPE, STRUCTURED_MESSAGE = "exc_type", "exc_value"
#: Where that list is kept, out of the way of `exception.type`.
STRUCTURED_KEPT = "exception.stacks"

UNPARSED = "log.unparsed"
TRUNCATED = "log.truncated"
