"""Which records of a payload a sink's filter takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import xxhash

from sidecar.decode.logs.severity import from_name
from sidecar.decode.otlp import records
from sidecar.decode.otlp.columns import service_name
from sidecar.decode.otlp.message import Value
from sidecar.decode.redaction.redactor import Globs
from sidecar.decode.redaction.rules import SAMPLING_SEED, Filter

_ERROR = 2


def taken(filter_: Filter, accepted: Sequence[records.RecordContext]) -> list[bool]:
    """For each of a payload's accepted records whether the filter takes it."""
    services, excluded, names = map(Globs, (filter_.services, filter_.exclude_services, filter_.event_names))
    kept = _kept_traces(filter_, accepted)

    def takes(placed: records.RecordContext) -> bool:
        service = service_name(placed.resource.attributes).encode()
        if (filter_.services and not services.match(service)) or excluded.match(service):
            return False
        record = placed.record
        if isinstance(record, records.Span):
            return record.trace_id in kept or is_in_sample(record.trace_id, filter_.keep_below)
        severity = record.severity_number or from_name(record.severity_text)
        if 0 < severity < filter_.min_severity:
            return False
        return not filter_.event_names or names.match(event_name(record).encode())

    return [takes(placed) for placed in accepted]


def is_in_sample(trace_id: bytes, keep_below: int | None) -> bool:
    """Whether the trace is in the sample; `keep_below` as in `Filter`."""
    return keep_below is None or xxhash.xxh3_64_intdigest(trace_id, SAMPLING_SEED) < keep_below


def event_name(record: records.LogRecord) -> str:
    """The record's event name, or the text attribute that older clients put it in."""
    named = record.attributes.values.get("event.name")
    return record.event_name or (named if isinstance(named, str) else "")


def _kept_traces(filter_: Filter, accepted: Sequence[records.RecordContext]) -> set[bytes]:
    """Traces with a span that is to be kept whatever the sample says."""
    if filter_.keep_below is None:
        return set()
    tests: list[Callable[[records.Span], bool]] = []
    if filter_.keep_errors:
        tests.append(lambda span: span.status.code == _ERROR)
    if filter_.min_duration_ns:
        tests.append(lambda span: span.duration >= filter_.min_duration_ns)
    if filter_.keep_attributes:
        names = filter_.keep_attributes
        tests.append(lambda span: any(_is_true(span.attributes.values.get(name)) for name in names))
    spans = (placed.record for placed in accepted)
    return {span.trace_id for span in spans if isinstance(span, records.Span) and any(test(span) for test in tests)}


def _is_true(value: Value) -> bool:
    return value is True or value == "true"
