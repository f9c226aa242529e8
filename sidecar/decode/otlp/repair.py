"""OTLP requests put into the form that is stored: parts that would cost a record are left out or made good.

One pass on arrival, so that everything behind it (columns, documents, redaction, forwarding) sees one form, and sees
the same again after a restart. What is done, per reason of the counter:

- `link`: a link without valid ids is left out and added to `dropped_links_count`.
- `parent_span_id`, and `trace_id` and `span_id` of log records: ids of a wrong length are left out.
- `time`: a time past MAX_TIME_NS is left out. `time_unit`: a time that as seconds, milliseconds or microseconds is near
  the arrival, and as nanoseconds is before 1973, is multiplied.
- `no_time`: a log record without any time gets the arrival's as its observed time, a span its end. `event_time`: an
  event without time gets that of its span.
- `attributes`: those past MAX_ATTRIBUTES are left out and added to `dropped_attributes_count`. `depth`: arrays and maps
  at MAX_DEPTH are left empty. Not in metrics, where attributes say which series a point belongs to.
- Messages that may stand once and stand more often are merged, as protobuf has it: not counted, since that is no fault.

A request in which nothing of that is found comes back as the very same object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.decode.otlp.limits import MAX_ATTRIBUTES, MAX_DEPTH, MAX_TIME_NS
from sidecar.decode.otlp.schema import REQUESTS, Field, by_tag, field_named
from sidecar.decode.otlp.tags import ARRAY, DOUBLE, ELEMENT, LINK_SPAN_ID, LINK_TRACE_ID, MAP, VALUE, VARIANTS
from sidecar.decode.otlp.wire import fields, put_bytes, put_fixed64, put_uint
from sidecar.pipeline import Signal

_DOUBLE_ELEMENT = bytes((ELEMENT, 9, DOUBLE))
_DOUBLE_BYTES = 11

_OPTIONAL_IDS: Mapping[tuple[str, str], int] = {
    ("Span", "parent_span_id"): 8,
    ("LogRecord", "trace_id"): 16,
    ("LogRecord", "span_id"): 8,
}

#: Times before this (1973) are none of a clock that is set.
_OLDEST_NS = 10**17
_UNITS = (10**3, 10**6, 10**9)
_DAY_NS = 24 * 3600 * 10**9
#: How far from the arrival a time in another unit may lie.
_BEFORE_NS, _AFTER_NS = 7 * _DAY_NS, _DAY_NS


class _Patch:
    """A copy of a message in which some fields are others; the message itself where none is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._out = bytearray()
        self._copied = 0

    def replace(self, begin: int, end: int, field: bytes) -> None:
        """Another field (or none) in place of `data[begin:end]`; in wire order."""
        self._out += self._data[self._copied : begin] + field
        self._copied = end

    def finish(self, more: bytes = b"") -> bytes:
        """With more fields behind it."""
        if not (self._copied or more):
            return self._data
        return bytes(self._out) + self._data[self._copied :] + more


@dataclass
class _Once:
    """A message that may stand once: the last of the oneof that it is in. Of several, `content` has all of them."""

    tag: int
    begin: int
    content: bytearray
    count: int = 1


@dataclass
class _Seen:
    """What a look at all fields of a message says of single ones."""

    once: dict[str, _Once] = field(default_factory=dict)
    """By field or oneof."""
    times: dict[str, int] = field(default_factory=dict)
    id_lengths: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class Repair:
    """One request's way through. `arrival`: Unix ns, 0 where it is not known. Methods give the very bytes back in
    which nothing changes, and raise DecodeError for what is malformed."""

    signal: Signal
    arrival: int
    counts: Counter[str] = field(default_factory=Counter)
    """Repairs by reason."""
    _span_time: int = 0
    """Of the span at hand, for its events without time."""

    def request(self, payload: bytes) -> bytes:
        return self.message(payload, REQUESTS[self.signal])

    def message(self, data: bytes, name: str) -> bytes:
        seen = _look(data, name)
        if name == "Span":
            times = (self._time_of(seen.times.get(one, 0)) for one in ("start_time_unix_nano", "end_time_unix_nano"))
            self._span_time = next((time for time in times if time), self.arrival)
        patch = _Patch(data)
        attributes = links = 0
        by_key = by_tag(name)
        for tag, a, b, begin, end in fields(data, 0, len(data)):
            known = by_key.get(tag)
            if known is None:
                continue
            repaired: bytes | None = data[begin:end]
            if known.kind == "attributes":
                attributes += 1
                too_many = attributes > MAX_ATTRIBUTES and self.signal != "metrics"
                repaired = None if too_many else self._length_delimited(data, known, a, b, begin, end)
            elif known.of == "Link" and _is_invalid_link(data, a, b):
                links += 1
                repaired = None
            elif known.kind in ("message", "any"):
                once = None if known.repeated else seen.once[known.oneof or known.name]
                repaired = self._message(data, known, once, (begin, end, a, b))
            elif known.kind == "bytes":
                repaired = data[begin:end] if self._is_valid_id(name, known.name, seen) else None
            elif known.kind == "fixed64" and known.name.endswith("time_unix_nano"):
                repaired = self._time(data[begin:end], tag, a, seen.times[known.name])
            if repaired is None or repaired != data[begin:end]:
                patch.replace(begin, end, repaired or b"")
        more = self._dropped(name, "dropped_links_count", links, seen, "link")
        if self.signal != "metrics":
            excess = max(0, attributes - MAX_ATTRIBUTES)
            more += self._dropped(name, "dropped_attributes_count", excess, seen, "attributes")
        return patch.finish(more + self._lacking(name, seen))

    def _message(self, data: bytes, known: Field, once: _Once | None, place: tuple[int, int, int, int]) -> bytes | None:
        begin, end, a, b = place
        if once is None or (once.count == 1 and once.begin == begin):
            return self._length_delimited(data, known, a, b, begin, end)
        if once.begin != begin:
            return None
        content = bytes(once.content)
        repaired = self._any(content, 1) if known.kind == "any" else self.message(content, known.of)
        return put_bytes(known.number, repaired)

    def _length_delimited(self, data: bytes, known: Field, a: int, b: int, begin: int, end: int) -> bytes:
        content = data[a:b]
        match known.kind:
            case "message":
                repaired = self.message(content, known.of)
            case "any":
                repaired = self._any(content, 1)
            case _:
                repaired = self._pair(content, 0)
        return data[begin:end] if repaired is content else put_bytes(known.number, repaired)

    def _is_valid_id(self, message: str, name: str, seen: _Seen) -> bool:
        """The last of an id counts."""
        length = _OPTIONAL_IDS.get((message, name))
        if length is None or seen.id_lengths[name] in (0, length):
            return True
        self.counts[name] += 1
        return False

    def _time(self, field: bytes, tag: int, time: int, last: int) -> bytes | None:
        """A field with a time; `last`: the one that counts of several."""
        found = None if self._time_of(last) is None else self._time_of(time)
        if found is None:
            self.counts["time"] += 1
            return None
        self.counts["time_unit"] += found != time
        return field if found == time else put_fixed64(tag >> 3, found)

    def _time_of(self, time: int) -> int | None:
        """Nanoseconds; None where the time is none."""
        if time > MAX_TIME_NS:
            return None
        if 0 < time < _OLDEST_NS and self.arrival:
            for scaled in (time * unit for unit in _UNITS):
                if -_BEFORE_NS <= scaled - self.arrival <= _AFTER_NS:
                    return scaled
        return time

    def _dropped(self, message: str, counter: str, more: int, seen: _Seen, reason: str) -> bytes:
        """The message's own count of what was dropped, where it grows."""
        if not more:
            return b""
        self.counts[reason] += more
        number = field_named(message, counter).number
        return put_uint(number, min((seen.counts.get(counter, 0) & _MASK32) + more, _MASK32))

    def _lacking(self, message: str, seen: _Seen) -> bytes:
        """The time to add to a record or an event that has none."""
        number, reason = _TIMES_TO_ADD.get(message, (0, ""))
        time = self._span_time if message == "Event" else self.arrival
        if not (number and time and self.arrival) or any(0 < known <= MAX_TIME_NS for known in seen.times.values()):
            return b""
        self.counts[reason] += 1
        return put_fixed64(number, time)

    def _pair(self, data: bytes, depth: int) -> bytes:
        """A KeyValue whose value has depth `depth` + 1."""
        values, content, rest = 0, bytearray(), bytearray()
        for tag, a, b, begin, end in fields(data, 0, len(data)):
            if tag == VALUE:
                values += 1
                content += data[a:b]
            else:
                rest += data[begin:end]
        value = bytes(content)
        repaired = self._any(value, depth + 1)
        if values == 0 or (values == 1 and repaired is value):
            return data
        return bytes(rest) + put_bytes(2, repaired)

    def _any(self, data: bytes, depth: int) -> bytes:
        """An AnyValue: of several values the last counts, arrays and maps in a row are one."""
        rest, content = bytearray(), bytearray()
        values = last = 0
        raw = b""
        for tag, a, b, begin, end in fields(data, 0, len(data)):
            if tag not in VARIANTS:
                rest += data[begin:end]
                continue
            if tag != last or tag not in (ARRAY, MAP):
                content.clear()
            if tag in (ARRAY, MAP):
                content += data[a:b]
            values, last, raw = values + 1, tag, data[begin:end]
        if last in (ARRAY, MAP):
            found = bytes(content)
            repaired = self._elements(found, last, depth)
            if values == 1 and repaired is found:
                return data
            raw = put_bytes(last >> 3, repaired)
        return data if raw == b"" or (values == 1 and last not in (ARRAY, MAP)) else bytes(rest) + raw

    def _elements(self, data: bytes, kind: int, depth: int) -> bytes:
        """The content of an ArrayValue or a KeyValueList in a value of that depth."""
        if depth >= MAX_DEPTH and self.signal != "metrics":
            has_elements = any(tag == ELEMENT for tag, _, _, _, _ in fields(data, 0, len(data)))
            self.counts["depth"] += has_elements
            return b"" if has_elements else data
        if depth >= MAX_DEPTH or (kind == ARRAY and _are_doubles(data)):
            return data
        patch = _Patch(data)
        for tag, a, b, begin, end in fields(data, 0, len(data)):
            if tag == ELEMENT:
                element = data[a:b]
                repaired = self._any(element, depth + 1) if kind == ARRAY else self._pair(element, depth)
                if repaired is not element:
                    patch.replace(begin, end, put_bytes(1, repaired))
        return patch.finish()


def _look(data: bytes, name: str) -> _Seen:
    seen = _Seen()
    by_key = by_tag(name)
    for tag, a, b, begin, _ in fields(data, 0, len(data)):
        known = by_key.get(tag)
        if known is None or known.repeated:
            continue
        if known.kind in ("message", "any"):
            _look_at_message(seen, data, known, begin, a, b)
        elif known.kind == "bytes":
            seen.id_lengths[known.name] = b - a
        elif known.kind == "uint32":
            seen.counts[known.name] = a
        elif known.kind == "fixed64" and known.name.endswith("time_unix_nano"):
            seen.times[known.name] = a
    return seen


def _look_at_message(seen: _Seen, data: bytes, known: Field, begin: int, a: int, b: int) -> None:
    slot = known.oneof or known.name
    before = seen.once.get(slot)
    if before is None or before.tag != known.tag:
        seen.once[slot] = _Once(known.tag, begin, bytearray(data[a:b]))
    else:
        before.count += 1
        before.content += data[a:b]


def _is_invalid_link(data: bytes, a: int, b: int) -> bool:
    """Whether the ids of the link `data[a:b]` have a wrong length, or none but zeros."""
    ids = {LINK_TRACE_ID: b"", LINK_SPAN_ID: b""}
    for tag, c, d, _, _ in fields(data, a, b):
        if tag in ids:
            ids[tag] = data[c:d]
    trace_id, span_id = ids.values()
    return len(trace_id) != 16 or len(span_id) != 8 or not any(trace_id) or not any(span_id)


def _are_doubles(data: bytes) -> bool:
    """Whether an ArrayValue has doubles only: columns of numbers are long."""
    if len(data) % _DOUBLE_BYTES:
        return False
    count = len(data) // _DOUBLE_BYTES
    return all(data[place::_DOUBLE_BYTES] == bytes([byte]) * count for place, byte in enumerate(_DOUBLE_ELEMENT))


_MASK32 = 0xFFFFFFFF
#: Message -> number of the field for the time that is added where it has none, and the reason.
_TIMES_TO_ADD: Mapping[str, tuple[int, str]] = {
    "Span": (field_named("Span", "end_time_unix_nano").number, "no_time"),
    "LogRecord": (field_named("LogRecord", "observed_time_unix_nano").number, "no_time"),
    "Event": (field_named("Event", "time_unix_nano").number, "event_time"),
}
