"""The records of a logs request that may hold a serving protocol's payload. The others are stepped over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sidecar.decode.otlp import records as otlp
from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.positions import Range, accepted_records
from sidecar.decode.otlp.tags import (
    LOG_ATTRIBUTE,
    LOG_BODY,
    LOG_EVENT_NAME,
    LOG_OBSERVED_TIME,
    LOG_TIME,
    RESOURCE_ATTRIBUTE,
)
from sidecar.decode.otlp.wire import fields
from sidecar.decode.predictions.serving.any_values import read_attributes, read_value
from sidecar.decode.predictions.serving.exchange import Record


def records(
    payload: bytes, marks: Callable[[], tuple[bytes, ...]], accepted: int, without: tuple[bytes, ...] = ()
) -> Iterator[Record]:
    """The accepted records in which one of `marks` stands and none of `without`, of a request of which `accepted`
    records were accepted. `marks` is asked for each record, since one may add to them. Raises DecodeError."""
    under: Range | None = None
    about: dict[str, Value] | None = None
    number = -1
    for scope in accepted_records(payload, accepted, otlp.log_records):
        if scope.resource != under:
            under, about = scope.resource, None
        for place in scope.records:
            number += 1
            if any(payload.find(mark, *place) >= 0 for mark in without):
                continue
            if not any(payload.find(mark, *place) >= 0 for mark in marks()):
                continue
            if about is None:
                about = {} if under is None else read_attributes(payload, *under, RESOURCE_ATTRIBUTE)
            yield read_record(payload, *place, about, number)


def read_record(payload: bytes, begin: int, end: int, resource: Mapping[str, Value], number: int = 0) -> Record:
    """The LogRecord in `payload[begin:end]`, the `number`th of the accepted ones. Raises DecodeError."""
    time = observed = 0
    event, body = b"", None
    for tag, a, b, _, _ in fields(payload, begin, end):
        if tag == LOG_TIME:
            time = a
        elif tag == LOG_OBSERVED_TIME:
            observed = a
        elif tag == LOG_BODY:
            body = read_value(payload, a, b)
        elif tag == LOG_EVENT_NAME:
            event = payload[a:b]
    attributes = read_attributes(payload, begin, end, LOG_ATTRIBUTE)
    return Record(event.decode("utf-8", "replace"), time or observed, attributes, body, resource, number)
