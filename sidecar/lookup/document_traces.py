"""Documents, as the program delivers them and keeps them, as traces. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sidecar.decode.api import UNKNOWN_SERVICE
from sidecar.lookup.model import Event, Link, LogRecord, Scope, Span, Trace

Document = Mapping[str, Any]
CONFLICTS = "sidecar.conflicts"
"""Attribute that holds, as JSON, the fields which did not fit the mapping of an index."""


def unix_nano(timestamp: str) -> int:
    """Nanoseconds of a document's time: milliseconds, point, the six digits below."""
    milliseconds, _, below = timestamp.partition(".")
    return int(milliseconds) * 1_000_000 + int(below.ljust(6, "0")[:6] or 0)


def span_of(document: Document) -> Span:
    """The span of a document, without its events."""
    status = document.get("status", {})
    return Span(
        trace_id=document["trace_id"],
        span_id=document["span_id"],
        parent_span_id=document.get("parent_span_id", ""),
        name=document.get("name", ""),
        kind=document.get("kind", "Unspecified"),
        start_ns=unix_nano(document["@timestamp"]),
        duration_ns=int(document.get("duration", 0)),
        status=status.get("code", "Unset"),
        status_message=status.get("message", ""),
        service=_service(document),
        trace_state=document.get("trace_state", ""),
        attributes=_attributes(document),
        resource=_resource(document),
        scope=_scope(document),
        links=[
            Link(n.get("trace_id", ""), n.get("span_id", ""), n.get("trace_state", ""), n.get("attributes", {}))
            for n in document.get("links", ())
        ],
    )


def event_of(document: Document) -> Event:
    """The span event of a document."""
    name = document.get("event_name", "")
    attributes = _attributes(document)
    # The documents repeat the name as an attribute.
    kept = {k: v for k, v in attributes.items() if not (k == "event.name" and v == name)}
    return Event(name, unix_nano(document["@timestamp"]), kept)


def log_of(document: Document) -> LogRecord:
    """The log record of a document."""
    body = document.get("body", {})
    observed = document.get("observed_timestamp")
    return LogRecord(
        time_ns=unix_nano(document["@timestamp"]),
        observed_ns=None if observed is None else unix_nano(observed),
        severity_text=document.get("severity_text", ""),
        severity_number=document.get("severity_number", 0),
        trace_id=document.get("trace_id", ""),
        span_id=document.get("span_id", ""),
        event_name=document.get("event_name", ""),
        body=body.get("text", body.get("structured")) if isinstance(body, dict) else body,
        service=_service(document),
        attributes=_attributes(document),
        resource=_resource(document),
        scope=_scope(document),
    )


class TraceBuilder:
    """Gathers one trace from documents; a span (id and kind) or log record seen twice is taken once."""

    def __init__(self, trace_id: str, limit: int) -> None:
        """`limit`: of spans, and of log records."""
        self.trace_id, self._limit = trace_id, limit
        self._spans: dict[str, Span] = {}
        self._logs: dict[str, LogRecord] = {}
        self._events: dict[str, dict[int, Event]] = {}
        self._truncated = False

    @property
    def full(self) -> bool:
        """Nothing more is taken."""
        return len(self._spans) >= self._limit and len(self._logs) >= self._limit

    def add_span(self, doc_id: str, document: Document) -> None:
        """`doc_id`: the document's `_id`."""
        if doc_id in self._spans:
            return
        if len(self._spans) < self._limit:
            self._spans[doc_id] = span_of(document)
        else:
            self._truncated = True

    def add_event(self, doc_id: str, document: Document) -> None:
        """The id of an event is that of its span, `e`, and its ordinal in the span."""
        span, _, ordinal = doc_id.rpartition("e")
        self._events.setdefault(span, {})[int(ordinal)] = event_of(document)

    def add_log(self, doc_id: str, document: Document) -> None:
        """See `add_span`."""
        if doc_id in self._logs:
            return
        if len(self._logs) < self._limit:
            self._logs[doc_id] = log_of(document)
        else:
            self._truncated = True

    def truncate(self) -> None:
        """There is more that was not read."""
        self._truncated = True

    def trace(self) -> Trace | None:
        """The trace, or None if there is nothing of it."""
        if not self._spans and not self._logs:
            return None
        for doc_id, span in self._spans.items():
            events = self._events.get(doc_id, {})
            span.events = [events[n] for n in sorted(events)]
        spans = sorted(self._spans.values(), key=lambda s: (s.start_ns, s.span_id, s.kind))
        logs = sorted(self._logs.values(), key=lambda r: r.time_ns)
        return Trace(self.trace_id, spans, logs, self._truncated)


def is_event_id(doc_id: str) -> bool:
    """Whether an `_id` is that of a span event: trace id, span id, digit of the kind, `e`, ordinal."""
    return len(doc_id) > 50 and doc_id[49] == "e" and doc_id[50:].isdigit()


def joined(attributes: Any) -> dict[str, Any]:
    """The attributes of a document. Where the engine takes no arrays they are a list: an object of what is none, then
    one for each place in an array. {} of anything else."""
    if isinstance(attributes, dict):
        return attributes
    if not isinstance(attributes, list) or not all(isinstance(part, dict) for part in attributes):
        return {}
    whole: dict[str, Any] = dict(attributes[0]) if attributes else {}
    for part in attributes[1:]:
        for name, element in part.items():
            whole.setdefault(name, []).append(element)
    return whole


def _service(document: Document) -> str:
    return str(_resource(document).get("service.name") or UNKNOWN_SERVICE)


def _resource(document: Document) -> dict[str, Any]:
    return joined(document.get("resource", {}).get("attributes"))


def _scope(document: Document) -> Scope:
    scope = document.get("scope", {})
    return Scope(scope.get("name", ""), scope.get("version", ""), joined(scope.get("attributes")))


def _attributes(document: Document) -> dict[str, Any]:
    """The attributes; a value that had to be put aside for the mapping stands where it was sent."""
    found = joined(document.get("attributes"))
    if CONFLICTS not in found:
        return found
    restored = {k: v for k, v in found.items() if k != CONFLICTS}
    try:
        aside = json.loads(found[CONFLICTS])
    except (TypeError, ValueError):
        return found
    if not isinstance(aside, dict):
        return found
    for path, value in aside.items():
        if path.startswith("attributes."):
            restored[path.removeprefix("attributes.")] = value
    return restored
