"""The records of a logs request that may hold a serving protocol's payload. The others are stepped over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from sidecar.decode.otlp import records as otlp
from sidecar.decode.otlp.message import Value
from sidecar.decode.otlp.wire import fields
from sidecar.decode.predictions.serving.exchange import Record
from sidecar.decode.predictions.serving.values import read_pair, read_value

_RESOURCE, _CHILDREN = 0x0A, 0x12
_TIME, _OBSERVED, _BODY, _ATTRIBUTE, _EVENT = 0x09, 0x59, 0x2A, 0x32, 0x62

Place = tuple[int, int]


def records(payload: bytes, marks: Callable[[], tuple[bytes, ...]], accepted: int) -> Iterator[Record]:
    """The accepted records in which one of `marks` stands, of a request of which `accepted` records were accepted.
    `marks` is asked for each record anew: one may tell of more. Raises DecodeError."""
    found = list(_scopes(payload))
    if sum(len(places) for _, places in found) == accepted:
        for resource, places in found:
            about: dict[str, Value] | None = None
            for place in places:
                if not _tells(payload, place, marks()):
                    continue
                if about is None and resource is not None:
                    about = _attributes(payload, *resource, _RESOURCE)
                yield read_record(payload, *place, about or {})
        return
    for placed in otlp.log_records(payload):  # Refused ones among them: the whole rules decide.
        record = placed.record
        assert isinstance(record, otlp.LogRecord)
        if not placed.refusal:
            yield Record(
                record.event_name,
                record.time,
                record.attributes.values,
                record.body,
                placed.resource.attributes.values,
            )


def _scopes(payload: bytes) -> Iterator[tuple[Place | None, list[Place]]]:
    """The places of each resource message (the last one counts) and of its records."""
    for a, b in _children(payload, 0, len(payload), _RESOURCE):
        resource = list(_children(payload, a, b, _RESOURCE))
        scopes = _children(payload, a, b, _CHILDREN)
        yield (
            resource[-1] if resource else None,
            list(chain.from_iterable(_children(payload, c, d, _CHILDREN) for c, d in scopes)),
        )


def _children(payload: bytes, a: int, b: int, wanted: int) -> Iterator[Place]:
    return ((c, d) for tag, c, d in fields(payload, a, b) if tag == wanted)


def _tells(payload: bytes, place: Place, marks: tuple[bytes, ...]) -> bool:
    return any(payload.find(mark, *place) >= 0 for mark in marks)


def _attributes(payload: bytes, a: int, b: int, wanted: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for c, d in _children(payload, a, b, wanted):
        key, value = read_pair(payload, c, d)
        found.setdefault(key, value)
    return found


def read_record(payload: bytes, begin: int, end: int, resource: Mapping[str, Value]) -> Record:
    """The LogRecord in `payload[begin:end]`. Raises DecodeError."""
    time = observed = 0
    event, body = b"", None
    for tag, a, b in fields(payload, begin, end):
        if tag == _TIME:
            time = a
        elif tag == _OBSERVED:
            observed = a
        elif tag == _BODY:
            body = read_value(payload, a, b)
        elif tag == _EVENT:
            event = payload[a:b]
    attributes = _attributes(payload, begin, end, _ATTRIBUTE)
    return Record(event.decode("utf-8", "replace"), time or observed, attributes, body, resource)
