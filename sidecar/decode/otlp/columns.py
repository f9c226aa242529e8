"""Records as columns: `SpanBatch` and `LogBatch`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sidecar.decode.api import SPAN_KINDS, STATUS_CODES, UNKNOWN_SERVICE, LogBatch, Resource, SpanBatch
from sidecar.decode.documents.text import label, number, repaired
from sidecar.decode.logs.severity import range_name
from sidecar.decode.otlp import records as otlp
from sidecar.decode.otlp.message import Attributes, Value
from sidecar.decode.otlp.tracestate import adjusted_count

Group = tuple[str, ...]
T = TypeVar("T", bound=Hashable)

_NO_TRACE_ID = bytes(16)
_NO_SPAN_ID = bytes(8)


@dataclass(frozen=True, slots=True)
class _Row:
    """What both signals have in common of one accepted record."""

    record: otlp.Span | otlp.LogRecord
    group: Group
    resource: Resource
    repaired: int
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Attributes to be read (see `batch.Decoder.spans`)."""

    dimensions: Sequence[str] = ()
    numbers: Sequence[str] = ()
    measures: frozenset[str] = frozenset()


def span_batch(payloads: Sequence[bytes], wanted: Wanted) -> SpanBatch:
    """The accepted spans of the payloads. Raises DecodeError if one is malformed."""
    rows = list(_rows(payloads, otlp.spans, _span_texts, wanted))
    spans = [row.record for row in rows if isinstance(row.record, otlp.Span)]
    group, groups = _encode([row.group for row in rows])
    resource, resources = _encode([row.resource for row in rows])
    return SpanBatch(
        start=np.array([span.start_time_unix_nano for span in spans], np.uint64),
        duration=np.array([max(0, span.end_time_unix_nano - span.start_time_unix_nano) for span in spans], np.uint64),
        adjusted_count=np.array([adjusted_count(span.trace_state) for span in spans], np.float64),
        trace_ids=b"".join(span.trace_id for span in spans),
        span_ids=b"".join(span.span_id for span in spans),
        parent_ids=b"".join(span.parent_span_id or _NO_SPAN_ID for span in spans),
        group=np.array(group, np.uint32),
        groups=groups,
        resource=np.array(resource, np.uint32),
        resources=resources,
        repaired=sum(row.repaired for row in rows),
        numbers=tuple(np.array([row.numbers[n] for row in rows], np.float64) for n in range(len(wanted.numbers))),
    )


def log_batch(payloads: Sequence[bytes], wanted: Wanted) -> LogBatch:
    """The accepted log records of the payloads. Raises DecodeError if one is malformed."""
    rows = list(_rows(payloads, otlp.log_records, _log_texts, wanted))
    group, groups = _encode([row.group for row in rows])
    resource, resources = _encode([row.resource for row in rows])
    return LogBatch(
        time=np.array([row.record.time for row in rows], np.uint64),
        trace_ids=b"".join(row.record.trace_id or _NO_TRACE_ID for row in rows),
        span_ids=b"".join(row.record.span_id or _NO_SPAN_ID for row in rows),
        group=np.array(group, np.uint32),
        groups=groups,
        resource=np.array(resource, np.uint32),
        resources=resources,
        repaired=sum(row.repaired for row in rows),
        numbers=tuple(np.array([row.numbers[n] for row in rows], np.float64) for n in range(len(wanted.numbers))),
    )


def resource_texts(attributes: Attributes) -> Resource:
    """Attributes as sorted text pairs without empty values, each value cut like any label."""
    pairs = ((str(key), label(value)) for key, value in attributes.values.items())
    return tuple(sorted((key, value) for key, value in pairs if value))


def service_name(attributes: Attributes) -> str:
    """The resource's service name as label text; `unknown_service` where it is absent or empty."""
    return label(attributes.values.get("service.name")) or UNKNOWN_SERVICE


_Texts = Callable[[otlp.Span | otlp.LogRecord], tuple[tuple[Value, ...], Group]]


def _span_texts(record: otlp.Span | otlp.LogRecord) -> tuple[tuple[Value, ...], Group]:
    """(values read for the group, the group's part between service and dimensions)."""
    assert isinstance(record, otlp.Span)
    return (record.name,), (label(record.name), SPAN_KINDS[record.kind], STATUS_CODES[record.status.code])


def _log_texts(record: otlp.Span | otlp.LogRecord) -> tuple[tuple[Value, ...], Group]:
    assert isinstance(record, otlp.LogRecord)
    exception = record.attributes.values.get("exception.type")
    return (exception,), (range_name(record.severity_number, record.severity_text), label(exception))


def _rows(
    payloads: Sequence[bytes],
    records: Callable[[bytes], Iterator[otlp.RecordContext]],
    texts: _Texts,
    wanted: Wanted,
) -> Iterator[_Row]:
    for payload in payloads:
        last = -1
        for placed in records(payload):
            if placed.rejection:
                continue
            values = placed.record.attributes.values
            inherited = placed.resource.attributes.values
            read, own = texts(placed.record)
            read += tuple(values[name] for name in wanted.dimensions if name in values)
            if placed.resource_index != last:
                # Texts of a resource are counted once, with the first of its records that is accepted.
                last = placed.resource_index
                service = inherited.get("service.name")
                resource = resource_texts(placed.resource.attributes)
                read += (service, *(inherited[name] for name in wanted.dimensions if name in inherited))
            group = (service_name(placed.resource.attributes), *own, *_dimensions(wanted, values, inherited))
            found = tuple(number(values[name] if name in values else inherited.get(name)) for name in wanted.numbers)
            yield _Row(placed.record, group, resource, sum(map(repaired, read)), found)


def _dimensions(wanted: Wanted, own: Mapping[str, Value], inherited: Mapping[str, Value]) -> Iterator[str]:
    for name in wanted.dimensions:
        value = own[name] if name in own else inherited.get(name)
        yield "" if isinstance(value, float) and name in wanted.measures else label(value)


def _encode(values: Sequence[T]) -> tuple[list[int], list[T]]:
    """(row of the table for each value, table of distinct values in order of first appearance)."""
    codes: dict[T, int] = {}
    rows = [codes.setdefault(value, len(codes)) for value in values]
    return rows, list(codes)
