"""What a span batch has no columns for: parents of a payload's spans, and when one of some events first occurred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sidecar.decode import otlp
from sidecar.decode.wire import fields

_RESOURCE_SPANS, _SCOPE_SPANS, _SPAN = 0x0A, 0x12, 0x12
_PARENT, _EVENT = 0x22, 0x5A
_EVENT_TIME, _EVENT_NAME = 0x09, 0x12


@dataclass(frozen=True, slots=True)
class Link:
    """One span."""

    parent: bytes = b""
    """8 bytes, empty for a root."""
    first: int = 0
    """Unix ns of the earliest of the events asked for; 0 where it has none."""


def links(payload: bytes, accepted: int, events: Sequence[str]) -> list[Link]:
    """Of each of the `accepted` spans of a trace request, in the order of its batch. Raises DecodeError."""
    wanted = frozenset(name.encode() for name in events)
    found = [_link(payload, a, b, wanted) for a, b in _spans(payload)]
    if len(found) == accepted:
        return found
    # Refused ones are among them: the whole rules decide.
    records = (placed.record for placed in otlp.spans(payload) if not placed.refusal)
    return [_of_span(record, events) for record in records if isinstance(record, otlp.Span)]


def _spans(payload: bytes) -> Iterator[tuple[int, int]]:
    for tag, a, b in fields(payload, 0, len(payload)):
        if tag != _RESOURCE_SPANS:
            continue
        for inner, c, d in fields(payload, a, b):
            if inner == _SCOPE_SPANS:
                yield from ((e, f) for leaf, e, f in fields(payload, c, d) if leaf == _SPAN)


def _link(payload: bytes, a: int, b: int, wanted: frozenset[bytes]) -> Link:
    parent, first = b"", 0
    for tag, start, end in fields(payload, a, b):
        if tag == _PARENT:
            parent = payload[start:end]
        elif tag == _EVENT and wanted:
            time = _event_time(payload, start, end, wanted)
            first = min(time, first or time) or first
    return Link(parent, first)


def _event_time(payload: bytes, a: int, b: int, wanted: frozenset[bytes]) -> int:
    """Unix ns of an event, 0 if it is none of the wanted."""
    time, name = 0, b""
    for tag, start, end in fields(payload, a, b):
        if tag == _EVENT_TIME:
            time = start
        elif tag == _EVENT_NAME:
            name = payload[start:end]
    return time if name in wanted else 0


def _of_span(span: otlp.Span, wanted: Sequence[str]) -> Link:
    times = [event.time_unix_nano for event in span.events if event.name in wanted and event.time_unix_nano]
    return Link(span.parent_span_id, min(times, default=0))
