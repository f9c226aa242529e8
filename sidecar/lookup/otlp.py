"""Traces as OTLP: JSON objects and protobuf (`opentelemetry.proto.trace.v1`). Log records as protobuf."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.decode.otlp.encode import any_value, key_value
from sidecar.decode.otlp.wire import put_bytes, put_fixed64, put_uint
from sidecar.lookup.model import KINDS, STATUSES, Attributes, Event, Link, LogRecord, Scope, Span

_MIN_I64, _MAX_I64 = -(1 << 63), (1 << 63) - 1


def grouped(spans: Sequence[Span]) -> Iterator[tuple[Attributes, list[tuple[Scope, list[Span]]]]]:
    """Spans by resource, and by scope in it, each in the order of its first span."""
    found: dict[str, tuple[Attributes, dict[str, tuple[Scope, list[Span]]]]] = {}
    for span in spans:
        _, scopes = found.setdefault(repr(sorted(span.resource.items())), (span.resource, {}))
        scopes.setdefault(repr(span.scope), (span.scope, []))[1].append(span)
    for resource, scopes in found.values():
        yield resource, list(scopes.values())


@dataclass(frozen=True, slots=True)
class JsonForm:
    """How ids and enums are written: as OTLP/JSON has them, or as protobuf's JSON mapping has."""

    identifier: Callable[[str], str]
    kind: Callable[[str], Any]
    status: Callable[[str], Any]


OTLP_JSON = JsonForm(lambda hexed: hexed, KINDS.index, STATUSES.index)
"""Hex and numbers."""
PROTO_JSON = JsonForm(
    lambda hexed: base64.b64encode(bytes.fromhex(hexed)).decode(),
    lambda kind: f"SPAN_KIND_{kind.upper()}",
    lambda status: f"STATUS_CODE_{status.upper()}",
)
"""Base64 and names."""


def json_resource_spans(spans: Sequence[Span], form: JsonForm = OTLP_JSON) -> list[dict[str, Any]]:
    """`resourceSpans`."""
    return [
        {
            "resource": {"attributes": json_attributes(resource)},
            "scopeSpans": [
                {"scope": _json_scope(scope), "spans": [_json_span(span, form) for span in own]}
                for scope, own in scopes
            ],
        }
        for resource, scopes in grouped(spans)
    ]


def json_attributes(attributes: Attributes) -> list[dict[str, Any]]:
    """Attributes as a list of KeyValue."""
    return [{"key": key, "value": json_value(value)} for key, value in attributes.items()]


def json_value(value: Any) -> dict[str, Any]:
    """An AnyValue."""
    match value:
        case bool():
            return {"boolValue": value}
        case int() if _MIN_I64 <= value <= _MAX_I64:
            return {"intValue": str(value)}
        case int() | float():
            return {"doubleValue": float(value)}
        case str():
            return {"stringValue": value}
        case list():
            return {"arrayValue": {"values": [json_value(element) for element in value]}}
        case dict():
            return {"kvlistValue": {"values": json_attributes(value)}}
        case _:
            return {}


def _json_scope(scope: Scope) -> dict[str, Any]:
    return _present(name=scope.name, version=scope.version, attributes=json_attributes(scope.attributes))


def _json_span(span: Span, form: JsonForm) -> dict[str, Any]:
    return {
        "traceId": form.identifier(span.trace_id),
        "spanId": form.identifier(span.span_id),
        **_present(
            traceState=span.trace_state,
            parentSpanId=form.identifier(span.parent_span_id) if span.parent_span_id else "",
            name=span.name,
            kind=form.kind(span.kind),
        ),
        "startTimeUnixNano": str(span.start_ns),
        "endTimeUnixNano": str(span.end_ns),
        **_present(
            attributes=json_attributes(span.attributes),
            events=[_json_event(event) for event in span.events],
            links=[_json_link(link, form) for link in span.links],
        ),
        "status": _present(message=span.status_message, code=form.status(span.status) if span.status != "Unset" else 0),
    }


def _json_event(event: Event) -> dict[str, Any]:
    return {
        "timeUnixNano": str(event.time_ns),
        **_present(name=event.name, attributes=json_attributes(event.attributes)),
    }


def _json_link(link: Link, form: JsonForm) -> dict[str, Any]:
    return {
        "traceId": form.identifier(link.trace_id),
        "spanId": form.identifier(link.span_id),
        **_present(traceState=link.trace_state, attributes=json_attributes(link.attributes)),
    }


def _present(**members: Any) -> dict[str, Any]:
    """Those that are not empty: protobuf's JSON leaves defaults out."""
    return {key: value for key, value in members.items() if value}


# -- protobuf


def traces_data(spans: Sequence[Span]) -> bytes:
    """TracesData: `resource_spans` as field 1. Tempo's Trace has the same form."""
    return b"".join(put_bytes(1, _resource_spans(resource, scopes)) for resource, scopes in grouped(spans))


def logs_data(records: Sequence[LogRecord]) -> bytes:
    """LogsData (`opentelemetry.proto.logs.v1`), each record with a resource of its own."""
    return b"".join(
        put_bytes(1, put_bytes(1, _attributes(1, one.resource)) + put_bytes(2, put_bytes(2, _log(one))))
        for one in records
    )


def _log(record: LogRecord) -> bytes:
    return b"".join(
        (
            put_fixed64(1, record.time_ns),
            put_uint(2, record.severity_number),
            _text(3, record.severity_text),
            put_bytes(5, any_value(_bounded(record.body))),
            _attributes(6, record.attributes),
            _id(9, record.trace_id),
            _id(10, record.span_id),
            put_fixed64(11, record.observed_ns or 0),
            _text(12, record.event_name),
        )
    )


def _resource_spans(resource: Attributes, scopes: list[tuple[Scope, list[Span]]]) -> bytes:
    parts = [put_bytes(1, _attributes(1, resource))]
    for scope, own in scopes:
        head = _text(1, scope.name) + _text(2, scope.version) + _attributes(3, scope.attributes)
        parts.append(put_bytes(2, put_bytes(1, head) + b"".join(put_bytes(2, _span(span)) for span in own)))
    return b"".join(parts)


def _attributes(number: int, attributes: Attributes) -> bytes:
    return b"".join(key_value(number, key, _bounded(value)) for key, value in attributes.items())


def _bounded(value: Any) -> Any:
    """Integers that no 64 bits hold as doubles."""
    match value:
        case int() if not _MIN_I64 <= value <= _MAX_I64:
            return float(value)
        case list():
            return [_bounded(element) for element in value]
        case dict():
            return {key: _bounded(element) for key, element in value.items()}
        case _:
            return value


def _text(number: int, text: str) -> bytes:
    return put_bytes(number, text.encode()) if text else b""


def _id(number: int, hexed: str) -> bytes:
    return put_bytes(number, bytes.fromhex(hexed)) if hexed else b""


def _span(span: Span) -> bytes:
    status = _text(2, span.status_message) + put_uint(3, STATUSES.index(span.status))
    return b"".join(
        (
            _id(1, span.trace_id),
            _id(2, span.span_id),
            _text(3, span.trace_state),
            _id(4, span.parent_span_id),
            _text(5, span.name),
            put_uint(6, KINDS.index(span.kind)),
            put_fixed64(7, span.start_ns),
            put_fixed64(8, span.end_ns),
            _attributes(9, span.attributes),
            *(put_bytes(11, _event(event)) for event in span.events),
            *(put_bytes(13, _link(link)) for link in span.links),
            put_bytes(15, status),
        )
    )


def _event(event: Event) -> bytes:
    return put_fixed64(1, event.time_ns) + _text(2, event.name) + _attributes(3, event.attributes)


def _link(link: Link) -> bytes:
    return _id(1, link.trace_id) + _id(2, link.span_id) + _text(3, link.trace_state) + _attributes(4, link.attributes)
