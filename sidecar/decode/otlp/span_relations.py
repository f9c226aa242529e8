"""What a span batch has no columns for: parents of a payload's spans, who made them, when an event first occurred."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sidecar.decode.otlp import records
from sidecar.decode.otlp.wire import fields

_RESOURCE_SPANS, _SCOPE_SPANS, _SCOPE, _SPAN = 0x0A, 0x12, 0x0A, 0x12
_SCOPE_NAME = 0x0A
_PARENT, _EVENT = 0x22, 0x5A
_EVENT_TIME, _EVENT_NAME = 0x09, 0x12


class SpanLinks:
    """The accepted spans of one trace request, by their index in its batch. Only what is asked for is read.

    Where refused spans are among them the whole decoder reads them, since its rules decide."""

    def __init__(self, payload: bytes, accepted: int) -> None:
        """`accepted`: how many spans the batch has. Raises DecodeError."""
        self._payload = payload
        self._places = list(_spans(payload))
        self._records: list[records.Span] = []
        self._scopes = [scope for _, _, scope in self._places]
        if len(self._places) != accepted:
            found = [placed for placed in records.spans(payload) if not placed.refusal]
            self._records = [placed.record for placed in found if isinstance(placed.record, records.Span)]
            self._scopes = [placed.scope.name.encode() for placed in found]

    def parent(self, span: int) -> bytes:
        """8 bytes, empty for a root (for which some clients write zeros)."""
        if self._records:
            found = self._records[span].parent_span_id
        else:
            # It stands in front of most of a span: the first one found will do.
            begin, end, _ = self._places[span]
            parents = (self._payload[a:b] for tag, a, b in fields(self._payload, begin, end) if tag == _PARENT)
            found = next(parents, b"")
        return found if any(found) else b""

    def scope(self, span: int) -> bytes:
        """Name of its instrumentation scope, UTF-8; empty where it has none."""
        return self._scopes[span]

    def first(self, span: int, events: Collection[str]) -> int:
        """Unix ns of the earliest of the events of these names; 0 where it has none."""
        if self._records:
            named = (event for event in self._records[span].events if event.name in events)
            return min((event.time_unix_nano for event in named if event.time_unix_nano), default=0)
        names = [name.encode() for name in events]
        a, b, _ = self._places[span]
        if all(self._payload.find(name, a, b) < 0 for name in names):
            return 0
        found = (_event_time(self._payload, c, d, names) for tag, c, d in fields(self._payload, a, b) if tag == _EVENT)
        return min((time for time in found if time), default=0)


def _spans(payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Begin, end and name of the scope of each."""
    for tag, a, b in fields(payload, 0, len(payload)):
        if tag != _RESOURCE_SPANS:
            continue
        for inner, c, d in fields(payload, a, b):
            if inner == _SCOPE_SPANS:
                found = list(fields(payload, c, d))
                scope = next((_scope_name(payload, e, f) for leaf, e, f in found if leaf == _SCOPE), b"")
                yield from ((e, f, scope) for leaf, e, f in found if leaf == _SPAN)


def _scope_name(payload: bytes, a: int, b: int) -> bytes:
    return next((payload[c:d] for tag, c, d in fields(payload, a, b) if tag == _SCOPE_NAME), b"")


def _event_time(payload: bytes, a: int, b: int, names: Collection[bytes]) -> int:
    """Unix ns of an event, 0 if it has another name."""
    time, name = 0, b""
    for tag, start, end in fields(payload, a, b):
        if tag == _EVENT_TIME:
            time = start
        elif tag == _EVENT_NAME:
            name = payload[start:end]
    return time if name in names else 0
