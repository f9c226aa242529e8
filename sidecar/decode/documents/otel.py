"""Records as Elasticsearch documents, in `_bulk` line pairs.

The shape is that of the OpenTelemetry mapping mode of the Collector's Elasticsearch exporter, which Kibana's views and
the engine's `otel` index templates read. Empty fields are left out, except `resource`, `scope`, `status`, `duration`
and the times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sidecar.decode.api import U32, Lines
from sidecar.decode.documents.text import as_text, document_json, document_object, quote
from sidecar.decode.logs.severity import shown
from sidecar.decode.otlp import records
from sidecar.decode.otlp.message import Attributes, Value

KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUSES = ("Unset", "Ok", "Error")

_STREAM_FIELDS = ("data_stream.type", "data_stream.dataset", "data_stream.namespace")
_DATASET, _NAMESPACE, _SUFFIX = "generic", "default", ".otel"
_STREAM_FIELD_BYTES = 100
_ID_BYTES = 16
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._")

Member = tuple[str, str]
"""A key and the JSON of its value; the empty text leaves the member out."""


def span_lines(payloads: Sequence[bytes], traces: bytes = b"") -> Lines:
    """The documents of the accepted spans, each followed by those of its events. `traces`: see `decode.api`. Raises
    DecodeError."""
    only = _ids(traces)
    writer = _Writer()
    for payload in payloads:
        for placed in records.spans(payload):
            if placed.rejection or not isinstance(placed.record, records.Span):
                continue
            if not only or placed.record.trace_id in only:
                _write_span(writer, placed, placed.record)
        writer.end_payload()
    return writer.lines()


def log_lines(
    payloads: Sequence[bytes], id_prefixes: Sequence[str], ordinals: Sequence[U32 | None] = (), traces: bytes = b""
) -> Lines:
    """The documents of the accepted log records; ids are prefix, `-`, ordinal. `traces`: see `decode.api`. Raises
    DecodeError, and ValueError for ordinals that do not fit the records."""
    writer, only = _Writer(), _ids(traces)
    for payload, prefix, given in zip(payloads, id_prefixes, ordinals or [None] * len(payloads), strict=True):
        accepted = [placed for placed in records.log_records(payload) if not placed.rejection]
        numbers = range(len(accepted)) if given is None else given.tolist()
        for ordinal, placed in zip(numbers, accepted, strict=True):
            if isinstance(placed.record, records.LogRecord) and (not only or placed.record.trace_id in only):
                _write_log(writer, placed, placed.record, f"{prefix}-{ordinal}")
        writer.end_payload()
    return writer.lines()


def _ids(traces: bytes) -> frozenset[bytes]:
    return frozenset(traces[n : n + _ID_BYTES] for n in range(0, len(traces), _ID_BYTES))


class _Writer:
    """Gathers line pairs, where each ends, and how many a payload gave."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._ends: list[int] = []
        self._events: list[int] = []
        self._docs: list[int] = []
        self._before = 0

    def add(self, stream: _Stream, doc_id: str, members: Sequence[Member], event: bool = False) -> None:
        action = _object((("create", _object((("_index", quote(stream.index)), ("_id", quote(doc_id))))),))
        self._body += f"{action}\n{_object(members)}\n".encode()
        self._ends.append(len(self._body))
        self._events.append(int(event))

    def end_payload(self) -> None:
        self._docs.append(len(self._ends) - self._before)
        self._before = len(self._ends)

    def lines(self) -> Lines:
        return Lines(bytes(self._body), np.array(self._ends, np.uint32), np.array(self._events, np.uint8), self._docs)


class _Stream:
    """The data stream of a document: type by signal, dataset and namespace from attributes, record before scope before
    resource, the first that is not empty."""

    def __init__(self, kind: str, *sources: Attributes) -> None:
        dataset = _first(sources, "data_stream.dataset") or _DATASET
        namespace = _first(sources, "data_stream.namespace") or _NAMESPACE
        self.kind = kind
        self.dataset = _clean(dataset.removesuffix(_SUFFIX), "")[: _STREAM_FIELD_BYTES - len(_SUFFIX)] + _SUFFIX
        self.namespace = _clean(namespace, "-")[:_STREAM_FIELD_BYTES]

    @property
    def index(self) -> str:
        return f"{self.kind}-{self.dataset}-{self.namespace}"

    def member(self) -> Member:
        fields = (("type", quote(self.kind)), ("dataset", quote(self.dataset)), ("namespace", quote(self.namespace)))
        return "data_stream", _object(fields)


def _first(sources: Sequence[Attributes], name: str) -> str:
    return next((found for source in sources if (found := as_text(source.values.get(name)))), "")


def _clean(name: str, also: str) -> str:
    """ASCII lower case; a character that is not a-z, 0-9, dot, underscore (or in `also`) becomes an underscore.

    The parts of a data stream's name are told apart by hyphens, so a dataset has none.
    """
    lower = (chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)
    return "".join(c if c in _NAME_CHARACTERS or c in also else "_" for c in lower)


def _write_span(writer: _Writer, placed: records.RecordContext, span: records.Span) -> None:
    stream = _Stream("traces", span.attributes, placed.scope.attributes, placed.resource.attributes)
    doc_id = f"{span.trace_id.hex()}{span.span_id.hex()}{span.kind}"
    members = (
        ("@timestamp", _time(span.start_time_unix_nano or span.end_time_unix_nano)),
        stream.member(),
        ("trace_id", quote(span.trace_id.hex())),
        ("span_id", quote(span.span_id.hex())),
        ("trace_state", _text(span.trace_state)),
        ("parent_span_id", _id(span.parent_span_id)),
        ("name", _text(span.name)),
        ("kind", quote(KINDS[span.kind])),
        ("duration", str(span.duration)),
        ("attributes", _attributes(span.attributes)),
        ("dropped_attributes_count", _count(span.dropped_attributes_count)),
        ("dropped_events_count", _count(span.dropped_events_count)),
        ("links", _links(span.links)),
        ("dropped_links_count", _count(span.dropped_links_count)),
        ("status", _object((("message", _text(span.status.message)), ("code", quote(STATUSES[span.status.code]))))),
        ("resource", _resource(placed.resource)),
        ("scope", _scope(placed.scope)),
    )
    writer.add(stream, doc_id, members)
    for ordinal, event in enumerate(span.events):
        _write_event(writer, placed, span, event, f"{doc_id}e{ordinal}")


def _write_event(
    writer: _Writer, placed: records.RecordContext, span: records.Span, event: records.Event, doc_id: str
) -> None:
    stream = _Stream("logs", event.attributes, placed.scope.attributes, placed.resource.attributes)
    # The name is repeated as an attribute, where queries written for older agents look for it.
    name: dict[str, Value] = {"event.name": event.name} if event.name else {}
    members = (
        ("@timestamp", _time(event.time_unix_nano)),
        stream.member(),
        ("trace_id", quote(span.trace_id.hex())),
        ("span_id", quote(span.span_id.hex())),
        ("dropped_attributes_count", _count(event.dropped_attributes_count)),
        ("event_name", _text(event.name)),
        ("attributes", _attributes(event.attributes, name)),
        ("resource", _resource(placed.resource)),
        ("scope", _scope(placed.scope)),
    )
    writer.add(stream, doc_id, members, event=True)


def _write_log(writer: _Writer, placed: records.RecordContext, record: records.LogRecord, doc_id: str) -> None:
    stream = _Stream("logs", record.attributes, placed.scope.attributes, placed.resource.attributes)
    named = record.attributes.values.get("event.name")
    members = (
        ("@timestamp", _time(record.time)),
        ("observed_timestamp", _time(record.observed_time_unix_nano) if record.observed_time_unix_nano else ""),
        stream.member(),
        ("severity_text", _text(shown(record.severity_text))),
        ("severity_number", _count(record.severity_number)),
        ("trace_id", _id(record.trace_id)),
        ("span_id", _id(record.span_id)),
        ("attributes", _attributes(record.attributes)),
        ("dropped_attributes_count", _count(record.dropped_attributes_count)),
        ("event_name", _text(record.event_name or (named if isinstance(named, str) else ""))),
        ("resource", _resource(placed.resource)),
        ("scope", _scope(placed.scope)),
        ("body", _body(record.body)),
    )
    writer.add(stream, doc_id, members)


def _body(body: Value) -> str:
    """`structured` for a map or an array of maps; another array is put under `value`, since the field is mapped as an
    object; anything else is `text`."""
    match body:
        case None:
            return ""
        case dict():
            return _object((("structured", document_object(body)),))
        case list() if all(isinstance(element, dict) for element in body):
            return _object((("structured", document_json(body)),))
        case list():
            return _object((("structured", _object((("value", document_json(body)),))),))
        case bytes():
            return _object((("text", quote(body.hex())),))
        case _:
            return _object((("text", quote(as_text(body))),))


def _links(links: Sequence[records.Link]) -> str:
    if not links:
        return ""
    return "[" + ",".join(_link(link) for link in links) + "]"


def _link(link: records.Link) -> str:
    return _object(
        (
            ("trace_id", _id(link.trace_id)),
            ("span_id", _id(link.span_id)),
            ("trace_state", _text(link.trace_state)),
            ("attributes", _attributes(link.attributes)),
            ("dropped_attributes_count", _count(link.dropped_attributes_count)),
        )
    )


def _resource(resource: records.Resource) -> str:
    return _object(
        (
            ("schema_url", _text(resource.schema_url)),
            ("attributes", _attributes(resource.attributes)),
            ("dropped_attributes_count", _count(resource.dropped_attributes_count)),
        )
    )


def _scope(scope: records.Scope) -> str:
    return _object(
        (
            ("schema_url", _text(scope.schema_url)),
            ("name", _text(scope.name)),
            ("version", _text(scope.version)),
            ("attributes", _attributes(scope.attributes)),
            ("dropped_attributes_count", _count(scope.dropped_attributes_count)),
        )
    )


def _attributes(attributes: Attributes, more: dict[str, Value] | None = None) -> str:
    """The attributes without those that named the data stream; `more` replaces and follows."""
    more = more or {}
    kept = {
        key: value for key, value in attributes.values.items() if key not in _STREAM_FIELDS and key not in more
    } | more
    return document_object(kept) if kept else ""


def _object(members: Sequence[Member]) -> str:
    return "{" + ",".join(f'"{key}":{value}' for key, value in members if value) + "}"


def _time(nanoseconds: int) -> str:
    """Milliseconds and, behind the point, the six digits below them, as the engine's `date_nanos` reads them."""
    return f'"{nanoseconds // 1_000_000}.{nanoseconds % 1_000_000:06d}"'


def _text(value: str) -> str:
    return quote(value) if value else ""


def _id(value: bytes) -> str:
    """Hex; left out where it is absent or all zeros."""
    return quote(value.hex()) if any(value) else ""


def _count(value: int) -> str:
    return str(value) if value else ""
