"""OTLP trace and log requests as records, and the check of each record.

A record that breaks a rule is refused alone. The rules are applied in a fixed order (ids, times, attributes, events,
links, body) and the first that fails is the one reported. A resource or scope over a limit refuses all its records and
is reported once. What is acceptable up to there is counted against MAX_EXPANDED_BYTES, in wire order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sidecar.decode.api import Check
from sidecar.decode.otlp.limits import MAX_ATTRIBUTES, MAX_DEPTH, MAX_ERRORS, MAX_EXPANDED_BYTES, MAX_TIME_NS
from sidecar.decode.otlp.message import NO_ATTRIBUTES, Attributes, Value, read
from sidecar.decode.otlp.tags import CHILDREN, HEAD, RESOURCES, SCHEMA_URL
from sidecar.decode.otlp.wire import fields, messages

TOO_LARGE = (
    f"with resource and scope written out for each record the request comes to over {MAX_EXPANDED_BYTES} bytes here;"
    " send fewer records in one, or smaller resource and scope attributes"
)


@dataclass(frozen=True, slots=True)
class Resource:
    attributes: Attributes = NO_ATTRIBUTES
    dropped_attributes_count: int = 0
    schema_url: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    name: str = ""
    version: str = ""
    attributes: Attributes = NO_ATTRIBUTES
    dropped_attributes_count: int = 0
    schema_url: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    time_unix_nano: int = 0
    name: str = ""
    attributes: Attributes = NO_ATTRIBUTES
    dropped_attributes_count: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    trace_id: bytes = b""
    span_id: bytes = b""
    trace_state: str = ""
    attributes: Attributes = NO_ATTRIBUTES
    dropped_attributes_count: int = 0
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    message: str = ""
    code: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Field names and meanings are those of the protobuf message; enums outside their range are 0."""

    trace_id: bytes = b""
    span_id: bytes = b""
    trace_state: str = ""
    parent_span_id: bytes = b""
    name: str = ""
    kind: int = 0
    start_time_unix_nano: int = 0
    end_time_unix_nano: int = 0
    attributes: Attributes = NO_ATTRIBUTES
    dropped_attributes_count: int = 0
    events: tuple[Event, ...] = ()
    dropped_events_count: int = 0
    links: tuple[Link, ...] = ()
    dropped_links_count: int = 0
    status: Status = Status()
    flags: int = 0

    @property
    def duration(self) -> int:
        """Nanoseconds; 0 where the end lies before the start, or there is no start."""
        if not self.start_time_unix_nano:
            return 0
        return max(0, self.end_time_unix_nano - self.start_time_unix_nano)

    @property
    def time(self) -> int:
        """The record's own time, 0 if it has none."""
        return self.start_time_unix_nano


@dataclass(frozen=True, slots=True)
class LogRecord:
    """Field names and meanings are those of the protobuf message. `body` is None where it is absent or empty."""

    time_unix_nano: int = 0
    observed_time_unix_nano: int = 0
    severity_number: int = 0
    severity_text: str = ""
    body: Value = None
    body_deep: bool = False
    attributes: Attributes = NO_ATTRIBUTES
    dropped_attributes_count: int = 0
    flags: int = 0
    trace_id: bytes = b""
    span_id: bytes = b""
    event_name: str = ""

    @property
    def time(self) -> int:
        """Time, else observed time, else 0."""
        return self.time_unix_nano or self.observed_time_unix_nano


@dataclass(frozen=True, slots=True)
class RecordContext:
    """A record where it stands in its payload."""

    record: Span | LogRecord
    resource: Resource
    scope: Scope
    resource_index: int
    rejection: str = ""
    """Why the record is refused, with the path; empty for an accepted record. For a record whose resource or scope is
    over a limit this is the resource's or scope's message, the same for each of its records."""


def spans(payload: bytes) -> Iterator[RecordContext]:
    """Every span of an ExportTraceServiceRequest, in wire order, refused ones included. Raises DecodeError."""
    request = read(payload, 0, len(payload), "ExportTraceServiceRequest")
    placed = _records(request, "resource_spans", "scope_spans", "spans", build_span)
    return _bounded(placed, _sizes(payload), "resource_spans", "scope_spans", "spans")


def log_records(payload: bytes) -> Iterator[RecordContext]:
    """Every record of an ExportLogsServiceRequest, in wire order, refused ones included. Raises DecodeError."""
    request = read(payload, 0, len(payload), "ExportLogsServiceRequest")
    placed = _records(request, "resource_logs", "scope_logs", "log_records", build_log_record)
    return _bounded(placed, _sizes(payload), "resource_logs", "scope_logs", "log_records")


def check_spans(payload: bytes) -> Check:
    """The check of a trace request. Raises DecodeError if it is malformed."""
    return _check(spans(payload))


def check_logs(payload: bytes) -> Check:
    """The check of a logs request. Raises DecodeError if it is malformed."""
    return _check(log_records(payload))


def _check(placed: Iterator[RecordContext]) -> Check:
    items = events = rejected = 0
    errors: dict[str, None] = {}
    timed = True
    for one in placed:
        if one.rejection:
            rejected += 1
            if len(errors) < MAX_ERRORS:
                errors[one.rejection] = None
            continue
        items += 1
        timed = timed and one.record.time != 0
        if isinstance(one.record, Span):
            events += len(one.record.events)
    return Check(items, events, rejected, tuple(errors), timed and items > 0, suspect=True)


def _records(
    request: Mapping[str, Any],
    outer: str,
    inner: str,
    leaf: str,
    build: Callable[[dict[str, Any], str], tuple[Span | LogRecord, str]],
) -> Iterator[RecordContext]:
    for i, of_resource in enumerate(request.get(outer, ())):
        resource = Resource(**of_resource.get("resource", {}), schema_url=of_resource.get("schema_url", ""))
        resource_rejection = refused_attributes(resource.attributes, f"{outer}[{i}].resource")
        for j, of_scope in enumerate(of_resource.get(inner, ())):
            path = f"{outer}[{i}].{inner}[{j}]"
            scope = Scope(**of_scope.get("scope", {}), schema_url=of_scope.get("schema_url", ""))
            rejection = resource_rejection or refused_attributes(scope.attributes, f"{path}.scope")
            for k, found in enumerate(of_scope.get(leaf, ())):
                record, own_rejection = build(found, f"{path}.{leaf}[{k}]")
                yield RecordContext(record, resource, scope, i, rejection or own_rejection)


def expanded_bytes(record: int, shared: int, events: int) -> int:
    """What a record of so many bytes counts towards MAX_EXPANDED_BYTES; `shared`: bytes of its resource and scope, with
    their schema URLs."""
    return record + (1 + events) * shared


def _bounded(
    placed: Iterator[RecordContext], sizes: Iterator[_Size], outer: str, inner: str, leaf: str
) -> Iterator[RecordContext]:
    """The records, with those refused with which the request would grow past MAX_EXPANDED_BYTES."""
    total = 0
    for one, size in zip(placed, sizes, strict=True):
        if one.rejection:
            yield one
            continue
        events = len(one.record.events) if isinstance(one.record, Span) else 0
        total += expanded_bytes(size.record, size.shared, events)
        if total <= MAX_EXPANDED_BYTES:
            yield one
            continue
        i, j, k = size.place
        yield replace(one, rejection=f"{outer}[{i}].{inner}[{j}].{leaf}[{k}]: {TOO_LARGE}")


@dataclass(frozen=True, slots=True)
class _Size:
    record: int
    shared: int
    place: tuple[int, int, int]


def _sizes(payload: bytes) -> Iterator[_Size]:
    """Of every record of a well-formed trace or logs request (the field numbers are the same), in wire order."""
    for i, (begin, end) in enumerate(messages(payload, 0, len(payload), RESOURCES)):
        of_resource = _last(payload, begin, end)
        for j, (a, b) in enumerate(messages(payload, begin, end, CHILDREN)):
            shared = of_resource + _last(payload, a, b)
            for k, (c, d) in enumerate(messages(payload, a, b, CHILDREN)):
                yield _Size(d - c, shared, (i, j, k))


def _last(data: bytes, pos: int, end: int) -> int:
    """Bytes of the resource or scope and the schema URL of what holds them: of either the last counts."""
    lengths = {tag: b - a for tag, a, b, _, _ in fields(data, pos, end) if tag in (HEAD, SCHEMA_URL)}
    return sum(lengths.values())


def build_span(found: dict[str, Any], path: str) -> tuple[Span, str]:
    """A span from its fields (as `message.read` gives them), and why it is refused; empty if it is not."""
    found["events"] = tuple(Event(**event) for event in found.get("events", ()))
    found["links"] = tuple(Link(**link) for link in found.get("links", ()))
    found["status"] = Status(**found.get("status", {}))
    span = Span(**found)
    return span, _refused_span(span, path)


def build_log_record(found: dict[str, Any], path: str) -> tuple[LogRecord, str]:
    """A log record from its fields (as `message.read` gives them), and why it is refused; empty if it is not."""
    if "body" in found:
        found["body"], found["body_deep"] = found["body"]
    record = LogRecord(**found)
    return record, _refused_log_record(record, path)


def _refused_span(span: Span, path: str) -> str:
    return (
        _refused_id(span.trace_id, 16, f"{path}.trace_id")
        or _refused_id(span.span_id, 8, f"{path}.span_id")
        or _refused_optional_id(span.parent_span_id, 8, f"{path}.parent_span_id")
        or refused_time(span.start_time_unix_nano, f"{path}.start_time_unix_nano")
        or refused_time(span.end_time_unix_nano, f"{path}.end_time_unix_nano")
        or refused_attributes(span.attributes, path)
        or _first(_refused_event(event, f"{path}.events[{i}]") for i, event in enumerate(span.events))
        or _first(_refused_link(link, f"{path}.links[{i}]") for i, link in enumerate(span.links))
    )


def _refused_event(event: Event, path: str) -> str:
    return refused_time(event.time_unix_nano, f"{path}.time_unix_nano") or refused_attributes(event.attributes, path)


def _refused_link(link: Link, path: str) -> str:
    return (
        _refused_length(link.trace_id, 16, f"{path}.trace_id")
        or _refused_length(link.span_id, 8, f"{path}.span_id")
        or refused_attributes(link.attributes, path)
    )


def _refused_log_record(record: LogRecord, path: str) -> str:
    return (
        _refused_optional_id(record.trace_id, 16, f"{path}.trace_id")
        or _refused_optional_id(record.span_id, 8, f"{path}.span_id")
        or refused_time(record.time_unix_nano, f"{path}.time_unix_nano")
        or refused_time(record.observed_time_unix_nano, f"{path}.observed_time_unix_nano")
        or refused_attributes(record.attributes, path)
        or (f"{path}.body: nested deeper than {MAX_DEPTH}" if record.body_deep else "")
    )


def refused_attributes(attributes: Attributes, path: str) -> str:
    """Why these attributes of the message at `path` are refused; empty if they are not."""
    if attributes.count > MAX_ATTRIBUTES:
        return f"{path}.attributes: {attributes.count}, at most {MAX_ATTRIBUTES}"
    if attributes.deep:
        return f"{path}.attributes: nested deeper than {MAX_DEPTH}"
    return ""


def refused_time(time: int, path: str) -> str:
    """Why this time in ns is refused; empty if it is not."""
    return f"{path}: {time}, at most {MAX_TIME_NS}" if time > MAX_TIME_NS else ""


def _refused_id(value: bytes, length: int, path: str) -> str:
    if len(value) == length and not any(value):
        return f"{path}: all zeros"
    return _refused_length(value, length, path)


def _refused_optional_id(value: bytes, length: int, path: str) -> str:
    return f"{path}: {len(value)} bytes, must be {length} or none" if len(value) not in (0, length) else ""


def _refused_length(value: bytes, length: int, path: str) -> str:
    return f"{path}: {len(value)} bytes, must be {length}" if len(value) != length else ""


def _first(reasons: Iterator[str]) -> str:
    return next((reason for reason in reasons if reason), "")
