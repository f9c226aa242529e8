"""What a span batch has no columns for: parents of a payload's spans, who made them, when an event first occurred."""

from __future__ import annotations

from collections.abc import Collection

from sidecar.decode.otlp import records
from sidecar.decode.otlp.message import text
from sidecar.decode.otlp.positions import Range, accepted_records
from sidecar.decode.otlp.tags import EVENT_NAME, EVENT_TIME, SCOPE_NAME, SPAN_EVENT, SPAN_PARENT
from sidecar.decode.otlp.wire import fields, messages


class SpanRelations:
    """The accepted spans of one trace request, by their index in its batch. Only what is asked for is read. As
    everywhere, of a field that stands more than once the last counts; of parents the first: see `parent`."""

    def __init__(self, payload: bytes, accepted: int) -> None:
        """`accepted`: how many spans the batch has. Raises DecodeError."""
        self._payload = payload
        self._places: list[Range] = []
        self._scopes: list[bytes] = []
        for scope in accepted_records(payload, accepted, records.spans):
            self._places += scope.records
            names = [payload[a:b] for a, b in messages(payload, *(scope.scope or (0, 0)), SCOPE_NAME)]
            name = text(names[-1]).encode() if names else b""
            self._scopes += [name] * len(scope.records)

    def parent(self, span: int) -> bytes:
        """8 bytes, empty for a root (for which some clients write zeros)."""
        # It stands in front of most of a span. Looking for a second one, which no client writes, costs 2.5 times that.
        found = next(
            (
                self._payload[a:b]
                for tag, a, b, _, _ in fields(self._payload, *self._places[span])
                if tag == SPAN_PARENT
            ),
            b"",
        )
        return found if any(found) else b""

    def scope(self, span: int) -> bytes:
        """Name of its instrumentation scope, UTF-8; empty where it has none."""
        return self._scopes[span]

    def first(self, span: int, events: Collection[str]) -> int:
        """Unix ns of the earliest of the events of these names; 0 where it has none."""
        names = [name.encode() for name in events]
        a, b = self._places[span]
        if all(self._payload.find(name, a, b) < 0 for name in names):
            return 0
        found = (_event_time(self._payload, c, d, names) for c, d in messages(self._payload, a, b, SPAN_EVENT))
        return min((time for time in found if time), default=0)


def _event_time(payload: bytes, a: int, b: int, names: Collection[bytes]) -> int:
    """Unix ns of an event, 0 if it has another name."""
    time, name = 0, b""
    for tag, start, end, _, _ in fields(payload, a, b):
        if tag == EVENT_TIME:
            time = start
        elif tag == EVENT_NAME:
            name = payload[start:end]
    return time if name in names else 0
