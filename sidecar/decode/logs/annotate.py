"""What is known of log lines from where they were found, put into the OTLP payload that was made of them.

Where lines of several services alternate, each has a resource of its own in the payload, so there is work for each line
here: payloads are walked by hand. They are our own decoder's, and well-formed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, repeat

from sidecar.decode.otlp.encode import key_value
from sidecar.decode.otlp.tags import CHILDREN, HEAD, KEY, LOG_TIME, RESOURCE_ATTRIBUTE, RESOURCES
from sidecar.decode.otlp.wire import messages, put_bytes, put_varint, varint

_REQUEST_FIELD, _TIME_FIELD, _RECORD_FIELD = (put_varint(tag) for tag in (RESOURCES, LOG_TIME, CHILDREN))
"""Keys as they are written. A record that has a time begins with it: fields are in the order of their numbers."""
_STREAMS = {b"": b""} | {s: key_value(6, "log.iostream", s.decode()) for s in (b"stdout", b"stderr")}


def annotate(
    payload: bytes,
    resource: Mapping[str, str],
    times: Sequence[int] = (),
    streams: Sequence[bytes] = (),
    rows: Sequence[tuple[int, int]] = (),
) -> bytes:
    """A payload of `Decoder.json_lines` with more in it.

    `resource`: attributes for each resource that lacks them. `times` (Unix ns): for each line whose record has no time
    of its own; `streams`: attribute `log.iostream` of each line's record. Both are empty, or have one for each line.
    `rows`: lines that gave several records (`Transcoded.rows`).
    """
    if not resource and not times:
        return payload
    records: Iterator[tuple[int, bytes]] | None = iter(zip(times, streams, strict=True)) if times else None
    if records and rows:
        several = dict(rows)
        records = chain.from_iterable(repeat(line, several.get(n, 1)) for n, line in enumerate(records))
    complete = _completer(resource)
    out: list[bytes] = []
    place, end = 0, len(payload)
    while place < end:
        start, stop = _content(payload, place)
        out += _resource_logs(payload, start, stop, complete, records)
        place = stop
    return b"".join(out)


def _content(data: bytes, place: int) -> tuple[int, int]:
    """Begin and end of the content of the length-delimited field (of a number below 16) at `place`."""
    low, high = data[place + 1 : place + 3]
    if low < 0x80:
        return place + 2, place + 2 + low
    if high < 0x80:  # Nearly every line: `varint` alone costs half as much again.
        return place + 3, place + 3 + (low & 0x7F | high << 7)
    length, begin = varint(data, place + 1, len(data), place)
    return begin, begin + length


def _completer(more: Mapping[str, str]) -> Callable[[bytes], bytes]:
    """From a Resource's content to the field with it and with what it lacked. There are few different ones."""
    known: dict[bytes, bytes] = {}

    def complete(attributes: bytes) -> bytes:
        field = known.get(attributes)
        if field is None:
            there = {_key(attributes, a, b) for a, b in messages(attributes, 0, len(attributes), RESOURCE_ATTRIBUTE)}
            added = b"".join(key_value(1, key, value) for key, value in more.items() if key not in there)
            field = known[attributes] = put_bytes(1, attributes + added)
        return field

    return complete


def _key(data: bytes, a: int, b: int) -> str:
    return next((data[x:y].decode("utf-8", "replace") for x, y in messages(data, a, b, KEY)), "")


def _resource_logs(
    payload: bytes,
    place: int,
    end: int,
    complete: Callable[[bytes], bytes],
    records: Iterator[tuple[int, bytes]] | None,
) -> tuple[bytes, ...]:
    """The rewritten ResourceLogs field, in parts: its resource comes first where it has one."""
    attributes = b""
    if payload[place] == HEAD:
        start, stop = _content(payload, place)
        attributes, place = payload[start:stop], stop
    resource = complete(attributes)
    if records is None:
        return _REQUEST_FIELD, put_varint(len(resource) + end - place), resource, payload[place:end]
    scopes: list[bytes] = []
    while place < end:
        start, stop = _content(payload, place)
        scopes.append(put_bytes(2, _scope_logs(payload, start, stop, records)))
        place = stop
    content = b"".join(scopes)
    return _REQUEST_FIELD, put_varint(len(resource) + len(content)), resource, content


def _scope_logs(payload: bytes, place: int, end: int, records: Iterator[tuple[int, bytes]]) -> bytes:
    out: list[bytes] = []
    while place < end:
        start, stop = _content(payload, place)
        if payload[place] == CHILDREN:
            time, stream = next(records)
            head = b"" if not time or payload[start] == LOG_TIME else _TIME_FIELD + time.to_bytes(8, "little")
            tail = _STREAMS.get(stream, b"")
            out += (_RECORD_FIELD, put_varint(stop - start + len(head) + len(tail)), head, payload[start:stop], tail)
        else:
            out.append(payload[place:stop])
        place = stop
    return b"".join(out)
