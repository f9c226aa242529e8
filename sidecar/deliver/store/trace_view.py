"""A trace as it is shown: put together from document lines. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sidecar.decode.api import UNKNOWN_SERVICE, Lines


@dataclass(frozen=True, slots=True)
class TraceView:
    """One trace. Spans and logs are ready for JSON (see `serve.traces` for the shape), ordered by time."""

    trace_id: str
    spans: list[dict[str, Any]]
    logs: list[dict[str, Any]]
    truncated: bool
    """There was more than the limit."""

    def as_json(self) -> dict[str, Any]:
        """The answer of the look-up API."""
        summary: dict[str, Any] = {"traceId": self.trace_id, "rootName": None, "rootService": None}
        if self.spans:
            ids = {s["spanId"] for s in self.spans}
            root = next((s for s in self.spans if s["parentSpanId"] not in ids), self.spans[0])
            start = min(int(s["startTimeUnixNano"]) for s in self.spans)
            end = max(int(s["endTimeUnixNano"]) for s in self.spans)
            summary |= {
                "rootName": root["name"],
                "rootService": root["service"],
                "startTimeUnixNano": str(start),
                "durationNano": end - start,
            }
        error = any(s["status"]["code"] == "Error" for s in self.spans)
        return {**summary, "error": error, "spans": self.spans, "logs": self.logs, "truncated": self.truncated}


@dataclass(slots=True)
class Recent:
    """One line of the listing; what the blocks read so far tell of a trace."""

    trace_id: str
    name: str
    service: str
    start_ns: int
    end_ns: int
    root: bool
    """Its root span was among them; else name and service are those of the earliest span."""
    error: bool = False
    spans: int = 0
    services: set[str] = field(default_factory=set)

    def as_json(self) -> dict[str, Any]:
        """One line of the answer of the listing API."""
        return {
            "traceId": self.trace_id,
            "rootName": self.name,
            "rootService": self.service,
            "startTimeUnixNano": str(self.start_ns),
            "durationNano": self.end_ns - self.start_ns,
            "error": self.error,
            "spanCount": self.spans,
            "services": sorted(self.services),
        }


class TraceBuilder:
    """Gathers one trace from lines; a span (id and kind) or log record seen twice is taken once."""

    def __init__(self, trace_id: str, limit: int) -> None:
        self._trace_id, self._limit = trace_id, limit
        self._spans: dict[str, dict[str, Any]] = {}
        self._logs: dict[str, dict[str, Any]] = {}
        self._events: dict[str, dict[int, dict[str, Any]]] = {}
        self._truncated = False

    @property
    def full(self) -> bool:
        """Nothing more is taken."""
        return len(self._spans) >= self._limit and len(self._logs) >= self._limit

    def add(self, lines: Lines) -> None:
        """Take what belongs to the trace from the lines of one block."""
        for doc_id, document, event in _documents(lines, self._trace_id.encode()):
            if document.get("trace_id") != self._trace_id:
                continue
            if event:
                # The id of an event is that of its span, `e`, and its ordinal in the span.
                span_id, _, ordinal = doc_id.rpartition("e")
                self._events.setdefault(span_id, {})[int(ordinal)] = _event(document)
            elif "duration" in document:
                self._take(self._spans, doc_id, document)
            else:
                self._take(self._logs, doc_id, document)

    def view(self) -> TraceView | None:
        """The trace, or None if there is nothing of it."""
        if not self._spans and not self._logs:
            return None
        spans = []
        for doc_id, document in self._spans.items():
            events = self._events.get(doc_id, {})
            spans.append(_span(document, [events[n] for n in sorted(events)]))
        spans.sort(key=lambda s: (int(s["startTimeUnixNano"]), s["spanId"]))
        logs = sorted((_log(d) for d in self._logs.values()), key=lambda r: int(r["timeUnixNano"]))
        return TraceView(self._trace_id, spans, logs, self._truncated)

    def _take(self, kept: dict[str, dict[str, Any]], doc_id: str, document: dict[str, Any]) -> None:
        if doc_id in kept:
            return
        if len(kept) < self._limit:
            kept[doc_id] = document
        else:
            self._truncated = True


def summarise(lines: Lines, found: dict[str, Recent]) -> None:
    """Add what the spans among `lines` tell to the traces `found` so far."""
    for _, document, event in _documents(lines, b'"trace_id"'):
        if event or "duration" not in document:
            continue
        start = unix_nano(document["@timestamp"])
        end = start + document["duration"]
        name, service = document.get("name", ""), _service(document)
        root = "parent_span_id" not in document
        trace = found.setdefault(
            document["trace_id"], Recent(document["trace_id"], name, service, start, end, root, services=set())
        )
        if (root and not trace.root) or (root == trace.root and start < trace.start_ns):
            trace.name, trace.service, trace.root = name, service, root
        trace.start_ns, trace.end_ns = min(trace.start_ns, start), max(trace.end_ns, end)
        trace.error |= document["status"].get("code") == "Error"
        trace.spans += 1
        trace.services.add(service)


def unix_nano(timestamp: str) -> int:
    """Nanoseconds of a document's time: milliseconds, point, the six digits below."""
    milliseconds, _, below = timestamp.partition(".")
    return int(milliseconds) * 1_000_000 + int(below.ljust(6, "0")[:6] or 0)


def _documents(lines: Lines, marker: bytes) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(id, source, is a span event) of the documents whose line pair contains `marker`; the others are not parsed."""
    position = lines.body.find(marker)
    while position >= 0:
        row = int(np.searchsorted(lines.ends, position, side="right"))
        begin, end = int(lines.ends[row - 1]) if row else 0, int(lines.ends[row])
        action, _, source = lines.body[begin:end].partition(b"\n")
        yield json.loads(action)["create"]["_id"], json.loads(source), bool(lines.event[row])
        position = lines.body.find(marker, end)


def _service(document: dict[str, Any]) -> str:
    return str(document.get("resource", {}).get("attributes", {}).get("service.name") or UNKNOWN_SERVICE)


def _origin(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "service": _service(document),
        "attributes": document.get("attributes", {}),
        "resource": document.get("resource", {}).get("attributes", {}),
        "scope": {"name": "", "version": "", "attributes": {}} | document.get("scope", {}),
    }


def _span(document: dict[str, Any], events: list[dict[str, Any]]) -> dict[str, Any]:
    start = unix_nano(document["@timestamp"])
    return {
        "spanId": document["span_id"],
        "parentSpanId": document.get("parent_span_id"),
        "traceState": document.get("trace_state", ""),
        "name": document.get("name", ""),
        "kind": document["kind"],
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + document["duration"]),
        "durationNano": document["duration"],
        "status": {"message": "", "code": "Unset"} | document.get("status", {}),
        "events": events,
        "links": [
            {"traceId": n.get("trace_id"), "spanId": n.get("span_id"), "attributes": n.get("attributes", {})}
            for n in document.get("links", ())
        ],
        **_origin(document),
    }


def _event(document: dict[str, Any]) -> dict[str, Any]:
    name = document.get("event_name", "")
    attributes = document.get("attributes", {})
    return {
        "name": name,
        "timeUnixNano": str(unix_nano(document["@timestamp"])),
        # The documents repeat the name as an attribute.
        "attributes": {k: v for k, v in attributes.items() if not (k == "event.name" and v == name)},
    }


def _log(document: dict[str, Any]) -> dict[str, Any]:
    body = document.get("body", {})
    observed = document.get("observed_timestamp")
    return {
        "timeUnixNano": str(unix_nano(document["@timestamp"])),
        "observedTimeUnixNano": None if observed is None else str(unix_nano(observed)),
        "severityText": document.get("severity_text", ""),
        "severityNumber": document.get("severity_number", 0),
        "spanId": document.get("span_id"),
        "eventName": document.get("event_name", ""),
        "body": body.get("text", body.get("structured")),
        **_origin(document),
    }
