"""Traces with their log records, in the program's own words. Pure.

`trace_view` is

    {"traceId", "rootName", "rootService", "startTimeUnixNano", "durationNano", "error", "truncated",
     "spans": [{"spanId", "parentSpanId", "traceState", "name", "kind", "service", "startTimeUnixNano",
                "endTimeUnixNano", "durationNano", "status": {"code", "message"}, "attributes", "resource",
                "scope": {"name", "version", "attributes"},
                "events": [{"name", "timeUnixNano", "attributes"}],
                "links": [{"traceId", "spanId", "traceState", "attributes"}]}],
     "logs": [{"timeUnixNano", "observedTimeUnixNano", "severityText", "severityNumber", "spanId", "eventName",
               "body", "service", "attributes", "resource", "scope"}]}

with ids in hex, times as decimal text (nanoseconds do not fit JavaScript's numbers), durations in nanoseconds, kinds as
`Server`, status codes as `Unset`, `Ok`, `Error`. `summary` is one line of a list of traces.
"""

from __future__ import annotations

from typing import Any

from sidecar.lookup.model import LogRecord, Scope, Span, Trace


def trace_view(trace: Trace) -> dict[str, Any]:
    """A whole trace."""
    return {
        **_head(trace),
        "error": trace.failed,
        "spans": [_span(span) for span in trace.spans],
        "logs": [log_view(record) for record in trace.logs],
        "truncated": trace.truncated,
    }


def summary(trace: Trace) -> dict[str, Any]:
    """One line of a list."""
    return {
        **_head(trace),
        "error": trace.failed,
        "spanCount": len(trace.spans),
        "services": sorted({span.service for span in trace.spans}),
    }


def _head(trace: Trace) -> dict[str, Any]:
    root = trace.root
    head: dict[str, Any] = {"traceId": trace.trace_id, "rootName": None, "rootService": None}
    if root is not None:
        head |= {
            "rootName": root.name,
            "rootService": root.service,
            "startTimeUnixNano": str(trace.start_ns),
            "durationNano": trace.duration_ns,
        }
    return head


def _scope(scope: Scope) -> dict[str, Any]:
    return {"name": scope.name, "version": scope.version, "attributes": scope.attributes}


def _span(span: Span) -> dict[str, Any]:
    return {
        "spanId": span.span_id,
        "parentSpanId": span.parent_span_id or None,
        "traceState": span.trace_state,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        "durationNano": span.duration_ns,
        "status": {"message": span.status_message, "code": span.status},
        "events": [
            {"name": event.name, "timeUnixNano": str(event.time_ns), "attributes": event.attributes}
            for event in span.events
        ],
        "links": [
            {
                "traceId": link.trace_id,
                "spanId": link.span_id,
                "traceState": link.trace_state,
                "attributes": link.attributes,
            }
            for link in span.links
        ],
        "service": span.service,
        "attributes": span.attributes,
        "resource": span.resource,
        "scope": _scope(span.scope),
    }


def log_view(record: LogRecord) -> dict[str, Any]:
    """One log record."""
    return {
        "timeUnixNano": str(record.time_ns),
        "observedTimeUnixNano": None if record.observed_ns is None else str(record.observed_ns),
        "severityText": record.severity_text,
        "severityNumber": record.severity_number,
        "spanId": record.span_id or None,
        "eventName": record.event_name,
        "body": record.body,
        "service": record.service,
        "attributes": record.attributes,
        "resource": record.resource,
        "scope": _scope(record.scope),
    }
