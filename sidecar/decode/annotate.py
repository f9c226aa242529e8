"""What is known of log lines from where they were found, put into the OTLP payload that was made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sidecar.decode.encode import key_value
from sidecar.decode.wire import fields, put_bytes, put_varint

_MESSAGE_1, _MESSAGE_2 = 0x0A, 0x12
_TIME = 0x09
"""First byte of a record that has a time: fields are written in the order of their numbers."""
_STREAMS = {b"": b""} | {s: key_value(6, "log.iostream", s.decode()) for s in (b"stdout", b"stderr")}


def annotate(
    payload: bytes, resource: Mapping[str, str], times: Sequence[int] = (), streams: Sequence[bytes] = ()
) -> bytes:
    """A payload of `Decoder.json_lines` with more in it.

    `resource`: attributes for each resource that lacks them. `times` (Unix ns): for each record that has no time of
    its own; `streams`: attribute `log.iostream` of each record. Both are empty, or have one for each record.
    """
    if not resource and not times:
        return payload
    records = iter(zip(times, streams, strict=True)) if times else None
    out = []
    for tag, a, b in fields(payload, 0, len(payload)):
        if tag == _MESSAGE_1:
            out.append(put_bytes(1, _resource_logs(payload, a, b, resource, records)))
    return b"".join(out)


def _resource_logs(
    payload: bytes, a: int, b: int, more: Mapping[str, str], records: Iterator[tuple[int, bytes]] | None
) -> bytes:
    attributes = b""
    scopes = []
    for tag, start, end in fields(payload, a, b):
        if tag == _MESSAGE_1:
            attributes = payload[start:end]
        elif tag == _MESSAGE_2:
            scopes.append(_scope_logs(payload, start, end, records) if records else payload[start:end])
    there = {_key(attributes, x, y) for tag, x, y in fields(attributes, 0, len(attributes)) if tag == _MESSAGE_1}
    attributes += b"".join(key_value(1, key, value) for key, value in more.items() if key not in there)
    return put_bytes(1, attributes) + b"".join(put_bytes(2, scope) for scope in scopes)


def _key(data: bytes, a: int, b: int) -> str:
    return next((data[x:y].decode("utf-8", "replace") for tag, x, y in fields(data, a, b) if tag == _MESSAGE_1), "")


def _scope_logs(payload: bytes, a: int, b: int, records: Iterator[tuple[int, bytes]]) -> bytes:
    """Not by `fields`: this is the only work that is done for each line."""
    out: list[bytes] = []
    place = a
    while place < b:
        tag = payload[place]
        length = payload[place + 1]
        start = place + 2
        if length > 0x7F:
            length, shift = length & 0x7F, 7
            while True:
                byte = payload[start]
                start += 1
                length |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
        end = start + length
        if tag == _MESSAGE_2:
            time, stream = next(records)
            head = b"" if not time or payload[start] == _TIME else b"\x09" + time.to_bytes(8, "little")
            tail = _STREAMS.get(stream, b"")
            out += (b"\x12", put_varint(length + len(head) + len(tail)), head, payload[start:end], tail)
        else:
            out.append(payload[place:end])
        place = end
    return b"".join(out)
